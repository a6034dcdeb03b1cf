"""Domains that libvirt runs, split and declared: nothing of them changes, and what is edited later is done."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from lxml import etree

from tests.lab.declared import Declared, Document, is_ready, network, vm
from tools.lab import Node
from xvirt.domainxml.mark import remove_mark
from xvirt.domainxml.split import join_domain, split_domain
from xvirt.domainxml.tree import canonical, parse_xml
from xvirt.model.concise import concise_document
from xvirt.model.exchange import AdoptCall, ObjectRef
from xvirt.model.meta import ObjectMeta, Resource

NAME = "legacy"
DOMAIN = f"default_{NAME}"
REF = vm(NAME)
UUID = str(uuid.uuid5(uuid.NAMESPACE_URL, "https://xvirt.io/lab/legacy"))
LAN = ObjectRef(kind="VirtualNetwork", namespace="default", name="split")
DIRECTORY = "/var/lib/libvirt/images"
LEGACY = f"""<domain type='qemu'><name>{DOMAIN}</name><uuid>{UUID}</uuid><title>made by hand</title>
<memory unit='MiB'>64</memory><vcpu current='1' cpuset='0-1'>2</vcpu><cputune><shares>512</shares></cputune>
<os><type arch='x86_64' machine='pc'>hvm</type><bootmenu enable='yes' timeout='100'/></os>
<features><acpi/><tcg><tb-cache unit='MiB'>32</tb-cache></tcg></features><clock offset='localtime'/>
<on_crash>restart</on_crash>
<devices><disk type='file' device='disk'><driver name='qemu' type='raw' cache='none'/><source file='{DIRECTORY}/legacy.img'/>
<target dev='vda' bus='virtio'/></disk><disk type='file' device='cdrom'><target dev='hdc' bus='ide'/></disk>
<interface type='network'><mac address='52:54:00:0b:0b:0b'/><source network='default_split'/><model type='virtio'/></interface>
<interface type='user'><mac address='52:54:00:0b:0b:0c'/><model type='e1000'/></interface>
<controller type='scsi' index='0' model='virtio-scsi'/><serial type='pty'/><memballoon model='virtio'/><video><model type='cirrus'/></video>
<graphics type='vnc' port='-1'/></devices></domain>"""


def bare(xml: str) -> bytes:
    """A dump without the mark."""
    root = parse_xml(xml)
    remove_mark(root)
    return canonical(root)


def dumps(node: Node) -> tuple[bytes, bytes, str]:
    """Definition and running domain without the mark, and the process."""
    pid = node.run(["cat", f"/run/libvirt/qemu/{DOMAIN}.pid"]).stdout.strip()
    return bare(node.virsh("dumpxml", "--inactive", DOMAIN)), bare(node.virsh("dumpxml", DOMAIN)), pid


@pytest.fixture(scope="module")
def declared(node: Node) -> Iterator[Declared]:
    client = Declared(node)
    client.apply(network("split", third=162))
    client.wait_ready(LAN)
    node.run(["mkdir", "-p", DIRECTORY])
    for name in ("legacy", "more"):
        node.run(["truncate", "-s", "16M", f"{DIRECTORY}/{name}.img"])
    node.virsh("define", "/dev/stdin", stdin=LEGACY)
    node.virsh("start", DOMAIN)
    yield client
    client.client.delete(REF, force=True)
    client.wait_gone(REF)
    node.virsh("destroy", DOMAIN, check=False)
    node.virsh("undefine", DOMAIN, check=False)
    client.delete(LAN)


@pytest.fixture(scope="module")
def document(declared: Declared) -> Document:
    """What the domain reads as."""
    split = split_domain(parse_xml(declared.node.virsh("dumpxml", "--inactive", DOMAIN)))
    metadata = ObjectMeta(name=NAME, uid=UUID)
    return concise_document(Resource("VirtualMachine", metadata, split.spec))


def edited(document: Document, **spec: Any) -> Document:
    return {**document, "spec": {**document["spec"], **spec}}


def test_row_10_every_dump_of_this_host_is_given_back(declared: Declared) -> None:
    names = declared.node.virsh("list", "--all", "--name").split()
    assert DOMAIN in names
    for name in names:
        for flags in (("--inactive",), ()):
            root = parse_xml(declared.node.virsh("dumpxml", *flags, name))
            remove_mark(root)
            assert canonical(join_domain(split_domain(root), root)) == canonical(root), (name, flags)


def test_row_10_what_it_reads_as_is_short(document: Document) -> None:
    spec = document["spec"]
    assert [disk["name"] for disk in spec["disks"]] == ["vda", "hdc"]
    assert [nic["libvirtNetwork"] for nic in spec["nics"]] == ["default_split"]
    assert (spec["cpu"]["max"], spec["memory"]) == (2, {"size": "64Mi"})
    assert {"title", "vcpu", "cputune", "os", "features", "clock", "on_crash", "devices"} <= set(spec["domain"])
    assert not {"name", "uuid", "memory", "currentMemory", "on_reboot"} & set(spec["domain"])
    assert not {"emulator", "memballoon", "input"} & set(spec["domain"]["devices"])


def test_row_10_declaring_it_changes_nothing_but_the_mark(declared: Declared, document: Document) -> None:
    before = dumps(declared.node)
    declared.client.adopt(AdoptCall(domain_uuid=UUID, document=document))
    declared.wait(REF, is_ready, "Ready")
    assert dumps(declared.node) == before


def test_row_10_later_edits_work_and_the_process_stays(declared: Declared, document: Document) -> None:
    before = dumps(declared.node)
    more = {"name": "more", "source": {"path": f"{DIRECTORY}/more.img"}, "format": "raw"}
    changed = edited(document, cpu={"cores": 2, "max": 2}, disks=[*document["spec"]["disks"], more])
    declared.apply(changed)

    def has_grown(seen: Document) -> bool:
        root = etree.fromstring(declared.node.virsh("dumpxml", DOMAIN).encode())
        targets = [item.get("dev") for item in root.iterfind("devices/disk/target")]
        return is_ready(seen) and seen["status"]["cpus"] == 2 and len(targets) == 3

    declared.wait(REF, has_grown, "grown")
    assert dumps(declared.node)[2] == before[2]


def test_row_10_nothing_of_it_is_taken_for_drift(declared: Declared) -> None:
    declared.node.restart_libvirtd()
    seen = declared.wait(REF, is_ready, "Ready")
    assert seen["status"].get("drift", []) == []
