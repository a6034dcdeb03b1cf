"""What documents name, and the hosts that this binds a machine to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from xvirt.model.fields import attributes, element_type, is_spec_class
from xvirt.model.kinds import BY_NAME
from xvirt.operator.dependents.references import (
    DiskPlace,
    References,
    disk_references,
    find_place,
    image_references,
    machine_references,
    required_hosts,
)


def test_a_machine_names_networks_images_disks_and_pools() -> None:
    spec = {
        "nics": [{"name": "a", "network": "lan"}, {"name": "b", "network": "lan"}, {"name": "c", "bridge": "br0"}],
        "disks": [
            {"name": "root", "source": {"image": "debian"}, "pool": "fast"},
            {"name": "data", "source": {"disk": "data"}},
            {"name": "copy", "source": {"clone": "golden"}},
            {"name": "blank", "source": {"size": "1Gi"}},
            {"name": "cd", "device": "Cdrom", "source": {"image": "tools"}},
            {"name": "empty", "device": "Cdrom"},
            {"name": "raw", "source": {"path": "/dev/sdb"}},
        ],
    }
    assert machine_references(spec) == References(
        networks=("lan",),
        images=("debian", "tools"),
        disks=("data",),
        clones=("golden",),
        pools=("fast", "default"),
    )


def test_a_disk_names_what_it_is_made_from_and_its_pool() -> None:
    assert disk_references({"size": "1Gi"}) == References(pools=("default",))
    assert disk_references({"source": {"image": "debian"}, "pool": "fast"}) == References(
        images=("debian",), pools=("fast",)
    )
    assert disk_references({"source": {"clone": "golden"}}) == References(clones=("golden",), pools=("default",))
    assert image_references({"source": {"path": "/a"}, "pool": "slow"}) == References(pools=("slow",))


@pytest.mark.parametrize("spec", [{}, {"disks": None, "nics": "x"}, {"disks": ["x", {"source": 1}], "nics": [{}]}])
def test_a_spec_of_another_shape_names_nothing(spec: dict[str, Any]) -> None:
    assert machine_references(spec) == References()


def test_every_reference_of_the_model_is_found() -> None:
    """A new field that names one of these kinds must be found here, or its object would never reach a host."""
    finders: dict[str, Callable[[Any], References]] = {
        "VirtualMachine": machine_references,
        "VirtualDisk": disk_references,
        "VirtualImage": image_references,
        "VirtualNetwork": lambda spec: References(),
        "StoragePool": lambda spec: References(),
    }
    for kind, find in finders.items():
        for path, referred in _references_of(BY_NAME[kind].spec):
            found = find(_nest(path, "name-of-it"))
            assert any("name-of-it" in names for names in found), f"{kind} {path} names a {referred}"


def _references_of(cls: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    for item in attributes(cls):
        inner = element_type(item.annotation)
        if item.spec.references not in (None, "Secret"):
            yield (item.json_name,), str(item.spec.references)
        elif is_spec_class(item.annotation):
            yield from (((item.json_name, *path), kind) for path, kind in _references_of(item.annotation))
        elif inner is not None and is_spec_class(inner):
            yield from (((f"{item.json_name}[]", *path), kind) for path, kind in _references_of(inner))


def _nest(path: tuple[str, ...], value: str) -> dict[str, Any]:
    head, rest = path[0], path[1:]
    inner: Any = _nest(rest, value) if rest else value
    if head == "pool" and not rest:
        return {head: inner, "source": {}}
    return {head.removesuffix("[]"): [inner] if head.endswith("[]") else inner}


# where a machine must be


def test_a_machine_without_disks_may_be_anywhere() -> None:
    found = required_hosts(References(images=("debian",)), {})
    assert (found.host, found.is_torn, found.missing, found.allowed) == ("", False, (), None)


def test_a_disk_that_lies_somewhere_binds_its_machine() -> None:
    found = required_hosts(References(disks=("data",)), {"data": DiskPlace(host="node-b")})
    assert found.host == "node-b"
    assert found.find_misplaced("node-b") == ""
    assert found.find_misplaced("node-a") == (
        "it is on host node-a, but VirtualDisk data on host node-b; a disk never moves: declare the machine anew, or use another disk"
    )


def test_disks_on_two_hosts_tear_a_machine_and_both_are_named() -> None:
    disks = {"one": DiskPlace(host="node-b"), "two": DiskPlace(host="node-a")}
    found = required_hosts(References(disks=("one", "two")), disks)
    assert found.is_torn
    assert found.host == ""
    assert "VirtualDisk two is on host node-a and VirtualDisk one is on host node-b" in found.torn_message


def test_what_a_machine_is_copied_from_binds_it_too() -> None:
    found = required_hosts(References(clones=("golden",)), {"golden": DiskPlace(host="node-b")})
    assert found.host == "node-b"


def test_a_disk_that_is_nowhere_yet_is_where_its_source_is() -> None:
    disks = {"copy": DiskPlace(clone="golden", user_host="node-c"), "golden": DiskPlace(host="node-b")}
    assert required_hosts(References(disks=("copy",)), disks).host == "node-b"


def test_a_disk_that_is_nowhere_yet_is_where_its_first_user_is() -> None:
    disks = {"copy": DiskPlace(clone="golden", user_host="node-c"), "golden": DiskPlace()}
    assert required_hosts(References(disks=("copy",)), disks).host == "node-c"


def test_a_disk_that_is_not_there_yet_is_waited_for() -> None:
    assert required_hosts(References(disks=("data",)), {}).missing == ("data",)
    assert required_hosts(References(disks=("copy",)), {"copy": DiskPlace(clone="golden")}).missing == ("copy",)


def test_the_source_of_a_disk_that_has_its_place_does_not_matter() -> None:
    found = required_hosts(References(disks=("copy",)), {"copy": DiskPlace(host="node-a", clone="golden")})
    assert (found.host, found.missing) == ("node-a", ())


def test_disks_that_copy_each_other_bind_nobody() -> None:
    disks = {"a": DiskPlace(clone="b"), "b": DiskPlace(clone="a")}
    assert find_place("a", disks) == ""


def test_pools_of_some_hosts_leave_only_those() -> None:
    pools = {"fast": ["node-a", "node-b"], "slow": ["node-b", "node-c"], "default": []}
    assert required_hosts(References(), {}, pools).allowed == frozenset({"node-b"})
    assert required_hosts(References(), {}, {"fast": ["node-a"], "slow": ["node-b"]}).allowed == frozenset()
    assert required_hosts(References(), {}, {"default": [], "unknown": []}).allowed is None
