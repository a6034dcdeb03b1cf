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
from xvirt.model.exchange import AdoptCall, ApplyCall, ObjectRef, OperateCall, Token, Verb

LONG = Patience(call_s=PATIENCE_S, repeat_within_s=PATIENCE_S)
WEB = ObjectRef(kind="VirtualMachine", namespace="default", name="web")
Ask = Callable[[Any], Any]
HAND_MADE = "11111111-2222-4333-8444-555555555555"
HAND_MADE_XML = f"""<domain type='qemu'><name>old</name><uuid>{HAND_MADE}</uuid><memory unit='KiB'>65536</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices/></domain>"""


def _adopt(client: Any) -> Any:
    """Adopt what nobody declares, or find it adopted; the plan is told once."""
    return client.adopt(AdoptCall(domain_uuid=HAND_MADE)).object.ref


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
    Method.LIST_FOREIGN: ("list_foreign", lambda client: client.list_foreign()),
    Method.ADOPT: ("adopt", _adopt),
    Method.ACCEPT_EPOCH: ("accept_epoch", lambda client: client.accept_epoch("local")),
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
        eventually(lambda: _shows(client.get(WEB).document, wanted))
    if method is Method.ADOPT:
        eventually(
            lambda: client.get(ObjectRef(uid=HAND_MADE)).document.get("status", {}).get("printableStatus") == "Stopped"
        )
    state = _state(node)
    # An object that was released and is adopted again has a later generation than the tombstone.
    state["objects"] = {
        name: told if method is not Method.ADOPT else told[1:] for name, told in state["objects"].items()
    }
    return state


def _shows(document: Any, word: str) -> bool:
    status = document["status"]
    return bool(
        status["printableStatus"] == word and status["observedGeneration"] == document["metadata"]["generation"]
    )


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
    if method is Method.ADOPT:
        node.hypervisor.define_domain(HAND_MADE_XML)
    undisturbed = ask(direct)
    wanted = _settled(direct, node, method)
    if method is Method.DELETE:
        _declare(direct)
    elif method is Method.OPERATE:
        node.delete_here("web")
        _declare(direct)
    elif method is Method.ADOPT:
        node.delete_here("old")
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
