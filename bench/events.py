"""How soon the node tells what libvirt tells, and how soon it knows everything again after a crash."""

from __future__ import annotations

import contextlib
import queue
import statistics
import threading
import time

import libvirt

from bench.fleet import Fleet, answers, document, fleet, median_ms, percentile_ms, progress
from bench.result import Result
from xvirt.model.errors import Unavailable
from xvirt.model.exchange import ApplyCall, ObjectView, WatchType

LATENCY_GOAL_S = 0.05
CYCLES_MIN = 50
MACHINES = 200
_STATES = {libvirt.VIR_DOMAIN_EVENT_STARTED: "Running", libvirt.VIR_DOMAIN_EVENT_STOPPED: "Stopped"}


class EventClock:
    """When libvirt's own events reach this process. An event loop of its own thread; made before the first connection."""

    def __init__(self) -> None:
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=self._run, daemon=True).start()
        self.events: queue.SimpleQueue[tuple[str, float]] = queue.SimpleQueue()

    @staticmethod
    def _run() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    def listen(self, connection: libvirt.virConnect) -> None:
        """Hear starts and stops."""

        def heard(_: object, __: object, event: int, ___: int, ____: object) -> None:
            if event in _STATES:
                self.events.put((_STATES[event], time.perf_counter()))

        connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, heard, None)


def event_latency(rounds: int) -> Result:
    """Goal: p99 <= 50 ms."""
    clock = EventClock()
    cycles = max(rounds, CYCLES_MIN)
    with fleet("event") as made:
        clock.listen(made.libvirt)
        made.client.apply(ApplyCall(document=document("one", "Manual")))
        made.wait(lambda views: bool((views[0].document.get("status") or {}).get("uuid")), "the domain")
        deltas: queue.SimpleQueue[tuple[str, float]] = queue.SimpleQueue()
        ready, over = threading.Event(), threading.Event()
        watcher = threading.Thread(target=_watch, args=(made, deltas, ready, over), daemon=True)
        watcher.start()
        ready.wait()
        samples = _cycle(made, clock, deltas, cycles)
        over.set()
    return Result(
        name="event-latency",
        ratio=percentile_ms(samples, 99) / 1000 / LATENCY_GOAL_S,
        goal="p99 <= 50 ms (ratio <= 1)",
        method=(
            f"One lab node, one machine with runStrategy Manual, started and destroyed by libvirt-python behind xVirt's back, {cycles}"
            " times each. From the moment that libvirt's lifecycle event reached this process by a connection of its own to the moment"
            " that the new power state came by Watch. Ratio: p99 over 50 ms."
        ),
        samples={"delta-after-event": samples},
        summary=(
            f"median {median_ms(samples):.1f} ms, p99 {percentile_ms(samples, 99):.1f} ms, longest {max(samples) * 1000:.1f} ms"
        ),
    )


def _watch(
    made: Fleet, deltas: queue.SimpleQueue[tuple[str, float]], ready: threading.Event, over: threading.Event
) -> None:
    last = ""
    with (
        contextlib.suppress(Unavailable),
        made.client.watch("VirtualMachine") as events,
    ):  # the lab's end cuts the stream
        for event in events:
            if over.is_set():
                return
            if event.type is WatchType.SYNCED:
                ready.set()
            status = (event.object.document.get("status") or {}) if event.object else {}
            state = str(status.get("powerState", last))
            if state != last:
                last = state
                deltas.put((state, time.perf_counter()))


def _cycle(made: Fleet, clock: EventClock, deltas: queue.SimpleQueue[tuple[str, float]], cycles: int) -> list[float]:
    [domain] = made.libvirt.listAllDomains()
    samples = []
    for number in range(cycles):
        for act, wanted in ((domain.create, "Running"), (domain.destroy, "Stopped")):
            act()
            heard = _next(clock.events, wanted)
            samples.append(max(0.0, _next(deltas, wanted) - heard))
        progress(number + 1, cycles)
    return samples


def _next(found: queue.SimpleQueue[tuple[str, float]], wanted: str) -> float:
    while True:
        state, moment = found.get(timeout=30)
        if state == wanted:
            return moment


def recovery(rounds: int) -> Result:
    """Goal <= 2 of a start with nothing to know."""
    restarts = max(3, rounds // 6)
    with fleet("recovery") as made:
        empty = [_restart(made, 0, "") for _ in range(restarts)]
        made.declare(MACHINES)
        made.client.apply(ApplyCall(document=document("changed", "Manual")))
        made.wait(lambda views: len(made.libvirt.listAllDomains()) == MACHINES + 1, "all domains")
        full = []
        for number in range(restarts):
            full.append(_restart(made, MACHINES + 1, "Running" if number % 2 == 0 else "Stopped"))
            progress(number + 1, restarts)
    return Result(
        name="recovery",
        ratio=statistics.median(full) / statistics.median(empty),
        goal="<= 2 of a start with no machine",
        method=(
            f"One lab node with {MACHINES} machines defined and off, and one that libvirt-python starts or destroys while the plugin is"
            " dead (SIGKILL). From the start of its process to the first List with all of them in which that one's power state is the"
            " true one. Peer: the same with no machine, to the first List."
        ),
        samples={"with-200": full, "with-0": empty},
        summary=f"median {median_ms(full):.0f} ms, with no machine {median_ms(empty):.0f} ms",
    )


def _restart(made: Fleet, count: int, state: str) -> float:
    made.node.kill_plugin()
    if state:
        domain = made.libvirt.lookupByName("default_changed")
        domain.create() if state == "Running" else domain.destroy()
    began = time.perf_counter()
    made.node.start_plugin()
    while True:
        views = answers(made.client)
        if views is not None and len(views) == count and (not state or _state_of_changed(views) == state):
            return time.perf_counter() - began
        time.sleep(0.01)


def _state_of_changed(views: list[ObjectView]) -> str:
    [found] = [view for view in views if view.ref.name == "changed"]
    return str((found.document.get("status") or {}).get("powerState"))
