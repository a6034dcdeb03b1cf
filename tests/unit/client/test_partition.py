"""The wire between client and node is cut in the middle of each call: before the node has done it, and after. The client asks again by
itself, and the end is that of a call that nothing happened to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.live_node import LiveNode, eventually
from tests.unit.client.both import PATIENCE_S, Connect
from tests.unit.client.relay import Relay
from tests.unit.client.test_calls import machine
from xvirt.client.schedule import REPEATS, Method, Patience, Repeat
from xvirt.client.target import Target
from xvirt.model.errors import NotFound, Unavailable
from xvirt.model.exchange import ApplyCall, ObjectRef, OperateCall, Token, Verb

LONG = Patience(call_s=PATIENCE_S, repeat_within_s=PATIENCE_S)
WEB = ObjectRef(kind="VirtualMachine", namespace="default", name="web")
Ask = Callable[[Any], Any]
ASKED: dict[Method, tuple[str, Ask]] = {
    Method.APPLY: ("apply", lambda client: client.apply(ApplyCall(document=machine(), token=Token(if_generation=1)))),
    Method.DELETE: ("delete", lambda client: client.delete(WEB)),
    Method.GET: ("get", lambda client: client.get(WEB)),
    Method.LIST: ("list_objects", lambda client: client.list_objects("VirtualMachine")),
    Method.OPERATE: (
        "operate",
        lambda client: client.operate(OperateCall(ref=WEB, verb=Verb.PAUSE, operation_id="once")),
    ),
    Method.DESCRIBE: ("describe", lambda client: client.describe(WEB)),
    Method.NODE_INFO: ("node_info", lambda client: client.node_info()),
    Method.LIST_ORPHANS: ("list_orphans", lambda client: client.list_orphans()),
    Method.LIST_EVENTS: ("list_events", lambda client: client.list_events(WEB)),
}


@pytest.fixture
def relay(node: LiveNode, tmp_path: Path) -> Iterator[Relay]:
    made = Relay(tmp_path / "relay.sock", node.socket)
    yield made
    made.close()


def _cut_once(node: LiveNode, relay: Relay, name: str, when: str, patch: pytest.MonkeyPatch) -> list[str]:
    """Cut the wire at the first such call; gives the calls that arrived."""
    original, arrived, lock = getattr(node.service, name), [], threading.Lock()

    def method(*arguments: Any, **more: Any) -> Any:
        with lock:
            arrived.append(name)
            is_first = len(arrived) == 1
        if is_first and when == "before":
            relay.cut()
            raise Unavailable("nobody hears this: the wire is cut")
        result = original(*arguments, **more)
        if is_first:
            relay.cut()
        return result

    patch.setattr(node.service, name, method)
    return arrived


def _state(node: LiveNode) -> dict[str, Any]:
    operations = [item.id for stored in node.store.list_objects() for item in node.store.list_operations(stored.uid)]
    return {**node.end_state(), "operations": operations}


def _settled(client: Any, node: LiveNode, method: Method) -> dict[str, Any]:
    wanted = {Method.OPERATE: "Paused"}.get(method, "Running")
    if method is Method.DELETE:
        eventually(lambda: node.store.list_objects() == [])
    else:
        eventually(lambda: client.get(WEB).document["status"]["printableStatus"] == wanted)
    return _state(node)


def _declare(client: Any) -> None:
    client.apply(ApplyCall(document=machine()))
    eventually(lambda: client.get(WEB).document.get("status", {}).get("printableStatus") == "Running")


def test_every_call_that_may_be_repeated_is_tried() -> None:
    assert set(ASKED) == {method for method, repeat in REPEATS.items() if repeat is Repeat.SAFE}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("method", list(ASKED), ids=[method.value for method in ASKED])
def test_a_call_that_was_cut_and_repeated_ends_as_one_that_was_not(
    connect: Connect, node: LiveNode, relay: Relay, method: Method, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    direct = connect(Target(node.address), LONG)
    name, ask = ASKED[method]
    _declare(direct)
    undisturbed = ask(direct)
    wanted = _settled(direct, node, method)
    if method is Method.DELETE:
        _declare(direct)
    elif method is Method.OPERATE:
        node.delete_here("web")
        _declare(direct)
    with monkeypatch.context() as patch:
        arrived = _cut_once(node, relay, name, when, patch)
        client = connect(Target(relay.address), LONG)
        try:
            answer = ask(client)
        except NotFound:
            assert (method, when) == (Method.DELETE, "after"), "an earlier attempt of the same call has done it"
        else:
            assert type(answer) is type(undisturbed)
    assert len(arrived) == 2
    assert _settled(direct, node, method) == wanted
