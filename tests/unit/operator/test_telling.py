"""Where it is told what became of an object."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.fakes.virtualtime import VirtualTime
from tests.unit.operator.runtime.world import make_world
from xvirt.model.exchange import Event, EventType, ObjectRef
from xvirt.operator.runtime.cache import Cache
from xvirt.operator.runtime.recorder import OBJECT_BURST_MAX, QUEUE_MAX, Recorder
from xvirt.operator.runtime.resources import EVENTS, NAMESPACES, Object
from xvirt.operator.telling import Teller

OWN = "its-uid-at-its-node"


def _told(namespace: dict[str, Any], events: list[Event], count: int = 1) -> list[Object]:
    with VirtualTime() as time:
        return _play(time, namespace, events, count)


def _play(time: VirtualTime, namespace: dict[str, Any], events: list[Event], count: int) -> list[Object]:
    world = make_world(time)

    async def whole() -> None:
        recorder = Recorder(world.client, "example.io/toy", "toy-1")
        namespaces = Cache(NAMESPACES)
        namespaces.replace([{"metadata": {"name": "ns", "uid": "of-ns", "resourceVersion": "1", **namespace}}], "1")
        task = asyncio.create_task(recorder.run())
        for number in range(count):
            for event in events:
                Teller(recorder, namespaces).relay(world.write(f"one-{number}"), "node-a", event, node_uid=OWN)
        await asyncio.sleep(10)
        task.cancel()

    time.run(whole())
    return world.server.objects(EVENTS)


def _event(reason: str, kind: EventType = EventType.NORMAL, uid: str = OWN) -> Event:
    ref = ObjectRef(kind="Thing", namespace="ns", name="one-0", uid=uid)
    return Event(ref=ref, type=kind, reason=reason, message="so it is")


def test_what_happened_for_good_and_every_warning_is_told_of_the_object() -> None:
    events = [_event("CreateVolume"), _event("VolumeRetained"), _event("NoSpace", EventType.WARNING)]
    found = _told({}, events)
    assert [(item["reason"], item["type"], item["note"]) for item in found] == [
        ("VolumeRetained", "Normal", "node-a: so it is"),
        ("NoSpace", "Warning", "node-a: so it is"),
    ]
    assert {(item["metadata"]["namespace"], item["regarding"]["name"]) for item in found} == {("ns", "one-0")}


def test_what_is_told_while_the_namespace_goes_stands_with_the_namespace_and_outlives_it() -> None:
    (event,) = _told({"deletionTimestamp": "2026-01-01T00:00:00Z"}, [_event("VolumeRetained")])
    assert event["metadata"]["namespace"] == "default"
    assert event["regarding"] == {"apiVersion": "v1", "kind": "Namespace", "name": "ns", "uid": "of-ns"}
    assert (event["related"]["kind"], event["related"]["name"]) == ("Thing", "one-0")
    assert event["note"] == "Thing ns/one-0: node-a: so it is"


def test_a_namespace_full_of_objects_is_told_of_as_a_whole() -> None:
    count = OBJECT_BURST_MAX * 3
    found = _told({"deletionTimestamp": "2026-01-01T00:00:00Z"}, [_event("VolumeRetained")], count)
    assert len({item["related"]["name"] for item in found}) == count


def test_of_an_earlier_object_of_the_name_only_what_happened_for_good_is_told_and_with_its_own_uid() -> None:
    earlier = [
        _event("Restarting", uid="of-another"),
        _event("VolumeRetained", uid="of-another"),
        _event("NoSpace", EventType.WARNING, uid="of-another"),
    ]
    found = _told({}, [*earlier, _event("Restarting")])
    uids = {item["reason"]: item["regarding"]["uid"] for item in found}
    own = uids.pop("Restarting")
    assert uids == {"VolumeRetained": "of-another", "NoSpace": "of-another"}
    assert own != "of-another"
    assert len(found) == 3
    assert {item["regarding"]["name"] for item in found} == {"one-0"}
    assert {item["regarding"]["kind"] for item in found} == {"Thing"}


def test_a_crowd_that_stops_at_once_pushes_no_warning_out() -> None:
    with VirtualTime() as time:
        world = make_world(time)

        async def whole() -> None:
            recorder = Recorder(world.client, "example.io/toy", "toy-1")
            teller = Teller(recorder, Cache(NAMESPACES))
            for number in range(QUEUE_MAX):
                teller.mention(world.write(f"one-{number}"), "Normal", "Stopped", "stopped")
            teller.mention(world.write("crashed"), "Warning", "Crashed", "the guest has crashed")
            teller.tell(world.write("left"), "Warning", "LeftBehind", "a volume may be left")
            task = asyncio.create_task(recorder.run())
            await asyncio.sleep(1)
            task.cancel()

        time.run(whole())
        assert {item["reason"] for item in world.server.objects(EVENTS)} == {"Crashed", "LeftBehind", "Stopped"}
