"""The line to one host: what is seen of it, when it is lost, and what leaves for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence

import pytest

from tests.fakes.virtualtime import VirtualTime
from tests.unit.operator.nodes.scripted import ScriptedNode, options, play, settle
from xvirt.model.errors import NotFound, Unavailable
from xvirt.model.exchange import Event, ObjectRef, OperateCall, Token, Verb
from xvirt.operator.nodes.link import CALLS_MAX, LinkOptions, NodeLink
from xvirt.operator.nodes.state import Reach, Session
from xvirt.operator.nodes.views import NodeView
from xvirt.operator.runtime.errors import LeaseLost


class Ears:
    """Implements `Listener`."""

    def __init__(self) -> None:
        self.views: list[str] = []
        self.reaches = 0
        self.facts = 0
        self.events: list[str] = []

    def views_changed(self, host: str, views: Sequence[NodeView]) -> None:
        self.views += [view.uid for view in views]

    def reach_changed(self, host: str) -> None:
        self.reaches += 1

    def facts_changed(self, host: str) -> None:
        self.facts += 1

    def event_seen(self, host: str, event: Event) -> None:
        self.events.append(event.reason)


@contextlib.asynccontextmanager
async def linked(node: ScriptedNode, given: LinkOptions) -> AsyncIterator[tuple[NodeLink, Ears]]:
    ears = Ears()
    link = NodeLink("node-a", "192.0.2.1:9443", node, given, ears)
    task = asyncio.create_task(link.run())
    try:
        yield link, ears
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_a_snapshot_counts_only_once_it_is_whole() -> None:
    async def story(time: VirtualTime) -> None:
        node = ScriptedNode()
        async with linked(node, options(time)) as (link, ears):
            node.show()
            await settle()
            assert (len(link.views), link.reach, ears.views) == (0, Reach.CONNECTING, [])
            node.sync()
            await settle()
            assert (len(link.views), link.reach, ears.views) == (1, Reach.SYNCED, ["u-1"])
            assert link.session == Session("boot-1", 1)

    play(story)


def test_deltas_are_told_as_they_come() -> None:
    async def story(time: VirtualTime) -> None:
        node = ScriptedNode()
        async with linked(node, options(time)) as (link, ears):
            node.sync()
            node.show(generation=1)
            node.show(generation=1)
            node.show(generation=2)
            node.farewell()
            node.farewell("other", "u-9")
            node.tell("WatchdogExpired")
            await settle()
            assert ears.views == ["u-1", "u-1", "u-1"]
            assert len(link.views) == 0
            assert ears.events == ["WatchdogExpired"]

    play(story)


def test_what_is_not_in_the_next_snapshot_is_gone_and_until_then_it_is_not() -> None:
    async def story(time: VirtualTime) -> None:
        node = ScriptedNode()
        async with linked(node, options(time)) as (link, ears):
            node.show()
            node.sync()
            await settle()
            node.hang_up()
            await settle()
            assert (link.reach, len(link.views)) == (Reach.CONNECTING, 1)
            await asyncio.sleep(1.0)
            node.boot_id = "boot-2"
            node.sync()
            await settle()
            assert (link.reach, len(link.views), ears.views) == (Reach.SYNCED, 0, ["u-1", "u-1"])
            assert link.session == Session("boot-2", 2)

    play(story)


def test_a_host_is_lost_once_it_has_not_been_heard_for_long_and_its_views_stay() -> None:
    async def story(time: VirtualTime) -> None:
        node = ScriptedNode()
        async with linked(node, options(time)) as (link, ears):
            node.show()
            node.sync()
            await settle()
            node.is_refusing = True
            node.hang_up()
            await asyncio.sleep(39.0)
            assert link.reach is Reach.CONNECTING
            await asyncio.sleep(2.0)
            assert (link.reach, len(link.views), ears.reaches) == (Reach.LOST, 1, 3)
            assert link.last_failure == "connection refused"

    play(story)


def test_a_plugin_that_is_restarted_is_never_lost() -> None:
    async def story(time: VirtualTime) -> None:
        node = ScriptedNode()
        async with linked(node, options(time)) as (link, ears):
            node.sync()
            await settle()
            node.is_refusing = True
            node.hang_up()
            await asyncio.sleep(25.0)
            node.is_refusing = False
            node.sync()
            await asyncio.sleep(11.0)
            assert (link.reach, ears.reaches) == (Reach.SYNCED, 3)

    play(story)


def test_a_host_that_was_never_heard_is_lost_sooner() -> None:
    async def story(time: VirtualTime) -> None:
        node = ScriptedNode()
        node.is_refusing = True
        async with linked(node, options(time)) as (link, _):
            await asyncio.sleep(11.0)
            found = [link.reach]
            await asyncio.sleep(2.0)
            found.append(link.reach)
            assert found == [Reach.CONNECTING, Reach.LOST]

    play(story)


def test_a_heartbeat_is_enough_to_be_heard() -> None:
    async def story(time: VirtualTime) -> None:
        node = ScriptedNode()
        async with linked(node, options(time)) as (link, _):
            node.sync()
            for _ in range(12):
                await asyncio.sleep(10.0)
                node.beat()
            await settle()
            assert link.silent_for_s < 1.0
            assert link.reach is Reach.SYNCED

    play(story)


def test_a_host_that_is_away_is_asked_less_and_less_often() -> None:
    async def story(time: VirtualTime) -> None:
        node = ScriptedNode()
        node.is_refusing = True
        async with linked(node, options(time)):
            await asyncio.sleep(3600.0)
            assert 270 < node.watches < 400

    play(story)


def test_whatever_a_host_says_the_link_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def story(time: VirtualTime) -> None:
        node = ScriptedNode()
        async with linked(node, options(time)) as (link, _):
            node.hang_up(KeyError("what"))
            await asyncio.sleep(1.0)
            assert "KeyError" in link.last_failure
            node.sync()
            await settle()
            assert link.reach is Reach.SYNCED

    with caplog.at_level(logging.CRITICAL):
        play(story)


def test_calls_carry_the_clusters_authority_the_leaders_epoch_and_the_objects_generation() -> None:
    async def story(time: VirtualTime) -> None:
        node = ScriptedNode()
        async with linked(node, options(time)) as (link, _):
            await link.apply({"kind": "X"}, generation=4, profile="baseline")
            await link.adopt({"kind": "X"}, generation=4, profile="privileged", domain_uuid="d")
            assert await link.delete("u-1", generation=5, is_forced=True)
            await link.operate(OperateCall(ref=ObjectRef(uid="u-1"), verb=Verb.STOP, operation_id="o"))
            apply, adopt, delete, operate = (call for _, call in node.calls)
            assert apply.token == adopt.token == Token(authority="cluster", epoch=7, generation=4)
            assert (apply.profile, adopt.domain_uuid) == ("baseline", "d")
            assert delete == (ObjectRef(uid="u-1"), Token(authority="cluster", epoch=7, generation=5), True)
            assert operate.token == Token(authority="cluster", epoch=7)

    play(story)


def test_what_a_host_does_not_have_is_deleted_already() -> None:
    async def story(time: VirtualTime) -> None:
        node = ScriptedNode()
        node.failure = NotFound("no such object")
        async with linked(node, options(time)) as (link, _):
            assert not await link.delete("u-1")

    play(story)


def test_nothing_leaves_once_the_lease_is_lost() -> None:
    async def story(time: VirtualTime) -> None:
        node = ScriptedNode()

        def lost() -> float:
            raise LeaseLost("not any more")

        async with linked(node, options(time, guard=lost)) as (link, _):
            with pytest.raises(LeaseLost):
                await link.apply({}, generation=1, profile="restricted")
            assert node.calls == []

    play(story)


def test_a_call_is_given_up_when_the_lease_ends() -> None:
    async def story(time: VirtualTime) -> None:
        node = ScriptedNode()
        node.call_s = 60.0
        async with linked(node, options(time, guard=lambda: 3.0)) as (link, _):
            began_s = time.clock.monotonic_s()
            with pytest.raises(Unavailable):
                await link.apply({}, generation=1, profile="restricted")
            assert time.clock.monotonic_s() - began_s < 4.0

    play(story)


def test_a_call_that_waited_for_its_turn_asks_for_the_lease_when_it_leaves() -> None:
    async def story(time: VirtualTime) -> None:
        node = ScriptedNode()
        node.call_s = 5.0
        is_lost = False

        def guard() -> float:
            if is_lost:
                raise LeaseLost("not any more")
            return 10.0

        async with linked(node, options(time, guard=guard)) as (link, _):
            calls = [
                asyncio.create_task(link.apply({}, generation=1, profile="restricted")) for _ in range(CALLS_MAX + 2)
            ]
            await settle()
            is_lost = True
            ended = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(each) for each in ended[CALLS_MAX:]] == [LeaseLost, LeaseLost]
            assert len(node.calls) == CALLS_MAX

    play(story)


def test_a_host_is_asked_a_few_things_at_once() -> None:
    async def story(time: VirtualTime) -> None:
        node = ScriptedNode()
        node.call_s = 1.0
        async with linked(node, options(time)) as (link, _):
            await asyncio.gather(*(link.apply({}, generation=1, profile="restricted") for _ in range(30)))
            assert node.running_max == CALLS_MAX

    play(story)


def test_a_host_tells_of_itself_when_it_is_found_and_now_and_then() -> None:
    async def story(time: VirtualTime) -> None:
        node = ScriptedNode()
        async with linked(node, options(time)) as (link, ears):
            await asyncio.sleep(60.0)
            assert ears.facts == 0
            node.sync()
            await settle()
            assert ears.facts == 1
            assert link.facts.description is not None
            node.info_failure = Unavailable("libvirt does not answer")
            await asyncio.sleep(45.0)
            assert link.facts.failed_since_s is not None
            assert link.facts.failure == "libvirt does not answer"
            assert link.facts.description is not None, "what it said before stays"
            node.info_failure = None
            await asyncio.sleep(21.0)
            assert link.facts.failed_since_s is None

    play(story)
