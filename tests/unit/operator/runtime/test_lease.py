"""One leader at a time, by monotonic time alone, whatever happens to the API server, the process and the clocks."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.fakes.apifaults import Refusal
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.virtualtime import VirtualTime
from tests.unit.operator.runtime.api_cases import config
from tests.unit.operator.runtime.line import Line
from xvirt.operator.runtime.api import ApiClient
from xvirt.operator.runtime.errors import LeaseLost, OutcomeUnknown
from xvirt.operator.runtime.lease import Lease, LeaseOptions
from xvirt.operator.runtime.resources import CONFIG_MAPS, LEASES, Key, Object
from xvirt.operator.runtime.transport import Answer, Request, Transport

KEY = Key("xvirt-system", "operator")
DURATION_S, DEADLINE_S, RETRY_S = 15, 10.0, 2.0


@dataclasses.dataclass
class Candidate:
    lease: Lease
    client: ApiClient
    line: Line
    lost: list[str]
    task: asyncio.Task[None]


def _start(time: VirtualTime, server: FakeApiServer, identity: str) -> Candidate:
    line = Line(server)
    transport: Transport = line
    client = ApiClient(transport, manager="test", clock=time.clock)
    lost: list[str] = []
    options = LeaseOptions(KEY.namespace, KEY.name, identity, watchdog_interval_s=0)
    lease = Lease(client, options, lost.append)
    return Candidate(lease, client.guarded(lease.guard), line, lost, asyncio.ensure_future(lease.run()))


def _run(time: VirtualTime, main: Callable[[FakeApiServer], Awaitable[None]]) -> None:
    async def whole() -> None:
        await main(FakeApiServer(time.clock))

    time.run(whole())


def _spec(server: FakeApiServer) -> Object:
    stored = server.find(LEASES, KEY)
    assert stored is not None
    spec: Object = stored["spec"]
    return spec


async def _acquired(candidate: Candidate, within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        await candidate.lease.acquired()


async def _write(candidate: Candidate, name: str) -> None:
    await candidate.client.create(CONFIG_MAPS, config("ns", name))


def test_the_first_candidate_leads_and_renews_and_the_second_waits(time: VirtualTime) -> None:
    async def main(server: FakeApiServer) -> None:
        first = _start(time, server, "first")
        await _acquired(first, 1)
        second = _start(time, server, "second")
        await asyncio.sleep(300)
        assert first.lease.is_leader
        assert not second.lease.is_leader
        assert second.lease.holder == "first"
        spec = _spec(server)
        assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("first", 15, 1)
        assert spec["acquireTime"] < spec["renewTime"]
        renewals = len([sent for sent in server.sent if sent.method == "PUT"])
        assert 140 <= renewals <= 150, "one each two seconds"
        assert not first.lost

    _run(time, main)


def test_before_it_leads_a_candidate_can_neither_write_nor_have_an_epoch(time: VirtualTime) -> None:
    async def main(server: FakeApiServer) -> None:
        first, second = _start(time, server, "first"), _start(time, server, "second")
        await _acquired(first)
        with pytest.raises(LeaseLost, match="second does not hold the lease xvirt-system/operator"):
            await _write(second, "no")
        with pytest.raises(LeaseLost):
            _ = second.lease.epoch
        assert server.objects(CONFIG_MAPS) == []
        await second.client.list_objects(CONFIG_MAPS)

    _run(time, main)


def test_a_released_lease_is_taken_over_at_once_with_a_higher_epoch(time: VirtualTime) -> None:
    async def main(server: FakeApiServer) -> None:
        first = _start(time, server, "first")
        await _acquired(first)
        second = _start(time, server, "second")
        await asyncio.sleep(5)
        epoch = first.lease.epoch
        await first.lease.release()
        assert not first.lease.is_leader
        await _acquired(second, RETRY_S + 0.1)
        assert second.lease.epoch == epoch + 1
        assert first.lost == [], "given up, not lost"
        with pytest.raises(LeaseLost):
            await _write(first, "no")
        await asyncio.sleep(30)
        assert first.task.done()
        assert second.lease.is_leader

    _run(time, main)


def test_fault_13_a_leader_without_an_answer_stops_before_another_begins(time: VirtualTime) -> None:
    async def main(server: FakeApiServer) -> None:
        first = _start(time, server, "first")
        await _acquired(first)
        second = _start(time, server, "second")
        await asyncio.sleep(20)
        cut_s = time.clock.monotonic_s()
        first.line.is_cut = True
        while first.lease.is_leader:
            await asyncio.sleep(0.1)
        stopped_s = time.clock.monotonic_s() - cut_s
        assert stopped_s <= DEADLINE_S + 0.1
        await asyncio.sleep(0.2)
        assert first.lost == ["lease xvirt-system/operator is lost: it was not renewed for 10 s"]
        await _acquired(second)
        began_s = time.clock.monotonic_s() - cut_s
        assert stopped_s + 3 < began_s <= DURATION_S + 2 * RETRY_S + 0.1

    _run(time, main)


def test_fault_13_a_write_on_its_way_ends_at_the_deadline_on_both_sides(time: VirtualTime) -> None:
    async def main(server: FakeApiServer) -> None:
        first = _start(time, server, "first")
        await _acquired(first)
        await asyncio.sleep(20)
        first.line.is_cut = True
        await asyncio.sleep(4)
        left_s = first.lease.guard()
        assert 4 < left_s < 6
        began_s = time.clock.monotonic_s()
        with pytest.raises(OutcomeUnknown):
            await _write(first, "late")
        assert time.clock.monotonic_s() - began_s <= left_s + 0.01
        first.line.is_cut = False
        second = _start(time, server, "second")
        await _acquired(second)
        await _write(second, "fine")
        asked_s = float(server.sent[-1].query["timeout"].removesuffix("s"))
        assert asked_s <= DEADLINE_S, "the server gives up, too"

    _run(time, main)


def test_fault_13_a_slow_renewal_counts_from_when_it_was_sent(time: VirtualTime) -> None:
    async def main(server: FakeApiServer) -> None:
        server.latency_s = 3.0
        first = _start(time, server, "first")
        await _acquired(first)
        assert first.lease.guard() <= DEADLINE_S - 3
        longest_s = 0.0
        for _ in range(200):
            await asyncio.sleep(0.1)
            longest_s = max(longest_s, first.lease.guard())
        assert DEADLINE_S - 3.2 < longest_s <= DEADLINE_S - 3

    _run(time, main)


@pytest.mark.parametrize("frozen_s", [10.5, 16.0, 3600.0])
def test_fault_13_a_leader_that_was_stopped_past_its_deadline_sends_nothing_after_waking(
    time: VirtualTime, frozen_s: float
) -> None:
    async def main(server: FakeApiServer) -> None:
        first = _start(time, server, "first")
        await _acquired(first)
        await _write(first, "early")
        began = len(server.sent)
        time.freeze(frozen_s)
        for name in ("one", "two", "three"):
            with pytest.raises(LeaseLost):
                await _write(first, name)
        await asyncio.sleep(30)
        assert first.lost
        assert [sent for sent in server.sent[began:] if sent.is_write] == []

    _run(time, main)


def test_fault_13_a_write_that_waited_for_a_connection_past_the_deadline_is_not_sent(time: VirtualTime) -> None:
    async def main(server: FakeApiServer) -> None:
        first = _start(time, server, "first")
        await _acquired(first)

        async def send(request: Request) -> Answer:
            time.freeze(11)
            return await server.send(request)

        first.line.send = send  # type: ignore[method-assign]
        with pytest.raises(LeaseLost):
            await _write(first, "late")
        assert server.objects(CONFIG_MAPS) == []

    _run(time, main)


def test_fault_13_the_deadline_is_seen_while_the_event_loop_is_blocked() -> None:
    clock = VirtualTime().clock
    server = FakeApiServer(clock)
    lost = threading.Event()

    async def main() -> None:
        client = ApiClient(server, manager="test", clock=clock)
        options = LeaseOptions(KEY.namespace, KEY.name, "first", retry_s=0.01, watchdog_interval_s=0.001)
        lease = Lease(client, options, lambda _: lost.set())
        task = asyncio.create_task(lease.run())
        await lease.acquired()
        assert not lost.is_set()
        clock.skip(DEADLINE_S)
        assert lost.wait(30), "and no task has run meanwhile"
        await task

    asyncio.run(main())


def test_fault_25_wall_clock_jumps_neither_end_nor_lengthen_a_lease(time: VirtualTime) -> None:
    async def main(server: FakeApiServer) -> None:
        first = _start(time, server, "first")
        await _acquired(first)
        second = _start(time, server, "second")
        for jump_s in (3600.0, -7200.0, 86400.0):
            time.clock.jump_s += jump_s
            await asyncio.sleep(30)
            assert first.lease.is_leader
            assert not second.lease.is_leader
        first.line.is_cut = True
        time.clock.jump_s -= 1e6
        await _acquired(second, DURATION_S + 2 * RETRY_S + 0.1)

    _run(time, main)


def test_a_renewal_whose_answer_was_lost_costs_nothing(time: VirtualTime) -> None:
    async def main(server: FakeApiServer) -> None:
        first = _start(time, server, "first")
        await _acquired(first)
        for _ in range(20):
            server.faults.lose_answer("PUT", "/leases/")
            await asyncio.sleep(5)
            assert first.lease.guard() > 0
        assert not first.lost
        assert _spec(server)["leaseTransitions"] == 1

    _run(time, main)


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_an_acquisition_whose_answer_was_lost_is_made_again_with_an_epoch_of_its_own(
    time: VirtualTime, method: str
) -> None:
    async def main(server: FakeApiServer) -> None:
        if method == "PUT":
            server.write(LEASES, LEASES.object(KEY, spec={"holderIdentity": "", "leaseTransitions": 5}))
        server.faults.lose_answer(method, "/leases")
        first = _start(time, server, "first")
        await _acquired(first, RETRY_S + 0.1)
        assert first.lease.epoch == (7 if method == "PUT" else 2)

    _run(time, main)


def test_a_few_refusals_cost_nothing_while_the_deadline_is_not_over(time: VirtualTime) -> None:
    async def main(server: FakeApiServer) -> None:
        first = _start(time, server, "first")
        await _acquired(first)
        for code, reason in (
            (500, "InternalError"),
            (503, "ServiceUnavailable"),
            (429, "TooManyRequests"),
            (403, "Forbidden"),
        ):
            server.faults.refuse_with(Refusal(code, reason, "no", retry_after_s=60), "PUT", times=3)
            await asyncio.sleep(20)
            assert first.lease.is_leader
        assert not first.lost

    _run(time, main)


def test_a_closed_gate_does_not_keep_the_lease_from_being_renewed(time: VirtualTime) -> None:
    async def main(server: FakeApiServer) -> None:
        first = _start(time, server, "first")
        await _acquired(first)
        server.faults.refuse_with(Refusal(429, "TooManyRequests", "no", retry_after_s=60), "POST", "configmaps")
        with pytest.raises(Exception, match="429"):
            await _write(first, "no")
        await asyncio.sleep(40)
        assert first.lease.is_leader

    _run(time, main)


def test_whoever_takes_the_lease_away_or_deletes_it_ends_the_leader(time: VirtualTime) -> None:
    async def steal(server: FakeApiServer) -> None:
        stored = server.find(LEASES, KEY)
        assert stored is not None
        server.write(LEASES, {**stored, "spec": {**stored["spec"], "holderIdentity": "thief"}})

    async def delete(server: FakeApiServer) -> None:
        server.remove(LEASES, KEY)

    async def main(server: FakeApiServer) -> None:
        for deed, why in ((steal, "thief holds it"), (delete, "it was deleted")):
            first = _start(time, server, f"first-{why}")
            await _acquired(first)
            await deed(server)
            await asyncio.sleep(RETRY_S + 0.1)
            assert first.lost == [f"lease xvirt-system/operator is lost: {why}"]
            with pytest.raises(LeaseLost):
                await _write(first, "no")
            server.remove(LEASES, KEY) if server.find(LEASES, KEY) else None

    _run(time, main)


@pytest.mark.parametrize("seed", range(10))
def test_fault_13_through_random_cuts_there_is_never_more_than_one_leader_and_epochs_only_grow(
    time: VirtualTime, seed: int
) -> None:
    chance = random.Random(seed)

    async def main(server: FakeApiServer) -> None:
        numbers = iter(range(1000))
        candidates = [_start(time, server, f"candidate-{next(numbers)}") for _ in range(3)]
        epochs: list[int] = []
        async with _never_two(candidates, epochs):
            for _ in range(60):
                await asyncio.sleep(chance.uniform(0, 20))
                place = chance.randrange(3)
                match chance.choice(["cut", "mend", "mend", "restart", "release", "lose"]):
                    case "cut":
                        candidates[place].line.is_cut = True
                    case "mend":
                        candidates[place].line.is_cut = False
                    case "release":
                        await candidates[place].lease.release()
                    case "lose":
                        server.faults.lose_answer("write", times=2)
                    case "restart":
                        candidates[place].task.cancel()
                        candidates[place].lease.guard = _killed  # type: ignore[method-assign]
                for number, candidate in enumerate(candidates):
                    if candidate.task.done() or candidate.lost:
                        candidates[number] = _start(time, server, f"candidate-{next(numbers)}")
        assert len(epochs) >= 4
        assert epochs == sorted(set(epochs))

    _run(time, main)


def _killed() -> float:
    raise LeaseLost("a process that is gone")


@contextlib.asynccontextmanager
async def _never_two(candidates: list[Candidate], epochs: list[int]) -> AsyncIterator[None]:
    async def look() -> None:
        while True:
            found = []
            for candidate in candidates:
                with contextlib.suppress(LeaseLost):
                    found.append(candidate.lease.epoch)
            assert len(found) <= 1, "two leaders"
            if found and found[0] not in epochs:
                epochs.append(found[0])
            await asyncio.sleep(0.1)

    task = asyncio.create_task(look())
    try:
        yield
        if task.done():
            task.result()
    finally:
        task.cancel()


def test_times_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="retry < renew deadline < duration"):
        LeaseOptions("ns", "name", "me", duration_s=10, renew_deadline_s=10)
    with pytest.raises(ValueError, match="calls shorter than the deadline"):
        LeaseOptions("ns", "name", "me", call_timeout_s=10)
