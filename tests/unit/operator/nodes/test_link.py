"""The line to one host: what is seen of it, when it is lost, and what leaves for it."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from tests.fakes.virtualtime import VirtualTime
from tests.unit.operator.nodes.scripted import ScriptedNode, options, play, settle
from xvirt.model.errors import NotFound, Unavailable
from xvirt.model.exchange import Event, ObjectRef, OperateCall, SecretContent, Token, Verb
from xvirt.operator.nodes.link import CALLS_MAX, PAUSE_MAX_S, NodeLink
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


@dataclasses.dataclass
class Line:
    """A link at work, its node, and who listens."""

    node: ScriptedNode
    link: NodeLink
    ears: Ears
    time: VirtualTime


def follow(story: Callable[[Line], Awaitable[None]], **given: Any) -> None:
    """Tell a story of one link, in virtual time; `given`: options of the link. It says and hears nothing before the story's first wait."""

    async def main(time: VirtualTime) -> None:
        node, ears = ScriptedNode(), Ears()
        link = NodeLink("node-a", "192.0.2.1:9443", node, options(time, **given), ears)
        task = asyncio.create_task(link.run())
        try:
            await story(Line(node, link, ears, time))
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    play(main)


def test_a_snapshot_counts_only_once_it_is_whole() -> None:
    async def story(line: Line) -> None:
        line.node.show()
        await settle()
        assert (len(line.link.views), line.link.reach, line.ears.views) == (0, Reach.CONNECTING, [])
        line.node.sync()
        await settle()
        assert (len(line.link.views), line.link.reach, line.ears.views) == (1, Reach.SYNCED, ["u-1"])
        assert line.link.session == Session("boot-1", 1)

    follow(story)


def test_deltas_are_told_as_they_come() -> None:
    async def story(line: Line) -> None:
        line.node.sync()
        line.node.show(generation=1)
        line.node.show(generation=1)
        line.node.show(generation=2)
        line.node.farewell()
        line.node.farewell("other", "u-9")
        line.node.tell("WatchdogExpired")
        await settle()
        assert line.ears.views == ["u-1", "u-1", "u-1"]
        assert len(line.link.views) == 0
        assert line.ears.events == ["WatchdogExpired"]

    follow(story)


def test_what_is_not_in_the_next_snapshot_is_gone_and_until_then_it_is_not() -> None:
    async def story(line: Line) -> None:
        line.node.show()
        line.node.sync()
        await settle()
        line.node.hang_up()
        await settle()
        assert (line.link.reach, len(line.link.views)) == (Reach.CONNECTING, 1)
        await asyncio.sleep(1.0)
        line.node.boot_id = "boot-2"
        line.node.sync()
        await settle()
        assert (line.link.reach, len(line.link.views), line.ears.views) == (Reach.SYNCED, 0, ["u-1", "u-1"])
        assert line.link.session == Session("boot-2", 2)

    follow(story)


def test_a_host_is_lost_once_it_has_not_been_heard_for_long_and_its_views_stay() -> None:
    async def story(line: Line) -> None:
        line.node.show()
        line.node.sync()
        await settle()
        line.node.is_refusing = True
        line.node.hang_up()
        await asyncio.sleep(39.0)
        assert line.link.reach is Reach.CONNECTING
        await asyncio.sleep(2.0)
        assert (line.link.reach, len(line.link.views), line.ears.reaches) == (Reach.LOST, 1, 3)
        assert line.link.last_failure == "connection refused"

    follow(story)


def test_a_plugin_that_is_restarted_is_never_lost() -> None:
    async def story(line: Line) -> None:
        line.node.sync()
        await settle()
        line.node.is_refusing = True
        line.node.hang_up()
        await asyncio.sleep(25.0)
        line.node.is_refusing = False
        line.node.sync()
        await asyncio.sleep(PAUSE_MAX_S * 1.3 + 0.5)
        assert (line.link.reach, line.ears.reaches) == (Reach.SYNCED, 3)

    follow(story)


def test_a_host_that_was_never_heard_is_lost_sooner() -> None:
    async def story(line: Line) -> None:
        line.node.is_refusing = True
        await asyncio.sleep(11.0)
        found = [line.link.reach]
        await asyncio.sleep(2.0)
        found.append(line.link.reach)
        assert found == [Reach.CONNECTING, Reach.LOST]

    follow(story)


def test_a_heartbeat_is_enough_to_be_heard() -> None:
    async def story(line: Line) -> None:
        line.node.sync()
        for _ in range(12):
            await asyncio.sleep(10.0)
            line.node.beat()
        await settle()
        assert line.link.silent_for_s < 1.0
        assert line.link.reach is Reach.SYNCED

    follow(story)


def test_a_host_that_is_away_is_asked_less_and_less_often() -> None:
    async def story(line: Line) -> None:
        line.node.is_refusing = True
        await asyncio.sleep(3600.0)
        assert 270 < line.node.watches < 400

    follow(story)


def test_whatever_a_host_says_the_link_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def story(line: Line) -> None:
        line.node.hang_up(KeyError("what"))
        await asyncio.sleep(1.0)
        assert "KeyError" in line.link.last_failure
        line.node.sync()
        await settle()
        assert line.link.reach is Reach.SYNCED

    with caplog.at_level(logging.CRITICAL):
        follow(story)


def test_calls_carry_the_clusters_authority_the_leaders_epoch_and_the_objects_generation() -> None:
    async def story(line: Line) -> None:
        await line.link.apply({"kind": "X"}, generation=4, profile="baseline")
        secrets = (SecretContent(name="s", data={"userData": b"#cloud-config"}),)
        await line.link.adopt({"kind": "X"}, generation=4, profile="privileged", domain_uuid="d", secrets=secrets)
        assert await line.link.delete("u-1", generation=5, is_forced=True)
        await line.link.operate(OperateCall(ref=ObjectRef(uid="u-1"), verb=Verb.STOP, operation_id="o"))
        apply, adopt, delete, operate = (call for _, call in line.node.calls)
        assert apply.token == adopt.token == Token(authority="cluster", epoch=7, generation=4)
        assert (apply.profile, adopt.domain_uuid, adopt.secrets) == ("baseline", "d", secrets)
        assert delete == (ObjectRef(uid="u-1"), Token(authority="cluster", epoch=7, generation=5), True)
        assert operate.token == Token(authority="cluster", epoch=7)

    follow(story)


def test_what_a_host_does_not_have_is_deleted_already() -> None:
    async def story(line: Line) -> None:
        line.node.failure = NotFound("no such object")
        assert not await line.link.delete("u-1")

    follow(story)


def test_nothing_leaves_once_the_lease_is_lost() -> None:
    def lost() -> float:
        raise LeaseLost("not any more")

    async def story(line: Line) -> None:
        with pytest.raises(LeaseLost):
            await line.link.apply({}, generation=1, profile="restricted")
        assert line.node.calls == []

    follow(story, guard=lost)


def test_a_call_is_given_up_when_the_lease_ends() -> None:
    async def story(line: Line) -> None:
        line.node.call_s = 60.0
        began_s = line.time.clock.monotonic_s()
        with pytest.raises(Unavailable):
            await line.link.apply({}, generation=1, profile="restricted")
        assert line.time.clock.monotonic_s() - began_s < 4.0

    follow(story, guard=lambda: 3.0)


def test_a_call_that_waited_for_its_turn_asks_for_the_lease_when_it_leaves() -> None:
    is_lost = False

    def guard() -> float:
        if is_lost:
            raise LeaseLost("not any more")
        return 10.0

    async def story(line: Line) -> None:
        line.node.call_s = 5.0
        nonlocal is_lost
        calls = [
            asyncio.create_task(line.link.apply({}, generation=1, profile="restricted")) for _ in range(CALLS_MAX + 2)
        ]
        await settle()
        is_lost = True
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(each) for each in ended[CALLS_MAX:]] == [LeaseLost, LeaseLost]
        assert len(line.node.calls) == CALLS_MAX

    follow(story, guard=guard)


def test_a_host_is_asked_a_few_things_at_once() -> None:
    async def story(line: Line) -> None:
        line.node.call_s = 1.0
        await asyncio.gather(*(line.link.apply({}, generation=1, profile="restricted") for _ in range(30)))
        assert line.node.running_max == CALLS_MAX

    follow(story)


def test_a_host_tells_of_itself_when_it_is_found_and_now_and_then() -> None:
    async def story(line: Line) -> None:
        await asyncio.sleep(60.0)
        assert line.ears.facts == 0
        line.node.sync()
        await settle()
        assert line.ears.facts == 1
        assert line.link.facts.description is not None
        line.node.info_failure = Unavailable("libvirt does not answer")
        await asyncio.sleep(45.0)
        assert line.link.facts.failed_since_s is not None
        assert line.link.facts.failure == "libvirt does not answer"
        assert line.link.facts.description is not None, "what it said before stays"
        line.node.info_failure = None
        await asyncio.sleep(21.0)
        assert line.link.facts.failed_since_s is None

    follow(story)
