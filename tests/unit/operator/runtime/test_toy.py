"""A whole operator on the runtime under the faults of an operator's life; the undisturbed run is the judge: same end, nothing twice."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.fakes.apifaults import Refusal
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.virtualtime import VirtualTime
from tests.unit.operator.runtime.api_cases import FINALIZER, THINGS
from tests.unit.operator.runtime.line import Line
from tests.unit.operator.runtime.toy import Toy
from xvirt.operator.runtime.api import ApiClient, Call, Phase
from xvirt.operator.runtime.controller import ControllerOptions
from xvirt.operator.runtime.resources import CONFIG_MAPS, Key, Object

ONE = Key("ns", "one")


class Killed(BaseException):
    """The process is gone: nothing of it runs or sends any more."""


@dataclasses.dataclass
class Life:
    """One server and whichever operator process is alive."""

    time: VirtualTime
    server: FakeApiServer
    toy: Toy
    task: asyncio.Task[None]
    restarts: int = 0

    def make(self, size: int = 1, key: Key = ONE, **metadata: Any) -> None:
        """A user creates a Thing or changes its size."""
        item = self.server.find(THINGS, key) or THINGS.object(key)
        item["metadata"] |= metadata
        self.server.write(THINGS, {**item, "spec": {"size": size}}, manager="user")

    async def settled(self, wait_s: float = 900.0) -> None:
        """Wait until nothing is left to do; a process that was killed is started anew."""
        quiet_since_s = self.time.clock.monotonic_s()
        began_s = quiet_since_s
        sent = len(self.server.sent)
        while self.time.clock.monotonic_s() - quiet_since_s < 40:
            await asyncio.sleep(0.5)
            if self.task.done():
                self.restart()
            now_s = self.time.clock.monotonic_s()
            if len(self.server.sent) != sent:
                sent, quiet_since_s = len(self.server.sent), now_s
            if now_s - began_s > wait_s:
                return

    def restart(self) -> None:
        self.restarts += 1
        hooks = self.toy.client.hooks
        self.toy, self.task = _start(self.time, self.server)
        self.toy.client.hooks.extend(hooks)

    def end_state(self) -> list[Object]:
        """All objects without what differs between any two runs."""
        return [_plain(item) for kind in (THINGS, CONFIG_MAPS) for item in self.server.objects(kind)]

    def writes(self) -> int:
        return len([sent for sent in self.server.sent if sent.is_write])


def _plain(item: Object) -> Object:
    item = copy.deepcopy(item)
    for name in ("uid", "resourceVersion", "creationTimestamp", "ownerReferences"):
        item["metadata"].pop(name, None)
    for condition in item.get("status", {}).get("conditions", ()):
        condition.pop("lastTransitionTime")
    return item


def _start(time: VirtualTime, server: FakeApiServer) -> tuple[Toy, asyncio.Task[None]]:
    line = Line(server)
    toy = Toy(ApiClient(line, manager="toy", clock=time.clock))
    return toy, asyncio.ensure_future(toy.run())


def _live(time: VirtualTime, main: Callable[[Life], Awaitable[None]]) -> None:
    async def whole() -> None:
        server = FakeApiServer(time.clock)
        toy, task = _start(time, server)
        await main(Life(time, server, toy, task))

    time.run(whole())


async def _create(life: Life) -> None:
    life.make(size=1)
    await life.settled()


async def _change(life: Life) -> None:
    life.make(size=2)
    await life.settled()


async def _delete(life: Life) -> None:
    life.server.remove(THINGS, ONE)
    await life.settled()


STEPS = (_create, _change, _delete)
READY = [
    {
        "apiVersion": THINGS.api_version,
        "kind": "Thing",
        "metadata": {"name": "one", "namespace": "ns", "generation": 1, "finalizers": [FINALIZER]},
        "spec": {"size": 1},
        "status": {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True", "reason": "Made"}]},
    }
]


def test_the_undisturbed_life_takes_three_writes_to_ready_two_for_a_change_and_two_to_go(time: VirtualTime) -> None:
    async def main(life: Life) -> None:
        writes = []
        for step in STEPS:
            await step(life)
            writes.append(life.writes())
            if step is _create:
                assert life.end_state()[:1] == READY
        assert writes == [3, 5, 7]
        assert life.end_state() == []
        assert life.toy.client.metrics.count_writes() == {
            ("things", "patch"): 2,
            ("things", "apply"): 2,
            ("configmaps", "create"): 1,
            ("configmaps", "apply"): 1,
            ("configmaps", "delete"): 1,
        }

    _live(time, main)


def _states(time: VirtualTime, disturb: Callable[[Life], None] | None = None) -> tuple[list[list[Object]], int, int]:
    """The end state after each step, all writes, and how often the process was started anew."""
    states: list[list[Object]] = []
    counts = [0, 0]

    async def main(life: Life) -> None:
        await life.settled()
        if disturb is not None:
            disturb(life)
        for step in STEPS:
            await step(life)
            states.append(life.end_state())
        counts[:] = [life.writes(), life.restarts]

    _live(time, main)
    return states, counts[0], counts[1]


def _kill_at(number: int, phase: Phase) -> Callable[[Life], None]:
    def disturb(life: Life) -> None:
        left = [number]

        def hook(now: Phase, _: Call) -> None:
            if now is not phase:
                return
            left[0] -= 1
            if left[0] == 0:
                line = life.toy.client.transport
                assert isinstance(line, Line)
                line.is_cut = True
                raise Killed

        life.toy.client.hooks.append(hook)

    return disturb


@pytest.mark.parametrize("phase", Phase, ids=lambda phase: phase.value)
def test_fault_01_killed_at_any_single_request_it_ends_where_the_undisturbed_run_does(phase: Phase) -> None:
    with VirtualTime() as time:
        expected, writes, _ = _states(time)
    number, restarts = 0, 1
    while restarts:
        number += 1
        with VirtualTime() as time:
            states, more, restarts = _states(time, _kill_at(number, phase))
        assert states == expected, f"killed {phase.value} request {number}"
        assert more == writes, "no write twice"
    assert number > writes


@pytest.mark.parametrize("which", ["answer", "request"])
def test_fault_02_with_any_single_write_or_its_answer_lost_it_ends_where_the_undisturbed_run_does(which: str) -> None:
    with VirtualTime() as time:
        expected, writes, _ = _states(time)
    for number in range(writes):
        seen = [0]

        def disturb(life: Life, number: int = number, seen: list[int] = seen) -> None:
            lose = life.server.faults.lose_answer if which == "answer" else life.server.faults.lose_request

            def hook(phase: Phase, call: Call) -> None:
                if phase is Phase.BEFORE and call.is_write:
                    if seen[0] == number:
                        lose("write")
                    seen[0] += 1

            life.toy.client.hooks.append(hook)

        with VirtualTime() as time:
            states, more, _ = _states(time, disturb)
        assert states == expected, f"lost {which} of write {number}"
        assert more <= writes + 2


def test_fault_03_with_watches_frozen_at_any_single_event_it_ends_where_the_undisturbed_run_does() -> None:
    with VirtualTime() as time:
        expected, writes, _ = _states(time)
    number, is_reached = 0, True
    while is_reached:
        number += 1
        frozen: list[bool] = []

        def disturb(life: Life, number: int = number, frozen: list[bool] = frozen) -> None:
            left = [number]

            def at_event(_: str, __: Object) -> bool:
                left[0] -= 1
                if left[0] == 0:
                    frozen.append(True)
                    life.server.faults.freeze_watches()
                    asyncio.get_running_loop().call_later(30, life.server.faults.thaw)
                return False

            life.server.faults.drop_event(at_event, times=-1)

        with VirtualTime() as time:
            states, more, _ = _states(time, disturb)
        is_reached = bool(frozen)
        assert states == expected, f"frozen at event {number}"
        assert more <= writes + 3, "what an old view asks for is refused, not done"
    assert number > 7


def test_fault_05_with_any_single_event_lost_it_ends_right_within_an_hour() -> None:
    number, is_reached = 0, True
    while is_reached:
        number += 1
        lost: list[bool] = []

        async def main(life: Life, number: int = number, lost: list[bool] = lost) -> None:
            left = [number]

            def is_it(_: str, __: Object) -> bool:
                left[0] -= 1
                return left[0] == 0 and not lost.append(True)  # type: ignore[func-returns-value]

            await life.settled()
            life.server.faults.drop_event(is_it, times=1)
            life.make(size=1)
            life.make(key=Key("ns", "two"), size=1)
            await life.settled()
            life.make(size=2)
            life.server.remove(THINGS, Key("ns", "two"))
            await asyncio.sleep(4000)
            thing, config = life.end_state()
            assert thing["status"]["observedGeneration"] == 2, f"lost event {number}"
            assert config["data"] == {"size": "2"}

        with VirtualTime() as time:
            _live(time, main)
        is_reached = bool(lost)
    assert number > 7


def test_fault_03_on_an_old_view_nothing_of_a_newer_object_is_destroyed(time: VirtualTime) -> None:
    async def main(life: Life) -> None:
        await _create(life)
        life.server.faults.freeze_watches()
        life.server.remove(THINGS, ONE)
        await asyncio.sleep(30)
        assert life.server.find(CONFIG_MAPS, ONE) is not None
        # The first one goes by other hands, another of the same name comes with a ConfigMap of its own.
        dying = _found(life)
        dying["metadata"]["finalizers"] = []
        life.server.write(THINGS, dying)
        life.server.remove(CONFIG_MAPS, ONE)
        life.make(size=5)
        life.toy.controller.enqueue(ONE)
        await asyncio.sleep(30)
        life.server.faults.thaw()
        await life.settled()
        state = life.end_state()
        assert state[0]["spec"] == {"size": 5}
        assert state[1]["data"] == {"size": "5"}

    _live(time, main)


def _found(life: Life) -> Object:
    item = life.server.find(THINGS, ONE)
    assert item is not None
    return item


def test_fault_09_a_user_who_edits_right_before_each_write_loses_nothing(time: VirtualTime) -> None:
    async def main(life: Life) -> None:
        edits = [0]

        def hook(phase: Phase, call: Call) -> None:
            item = life.server.find(THINGS, ONE)
            if phase is Phase.BEFORE and call.is_write and edits[0] < 10 and item is not None:
                edits[0] += 1
                life.make(size=edits[0] + 1, annotations={"edit": str(edits[0])})

        life.toy.client.hooks.append(hook)
        await _create(life)
        thing, config = life.end_state()
        assert edits[0] == 10
        assert thing["metadata"]["annotations"] == {"edit": "10"}
        assert thing["spec"] == {"size": 11}
        assert config["data"] == {"size": "11"}
        assert thing["status"]["observedGeneration"] == thing["metadata"]["generation"] == 11
        conflicts = life.toy.client.metrics.registry.get_sample_value(
            "operator_reconciles_total", {"controller": "things", "outcome": "conflict"}
        )
        assert conflicts
        assert conflicts >= 1

    _live(time, main)


def test_fault_10_a_hundred_reconciles_of_what_is_ready_write_nothing(time: VirtualTime) -> None:
    async def main(life: Life) -> None:
        await _create(life)
        before, came_up = life.writes(), len(life.toy.reconciled)
        for _ in range(100):
            life.toy.controller.enqueue(ONE)
            await asyncio.sleep(1)
        assert len(life.toy.reconciled) == came_up + 100
        assert life.writes() == before

    _live(time, main)


def test_fault_11_a_storm_of_two_thousand_with_churn_and_throttling_starves_nobody(time: VirtualTime) -> None:
    async def main(life: Life) -> None:
        life.server.latency_s = 0.005
        await life.settled()
        for number in range(2000):
            life.make(key=Key("busy", f"thing-{number:04}"))
        life.make(key=Key("quiet", "one"))
        began_s = time.clock.monotonic_s()
        while not _is_ready(life, Key("quiet", "one")):
            await asyncio.sleep(0.01)
        assert time.clock.monotonic_s() - began_s < 0.5
        busy = [item for item in life.server.objects(THINGS) if "status" in item]
        assert len(busy) < 200, "it did not wait for the storm"
        life.server.faults.refuse_with(Refusal(429, "TooManyRequests", "later", retry_after_s=5), "write", times=1)
        for number in range(0, 2000, 10):
            life.server.remove(THINGS, Key("busy", f"thing-{number:04}"))
        await life.settled()
        things = life.server.objects(THINGS)
        assert len(things) == 1801
        assert all(item["status"]["observedGeneration"] == 1 for item in things)
        assert len(life.server.objects(CONFIG_MAPS)) == 1801
        _assert_quiet_after_429(life)

    _live(time, main)


def _assert_quiet_after_429(life: Life) -> None:
    sent_s = sorted(sent.at_s for sent in life.server.sent)
    gaps = [later - sooner for sooner, later in itertools.pairwise(sent_s)]
    assert any(4.9 <= gap <= 7 for gap in gaps), "everybody waited as long as the server asked"


def _is_ready(life: Life, key: Key) -> bool:
    item = life.server.find(THINGS, key)
    return item is not None and "status" in item


def test_fault_12_a_poison_object_keeps_nobody_and_is_ready_when_it_is_mended(time: VirtualTime) -> None:
    async def main(life: Life) -> None:
        life.make(size=-1, key=Key("ns", "poison"))
        for number in range(20):
            life.make(key=Key("ns", f"fine-{number}"))
        await asyncio.sleep(1)
        assert len([item for item in life.server.objects(THINGS) if "status" in item]) == 20
        await asyncio.sleep(3600)
        life.make(size=3, key=Key("ns", "poison"))
        await asyncio.sleep(1)
        assert _is_ready(life, Key("ns", "poison"))

    _live(time, main)


def test_fault_16_what_was_wrong_and_is_right_now_needs_nobodys_hand(time: VirtualTime) -> None:
    async def main(life: Life) -> None:
        life.server.faults.refuse_with(Refusal(403, "Forbidden", "exceeded quota"), "POST", "configmaps", times=12)
        await _create(life)
        assert _is_ready(life, ONE)

    _live(time, main)


def test_fault_17_what_is_being_deleted_gets_no_finalizer(time: VirtualTime) -> None:
    async def main(life: Life) -> None:
        life.make(finalizers=["other.io/kept"])
        life.server.remove(THINGS, ONE)
        await life.settled()
        assert _found(life)["metadata"]["finalizers"] == ["other.io/kept"]
        assert life.writes() == 0

    _live(time, main)


def test_fault_24_a_quiet_cluster_is_written_nothing_for_a_day(time: VirtualTime) -> None:
    async def main(life: Life) -> None:
        life.task.cancel()
        line = Line(life.server)
        life.toy = Toy(ApiClient(line, manager="toy", clock=time.clock), ControllerOptions(workers=4, resync_s=600))
        life.task = asyncio.ensure_future(life.toy.run())
        for number in range(10):
            life.make(key=Key("ns", f"thing-{number}"))
        await asyncio.sleep(60)
        writes, came_up = life.writes(), len(life.toy.reconciled)
        assert writes == 30
        await asyncio.sleep(86400)
        assert life.writes() == writes
        assert len(life.toy.reconciled) > came_up + 10 * 140, "and every key came up each ten minutes"

    _live(time, main)


def test_fault_25_an_api_server_that_is_away_for_minutes_is_taken_up_again(time: VirtualTime) -> None:
    async def main(life: Life) -> None:
        await _create(life)
        life.server.faults.be_down()
        life.make(size=2)
        life.make(key=Key("ns", "two"))
        await asyncio.sleep(300)
        life.server.faults.heal()
        await life.settled()
        state = life.end_state()
        assert [item["metadata"]["name"] for item in state] == ["one", "two", "one", "two"]
        assert [item["data"] for item in state[2:]] == [{"size": "2"}, {"size": "1"}]

    _live(time, main)


def test_a_request_is_seen_by_hooks_before_and_after(time: VirtualTime) -> None:
    async def main(life: Life) -> None:
        seen: list[tuple[Phase, str]] = []
        life.toy.client.hooks.append(lambda phase, call: seen.append((phase, str(call))))
        await life.settled()
        seen.clear()
        await _create(life)
        assert seen[:2] == [(Phase.BEFORE, "patch things ns/one"), (Phase.AFTER, "patch things ns/one")]

    _live(time, main)
