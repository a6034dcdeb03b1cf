"""A redefinition moves nothing that a guest has learned."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from lxml import etree

from xvirt.domainxml.placement import keep_placement
from xvirt.domainxml.ports import controller_index, count_ports, pci_address, pci_addresses, pci_controllers


def settle(root: Any) -> Any:
    """What libvirt would make of a definition: a port for each endpoint, a version for the machine type."""
    settled: Any = copy.deepcopy(root)
    machine = settled.find("os/type")
    if machine.get("machine") == "q35":
        machine.set("machine", "pc-q35-7.2")
    bus = 0
    for number, device in enumerate(settled.iterfind("devices/*")):
        if device.tag == "controller" and device.get("type") == "pci":
            place(device, 0, 1 + number)
        elif device.tag in ("interface", "rng", "memballoon") or device.find("target[@bus='virtio']") is not None:
            bus += 1
            place(device, bus)
    devices = settled.find("devices")
    etree.SubElement(devices, "controller", {"type": "pci", "index": "0", "model": "pcie-root"})
    serial = etree.SubElement(devices, "controller", {"type": "virtio-serial", "index": "0"})
    place(serial, bus + 1)
    return settled


def place(device: Any, bus: int, slot: int = 0) -> None:
    address = {"type": "pci", "domain": "0x0000", "bus": f"0x{bus:02x}", "slot": f"0x{slot:02x}", "function": "0x0"}
    etree.SubElement(device, "address", address)


def disk_places(root: Any) -> dict[str, tuple[str, Any]]:
    """Alias -> (target, PCI address)."""
    disks = root.iterfind("devices/disk")
    return {disk.find("alias").get("name"): (disk.find("target").get("dev"), pci_address(disk)) for disk in disks}


def test_a_new_domain_is_left_as_it_is(rendered: Any) -> None:
    root = rendered()
    before = etree.tostring(root)
    keep_placement(root, None, None)
    assert etree.tostring(root) == before


def test_a_disk_keeps_target_and_address_when_one_before_it_goes(rendered: Any, disks: Callable[..., Any]) -> None:
    current = settle(rendered(disks=disks("a", "b", "c")))
    root = rendered(disks=disks("c", "new", "b"))
    keep_placement(root, current, None)
    before, after = disk_places(current), disk_places(root)
    assert after["ua-disk-b"] == before["ua-disk-b"]
    assert after["ua-disk-c"] == before["ua-disk-c"]
    assert after["ua-disk-new"] == ("vdd", None)


def test_a_new_disk_avoids_the_target_of_one_that_the_guest_still_holds(rendered: Any, disks: Any) -> None:
    live = settle(rendered(disks=disks("a", "b")))
    root = rendered(disks=disks("a", "new"))
    keep_placement(root, settle(rendered(disks=disks("a"))), live)
    assert disk_places(root)["ua-disk-new"][0] == "vdc"


def test_a_device_that_only_the_running_machine_has_keeps_its_live_address(rendered: Any, disks: Any) -> None:
    current = settle(rendered(disks=disks("a")))
    live = copy.deepcopy(current)
    hot = copy.deepcopy(rendered(disks=disks("a", "hot")).findall("devices/disk")[1])
    hot.find("target").set("dev", "vdf")
    place(hot, 9)
    live.find("devices").append(hot)
    root = rendered(disks=disks("a", "hot"))
    keep_placement(root, current, live)
    assert disk_places(root)["ua-disk-hot"] == ("vdf", (0, 9, 0, 0))


def test_no_two_devices_get_one_address(rendered: Any, disks: Callable[..., Any]) -> None:
    current = settle(rendered(disks=disks("a")))
    live = copy.deepcopy(current)
    hot = copy.deepcopy(rendered(disks=disks("a", "hot")).findall("devices/disk")[1])
    place(hot, disk_places(current)["ua-disk-a"][1][1])
    live.find("devices").append(hot)
    root = rendered(disks=disks("a", "hot"))
    keep_placement(root, current, live)
    assert disk_places(root)["ua-disk-hot"][1] is None
    found = [address for device in root.iterfind("devices/*") if (address := pci_address(device))]
    assert len(found) == len(set(found))


def test_a_disk_on_another_bus_gets_another_place(rendered: Any, disks: Callable[..., Any]) -> None:
    current = settle(rendered(disks=disks("a")))
    root = rendered(disks=disks("a", bus="scsi"))
    keep_placement(root, current, None)
    assert disk_places(root)["ua-disk-a"] == ("sda", None)
    assert root.find("devices/disk/address").get("type") == "drive"


def test_a_card_of_another_model_is_not_put_on_the_old_port(rendered: Any) -> None:
    current = settle(rendered(nics=[{"name": "n", "network": "lan"}]))
    root = rendered(nics=[{"name": "n", "network": "lan", "model": "e1000"}])
    keep_placement(root, current, None)
    assert pci_address(root.find("devices/interface")) is None


def test_the_machine_stays_at_the_version_that_it_was_first_defined_with(rendered: Any) -> None:
    root = rendered()
    keep_placement(root, settle(rendered()), None)
    assert root.find("os/type").get("machine") == "pc-q35-7.2"
    named = rendered(machine="pc-q35-6.0")
    keep_placement(named, settle(rendered()), None)
    assert named.find("os/type").get("machine") == "pc-q35-6.0"


def test_another_family_of_machines_starts_over(rendered: Any, disks: Callable[..., Any]) -> None:
    root = rendered(machine="pc", disks=disks("b", "a"))
    keep_placement(root, settle(rendered(disks=disks("a"))), None)
    assert root.find("os/type").get("machine") == "pc"
    assert pci_addresses(root) == set()
    assert disk_places(root)["ua-disk-a"][0] == "vda"


def test_existing_ports_stay_and_missing_ones_are_added(rendered: Any, disks: Callable[..., Any]) -> None:
    current = settle(rendered(devices={"hotplugPorts": 2}))
    root = rendered(devices={"hotplugPorts": 4}, disks=disks("a"))
    wanted = count_ports(root)
    keep_placement(root, current, None)
    assert count_ports(root) == wanted
    indexes = [controller_index(item) for item in pci_controllers(root)]
    assert len(indexes) == len(set(indexes))
    kept = {controller_index(item): pci_address(item) for item in pci_controllers(current)}
    assert {controller_index(item): pci_address(item) for item in pci_controllers(root)}.items() >= {
        (index, address) for index, address in kept.items() if address is not None
    }


def test_fewer_spare_ports_take_none_away(rendered: Any) -> None:
    current = settle(rendered(devices={"hotplugPorts": 8}))
    root = rendered(devices={"hotplugPorts": 1})
    keep_placement(root, current, None)
    assert count_ports(root) == count_ports(current)


def test_the_agents_controller_keeps_its_place_as_long_as_there_is_an_agent(rendered: Any) -> None:
    current = settle(rendered())
    path = "devices/controller[@type='virtio-serial']"
    root = rendered()
    keep_placement(root, current, None)
    assert pci_address(root.find(path)) == pci_address(current.find(path))
    without = rendered(devices={"guestAgent": False})
    keep_placement(without, current, None)
    assert without.find(path) is None


def test_nvram_is_never_lost_and_the_loader_stays_with_the_same_firmware(rendered: Any) -> None:
    uefi = {"firmware": {"type": "Uefi"}}
    current = settle(rendered(**uefi))
    os = current.find("os")
    etree.SubElement(os, "loader", {"readonly": "yes", "type": "pflash"}).text = "/usr/share/OVMF/CODE.fd"
    etree.SubElement(os, "nvram", {"template": "/usr/share/OVMF/VARS.fd"}).text = "/nvram/web_VARS.fd"
    same = rendered(**uefi)
    keep_placement(same, current, None)
    assert same.findtext("os/loader") == "/usr/share/OVMF/CODE.fd"
    assert same.find("os/nvram").get("template") == "/usr/share/OVMF/VARS.fd"
    secure = rendered(firmware={"type": "Uefi", "secureBoot": True})
    keep_placement(secure, current, None)
    assert secure.find("os/loader") is None
    assert secure.findtext("os/nvram") == "/nvram/web_VARS.fd"
    assert not secure.find("os/nvram").attrib
    bios = rendered()
    keep_placement(bios, current, None)
    assert bios.find("os/nvram") is None


def test_an_address_that_the_overlay_gave_is_not_overwritten(rendered: Any, disks: Callable[..., Any]) -> None:
    current = settle(rendered(disks=disks("a")))
    root = rendered(disks=disks("a"))
    place(root.find("devices/disk"), 12)
    keep_placement(root, current, None)
    assert pci_address(root.find("devices/disk")) == (0, 12, 0, 0)
    assert len(root.findall("devices/disk/address")) == 1
