"""Every RPC once by either client, against the real service; what DESIGN section 5 says of Apply, fencing and Watch, over the wire."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import yaml

from tests.unit.cli.live_node import MACHINE, LiveNode, eventually
from tests.unit.client.both import Connect
from xvirt.client.blocking import NodeClient
from xvirt.client.schedule import REPEATS, Method
from xvirt.client.target import Target
from xvirt.model.errors import Conflict, NotFound, PolicyRefused, Refused, XvirtError
from xvirt.model.exchange import (
    AdoptCall,
    ApplyCall,
    DryRun,
    ObjectRef,
    OperateCall,
    OperationState,
    SecretContent,
    Token,
    Verb,
    WatchEvent,
    WatchType,
)
from xvirt.nodeapi.v1 import image_pb2, node_pb2

REF = ObjectRef(kind="VirtualMachine", namespace="default", name="web")


def machine(**spec: Any) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(MACHINE)
    document["spec"].update(spec)
    return document


LOST_UID = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def client(connect: Connect, node: LiveNode) -> NodeClient:
    return connect(Target(node.address))


def _running(client: NodeClient) -> None:
    eventually(lambda: client.get(REF).document.get("status", {}).get("printableStatus") == "Running")


def test_the_table_of_repeats_knows_every_rpc_that_a_client_calls() -> None:
    files = (node_pb2.DESCRIPTOR, image_pb2.DESCRIPTOR)
    served = {method.name for file in files for service in file.services_by_name.values() for method in service.methods}
    assert set(REPEATS) == set(Method)
    assert {method.value for method in Method} == served


def test_every_rpc_answers(client: NodeClient, node: LiveNode) -> None:
    applied = client.apply(ApplyCall(document=machine()))
    uid = applied.object.ref.uid
    _running(client)
    assert client.get(REF).ref.uid == uid
    assert client.get(ObjectRef(uid=uid)).ref.name == "web"
    assert [view.ref.uid for view in client.list_objects("VirtualMachine", "default")] == [uid]
    assert client.describe(REF).object.ref.uid == uid
    assert {part.name for part in client.describe(REF).parts} >= {"domain-xml"}
    assert client.node_info().document["metadata"]["name"] == "node-a"
    assert {event.ref.uid for event in client.list_events(REF)} == {uid}
    assert client.list_events()
    (node.directory / "logs" / "left.log").touch()
    assert client.list_orphans() == []
    (node.directory / "logs" / f"{LOST_UID}.log").write_bytes(b"booted")
    assert [item.name for item in client.list_orphans("default")] == [f"{LOST_UID}.log"]
    assert client.list_foreign() == []
    assert client.adopt(AdoptCall(domain_uuid=uid)).object.ref.uid == uid
    operation = client.operate(OperateCall(ref=REF, verb=Verb.PAUSE, operation_id="pause-1"))
    assert (operation.id, operation.verb) == ("pause-1", Verb.PAUSE)
    node.log(b"Linux version 6\n")
    assert b"".join(client.console_log(REF)) == b"Linux version 6\n"
    assert b"".join(client.console_log(REF, tail_bytes=2)) == b"6\n"
    with client.watch() as events:
        assert next(events).type is WatchType.OBJECT
    with client.console(REF) as console:
        console.write(b"ls\n")
        assert console.read() == b"ls\n"
    assert client.delete(REF).is_deleting
    eventually(lambda: not client.list_objects())
    with pytest.raises(NotFound):
        client.get(REF)


def test_applys_answer_says_what_is_stored_and_what_is_about_to_run(client: NodeClient) -> None:
    result = client.apply(ApplyCall(document=machine()))
    assert result.object.token == dataclasses.replace(Token(), authority="local", generation=1)
    assert "define-domain" in [step.name for step in result.plan]
    assert client.get(REF).token.generation == 1


def test_a_dry_run_answers_the_plan_and_stores_nothing(client: NodeClient) -> None:
    assert client.apply(ApplyCall(document=machine(), dry_run=DryRun.PLAN)).plan
    assert client.list_objects() == []


def test_a_change_is_told_with_its_old_and_new_value(client: NodeClient) -> None:
    client.apply(ApplyCall(document=machine()))
    result = client.apply(ApplyCall(document=machine(memory={"size": "96Mi", "max": "128Mi"})))
    assert [(item.path, item.old, item.new) for item in result.changes] == [("spec.memory.size", "64Mi", "96Mi")]


def test_what_is_refused_changes_nothing(client: NodeClient) -> None:
    client.apply(ApplyCall(document=machine()))
    emulator = {"devices": {"emulator": "/bin/true"}}
    with pytest.raises(PolicyRefused, match="emulator"):
        client.apply(ApplyCall(document=machine(domain=emulator), profile="restricted"))
    assert client.get(REF).token.generation == 1


def test_an_apply_whose_answer_was_lost_is_repeated_without_harm(client: NodeClient) -> None:
    first = client.apply(ApplyCall(document=machine()))
    seen = Token(if_generation=first.object.token.generation)
    changed = ApplyCall(document=machine(memory={"size": "96Mi", "max": "128Mi"}), token=seen)
    answers = [client.apply(changed).object.token for _ in range(3)]
    assert {token.generation for token in answers} == {2}


def test_compare_and_set_refuses_what_was_not_seen_and_says_what_is_stored(client: NodeClient) -> None:
    client.apply(ApplyCall(document=machine()))
    client.apply(ApplyCall(document=machine(memory={"size": "96Mi", "max": "128Mi"})))
    call = ApplyCall(document=machine(), token=Token(if_generation=1))
    with pytest.raises(Conflict) as found:
        client.apply(call)
    assert (found.value.reason, found.value.stored_generation) == ("GenerationDiffers", 2)
    assert client.get(REF).document["spec"]["memory"]["size"] == "96Mi"


def test_a_lower_pair_of_epoch_and_generation_is_refused_with_the_stored_one(client: NodeClient) -> None:
    client.apply(ApplyCall(document=machine(), token=Token(epoch=3, generation=7)))
    for stale in (Token(epoch=2, generation=100), Token(epoch=3, generation=6), Token()):
        for ask in (
            lambda token: client.apply(ApplyCall(document=machine(), token=token)),
            lambda token: client.delete(REF, token),
            lambda token: client.operate(OperateCall(ref=REF, verb=Verb.PAUSE, operation_id="o", token=token)),
        ):
            with pytest.raises(Conflict) as found:
                ask(stale)
            assert (found.value.stored_epoch, found.value.stored_generation) == (3, 7)
    assert not client.get(REF).is_deleting
    client.apply(ApplyCall(document=machine(), token=Token(epoch=4, generation=1)))
    assert client.get(REF).token.epoch == 4


def test_the_same_operation_id_is_the_same_operation(client: NodeClient) -> None:
    client.apply(ApplyCall(document=machine()))
    _running(client)
    call = OperateCall(ref=REF, verb=Verb.PAUSE, operation_id="pause-1")
    client.operate(call)
    eventually(lambda: client.operate(call).state is OperationState.SUCCEEDED)
    assert len(client.describe(REF).operations) == 1
    with pytest.raises(XvirtError):
        client.operate(dataclasses.replace(call, verb=Verb.RESUME))


def test_secrets_travel_beside_the_document_and_never_come_back(client: NodeClient) -> None:
    secrets = (SecretContent(name="init", data={"userData": b"#cloud-config\npassword: hunter2\n"}),)
    document = machine(cloudInit={"userData": {"secret": "init"}})
    client.apply(ApplyCall(document=document, secrets=secrets))
    told = [client.get(REF), client.describe(REF), client.list_objects(), client.list_events()]
    assert "hunter2" not in repr(told)


def _until_synced(events: Any) -> list[WatchEvent]:
    found: list[WatchEvent] = []
    for event in events:
        if event.type is WatchType.SYNCED:
            return found
        found.append(event)
    raise AssertionError("the watch ended")


def test_a_watch_is_one_snapshot_then_deltas_numbered_within_a_boot(client: NodeClient) -> None:
    client.apply(ApplyCall(document=machine()))
    _running(client)
    with client.watch("VirtualMachine", "default") as events:
        snapshot = _until_synced(events)
        assert [(event.type, event.object and event.object.ref.name) for event in snapshot] == [
            (WatchType.OBJECT, "web")
        ]
        client.delete(REF)
        deltas = []
        for event in events:
            deltas.append(event)
            if event.type is WatchType.DELETED:
                break
    numbers = [event.sequence for event in (*snapshot, *deltas)]
    assert numbers == sorted(set(numbers))
    assert {event.boot_id for event in (*snapshot, *deltas)} == {"boot"}
    assert WatchType.EVENT in {event.type for event in deltas}


def test_a_watch_that_begins_again_has_a_whole_snapshot(client: NodeClient) -> None:
    for name in ("web", "db"):
        document = machine()
        document["metadata"]["name"] = name
        client.apply(ApplyCall(document=document))
    for _ in range(2):
        with client.watch() as events:
            assert {event.object.ref.name for event in _until_synced(events) if event.object} == {"web", "db"}


def test_a_console_that_somebody_has_is_refused_unless_it_is_taken(client: NodeClient) -> None:
    client.apply(ApplyCall(document=machine()))
    _running(client)
    with client.console(REF) as first:
        first.write(b"one")
        assert first.read() == b"one"
        with client.console(REF) as second, pytest.raises(Refused):
            second.read()
        with client.console(REF, force=True) as third:
            assert first.read() is None
            third.write(b"three")
            assert third.read() == b"three"


def test_a_console_carries_any_bytes_both_ways(client: NodeClient) -> None:
    client.apply(ApplyCall(document=machine()))
    _running(client)
    data = bytes(range(256)) * 1024
    with client.console(REF) as console:
        console.write(data)
        found = b""
        while len(found) < len(data):
            found += console.read() or b""
    assert found == data


def test_a_console_of_a_machine_that_does_not_run_is_refused(client: NodeClient) -> None:
    client.apply(ApplyCall(document=machine(runStrategy="Halted")))
    with client.console(REF) as console, pytest.raises(Refused, match="not running"):
        console.read()
