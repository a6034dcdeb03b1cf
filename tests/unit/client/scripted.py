"""A node that answers what the test says, behind the real server on a Unix socket or with TLS on loopback."""

from __future__ import annotations

import dataclasses
import queue
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nodeplugin.images.port import Upload
from nodeplugin.server import NodeServer
from nodeplugin.server_options import ServerLimits, ServerOptions, TlsFiles
from tests.fakes.console import FakeConsole
from tests.fakes.domain import FakeDomain
from xvirt.client.target import Target
from xvirt.model.exchange import (
    AdoptCall,
    Caller,
    Description,
    Detail,
    NodeDescription,
    ObjectRef,
    ObjectView,
    Token,
    WatchEvent,
    WatchType,
)

LOCAL = Caller(name="root", authorities=("local",), namespaces=("*",), profiles=("privileged",))
REMOTE = Caller(name="admin", authorities=("local",), namespaces=("*",), profiles=("restricted",))
REF = ObjectRef(kind="VirtualMachine", namespace="default", name="web", uid="u-1", authority="local")


def view(ref: ObjectRef = REF, **spec: Any) -> ObjectView:
    """An object as a node answers it."""
    return ObjectView(ref=ref, document={"kind": ref.kind, "spec": spec}, token=Token(authority="local", generation=1))


class Feed:
    """A watch that the test feeds."""

    def __init__(self) -> None:
        self.events: queue.Queue[WatchEvent] = queue.Queue()
        self.is_closed = False

    def next_event(self, timeout_s: float) -> WatchEvent | None:
        try:
            return self.events.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def close(self) -> None:
        self.is_closed = True


class ScriptedNode:
    """Implements `nodeplugin.api.NodeApi`. `on[name]` answers that method; what it raises is the method's error."""

    def __init__(self) -> None:
        self.on: dict[str, Callable[..., Any]] = {}
        self.calls: list[tuple[str, str]] = []
        self.feeds: list[Feed] = []
        self.domain = FakeDomain.__new__(FakeDomain)
        self.domain.console = None
        self.on["node_info"] = lambda: NodeDescription(document={"kind": "VirtualHost"})
        self.on["get"] = lambda ref: view()
        self.on["describe"] = lambda ref: Description(object=view())

    def _answer(self, name: str, caller: Caller, *args: Any) -> Any:
        self.calls.append((name, caller.name))
        return self.on[name](*args)

    def apply(self, caller: Caller, call: Any) -> Any:
        return self._answer("apply", caller, call)

    def delete(self, caller: Caller, ref: ObjectRef, token: Token, *, force: bool) -> Any:
        return self._answer("delete", caller, ref, token, force)

    def get(self, caller: Caller, ref: ObjectRef) -> Any:
        return self._answer("get", caller, ref)

    def list_objects(self, caller: Caller, kind: str, namespace: str, detail: Detail = Detail.WHOLE) -> Any:
        return self._answer("list_objects", caller, kind, namespace)

    def watch(self, caller: Caller, kind: str, namespace: str) -> Any:
        if "watch" in self.on:
            return self._answer("watch", caller, kind, namespace)
        feed = Feed()
        feed.events.put(WatchEvent(type=WatchType.SYNCED, boot_id="b", sequence=1))
        self.feeds.append(feed)
        return feed

    def operate(self, caller: Caller, call: Any) -> Any:
        return self._answer("operate", caller, call)

    def describe(self, caller: Caller, ref: ObjectRef) -> Any:
        return self._answer("describe", caller, ref)

    def node_info(self, caller: Caller) -> Any:
        return self._answer("node_info", caller)

    def console(self, caller: Caller, ref: ObjectRef, *, force: bool) -> Any:
        self.domain.uuid = ref.uid
        return FakeConsole.open(self.domain, force=force)

    def console_log(self, caller: Caller, ref: ObjectRef, *, follow: bool, tail_bytes: int) -> Iterator[bytes]:
        found: Iterator[bytes] = self._answer("console_log", caller, ref, follow, tail_bytes)
        return found

    def open_upload(self, caller: Caller, ref: ObjectRef, size_bytes: int) -> Upload:
        found: Upload = self._answer("open_upload", caller, ref, size_bytes)
        return found

    def list_events(self, caller: Caller, ref: ObjectRef | None) -> Any:
        return self._answer("list_events", caller, ref)

    def adopt(self, caller: Caller, call: AdoptCall) -> Any:
        return self._answer("adopt", caller, call)

    def accept_epoch(self, caller: Caller, authority: str) -> Any:
        return self._answer("accept_epoch", caller, authority)

    def list_foreign(self, caller: Caller) -> Any:
        return self._answer("list_foreign", caller)

    def list_orphans(self, caller: Caller, namespace: str) -> Any:
        return self._answer("list_orphans", caller, namespace)


class Served:
    """A ScriptedNode that is served; `stop` may be called twice."""

    def __init__(
        self, directory: Path, *, tls: TlsFiles | None = None, clients: tuple[str, ...] = ("admin",), **options: Any
    ) -> None:
        self.api = ScriptedNode()
        self.socket = directory / "node.sock"
        self._options = ServerOptions(
            unix_socket=self.socket,
            local_caller=LOCAL,
            listen="127.0.0.1:0" if tls is not None else None,
            tls=tls,
            callers={name: dataclasses.replace(REMOTE, name=name) for name in clients},
            **options,
        )
        self.start()

    def start(self) -> None:
        self.server = NodeServer(self.api, self._options)
        self.server.start()

    def stop(self, grace_s: float = 0.2) -> None:
        self.server.stop(grace_s)

    @property
    def target(self) -> Target:
        return Target(f"unix://{self.socket}")


def limits(**changes: Any) -> ServerLimits:
    """Limits small enough to be reached."""
    return ServerLimits(**changes)
