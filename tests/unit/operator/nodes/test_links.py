"""All hosts' links together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.fakes.virtualtime import VirtualTime
from tests.unit.operator.nodes.scripted import ScriptedNode, options, play, settle
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.operator.nodes.link import NodeClient
from xvirt.operator.nodes.links import NodeLinks
from xvirt.operator.nodes.state import Reach
from xvirt.operator.nodes.views import ViewKey

WEB = ViewKey("VirtualMachine", "default", "web")


class Fleet:
    """Nodes by host, made as they are dialled."""

    def __init__(self, time: VirtualTime) -> None:
        self.nodes: dict[str, ScriptedNode] = {}
        self.dialled: list[tuple[str, str]] = []
        self.links = NodeLinks(self.open, options(time))

    def open(self, host: str, address: str) -> NodeClient:
        self.dialled.append((host, address))
        self.nodes[host] = ScriptedNode()
        return self.nodes[host]


@contextlib.asynccontextmanager
async def fleet(time: VirtualTime) -> AsyncIterator[Fleet]:
    made = Fleet(time)
    task = asyncio.create_task(made.links.run())
    await settle()
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_an_object_is_found_wherever_it_is() -> None:
    async def story(time: VirtualTime) -> None:
        async with fleet(time) as made:
            for host in ("node-b", "node-a", "node-c"):
                made.links.want(host, f"{host}:9443")
            await settle()
            made.nodes["node-a"].show()
            made.nodes["node-b"].show()
            made.nodes["node-c"].show(uid="u-2")
            for node in made.nodes.values():
                node.sync()
            await settle()
            assert [seen.host for seen in made.links.sightings("u-1")] == ["node-a", "node-b"]
            assert [seen.view.uid for seen in made.links.sightings_named(WEB)] == ["u-1", "u-1", "u-2"]
            made.nodes["node-a"].farewell()
            await settle()
            assert [seen.host for seen in made.links.sightings("u-1")] == ["node-b"]
            assert [seen.host for seen in made.links.sightings_named(WEB)] == ["node-b", "node-c"]

    play(story)


def test_a_name_that_goes_to_another_uid_is_found_by_that() -> None:
    async def story(time: VirtualTime) -> None:
        async with fleet(time) as made:
            made.links.want("node-a", "a:1")
            await settle()
            node = made.nodes["node-a"]
            node.show()
            node.sync()
            node.show(uid="u-2")
            await settle()
            assert made.links.sightings("u-1") == ()
            assert [seen.view.uid for seen in made.links.sightings_named(WEB)] == ["u-2"]

    play(story)


def test_subscribers_hear_of_their_kind_alone() -> None:
    async def story(time: VirtualTime) -> None:
        async with fleet(time) as made:
            machines: list[str] = []
            disks: list[str] = []
            made.links.subscribe("VirtualMachine", lambda view: machines.append(view.uid))
            made.links.subscribe("VirtualDisk", lambda view: disks.append(view.uid))
            made.links.want("node-a", "a:1")
            await settle()
            made.nodes["node-a"].show()
            made.nodes["node-a"].show("data", "d-1", kind="VirtualDisk")
            made.nodes["node-a"].sync()
            await settle()
            assert (machines, disks) == (["u-1"], ["d-1"])

    play(story)


def test_a_host_that_moves_is_followed_at_its_new_address() -> None:
    async def story(time: VirtualTime) -> None:
        async with fleet(time) as made:
            made.links.want("node-a", "a:1")
            made.links.want("node-a", "a:1")
            first = made.nodes["node-a"]
            await settle()
            first.sync()
            await settle()
            made.links.want("node-a", "a:2")
            await settle()
            assert made.dialled == [("node-a", "a:1"), ("node-a", "a:2")]
            assert first.is_closed
            assert made.links.reach("node-a") is Reach.CONNECTING

    play(story)


def test_a_host_that_is_dropped_shows_nothing_any_more_and_says_so() -> None:
    async def story(time: VirtualTime) -> None:
        async with fleet(time) as made:
            views: list[str] = []
            reaches: list[str] = []
            made.links.subscribe("VirtualMachine", lambda view: views.append(view.uid))
            made.links.subscribe_reach(reaches.append)
            made.links.want("node-a", "a:1")
            await settle()
            made.nodes["node-a"].show()
            made.nodes["node-a"].sync()
            await settle()
            made.links.drop("node-a")
            made.links.drop("node-a")
            await settle()
            assert views == ["u-1", "u-1"]
            assert reaches == ["node-a", "node-a", "node-a"]
            assert made.links.sightings("u-1") == made.links.sightings_named(WEB) == ()
            assert made.links.reach("node-a") is Reach.UNKNOWN
            assert made.nodes["node-a"].is_closed

    play(story)


def test_hosts_are_settled_once_each_has_answered_or_is_lost() -> None:
    async def story(time: VirtualTime) -> None:
        async with fleet(time) as made:
            for host in ("node-a", "node-b"):
                made.links.want(host, host)
            await settle()
            made.nodes["node-a"].sync()
            made.nodes["node-b"].is_refusing = True
            made.nodes["node-b"].hang_up()
            await settle()
            assert not made.links.is_settled
            made.links.has_all_hosts = True
            assert not made.links.is_settled
            await asyncio.sleep(13.0)
            assert made.links.is_settled
            # A host that breaks off later has been asked once.
            made.nodes["node-a"].hang_up()
            await settle()
            assert made.links.is_settled

    play(story)


def test_files_that_are_of_no_use_are_the_callers_to_tell() -> None:
    async def story(time: VirtualTime) -> None:
        def refuse(host: str, address: str) -> NodeClient:
            raise InvalidSpec([Problem("tls", "is no certificate")])

        links = NodeLinks(refuse, options(time))
        with pytest.raises(InvalidSpec):
            links.want("node-a", "a:1")
        assert links.find("node-a") is None

    play(story)
