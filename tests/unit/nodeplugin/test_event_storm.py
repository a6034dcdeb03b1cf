"""Events of 300 guests at once, with the workers' threads and the machine's clock: none is lost in effect, and nothing grows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodeplugin.clock import SystemClock
from nodeplugin.hypervisor.port import DomainState, EventKind, HypervisorEvent
from tests.unit.cli.live_node import eventually
from tests.unit.nodeplugin.world import World

GUESTS = 300
FOREIGN = 100
EVENT_THREAD = "libvirt-events"


class BusyWorld(World):
    """With threads."""

    def boot(self) -> None:
        self.clock = SystemClock()  # type: ignore[assignment]
        super().boot()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[BusyWorld]:
    made = BusyWorld(tmp_path)
    made.converger.start()
    yield made
    made.converger.stop(60.0)
    made.store.close()


def _machine(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "VirtualMachine",
        "metadata": {"name": name},
        "spec": {"memory": {"size": "32Mi"}},
    }


def _is_settled(world: World) -> bool:
    objects = world.store.list_objects("VirtualMachine")
    running = [item for item in world.hypervisor.list_domains() if item.state is DomainState.RUNNING]
    states = {item.status.get("printableStatus") for item in objects}
    return len(objects) == len(running) == GUESTS and states == {"Running"} and world.converger.queue_lengths()[0] == 0


def _on_event_thread(work: Any) -> None:
    thread = threading.Thread(target=work, name=EVENT_THREAD)
    thread.start()
    thread.join()


def test_row_13_300_guests_die_at_once_and_each_runs_again(world: BusyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(GUESTS):
        world.apply(_machine(f"vm-{number}"))
    eventually(lambda: _is_settled(world))
    uids = world.store.list_uids()
    readers: set[str] = set()
    longest = 0
    query = world.store._query

    def watched(*arguments: Any) -> Any:
        readers.add(threading.current_thread().name)
        return query(*arguments)

    monkeypatch.setattr(world.store, "_query", watched)

    def storm() -> None:
        nonlocal longest
        for number in range(FOREIGN):
            event = HypervisorEvent(kind=EventKind.LIFECYCLE, subject=f"foreign-{number}", detail="defined/added")
            world.converger._on_event(event)
        for uid in uids:
            world.hypervisor.crash(uid)
            for kind in (EventKind.OTHER, EventKind.AGENT, EventKind.LIFECYCLE):
                world.converger._on_event(HypervisorEvent(kind=kind, subject=uid, detail=""))
            longest = max(longest, world.converger.queue_lengths()[0])

    _on_event_thread(storm)
    eventually(lambda: _is_settled(world))
    starts = [call for call in world.faults.names() if call == "start_domain"]
    assert len(starts) == 2 * GUESTS, "each guest was started once and, after its death, once more"
    assert 0 < longest <= GUESTS, "a key is queued once, however many events name it"
    assert readers
    assert EVENT_THREAD not in readers, "libvirt's event thread waits for no file"


def test_a_storm_of_foreign_domains_brings_up_what_waits_once(
    world: BusyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each new domain may be what something waits for; looking through all objects for each of them would take the node's time."""
    began, go_on = threading.Event(), threading.Event()
    rounds = []

    def look() -> None:
        rounds.append(1)
        began.set()
        assert go_on.wait(30)

    monkeypatch.setattr(world.converger, "enqueue_unready", look)

    def storm() -> None:
        for number in range(FOREIGN):
            event = HypervisorEvent(kind=EventKind.LIFECYCLE, subject=f"foreign-{number}", detail="defined/added")
            world.converger._on_event(event)
            assert began.wait(30)

    _on_event_thread(storm)
    go_on.set()
    eventually(lambda: len(rounds) == 2)


def test_what_cannot_be_read_for_an_event_is_tried_again(world: BusyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = []

    def look() -> None:
        rounds.append(1)
        if len(rounds) == 1:
            raise OSError("the disk was away")

    monkeypatch.setattr(world.converger, "enqueue_unready", look)
    world.converger._on_event(HypervisorEvent(kind=EventKind.POOL, subject="other", detail=""))
    eventually(lambda: len(rounds) == 2)
    assert world.converger.are_workers_alive()
