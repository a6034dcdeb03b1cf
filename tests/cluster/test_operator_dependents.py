"""Disks, images, networks and pools: the operator as a process, with its own rights, over a real API server and scheduler, and hosts in
memory."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.dependents import DISK, IMAGE, NETWORK, POOL, Dependents
from tests.cluster.operators import (
    Machines,
    OperatorProcess,
    forget_lease,
    where,
)
from tools.cluster.api import Json
from tools.cluster.controlplane import ControlPlane
from tools.cluster.fakehosts import FakeHosts

pytestmark = pytest.mark.usefixtures("operator")

DEATHS = 6


@pytest.fixture
def things(machines: Machines) -> Dependents:
    return Dependents(machines)


@pytest.fixture
def pool(things: Dependents) -> Iterator[str]:
    """Name of a pool of the test's own: pools belong to the whole cluster. It goes once nothing lies in it."""
    name = f"pool-{things.machines.namespace}"
    yield name
    if not things.is_gone(POOL, name):
        things.delete(POOL, name)


def own(name: str, **more: Any) -> Json:
    """A machine's disk whose volume is the machine's own."""
    return {"name": name, "source": {"size": "1Gi"}, **more}


def attached(name: str) -> Json:
    return {"name": name, "source": {"disk": name}}


LAN = {"name": "lan", "network": "lan"}
ROOT = {"name": "root", "source": {"image": "debian", "size": "20Gi"}}


def everything(things: Dependents, pool: str) -> list[Json]:
    """A machine with all that it uses."""
    return [
        things.document(POOL, pool),
        things.document(NETWORK, "lan"),
        things.document(IMAGE, "debian"),
        things.document(DISK, "data", pool=pool),
        things.machines.document("web", disks=[{**ROOT, "pool": pool}, attached("data")], nics=[LAN]),
    ]


def held(hosts: FakeHosts, kind: str, uid: str) -> list[str]:
    """Hosts that have an object."""
    return [name for name in hosts if uid in hosts[name].holds(kind)]


def with_volume(hosts: FakeHosts, name: str) -> list[str]:
    """Hosts on which a file lies."""
    return [host for host in hosts if name in hosts[host].volumes]


# they come


def test_a_machine_and_all_that_it_uses_are_ready_on_the_host_that_the_scheduler_chose(
    things: Dependents, pool: str, hosts: FakeHosts
) -> None:
    machines = things.machines
    machines.kubectl("apply", "--server-side", "-f", "-", stdin=everything(things, pool))
    named = ("vm/web", "vdisk/data", "vimage/debian", "vnet/lan", f"vpool/{pool}")
    machines.kubectl("wait", "--for=condition=Ready", *named, "--timeout=60s")
    machines.wait_running("web")
    (holder,) = machines.holders("web")
    host = machines.host_of("web")
    assert host == holder["spec"]["nodeName"]
    assert things.status(DISK, "data")["nodeName"] == host
    assert things.hosts(IMAGE, "debian") == {host: "Ready"}
    assert things.hosts(NETWORK, "lan") == {host: "Active"}
    assert things.hosts(POOL, pool) == dict.fromkeys(hosts, "Active")
    for kind, name in ((DISK, "data"), (IMAGE, "debian"), (NETWORK, "lan")):
        item = things.read(kind, name)
        assert held(hosts, kind, item["metadata"]["uid"]) == [host]
        assert {one["type"]: one["status"] for one in item["status"]["conditions"]} == {
            "Ready": "True",
            "Reconciling": "False",
            "Stalled": "False",
        }
        owners = {entry["manager"]: entry["fieldsV1"] for entry in item["metadata"]["managedFields"]}
        assert "f:spec" not in owners["xvirt-operator"]
    assert machines.kubectl("get", "vdisk", "data", "-o", "wide").stdout.splitlines()[1].split()[:2] == [
        "data",
        "Ready",
    ]


def test_row_47_a_pools_capacity_is_its_hosts_together_and_each_is_told(things: Dependents, pool: str) -> None:
    things.create(POOL, pool, hosts=["host-a", "host-c"])
    things.wait_ready(POOL, pool)
    status = things.status(POOL, pool)
    assert {entry["name"]: entry["capacity"] for entry in status["hosts"]} == {"host-a": "1Ti", "host-c": "1Ti"}
    assert (status["capacity"], status["available"]) == ("2Ti", "2Ti")


def test_row_47_a_pool_on_a_named_host_takes_machines_there_and_follows_its_declaration(
    things: Dependents, pool: str, hosts: FakeHosts
) -> None:
    uid = things.create(POOL, pool, hosts=["host-b"])
    things.wait_hosts(POOL, pool, {"host-b": "Active"})
    things.machines.create("web", disks=[own("root", pool=pool)])
    things.machines.wait_running("web")
    assert things.machines.host_of("web") == "host-b"
    things.machines.delete("web")
    things.machines.wait_gone("web")
    things.change(POOL, pool, hosts=["host-c"])
    things.wait_hosts(POOL, pool, {"host-c": "Active"})
    assert held(hosts, POOL, uid) == ["host-c"]


def test_a_machine_goes_where_the_pool_of_its_new_disk_is(things: Dependents, pool: str, hosts: FakeHosts) -> None:
    things.create(POOL, pool, hosts=["host-c"])
    uids = [things.create(DISK, name, pool=pool) for name in ("one", "two")]
    for name in ("one", "two"):
        things.machines.create(name, disks=[attached(name)])
    things.machines.wait_running("one", "two")
    assert [held(hosts, DISK, uid) for uid in uids] == [["host-c"], ["host-c"]]


def test_a_disk_that_no_machine_uses_is_ready_and_nowhere_until_it_has_a_host(
    things: Dependents, hosts: FakeHosts
) -> None:
    uid = things.create(DISK, "data")
    things.wait_ready(DISK, "data", "NotNeeded")
    item = things.read(DISK, "data")
    assert "nodeName" not in item["status"]
    assert "finalizers" not in item["metadata"]
    assert held(hosts, DISK, uid) == []
    things.machines.create("web", disks=[attached("data")], placement={"host": "host-b"})
    things.machines.wait_running("web")
    things.wait_ready(DISK, "data", "Ready")
    assert held(hosts, DISK, uid) == ["host-b"]
    things.machines.delete("web")
    things.machines.wait_gone("web")
    assert things.hosts(DISK, "data") == {"host-b": "Ready"}


def test_a_disk_that_names_its_host_is_made_there_and_takes_its_machine_with_it(
    things: Dependents, hosts: FakeHosts
) -> None:
    uid = things.create(DISK, "data", host="host-c")
    things.wait_ready(DISK, "data", "Ready")
    assert held(hosts, DISK, uid) == ["host-c"]
    things.machines.create("web", disks=[attached("data")])
    things.machines.wait_running("web")
    assert things.machines.host_of("web") == "host-c"


def test_two_machines_on_two_hosts_that_use_one_image_and_one_network_bring_them_to_both(
    things: Dependents, hosts: FakeHosts
) -> None:
    uids = {kind: things.create(kind, name) for kind, name in ((IMAGE, "debian"), (NETWORK, "lan"))}
    both = ["host-a", "host-b"]
    for host in both:
        things.machines.create(f"on-{host}", disks=[ROOT], nics=[LAN], placement={"host": host})
    things.machines.wait_running(*(f"on-{host}" for host in both))
    things.wait_hosts(IMAGE, "debian", dict.fromkeys(both, "Ready"))
    things.wait_hosts(NETWORK, "lan", dict.fromkeys(both, "Active"))
    assert {kind: held(hosts, kind, uid) for kind, uid in uids.items()} == {IMAGE: both, NETWORK: both}
    for host in both:
        things.machines.delete(f"on-{host}")
        things.machines.wait_gone(f"on-{host}")
    things.wait_ready(NETWORK, "lan", "NotNeeded")
    things.wait_ready(IMAGE, "debian", "NotNeeded")
    assert {kind: held(hosts, kind, uid) for kind, uid in uids.items()} == {IMAGE: both, NETWORK: both}
    for kind, name in ((IMAGE, "debian"), (NETWORK, "lan")):
        things.delete(kind, name)
        things.wait_gone(kind, name)
    assert {kind: held(hosts, kind, uid) for kind, uid in uids.items()} == {IMAGE: [], NETWORK: []}


# they change


def test_row_42_48_a_disk_grows_and_never_shrinks(things: Dependents, hosts: FakeHosts) -> None:
    uid = things.create(DISK, "data")
    things.machines.create("web", disks=[attached("data")], placement={"host": "host-a"})
    things.machines.wait_running("web")
    things.change(DISK, "data", size="2Gi")
    things.wait_ready(DISK, "data")
    assert things.status(DISK, "data")["size"] == hosts["host-a"].holds(DISK)[uid]["size"] == "2Gi"
    things.change(DISK, "data", size="1Gi")
    assert "cannot shrink from 2Gi to 1Gi" in things.wait_says(DISK, "data", "FieldImmutable")
    assert things.condition(DISK, "data", "Stalled")["status"] == "True"
    assert hosts["host-a"].holds(DISK)[uid]["size"] == "2Gi"
    things.change(DISK, "data", size="2Gi")
    things.wait_ready(DISK, "data")
    assert things.machines.status("web")["restartCount"] == 0


# they go


def test_row_17_47_48_what_is_in_use_waits_with_its_users_named_and_goes_after_them(
    things: Dependents, pool: str, hosts: FakeHosts
) -> None:
    machines = things.machines
    machines.kubectl("apply", "--server-side", "-f", "-", stdin=everything(things, pool))
    machines.wait_running("web")
    things.wait_ready(DISK, "data", "Ready")
    host, place = machines.host_of("web"), machines.namespace
    uid = things.read(DISK, "data")["metadata"]["uid"]
    machines.kubectl("delete", "--wait=false", "vdisk/data", "vnet/lan", f"vpool/{pool}")
    assert things.wait_says(DISK, "data", "InUse").startswith(f"it is used by VirtualMachine {place}/web;")
    message = things.wait_says(POOL, pool, "InUse")
    assert f"VirtualDisk {place}/data" in message
    assert f"VirtualMachine {place}/web" in message
    assert f"used by {place}_web" in things.wait_says(NETWORK, "lan", "Terminating")
    assert "Delete" not in {call.method for call in hosts[host].faults.asked_of(uid)}
    assert machines.is_ready("web")
    machines.delete("web")
    machines.wait_gone("web")
    for kind, name in ((DISK, "data"), (NETWORK, "lan")):
        things.wait_gone(kind, name)
        assert held(hosts, kind, uid) == []
    things.wait_gone(POOL, pool)


Leave = Callable[[Dependents], None]


def by_object(things: Dependents) -> None:
    """Each object is deleted by its name."""
    machines = things.machines
    for name in machines.names():
        machines.delete(name)
        machines.wait_gone(name)
    for name in ("kept", "scratch"):
        if not things.is_gone(DISK, name):
            things.delete(DISK, name)
            things.wait_gone(DISK, name)


def by_namespace(things: Dependents) -> None:
    """The whole namespace is."""
    machines = things.machines
    document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": machines.namespace}}
    machines.api.delete(document)
    machines.until(lambda: machines.api.find(document) is None, "the namespace to be gone")


@pytest.fixture(params=[by_object, by_namespace])
def leave(request: pytest.FixtureRequest) -> Leave:
    made: Leave = request.param
    return made


@pytest.fixture
def passing(installed: ControlPlane, leave: Leave) -> Dependents:
    """In a namespace that a test may delete."""
    name = f"passing-{random.randrange(1 << 32):08x}"
    installed.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return Dependents(Machines(installed, name))


def told(things: Dependents, reason: str, leave: Leave) -> list[str]:
    """Notes of Events, which stand where they outlive their namespace."""
    machines = things.machines
    if leave is by_object:
        return [str(event["note"]) for event in machines.events(reason)]
    found = machines.api.list("events.k8s.io/v1", "Event", "default")
    place = machines.namespace
    mine = [event for event in found if event["regarding"]["name"] == place and event["reason"] == reason]
    assert all(event["regarding"]["kind"] == "Namespace" for event in mine)
    assert all(event["related"]["namespace"] == place for event in mine)
    return [str(event["note"]) for event in mine]


def test_row_17_disks_and_a_machines_own_volumes_stay_or_go_as_they_say_and_what_stays_is_told(
    passing: Dependents, leave: Leave, hosts: FakeHosts
) -> None:
    machines, place = passing.machines, passing.machines.namespace
    passing.create(DISK, "kept")
    passing.create(DISK, "scratch", deletionPolicy="Delete", format="raw")
    disks = [own("root"), own("swap", deletionPolicy="Delete"), attached("kept"), attached("scratch")]
    uid = machines.create("web", disks=disks, placement={"host": "host-b"})
    machines.wait_running("web")
    stays = [f"{place}_kept.qcow2", f"{place}_web_root.qcow2"]
    goes = [f"{place}_scratch.raw", f"{place}_web_swap.qcow2"]
    assert [with_volume(hosts, name) for name in stays + goes] == [["host-b"]] * 4
    leave(passing)
    assert where(hosts, uid) == []
    assert [with_volume(hosts, name) for name in stays] == [["host-b"]] * 2
    assert [with_volume(hosts, name) for name in goes] == [[]] * 2
    machines.until(lambda: len(told(passing, "VolumeRetained", leave)) == 2, "what stays to be told")
    notes = sorted(told(passing, "VolumeRetained", leave))
    for name, note in zip(stays, notes, strict=True):
        assert f"host-b: volume /var/lib/xvirt/pool/{name} stays" in note


def test_row_17_a_detached_machine_runs_on_with_its_volumes_and_an_event_has_its_uuid(
    passing: Dependents, leave: Leave, hosts: FakeHosts
) -> None:
    machines, place = passing.machines, passing.machines.namespace
    own_disk = own("root", deletionPolicy="Delete")
    uid = machines.create("web", deletionPolicy="Detach", disks=[own_disk], placement={"host": "host-a"})
    machines.wait_running("web")
    leave(passing)
    assert where(hosts, uid) == ["host-a"]
    assert held(hosts, "VirtualMachine", uid) == []
    assert with_volume(hosts, f"{place}_web_root.qcow2") == ["host-a"]
    machines.until(lambda: told(passing, "ReleaseDomain", leave), "what was released to be told")
    (note,) = told(passing, "ReleaseDomain", leave)
    assert f"host-a: leave domain {uid} as it is" in note


def test_row_48_a_disk_that_was_kept_is_taken_back_by_its_name_and_an_event_says_so(
    things: Dependents, hosts: FakeHosts
) -> None:
    for _ in range(2):
        things.create(DISK, "data", host="host-a")
        things.wait_ready(DISK, "data", "Ready")
        things.delete(DISK, "data")
        things.wait_gone(DISK, "data")
    things.machines.until(lambda: things.machines.events("VolumeTakenBack"), "the event")
    assert with_volume(hosts, f"{things.machines.namespace}_data.qcow2") == ["host-a"]


# the operator dies


def test_row_74_an_operator_that_is_killed_at_any_moment_leaves_no_disk_twice_and_nothing_behind(
    things: Dependents, pool: str, hosts: FakeHosts, operator: OperatorProcess
) -> None:
    machines, chance = things.machines, random.Random(48)
    documents = everything(things, pool)
    for kind in (DISK, IMAGE, NETWORK):
        documents.append(things.document(kind, "spare"))
    more = {
        "disks": [{"name": "root", "source": {"image": "spare"}}, attached("spare")],
        "nics": [{**LAN, "network": "spare"}],
    }
    documents.append(machines.document("other", placement={"host": "host-c"}, **more))

    def die_soon() -> None:
        time.sleep(chance.uniform(0.0, 0.6))
        operator.kill()
        seen = [uid for name in hosts for uid in hosts[name].holds(DISK)]
        assert len(seen) == len(set(seen)), "a disk is on one host"
        forget_lease(machines.api)
        operator.start()

    machines.kubectl("apply", "--server-side", "-f", "-", stdin=documents)
    for _ in range(DEATHS):
        die_soon()
    machines.wait_running("web", "other")
    uids = {}
    for kind, name, machine in [
        *((kind, name, "web") for kind, name in ((DISK, "data"), (IMAGE, "debian"), (NETWORK, "lan"))),
        *((kind, "spare", "other") for kind in (DISK, IMAGE, NETWORK)),
    ]:
        things.wait_ready(kind, name)
        uids[kind, name] = things.read(kind, name)["metadata"]["uid"]
        assert held(hosts, kind, uids[kind, name]) == [machines.host_of(machine)]
    machines.kubectl("delete", "--wait=false", "vm,vdisk,vimage,vnet", "--all")
    for _ in range(DEATHS):
        die_soon()
    machines.wait_gone("web", "other")
    for (kind, name), uid in uids.items():
        things.wait_gone(kind, name)
        assert held(hosts, kind, uid) == []
