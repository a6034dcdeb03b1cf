"""Domains that virsh made, adopted on real QEMU: same process, same XML, no restart; edited, given back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.declared import Declared, is_ready, vm
from tests.lab.foreign import foreign_domains
from tools.lab import Node
from xvirt.domainxml.mark import remove_mark
from xvirt.domainxml.tree import canonical, parse_xml
from xvirt.model.errors import Refused
from xvirt.model.exchange import AdoptCall, DryRun

UUID = "6f1c5f6e-5d0a-4d0f-9a53-0d6a6f2d1a01"
NAME = "hand made"
XML = f"""<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>{NAME}</name><uuid>{UUID}</uuid>
<title>by hand</title><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os>
<features><acpi/><tcg><tb-cache unit='MiB'>16</tb-cache></tcg></features><clock offset='utc'/>
<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/var/lib/libvirt/images/hand.qcow2'/>
<target dev='vda' bus='virtio'/></disk><interface type='user'><mac address='52:54:00:aa:00:01'/><model type='virtio'/></interface>
<serial type='pty'><target port='0'/></serial><graphics type='vnc' autoport='yes' passwd='hunter2'/>
<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng></devices>
<qemu:commandline><qemu:env name='XVIRT_SEEN' value='1'/></qemu:commandline></domain>"""
REF = vm("hand-made")


@pytest.fixture(scope="module")
def hand_made(node: Node) -> Iterator[Node]:
    """One running domain by hand, beside ten of somebody else's."""
    with foreign_domains(node):
        node.run(["mkdir", "-p", "/var/lib/libvirt/images"])
        node.run(["qemu-img", "create", "-q", "-f", "qcow2", "/var/lib/libvirt/images/hand.qcow2", "8M"])
        node.virsh("define", "/dev/stdin", stdin=XML)
        node.virsh("start", NAME)
        try:
            yield node
        finally:
            node.virsh("destroy", NAME, check=False)
            node.virsh("undefine", NAME, check=False)


def bare(node: Node, *options: str) -> bytes:
    """Its XML without the mark, secrets included."""
    root = parse_xml(node.virsh("dumpxml", "--security-info", *options, UUID))
    remove_mark(root)
    return canonical(root)


def process(node: Node) -> str:
    """QEMU's pid."""
    return node.run(["cat", f"/run/libvirt/qemu/{NAME}.pid"]).stdout


def test_row_10_a_domain_made_by_hand_is_adopted_edited_and_given_back(hand_made: Node) -> None:
    node, declared = hand_made, Declared(hand_made)
    before = process(node), bare(node), bare(node, "--inactive")
    preview = declared.client.adopt(AdoptCall(domain_uuid=UUID, dry_run=DryRun.PLAN))
    assert [step.name for step in preview.plan] == ["mark-domain"]
    assert preview.object.ref.name == "hand-made"
    declared.client.adopt(AdoptCall(domain_uuid=UUID))
    declared.wait_ready(REF)
    assert (process(node), bare(node), bare(node, "--inactive")) == before
    # A later edit reaches the definition, and takes nothing else along.
    document = declared.get(REF)
    document["spec"]["cpu"] = {**document["spec"]["cpu"], "max": 2}
    declared.apply({key: document[key] for key in ("apiVersion", "kind", "metadata", "spec")})
    declared.wait(REF, lambda now: "spec.cpu.max" in now["status"]["restartRequired"], "waiting for a restart")
    assert process(node) == before[0]
    edited = bare(node, "--inactive")
    for kept in (b"hunter2", b"XVIRT_SEEN", b"<title>by hand</title>", b"hand.qcow2", b"52:54:00:aa:00:01"):
        assert kept in edited
    document["spec"]["cpu"].pop("max")
    declared.apply({key: document[key] for key in ("apiVersion", "kind", "metadata", "spec")})
    declared.wait(REF, lambda now: is_ready(now) and not now["status"]["restartRequired"], "as before")
    # Given back: the object goes, the domain is as it was.
    declared.delete(REF)
    assert (process(node), bare(node), bare(node, "--inactive")) == before


def test_row_10_69_one_of_many_is_adopted_and_the_others_are_not_touched(hand_made: Node) -> None:
    declared = Declared(hand_made)
    found = {item.name: item for item in declared.client.list_foreign()}
    assert {f"foreign-{number}" for number in range(10)} <= set(found)
    first = found["foreign-3"]
    try:
        declared.client.adopt(AdoptCall(domain_uuid=first.uuid))
    except Refused as error:
        pytest.fail(error.message)
    assert "foreign-3" not in {item.name for item in declared.client.list_foreign()}
    declared.wait_ready(vm("foreign-3"))
    declared.delete(vm("foreign-3"))
    assert "foreign-3" in {item.name for item in declared.client.list_foreign()}
