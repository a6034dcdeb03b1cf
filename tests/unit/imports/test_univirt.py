"""uni-virt's acts: what stands at the end is what the acts would have left."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from xvirt.imports.result import Imported
from xvirt.imports.univirt.documents import REFUSED, VERBS, read_univirt
from xvirt.imports.univirt.words import read_options, read_size, stem
from xvirt.model.errors import InvalidSpec
from xvirt.model.quantity import ByteSize

MACHINE = {
    "apiVersion": "xvirt.io/v1alpha1",
    "kind": "VirtualMachine",
    "metadata": {"name": "vm"},
    "spec": {
        "cpu": {"cores": 1},
        "memory": {"size": "1Gi"},
        "disks": [
            {"name": "root", "source": {"disk": "root"}},
            {"name": "cd", "device": "Cdrom", "bus": "sata", "source": {"image": "iso"}},
            {"name": "data", "source": {"size": "1Gi"}},
        ],
        "nics": [{"name": "lan", "network": "lan", "mac": "52:54:00:00:00:01"}],
    },
}


def play(verb: str, params: dict[str, Any], kind: str = "VirtualMachine", name: str = "vm") -> Imported:
    """One act upon the machine above."""
    act = {
        "apiVersion": "doslab.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"nodeName": "node1", "lifecycle": {verb: params}},
    }
    return read_univirt([act], [copy.deepcopy(MACHINE)])


def spec_of(imported: Imported, kind: str = "VirtualMachine", name: str = "vm") -> dict[str, Any]:
    """The spec of one of the documents."""
    found = [item for item in imported.documents if (item["kind"], item["metadata"]["name"]) == (kind, name)]
    spec: dict[str, Any] = found[0]["spec"]
    return spec


EXAMPLES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "01-CreateLocalVMPool": ("VirtualMachinePool", "createPool", {"type": "dir", "url": "/p", "content": "vmd", "auto-start": True}),
    "02-CreateVMDisk": ("VirtualMachineDisk", "createDisk", {"type": "localfs", "pool": "p", "capacity": "10G", "format": "qcow2"}),
    "03-CreateVMFromISO": ("VirtualMachine", "createAndStartVMFromISO", {"virt_type": "kvm", "memory": "1024", "vcpus": "1", "cdrom": "/i/a.iso", "disk": "/p/d/d.qcow2,format=qcow2", "network": "type=bridge,source=virbr0", "graphics": "vnc,listen=0.0.0.0", "noautoconsole": True}),
    "04-StopVMForce": ("VirtualMachine", "stopVMForce", {}),
    "06-DeleteVMDisk": ("VirtualMachineDisk", "deleteDisk", {"type": "localfs", "pool": "p"}),
    "08-PlugDisk": ("VirtualMachine", "plugDisk", {"source": "/p/d/d", "target": "vdc", "live": True, "config": True, "subdriver": "qcow2"}),
    "09-CreateVMDSnapshot": ("VirtualMachineDiskSnapshot", "createDiskInternalSnapshot", {"type": "localfs", "source": "d"}),
    "11-DeleteVMDSnapshot": ("VirtualMachineDiskSnapshot", "deleteDiskInternalSnapshot", {"type": "localfs", "source": "d"}),
    "12-MigrateVM": ("VirtualMachine", "migrateVM", {"ip": "192.0.2.1"}),
    "VM-DeleteVM": ("VirtualMachine", "deleteVM", {}),
    "VM-PlugNIC": ("VirtualMachine", "plugNIC", {"source": "source=br0", "type": "l2bridge", "vlan": "176", "mac": "7e:0c:b0:ef:6a:04", "live": True, "config": True}),
    "VM-RebootVM": ("VirtualMachine", "rebootVM", {}),
    "VM-StartVM": ("VirtualMachine", "startVM", {}),
    "VM-StopVM": ("VirtualMachine", "stopVM", {}),
    "VM-UnPlugDisk": ("VirtualMachine", "unplugDisk", {"target": "vdb", "live": True, "config": True}),
    "VM-UnplugNIC": ("VirtualMachine", "unplugNIC", {"source": "source=br0", "type": "l2bridge", "mac": "52:54:00:00:00:01", "live": True}),
    "VMD-ResizeDisk": ("VirtualMachineDisk", "resizeDisk", {"type": "cephfs", "pool": "p", "capacity": "21737418240"}),
    "VMDI-CreateVMDI": ("VirtualMachineDiskImage", "createDiskImage", {"imageType": "iso", "source": "/i/a.iso", "targetPool": "p"}),
    "VMDI-DeleteVMDI": ("VirtualMachineDiskImage", "deleteDiskImage", {}),
    "VMDSN-CreateVMDSnapshot": ("VirtualMachineDiskSnapshot", "createDiskExternalSnapshot", {"type": "cephfs", "source": "d", "format": "qcow2", "domain": "vm"}),
    "VMDSN-RevertVMDSnapshot": ("VirtualMachineDiskSnapshot", "revertDiskExternalSnapshot", {"type": "cephfs", "source": "d", "domain": "vm"}),
    "VMP-DeleteVMPool": ("VirtualMachinePool", "deletePool", {"type": "localfs"}),
}  # fmt: skip
"""The acts of uni-virt's own examples, by their names."""


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_row_64_each_act_of_uni_virts_examples_is_accepted_or_says_what_is_not_there(name: str) -> None:
    kind, verb, params = EXAMPLES[name]
    imported = play(verb, params, kind)
    report = imported.reports[0]
    if verb.lower() in REFUSED:
        assert [problem.path for problem in report.unmapped] == [f"spec.lifecycle.{verb}"]
        return
    allowed = {"resizeDisk": 1, "plugDisk": 1, "createAndStartVMFromISO": 1}  # a VirtualDisk that is not declared here
    assert len(report.unmapped) == allowed.get(verb, 0), report.unmapped
    assert bool(imported.documents or report.acts) is (verb != "deleteVM")


def test_row_64_power_is_the_state_that_the_machine_is_to_be_in() -> None:
    assert spec_of(play("stopVM", {}))["runStrategy"] == "Halted"
    assert spec_of(play("startVM", {}))["runStrategy"] == "Always"
    assert play("startVM", {}, name="other").reports[0].acts == ("xvirt start vm other",)


def test_row_64_a_disk_is_found_by_its_target_or_its_path() -> None:
    assert [disk["name"] for disk in spec_of(play("unplugDisk", {"target": "vdb"}))["disks"]] == ["root", "cd"]
    assert [disk["name"] for disk in spec_of(play("unplugDisk", {"target": "/pool/root/root"}))["disks"]] == [
        "cd",
        "data",
    ]
    lost = play("unplugDisk", {"target": "vdz"})
    assert lost.reports[0].unmapped
    assert len(spec_of(lost)["disks"]) == 3


def test_row_64_sizes_are_those_of_virsh() -> None:
    assert spec_of(play("resizeRAM", {"size": 2097152}))["memory"]["size"] == "2Gi"
    assert spec_of(play("resizeMaxRAM", {"size": "4G"}))["memory"]["max"] == "4Gi"
    assert spec_of(play("changeNumberOfCPU", {"count": 3}))["cpu"]["cores"] == 3
    assert spec_of(play("resizeVM", {"path": "vdb", "size": "2G"}))["disks"][2]["source"]["size"] == "2Gi"


def test_row_64_a_cd_is_changed_and_ejected() -> None:
    assert "source" not in spec_of(play("manageISO", {"path": "sda", "eject": True}))["disks"][1]
    changed = play("manageISO", {"path": "sda", "source": "/i/new.iso", "update": True})
    assert spec_of(changed)["disks"][1]["source"] == {"image": "new"}
    assert spec_of(changed, "VirtualImage", "new") == {"source": {"path": "/i/new.iso"}, "format": "raw"}


def test_row_64_a_card_is_found_by_its_mac() -> None:
    assert not spec_of(play("unplugNIC", {"mac": "52:54:00:00:00:01"})).get("nics")
    tuned = play("tuneNICQoS", {"interface": "52:54:00:00:00:01", "inbound": "100,200,64"})
    assert spec_of(tuned)["nics"][0]["bandwidth"] == {"inbound": {"average": 100000, "peak": 200000, "burst": 65536}}


def test_row_64_limits_of_a_disk_are_set_and_taken_away() -> None:
    tuned = spec_of(play("tuneDiskQoS", {"device": "vdb", "total_bytes_sec": 1048576, "read-iops-sec": "100"}))
    assert tuned["disks"][2]["ioLimits"] == {"totalBytes": {"perSecond": 1048576}, "readIops": {"perSecond": 100}}
    assert "ioLimits" not in spec_of(play("tuneDiskQoS", {"device": "vdb", "total_bytes_sec": 0}))["disks"][2]
    assert play("tuneDiskQoS", {"device": "vdz", "total_bytes_sec": 1}).reports[0].unmapped


def test_a_disk_that_another_is_copied_from_stays_declared() -> None:
    base = {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "VirtualDisk",
        "metadata": {"name": "a"},
        "spec": {"size": "1Gi"},
    }
    acts = [
        {"apiVersion": "doslab.io/v1", "kind": "VirtualMachineDisk", "metadata": {"name": "a"}, "spec": {"lifecycle": {verb: params}}}
        for verb, params in (("cloneDisk", {"newname": "b"}), ("deleteDisk", {}))
    ]  # fmt: skip
    imported = read_univirt(acts, [base])
    assert {item["metadata"]["name"] for item in imported.documents} == {"a", "b"}
    assert imported.reports[1].acts == ("xvirt delete vdisk a",)


def test_no_verb_is_both_played_and_refused() -> None:
    assert not set(VERBS) & set(REFUSED)


@pytest.mark.parametrize(
    ("text", "unit", "size"),
    [
        ("10G", "b", "10Gi"),
        ("10GiB", "b", "10Gi"),
        ("1GB", "b", "976562.5Ki"),
        ("2097152", "k", "2Gi"),
        ("5", "b", "5"),
    ],
)
def test_a_scaled_integer_is_read_as_virsh_reads_it(text: str, unit: str, size: str) -> None:
    assert ByteSize(read_size(text, unit)) == ByteSize(size)


@pytest.mark.parametrize("text", ["", "G", "1.5G", "-1", "10X", "1 0"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no size"):
        read_size(text)


def test_options_and_paths_are_those_of_virt_install() -> None:
    assert read_options("vnc,listen=0.0.0.0,x", "type") == {"type": "vnc", "listen": "0.0.0.0", "x": "yes"}
    assert [stem(path) for path in ("/a/b/c.qcow2", "/a/b/c", "c.iso")] == ["c", "c", "c"]


DOMAIN = {
    "_type": "kvm",
    "_id": "7",
    "name": {"text": "vm2"},
    "uuid": {"text": "5d307ca9-b3ef-428c-8861-06e72d69f223"},
    "memory": {"_unit": "KiB", "text": 2097152},
    "currentMemory": {"_unit": "KiB", "text": 2097152},
    "vcpu": {"_placement": "static", "text": 2},
    "os": {"type": {"_arch": "x86_64", "_machine": "pc", "text": "hvm"}, "boot": {"_dev": "hd"}},
    "features": {"acpi": {}, "apic": {}},
    "devices": {
        "disk": [
            {
                "_device": "disk",
                "_type": "file",
                "driver": {"_name": "qemu", "_type": "qcow2"},
                "source": {"_file": "/srv/d/d.qcow2"},
                "target": {"_bus": "virtio", "_dev": "vda"},
            }
        ],
        "_interface": [
            {
                "_type": "bridge",
                "mac": {"_address": "52:54:00:12:34:56"},
                "source": {"_bridge": "br0"},
                "model": {"_type": "virtio"},
            }
        ],
        "serial": {"_type": "pty", "target": {"_port": 0}},
    },
}


def test_row_64_a_domain_in_its_own_words_becomes_the_machine_that_it_is() -> None:
    act = {
        "apiVersion": "doslab.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": "vm2"},
        "spec": {"domain": DOMAIN, "lifecycle": {"changeNumberOfCPU": {"count": 1}}},
    }
    imported = read_univirt([act])
    spec = spec_of(imported, name="vm2")
    assert imported.is_complete
    assert (spec["cpu"]["cores"], spec["memory"]["size"]) == (1, "2Gi")
    assert spec["disks"][0]["source"] == {"path": "/srv/d/d.qcow2"}
    assert (spec["nics"][0]["bridge"], spec["nics"][0]["mac"]) == ("br0", "52:54:00:12:34:56")


@pytest.mark.parametrize(
    ("tree", "path"),
    [
        (7, "spec.domain"),
        ({"_type": "kvm", "bad name": {"text": "x"}}, 'spec.domain["bad name"]'),
        ({"_type": "kvm", "os": {"type": {"text": "a\x00b"}}}, "spec.domain.os.type"),
        ({"_type": "lxc"}, "domain.@type"),
    ],
)
def test_a_domain_that_is_no_xml_is_refused_with_its_path(tree: Any, path: str) -> None:
    act = {"apiVersion": "doslab.io/v1", "kind": "VirtualMachine", "metadata": {"name": "x"}, "spec": {"domain": tree}}
    with pytest.raises(InvalidSpec) as caught:
        read_univirt([act])
    assert caught.value.problems[0].path == path


def play_all(*acts: tuple[str, dict[str, Any]]) -> Imported:
    """Acts upon the machine above, one after another."""
    documents = [
        {"apiVersion": "doslab.io/v1", "kind": "VirtualMachine", "metadata": {"name": "vm"}, "spec": {"lifecycle": {verb: params}}}
        for verb, params in acts
    ]  # fmt: skip
    return read_univirt(documents, [copy.deepcopy(MACHINE)])


def test_a_disk_keeps_its_target_when_another_goes() -> None:
    both = play_all(("unplugDisk", {"target": "vda"}), ("unplugDisk", {"target": "vdb"}))
    assert [disk["name"] for disk in spec_of(both)["disks"]] == ["cd"]
    again = play_all(
        ("unplugDisk", {"target": "vda"}), ("plugDisk", {"source": "/p/new"}), ("unplugDisk", {"target": "vda"})
    )
    assert [disk["name"] for disk in spec_of(again)["disks"]] == ["cd", "data"]
    taken = play_all(("plugDisk", {"source": "/p/new", "target": "vdb"}))
    assert taken.reports[0].unmapped[0].path == "spec.lifecycle.plugDisk.target"


def test_virt_install_chooses_a_target_and_ide_is_machine_pcs() -> None:
    made = {"memory": "1024", "disk": "/p/a,target=vdb;/p/b,bus=ide"}
    imported = play_all(("createAndStartVM", made), ("unplugDisk", {"target": "vdb"}))
    assert [(disk["name"], disk["bus"]) for disk in spec_of(imported)["disks"]] == [("b", "sata")]
    assert any("IDE" in note.message for note in imported.reports[0].notes)
    on_pc = play_all(("createAndStartVM", {**made, "machine": "pc"}), ("unplugDisk", {"target": "hda"}))
    assert [disk["name"] for disk in spec_of(on_pc)["disks"]] == ["a"]


@pytest.mark.parametrize(
    ("verb", "params", "key"),
    [
        ("createAndStartVM", {"memory": "2G"}, "memory"),
        ("createAndStartVM", {"vcpus": "x"}, "vcpus"),
        ("createAndStartVM", {"disk": "size=0.5"}, "disk"),
        ("plugNIC", {"source": "source=br0", "type": "bridge", "vlan": "x"}, "vlan"),
    ],
)
def test_a_number_that_is_none_is_refused_with_its_path(verb: str, params: dict[str, Any], key: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        play(verb, params)
    assert caught.value.problems[0].path == f"spec.lifecycle.{verb}.{key}"


def test_a_limit_of_zero_clears_a_cards_limit() -> None:
    card = {"interface": "lan"}
    tuned = play_all(("tuneNICQoS", {**card, "inbound": "100"}), ("tuneNICQoS", {**card, "inbound": "0"}))
    assert "bandwidth" not in spec_of(tuned)["nics"][0]


def test_a_pool_of_another_type_is_told_and_left_out() -> None:
    imported = play("createPool", {"type": "nfs", "url": "h:/x"}, "VirtualMachinePool", "p")
    assert [item["kind"] for item in imported.documents] == ["VirtualMachine"]
    assert not imported.is_complete
