"""`python -m tests.unit.operator.record RELEASE`: keep a cluster that this release's operator and node have made, for later ones to
take over: every object of the API server with its field owners, the node's store, and what the host has."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import Any

from lxml import etree

from nodeplugin.hypervisor.port import DomainState, VolumeFacts
from tests.fakes.apiserver import FakeApiServer, _Stored
from tests.fakes.base import FakeThing
from tests.fakes.domain import FakeDomain
from tests.unit.operator.cluster import Cluster, machine, play
from tests.unit.operator.dependents.stories import DISKS, IMAGES, NETWORKS, POOLS, Story, disk, image, network, pool
from tests.unit.operator.hosts_in_memory import MemoryHost
from xvirt.operator.names import HOST_LABEL
from xvirt.operator.runtime.resources import NODES, Key

STATES = Path(__file__).parent / "states"
HOST = "node-a"
HERE = Path()
"""Digests are of paths, too: the host's files are below the working directory, wherever that is."""
_STORES = ("leases", "events")
"""Of the API server, not kept: they are of the process that has ended."""
Json = dict[str, Any]


async def story(cluster: Cluster) -> None:
    """Objects of all kinds that work together; one machine waits for a host."""
    Story(cluster)
    cluster.server.write(POOLS, pool(Path("/pools/fast")))
    cluster.server.write(NETWORKS, network())
    cluster.server.write(IMAGES, image())
    cluster.server.write(DISKS, disk(source={"image": "debian"}, size="128Mi", pool="fast", deletionPolicy="Delete"))
    cluster.put_secret("init", userData="#cloud-config")
    disks = [{"name": "root", "source": {"disk": "data"}}, {"name": "scratch", "source": {"size": "8Mi"}}]
    cluster.create(
        machine(
            nics=[{"name": "lan", "network": "lan"}],
            disks=disks,
            labels={"app": "web"},
            domain={"title": "recorded"},
        )
    )
    cluster.create(machine("off", runStrategy="Halted"))
    cluster.create(machine("waiting", placement={"nodeSelector": {"gpu": "yes"}}))
    async with cluster.operator(is_released=False):
        for name in ("web", "off"):
            await cluster.running(Key("default", name))
        await cluster.until(
            lambda: cluster.condition("Ready", Key("default", "waiting")).get("reason") == "Unschedulable"
        )
        await cluster.calm(120.0)


# the API server


def dump_server(server: FakeApiServer) -> Json:
    """All objects, by the path of their collection."""
    return {
        collection: [
            {"object": stored.document, "owners": {name: sorted(paths) for name, paths in stored.owners.items()}}
            for _, stored in sorted(book.items())
        ]
        for collection, book in server._objects.items()
        if not collection.endswith(_STORES)
    }


def load_server(server: FakeApiServer, collections: Json) -> None:
    """In place of what it has."""
    server._objects = {}
    for collection, entries in collections.items():
        book = server._objects[collection] = {}
        for entry in entries:
            metadata = entry["object"]["metadata"]
            owners = {name: {tuple(path) for path in paths} for name, paths in entry["owners"].items()}
            book[Key(metadata.get("namespace") or "", metadata["name"])] = _Stored(entry["object"], owners)
            server._version = max(server._version, int(metadata["resourceVersion"]) + 1)
    server._compacted = server._version
    server._uids = itertools.count(100_000)


# the host


def dump_host(host: MemoryHost) -> Json:
    """The node's store, and what libvirt and the file system have."""
    world = host.world
    world.store.close()
    connection = sqlite3.connect(world.directory / "store.db")
    store = [*connection.iterdump(), *_pragmas(connection)]
    connection.close()
    hypervisor = world.hypervisor
    return {
        "store": store,
        "domains": [_dump_domain(domain) for domain in hypervisor._domains.values()],
        "networks": [_dump_thing(thing) for thing in hypervisor._networks.values()],
        "pools": [_dump_thing(thing) for thing in hypervisor._pools.values()],
        "ports": {name: sorted(ports) for name, ports in hypervisor._ports.items()},
        "filters": {name: _text(root) for name, root in hypervisor._filters.items()},
        "volumes": [dataclasses.asdict(facts) for facts in world.volumes.files.values()],
    }


def load_host(host: MemoryHost, made: Json) -> None:
    """In place of what it has; the node's process begins anew over it."""
    world = host.world
    world.store.close()
    for path in world.directory.glob("store.db*"):
        path.unlink()
    connection = sqlite3.connect(world.directory / "store.db")
    connection.executescript("\n".join(made["store"]))
    connection.close()
    hypervisor = world.hypervisor
    hypervisor._domains = {entry["uuid"]: _load_domain(entry) for entry in made["domains"]}
    hypervisor._networks = {entry["uuid"]: _load_thing(entry) for entry in made["networks"]}
    hypervisor._pools = {entry["uuid"]: _load_thing(entry) for entry in made["pools"]}
    hypervisor._ports = {name: set(ports) for name, ports in made["ports"].items()}
    hypervisor._filters = {name: etree.fromstring(text) for name, text in made["filters"].items()}
    hypervisor._ids = itertools.count(100)
    world.volumes.files = {entry["path"]: VolumeFacts(**entry) for entry in made["volumes"]}
    world.boot()
    world.faults.clear()


def _pragmas(connection: sqlite3.Connection) -> list[str]:
    """`iterdump` leaves them out."""
    names = ("user_version", "application_id")
    return [f"PRAGMA {name} = {connection.execute(f'PRAGMA {name}').fetchone()[0]};" for name in names]


def _text(root: etree._Element | None) -> str | None:
    return None if root is None else etree.tostring(root, encoding="unicode")


def _tree(text: str | None) -> Any:
    return None if text is None else etree.fromstring(text)


def _dump_domain(domain: FakeDomain) -> Json:
    return {
        "uuid": domain.uuid,
        "name": domain.name,
        "config": _text(domain.config),
        "live": _text(domain.live),
        "domain_id": domain.domain_id,
        "state": domain.state.value,
        "reason": domain.reason,
        "is_autostarted": domain.is_autostarted,
        "sizes": domain.sizes,
    }


def _load_domain(entry: Json) -> FakeDomain:
    trees = {name: _tree(entry[name]) for name in ("config", "live")}
    return FakeDomain(**{**entry, **trees, "state": DomainState(entry["state"])})


def _dump_thing(thing: FakeThing) -> Json:
    return {**dataclasses.asdict(thing), "config": _text(thing.config), "live": _text(thing.live)}


def _load_thing(entry: Json) -> FakeThing:
    return FakeThing(**{**entry, "config": _tree(entry["config"]), "live": _tree(entry["live"])})


def load(cluster: Cluster, release: str) -> None:
    """The recorded cluster in place of a new one."""
    recorded: Json = json.loads((STATES / release / "cluster.json").read_text())
    load_host(cluster.hosts[HOST], recorded["host"])
    load_server(cluster.server, recorded["objects"])
    assert cluster.need(NODES, Key("", HOST))["metadata"]["labels"][HOST_LABEL] == "true"


def main() -> int:
    """Writes `cluster.json` of the release's directory."""
    made: Json = {}

    async def record(cluster: Cluster) -> None:
        await story(cluster)
        made["objects"] = dump_server(cluster.server)
        made["host"] = dump_host(cluster.hosts[HOST])

    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        play(HERE, record, (HOST,))
    directory = STATES / sys.argv[1]
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "cluster.json").write_text(json.dumps(made, indent=1, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
