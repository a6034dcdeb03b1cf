"""What rendering decides, beside the goldens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.domainxml.conftest import make_machine
from xvirt.domainxml.domain import DiskBacking, DomainContext, render_disk, render_domain, render_memory_device
from xvirt.domainxml.memory import layout_memory
from xvirt.domainxml.ports import count_endpoints, count_ports
from xvirt.domainxml.targets import assign_targets, target_index, target_names
from xvirt.domainxml.tree import parse_xml, to_text
from xvirt.model.errors import InvalidSpec
from xvirt.model.machine.hardware import Memory, MemoryHotplug
from xvirt.model.quantity import ByteSize

MIB = 1 << 20


def memory(size: int, maximum: int | None, hotplug: MemoryHotplug = MemoryHotplug.VIRTIO_MEM) -> Memory:
    return Memory(size=ByteSize(size), max=None if maximum is None else ByteSize(maximum), hotplug=hotplug)


@given(st.integers(16 * MIB, 1 << 40), st.none() | st.integers(16 * MIB, 1 << 41), st.sampled_from(MemoryHotplug))
def test_a_layout_holds_what_was_declared_in_whole_blocks(size: int, more: int | None, how: MemoryHotplug) -> None:
    maximum = None if more is None else max(size, more)
    layout = layout_memory(memory(size, maximum, how))
    assert layout.total_bytes == layout.boot_bytes + layout.device_bytes
    assert layout.boot_bytes % MIB == 0
    assert layout.device_bytes % (2 * MIB) == 0
    assert 0 <= (layout.boot_bytes if layout.device_bytes else layout.current_bytes) - size < 2 * MIB
    assert maximum is None or 0 <= layout.total_bytes - maximum < 2 * MIB


def test_a_balloon_starts_with_the_maximum_and_takes_the_rest_away() -> None:
    layout = layout_memory(memory(256 * MIB, 1024 * MIB, MemoryHotplug.BALLOON))
    assert (layout.total_bytes, layout.current_bytes, layout.device_bytes) == (1024 * MIB, 256 * MIB, 0)


def test_targets_skip_the_seeds_and_count_as_libvirt_counts() -> None:
    names = [name for name, _ in zip(target_names("vd"), range(28), strict=False)]
    assert names[:2] == ["vda", "vdb"]
    assert "vdz" not in names
    assert names[25:27] == ["vdaa", "vdab"]
    assert [target_index(name) for name in ("sda", "sdz", "sdaa", "sdba")] == [0, 25, 26, 52]


def test_buses_that_share_a_prefix_share_its_letters(machine: Callable[..., Any], disks: Callable[..., Any]) -> None:
    spec = machine(disks=disks("a", bus="scsi") + disks("b", bus="sata") + disks("c") + disks("d", bus="usb")).spec
    assert assign_targets(spec.disks) == {"a": "sda", "b": "sdb", "c": "vda", "d": "sdc"}


def test_the_first_disk_is_booted_from_unless_an_order_is_given(rendered: Any, disks: Callable[..., Any]) -> None:
    implicit = rendered(disks=disks("a", "b"))
    assert [item.get("order") for item in implicit.iterfind("devices/disk/boot")] == ["1"]
    explicit = rendered(disks=disks("a") + disks("b", bootOrder=3), nics=[{"name": "n", "network": "n"}])
    assert [item.get("order") for item in explicit.iterfind("devices/disk/boot")] == ["3"]
    by_nic = rendered(disks=disks("a"), nics=[{"name": "n", "network": "n", "bootOrder": 1}])
    assert by_nic.find("devices/disk/boot") is None


def test_a_disk_for_hot_plug_is_the_disk_of_the_definition(machine: Callable[..., Any], disks: Any) -> None:
    vm = machine(disks=disks("a", "b", bus="scsi"))
    element: Any = render_disk(vm, vm.spec.disks[1], DiskBacking("/pool/b", "qcow2"))
    assert element.find("target").get("dev") == "sdb"
    assert element.find("address").get("unit") == "1"
    moved: Any = render_disk(vm, vm.spec.disks[1], DiskBacking("/pool/b", "qcow2"), target="sdd")
    assert moved.find("address").get("unit") == "3"


def test_a_cd_drive_without_medium_has_no_source(machine: Callable[..., Any]) -> None:
    vm = machine(disks=[{"name": "cd", "device": "Cdrom", "bus": "sata"}])
    element: Any = render_disk(vm, vm.spec.disks[0], None)
    assert element.find("source") is None
    assert element.find("readonly") is not None
    assert element.find("driver").get("discard") is None


@pytest.mark.parametrize(("cpu", "size"), [({"cores": 1}, "64"), ({"cores": 1, "max": 2}, "128")])
def test_the_translation_cache_is_larger_where_vcpus_can_be_added(rendered: Any, cpu: Any, size: str) -> None:
    assert rendered(cpu=cpu).findtext("features/tcg/tb-cache") == size
    assert rendered(cpu=cpu, domain_type="kvm").find("features/tcg") is None


def test_kvm_shows_the_hosts_model_and_emulation_qemus_own(rendered: Any) -> None:
    assert rendered(domain_type="kvm").find("cpu").get("mode") == "host-model"
    assert rendered().find("cpu").get("mode") is None


def test_there_is_a_port_for_each_endpoint_and_the_spare_ones(rendered: Any, disks: Callable[..., Any]) -> None:
    root = rendered(disks=disks("a", "b"), devices={"hotplugPorts": 3}, seed_path="/seed")
    assert count_ports(root) - count_endpoints(root) == 3
    assert count_ports(rendered(machine="pc")) == 0


def test_no_emulator_and_no_network_listener_is_asked_for(rendered: Any) -> None:
    root = rendered(devices={"graphics": "Vnc"})
    assert root.find("devices/emulator") is None
    assert root.find("devices/graphics/listen").attrib == {"type": "socket"}


def test_what_was_not_resolved_is_named(machine: Callable[..., Any], disks: Callable[..., Any]) -> None:
    context = DomainContext(uuid="u", name="n", domain_type="qemu", architecture="x86_64", disks={}, networks={})
    with pytest.raises(InvalidSpec, match=r"spec\.disks\[a\]"):
        render_domain(machine(disks=disks("a")), context)
    with pytest.raises(InvalidSpec, match=r"spec\.nics\[n\]"):
        render_domain(machine(nics=[{"name": "n", "network": "lan"}]), context)


def test_the_memory_device_is_asked_for_whole_blocks() -> None:
    element = render_memory_device(requested_bytes=4 * MIB, size_bytes=64 * MIB)
    assert element.findtext("target/requested") == "4096"
    assert element.findtext("target/size") == "65536"


XML_TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), min_size=1)


@given(XML_TEXT, XML_TEXT)
def test_row_67_xml_metacharacters_in_paths_and_names_stay_text(path: str, name: str) -> None:
    vm = make_machine(disks=[{"name": "root", "source": {"size": "1Gi"}}])
    context = DomainContext(
        uuid="u",
        name=name,
        domain_type="qemu",
        architecture="x86_64",
        disks={"root": DiskBacking(path, "qcow2")},
        networks={},
        seed_path=path,
        console_log_path=path,
    )
    root = parse_xml(to_text(render_domain(vm, context)))
    assert root.findtext("name") == name
    assert {item.get("file") for item in root.iterfind("devices/disk/source")} == {path}
    assert {item.get("file") for item in root.iterfind("devices/*/log")} == {path}
