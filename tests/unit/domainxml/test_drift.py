"""What counts as a change by hand, and how it is named."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
from lxml import etree

from xvirt.domainxml.drift import changes_by_hand, pack, unpack
from xvirt.domainxml.tree import canonical, parse_xml

DOMAIN = Path(__file__).parent / "domains" / "virt-manager.xml"


@pytest.fixture
def before() -> etree._Element:
    return parse_xml(DOMAIN.read_bytes())


def find(root: etree._Element, path: str) -> etree._Element:
    found = root.find(path)
    assert found is not None, path
    return found


def drop(root: etree._Element, path: str) -> None:
    found = find(root, path)
    parent = found.getparent()
    assert parent is not None
    parent.remove(found)


def upper(root: etree._Element, path: str, name: str) -> None:
    found = find(root, path)
    found.set(name, found.get(name, "").upper())


def spell_memory(root: etree._Element) -> None:
    for tag in ("memory", "currentMemory"):
        found = find(root, tag)
        found.set("unit", "GiB")
        found.text = "2"


def reverse_devices(root: etree._Element) -> None:
    """Of different kinds only: the order of disks is one."""
    devices = find(root, "devices")
    devices[:] = sorted(devices, key=lambda item: str(item.tag), reverse=True)


MEANINGLESS: dict[str, Callable[[etree._Element], object]] = {
    "units": spell_memory,
    "case of a MAC": lambda root: upper(root, "devices/interface/mac", "address"),
    "order of devices": reverse_devices,
    "what libvirt fills in": lambda root: drop(root, "on_crash"),
    "a default attribute": lambda root: find(root, "vcpu").attrib.pop("placement"),
    "an address": lambda root: drop(root, "devices/interface/address"),
    "an alias of libvirt's": lambda root: etree.SubElement(
        find(root, "devices/disk"), "alias", {"name": "virtio-disk0"}
    ),
}

CHANGES: dict[str, tuple[Callable[[etree._Element], object], str]] = {
    "vCPUs": (lambda root: setattr(find(root, "vcpu"), "text", "3"), "/domain/vcpu/text() was changed"),
    "an attribute": (
        lambda root: find(root, "devices/disk[2]/driver").set("io", "threads"),
        "/domain/devices/disk[vdb]/driver/@io was changed",
    ),
    "a device less": (lambda root: drop(root, "devices/sound"), "/domain/devices/sound was removed"),
    "a device more": (
        lambda root: etree.SubElement(find(root, "devices"), "watchdog", {"model": "ib700"}),
        "/domain/devices/watchdog was added",
    ),
    "a setting more": (lambda root: etree.SubElement(root, "title"), "/domain/title was added"),
}


@pytest.mark.parametrize("change", MEANINGLESS.values(), ids=list(MEANINGLESS))
def test_row_61_what_means_the_same_is_no_drift(
    before: etree._Element, change: Callable[[etree._Element], object]
) -> None:
    after = copy.deepcopy(before)
    change(after)
    assert canonical(after) != canonical(before)
    assert changes_by_hand(before, after) == ()


@pytest.mark.parametrize(("change", "told"), CHANGES.values(), ids=list(CHANGES))
def test_row_61_a_change_is_named_by_its_place(
    before: etree._Element, change: Callable[[etree._Element], object], told: str
) -> None:
    after = copy.deepcopy(before)
    change(after)
    assert changes_by_hand(before, after) == (told,)


def test_a_definition_that_is_remembered_is_the_same_and_short(before: etree._Element) -> None:
    packed = pack(before)
    again = unpack(packed)
    assert again is not None
    assert canonical(again) == canonical(before)
    assert len(packed) < len(DOMAIN.read_bytes()) / 2
    assert unpack("") is None
    assert unpack("no such thing") is None
