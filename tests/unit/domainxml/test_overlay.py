"""Laying a tree over the rendered domain: what matches what, and that typed fields win aloud."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from xvirt.domainxml.overlay import apply_overlay
from xvirt.domainxml.ports import count_endpoints, count_ports
from xvirt.domainxml.tree import canonical
from xvirt.model.errors import InvalidSpec
from xvirt.model.identity import MARK_NAMESPACE

NICS = [{"name": "lan", "network": "lan", "mac": "02:00:5e:10:00:01"}]


def paths(error: InvalidSpec) -> list[str]:
    return [problem.path for problem in error.problems]


@pytest.mark.parametrize(
    "match",
    [{"target": {"@dev": "vdb"}}, {"alias": {"@name": "ua-disk-b"}}],
)
def test_a_disk_is_matched_by_target_or_alias(rendered: Any, disks: Callable[..., Any], match: Any) -> None:
    root = rendered(disks=disks("a", "b"))
    apply_overlay(root, {"devices": {"disk": {**match, "driver": {"@io": "native"}}}})
    found = root.findall("devices/disk")
    assert len(found) == 2
    assert [disk.find("driver").get("io") for disk in found] == [None, "native"]


@pytest.mark.parametrize("match", [{"mac": {"@address": "02:00:5E:10:00:01"}}, {"alias": {"@name": "ua-nic-lan"}}])
def test_a_nic_is_matched_by_mac_or_alias(rendered: Any, match: dict[str, Any]) -> None:
    root = rendered(nics=NICS)
    entry = {**match, "mtu": {"@size": "1400"}}
    if "mac" in match:
        entry["mac"] = {"@address": "02:00:5e:10:00:01"}
    apply_overlay(root, {"devices": {"interface": entry}})
    assert len(root.findall("devices/interface")) == 1
    assert root.find("devices/interface/mtu").get("size") == "1400"


def test_a_controller_is_matched_by_type_and_index(rendered: Any) -> None:
    root = rendered()
    apply_overlay(root, {"devices": {"controller": {"@type": "usb", "@index": "0", "@model": "qemu-xhci"}}})
    assert [item.get("model") for item in root.iterfind("devices/controller[@type='usb']")] == ["qemu-xhci"]


def test_what_matches_nothing_is_added(rendered: Any, disks: Callable[..., Any]) -> None:
    root = rendered(disks=disks("a"), nics=NICS)
    disk = {"@type": "block", "@device": "disk", "source": {"@dev": "/dev/x"}, "target": {"@dev": "vdq"}}
    apply_overlay(root, {"devices": {"disk": disk, "interface": {"@type": "user"}, "sound": [{"@model": "ich9"}, {}]}})
    assert len(root.findall("devices/disk")) == 2
    assert len(root.findall("devices/interface")) == 2
    assert len(root.findall("devices/sound")) == 2


def test_others_are_matched_by_position(rendered: Any) -> None:
    root = rendered()
    apply_overlay(root, {"devices": {"rng": [{"rate": {"@bytes": "1"}}, {"@model": "virtio"}]}})
    first, second = root.findall("devices/rng")
    assert first.find("rate").get("bytes") == "1"
    assert second.find("backend") is None


def test_features_and_timers_are_matched_by_name(rendered: Any) -> None:
    root = rendered()
    apply_overlay(root, {"clock": {"timer": [{"@name": "hpet", "@present": "yes"}, {"@name": "kvmclock"}]}})
    assert [(item.get("name"), item.get("present")) for item in root.iterfind("clock/timer")] == [
        ("rtc", None),
        ("hpet", "yes"),
        ("kvmclock", None),
    ]


def test_text_attributes_and_comments_are_merged(rendered: Any) -> None:
    root = rendered()
    apply_overlay(root, {"title": "T", "on_crash": "restart", "pm": {"#comment": [" why "]}})
    assert root.findtext("title") == "T"
    assert root.findtext("on_crash") == "restart"
    assert root.find("pm")[-1].text == " why "


def test_patch_delete_and_replace(rendered: Any) -> None:
    root = rendered()
    overlay = {
        "pm": {"$patch": "delete"},
        "bootloader": {"$patch": "delete"},
        "devices": {"memballoon": {"$patch": "replace", "@model": "none"}},
    }
    apply_overlay(root, overlay)
    assert root.find("pm") is None
    assert root.find("bootloader") is None
    assert [dict(item.attrib) for item in root.iterfind("devices/memballoon")] == [{"model": "none"}]
    with pytest.raises(InvalidSpec, match="delete or replace"):
        apply_overlay(root, {"clock": {"$patch": "merge"}})


@pytest.mark.parametrize(
    ("overlay", "path", "field"),
    [
        ({"name": "other"}, "spec.domain.name", "metadata.name"),
        ({"uuid": "other"}, "spec.domain.uuid", "metadata.uid"),
        ({"@type": "kvm"}, "spec.domain.@type", "accelerator"),
        ({"memory": "1"}, "spec.domain.memory", "spec.memory"),
        ({"vcpu": "64"}, "spec.domain.vcpu", "spec.cpu"),
        ({"os": {"type": {"@machine": "pc"}}}, "spec.domain.os.type.@machine", "spec.machine"),
        ({"cpu": {"topology": {"@cores": "9"}}}, "spec.domain.cpu.topology.@cores", "spec.cpu.topology"),
        (
            {"devices": {"disk": [{"target": {"@dev": "vda"}, "driver": {"@discard": "ignore"}}]}},
            "spec.domain.devices.disk[0].driver.@discard",
            "spec.disks[a].discard",
        ),
        (
            {"devices": {"disk": {"alias": {"@name": "ua-disk-a"}, "source": {"@file": "/etc/shadow"}}}},
            "spec.domain.devices.disk.source.@file",
            "spec.disks[a].source",
        ),
        (
            {"devices": {"interface": {"alias": {"@name": "ua-nic-lan"}, "source": {"@network": "other"}}}},
            "spec.domain.devices.interface.source.@network",
            "spec.nics[lan].network",
        ),
        (
            {"devices": {"interface": {"alias": {"@name": "ua-nic-lan"}, "$patch": "delete"}}},
            "spec.domain.devices.interface",
            "spec.nics[lan]",
        ),
        ({"devices": {"rng": {"$patch": "delete"}}}, "spec.domain.devices.rng", "spec.devices.rng"),
        ({"devices": {"$patch": "delete"}}, "spec.domain.devices.disk", "spec.disks[a]"),
        ({"devices": {"$patch": "replace"}}, "spec.domain.devices.disk", "spec.disks[a]"),
    ],
)
def test_a_path_that_a_typed_field_sets_otherwise_is_refused_with_both_names(
    rendered: Any, disks: Callable[..., Any], overlay: dict[str, Any], path: str, field: str
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        apply_overlay(rendered(disks=disks("a"), nics=NICS), overlay)
    assert caught.value.reason == "OverlayConflict"
    assert path in paths(caught.value)
    assert field in str(caught.value)


def test_every_contradiction_is_named_at_once(rendered: Any) -> None:
    with pytest.raises(InvalidSpec) as caught:
        apply_overlay(rendered(), {"name": "x", "uuid": "y"})
    assert paths(caught.value) == ["spec.domain.name", "spec.domain.uuid"]


def test_repeating_what_a_typed_field_says_changes_nothing(rendered: Any) -> None:
    root = rendered()
    before = canonical(root)
    apply_overlay(root, {"name": "default_web", "devices": {"rng": {"@model": "virtio"}}})
    assert canonical(root) == before


def test_places_that_no_typed_field_gave_can_be_set(rendered: Any, disks: Callable[..., Any]) -> None:
    root = rendered(disks=disks("a"))
    apply_overlay(root, {"devices": {"disk": {"target": {"@dev": "vda"}, "driver": {"@cache": "none"}}}})
    assert root.find("devices/disk/driver").get("cache") == "none"


@pytest.mark.parametrize("alias", ["ua-disk-x", "ua-nic-x", "ua-seed", "ua-memory"])
def test_an_overlay_cannot_pass_for_a_typed_device(rendered: Any, alias: str) -> None:
    for tree in (
        {"disk": {"target": {"@dev": "vdq"}, "alias": {"@name": alias}}},
        {"rng": {"alias": {"@name": alias}}},
        {"memballoon": {"$patch": "replace", "@model": "virtio", "alias": {"@name": alias}}},
    ):
        with pytest.raises(InvalidSpec, match="xVirt's own"):
            apply_overlay(rendered(), {"devices": tree})


def test_the_mark_cannot_be_forged(rendered: Any) -> None:
    tree = {"metadata": {"m:object": {"@xmlns:m": MARK_NAMESPACE, "@uid": "x"}}}
    with pytest.raises(InvalidSpec, match="ownership mark"):
        apply_overlay(rendered(), tree)


def test_namespaces_declared_above_reach_below(rendered: Any) -> None:
    uri = "http://libvirt.org/schemas/domain/qemu/1.0"
    root = rendered()
    apply_overlay(root, {"@xmlns:q": uri, "q:commandline": {"q:arg": [{"@value": "-a"}, {"@value": "-b"}]}})
    assert [item.get("value") for item in root.iterfind(f"{{{uri}}}commandline/{{{uri}}}arg")] == ["-a", "-b"]
    with pytest.raises(InvalidSpec, match="not declared"):
        apply_overlay(rendered(), {"q:commandline": {}})


@pytest.mark.parametrize("value", [1, True, None, [None], {"a": 1}])
def test_a_value_that_is_no_text_is_refused_with_its_path(rendered: Any, value: Any) -> None:
    with pytest.raises(InvalidSpec) as caught:
        apply_overlay(rendered(), {"title": value})
    assert paths(caught.value)[0].startswith("spec.domain.title")


def test_as_many_ports_stay_spare_with_more_devices(rendered: Any) -> None:
    root = rendered(devices={"hotplugPorts": 2})
    apply_overlay(root, {"devices": {"interface": [{"@type": "user"}, {"@type": "user"}], "sound": {"@model": "ich6"}}})
    assert count_ports(root) - count_endpoints(root) == 2
