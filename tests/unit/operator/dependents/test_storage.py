"""Where disks and pools bind machines to, and whose claim on a new disk counts."""

from __future__ import annotations

from typing import Any

import pytest

from xvirt.operator.conditions import Verdict
from xvirt.operator.dependents.needs import Needs
from xvirt.operator.dependents.references import RequiredHosts
from xvirt.operator.dependents.storage import CLAIM_S, Storage
from xvirt.operator.kinds import RESOURCES
from xvirt.operator.machines.placing import find_hosts, find_obstacle
from xvirt.operator.runtime.cache import Cache
from xvirt.operator.runtime.resources import Key, Object


class Shelf:
    """Caches of disks, images and pools, and time."""

    def __init__(self) -> None:
        kinds = ("VirtualDisk", "VirtualImage", "StoragePool")
        self.disks, self.images, self.pools = (Cache(RESOURCES[kind]) for kind in kinds)
        self.needs = Needs()
        self.disks.subscribe(self.needs.disk_changed)
        self.now_s = 0.0
        self.storage = Storage(self.disks, self.images, self.pools, self.needs, lambda: self.now_s)

    def put_disk(self, name: str, host: str = "", **spec: Any) -> None:
        made: Object = {"metadata": {"name": name, "namespace": "default", "uid": name}, "spec": spec}
        made["status"] = {"nodeName": host} if host else {}
        self.disks.put({**made, "metadata": {**made["metadata"], "resourceVersion": "1"}})

    def put_image(self, name: str, pool: str) -> None:
        metadata = {"name": name, "namespace": "default", "uid": name, "resourceVersion": "1"}
        self.images.put({"metadata": metadata, "spec": {"source": {"url": "https://x/y"}, "pool": pool}})

    def put_pool(self, name: str, *hosts: str) -> None:
        self.pools.put(
            {"metadata": {"name": name, "uid": name, "resourceVersion": "1"}, "spec": {"hosts": list(hosts)}}
        )


def machine(name: str = "web", *disks: str, host: str = "", **source: str) -> Object:
    entries = [{"name": disk, "source": {"disk": disk}} for disk in disks]
    entries += [{"name": "inline", "source": source}] if source else []
    made: Object = {
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}"},
        "spec": {"disks": entries},
    }
    return {**made, "status": {"nodeName": host} if host else {}}


def test_disks_of_the_cache_bind_a_machine_of_their_namespace() -> None:
    shelf = Shelf()
    shelf.put_disk("data", "node-b")
    assert shelf.storage.required(machine("web", "data")).host == "node-b"
    assert shelf.storage.required(
        {**machine("web", "data"), "metadata": {"name": "web", "namespace": "x"}}
    ).missing == ("data",)


def test_pools_of_some_hosts_bind_a_machine_with_disks_in_them() -> None:
    shelf = Shelf()
    shelf.put_pool("default", "node-a", "node-c")
    assert shelf.storage.required(machine("web", size="1Gi")).allowed == frozenset(("node-a", "node-c"))
    assert shelf.storage.required(machine()) == RequiredHosts()


def test_pools_of_disks_and_images_that_are_nowhere_yet_bind_their_machine() -> None:
    shelf = Shelf()
    shelf.put_pool("fast", "node-b", "node-c")
    shelf.put_pool("near", "node-c")
    shelf.put_disk("data", pool="fast")
    shelf.put_image("debian", "near")
    shelf.put_disk("root", source={"image": "debian"}, pool="default")
    assert shelf.storage.required(machine("web", "data")).allowed == frozenset(("node-b", "node-c"))
    assert shelf.storage.required(machine("web", image="debian")).allowed == frozenset(("node-c",))
    assert shelf.storage.required(machine("web", "data", "root")).allowed == frozenset(("node-c",))
    shelf.put_disk("made", "node-a", pool="fast")
    found = shelf.storage.required(machine("web", "made"))
    assert (found.host, found.allowed) == ("node-a", None), "it is there: what its pool says now is no matter"


def test_an_image_that_is_not_there_is_waited_for_only_where_its_pool_could_bind_the_machine() -> None:
    shelf = Shelf()
    shelf.put_pool("everywhere")
    web = machine("web", image="debian")
    assert find_obstacle(shelf.storage.required(web), "") is None
    shelf.put_pool("fast", "node-b")
    obstacle = find_obstacle(shelf.storage.required(web), "")
    assert obstacle is not None
    assert obstacle.reason == "ImageNotFound"
    assert obstacle.message.startswith("VirtualImage debian is not there")
    shelf.put_image("debian", "fast")
    required = shelf.storage.required(web)
    assert find_obstacle(required, "") is None
    assert find_hosts(required) == ("node-b",)


def test_a_claim_on_a_new_disk_keeps_others_from_another_host_until_it_is_old() -> None:
    shelf = Shelf()
    shelf.put_disk("data")
    one, two = machine("one", "data"), machine("two", "data")
    assert shelf.storage.claim(one, "node-a")
    assert shelf.storage.claim(one, "node-a"), "its own claim is no obstacle"
    assert not shelf.storage.claim(two, "node-b")
    assert shelf.storage.claim(two, "node-a"), "the same host suits both"
    shelf.now_s = CLAIM_S
    assert shelf.storage.claim(two, "node-b")


def test_a_machine_that_has_its_host_or_no_disk_claims_nothing() -> None:
    shelf = Shelf()
    assert shelf.storage.claim(machine("one", "data", host="node-a"), "node-a")
    assert shelf.storage.claim(machine("three"), "node-c")
    assert shelf.storage.claim(machine("two", "data"), "node-b")


def test_a_disk_affects_the_machines_of_its_copies_too() -> None:
    shelf = Shelf()
    shelf.put_disk("golden")
    shelf.put_disk("copy", source={"clone": "golden"})
    shelf.put_disk("again", source={"clone": "copy"})
    shelf.needs.machine_changed(None, machine("web", "again"))
    shelf.needs.machine_changed(None, machine("other", "copy"))
    assert shelf.storage.affected(Key("default", "golden")) == {Key("default", "web"), Key("default", "other")}


# what that means for a machine without a host


def reason(found: Verdict | None) -> str:
    return found.reason if found is not None else ""


@pytest.mark.parametrize(
    ("required", "wished", "expected", "hosts"),
    [
        (RequiredHosts(), "", "", ()),
        (RequiredHosts(by_host={"node-a": ("data",)}), "", "", ("node-a",)),
        (RequiredHosts(by_host={"node-a": ("data",)}), "node-a", "", ("node-a",)),
        (RequiredHosts(by_host={"node-a": ("data",)}), "node-b", "DiskElsewhere", ("node-a",)),
        (RequiredHosts(by_host={"node-a": ("one",), "node-b": ("two",)}), "", "DisksApart", ()),
        (RequiredHosts(missing=("data",)), "", "DiskNotFound", ()),
        (RequiredHosts(allowed=frozenset(("node-b", "node-a"))), "", "", ("node-a", "node-b")),
        (RequiredHosts(allowed=frozenset(("node-a",))), "node-b", "PoolElsewhere", ("node-a",)),
        (RequiredHosts(allowed=frozenset()), "", "PoolElsewhere", ()),
        (
            RequiredHosts(by_host={"node-a": ("data",)}, allowed=frozenset(("node-b",))),
            "",
            "PoolElsewhere",
            ("node-a",),
        ),
    ],
)
def test_a_machine_waits_is_stalled_or_asks_for_the_hosts_that_are_left(
    required: RequiredHosts, wished: str, expected: str, hosts: tuple[str, ...]
) -> None:
    assert reason(find_obstacle(required, wished)) == expected
    assert find_hosts(required) == hosts


def test_a_missing_disk_is_waited_for_and_disks_apart_are_not() -> None:
    missing, apart = (
        find_obstacle(required, "")
        for required in (RequiredHosts(missing=("data",)), RequiredHosts(by_host={"a": ("x",), "b": ("y",)}))
    )
    assert missing is not None
    assert apart is not None
    assert (missing.is_reconciling, missing.is_stalled) == (True, False)
    assert (apart.is_reconciling, apart.is_stalled) == (False, True)
