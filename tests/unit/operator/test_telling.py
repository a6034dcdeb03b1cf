"""Where it is told what became of an object."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.fakes.virtualtime import VirtualTime
from tests.unit.operator.runtime.world import make_world
from xvirt.model.exchange import Event, EventType, ObjectRef
from xvirt.operator.runtime.cache import Cache
from xvirt.operator.runtime.recorder import OBJECT_BURST_MAX, Recorder
from xvirt.operator.runtime.resources import EVENTS, NAMESPACES, Object
from xvirt.operator.telling import Teller


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
                Teller(recorder, namespaces).relay(world.write(f"one-{number}"), "node-a", event)
        await asyncio.sleep(10)
        task.cancel()

    time.run(whole())
    return world.server.objects(EVENTS)


def _event(reason: str, kind: EventType = EventType.NORMAL) -> Event:
    return Event(
        ref=ObjectRef(kind="Thing", namespace="ns", name="one-0"), type=kind, reason=reason, message="so it is"
    )


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
