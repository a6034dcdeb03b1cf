"""A domain that is there becomes a spec, and the spec the domain again."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml
from lxml import etree

from xvirt.domainxml.split import Split, join_domain, split_domain
from xvirt.domainxml.tree import canonical, parse_xml
from xvirt.model.codec import normalise, parse, to_document
from xvirt.model.concise import concise_document
from xvirt.model.errors import InvalidSpec
from xvirt.model.meta import ObjectMeta, Resource

DOMAINS = Path(__file__).parent / "domains"
FOREIGN = sorted(DOMAINS.glob("*.xml"))


def load(name: str) -> etree._Element:
    return parse_xml((DOMAINS / f"{name}.xml").read_bytes())


def document(split: Split) -> dict[str, Any]:
    return concise_document(Resource("VirtualMachine", ObjectMeta(name="adopted"), split.spec))


def edited(split: Split, **spec: Any) -> Split:
    """As somebody would edit the document."""
    found = document(split)
    return dataclasses.replace(split, spec=parse({**found, "spec": {**found["spec"], **spec}}).spec)


@pytest.mark.parametrize("path", FOREIGN, ids=lambda path: path.stem)
def test_row_10_a_domain_is_given_back_as_it_is(path: Path) -> None:
    root = parse_xml(path.read_bytes())
    assert canonical(join_domain(split_domain(root), root)) == canonical(root)


@pytest.mark.parametrize("path", FOREIGN, ids=lambda path: path.stem)
def test_row_10_a_domain_reads_as_the_document_beside_it(path: Path) -> None:
    wanted = yaml.safe_load(path.with_suffix(".yaml").read_text())
    assert document(split_domain(parse_xml(path.read_bytes()))) == wanted


@pytest.mark.parametrize("path", FOREIGN, ids=lambda path: path.stem)
def test_a_short_document_is_the_whole_one(path: Path) -> None:
    split = split_domain(parse_xml(path.read_bytes()))
    whole = to_document(Resource("VirtualMachine", ObjectMeta(name="adopted"), split.spec))
    assert normalise(document(split)) == whole


def test_row_10_an_edit_of_a_typed_field_does_what_it_says_and_nothing_else() -> None:
    root = load("virt-manager")
    split = split_domain(root)
    bigger = join_domain(edited(split, memory={"size": "4Gi"}, cpu={"cores": 4, "model": "host-passthrough"}), root)
    assert (bigger.findtext("memory"), bigger.findtext("currentMemory")) == ("4194304", "4194304")
    assert bigger.findtext("vcpu") == "4"
    for tag, text in (("memory", "2097152"), ("currentMemory", "2097152"), ("vcpu", "2")):
        found = bigger.find(tag)
        assert found is not None
        found.text = text
    assert canonical(bigger) == canonical(root)


def test_row_10_a_new_disk_and_nic_come_beside_the_old_ones() -> None:
    root = load("virt-manager")
    split = split_domain(root)
    spec = document(split)["spec"]
    disk = {"name": "more", "source": {"path": "/srv/more.qcow2"}}
    nic = {"name": "more", "bridge": "br1"}
    grown = join_domain(edited(split, disks=[*spec["disks"], disk], nics=[*spec["nics"], nic]), root)
    targets = [item.get("dev") for item in grown.iterfind("devices/disk/target")]
    assert targets == ["vda", "vdb", "sda", "vdc"]
    aliases = [item.get("name") for item in grown.iterfind("devices/*/alias")]
    assert aliases == ["ua-disk-more", "ua-nic-more"]
    for alias in grown.findall("devices/*/alias"):
        device = alias.getparent()
        assert device is not None
        device.getparent().remove(device)  # type: ignore[union-attr]
    assert canonical(grown) == canonical(root)


def test_row_10_a_disk_that_is_no_longer_declared_goes_and_the_others_stay_where_they_are() -> None:
    root = load("virt-manager")
    split = split_domain(root)
    spec = document(split)["spec"]
    smaller = join_domain(edited(split, disks=spec["disks"][1:]), root)
    gone = root.find("devices/disk")
    assert gone is not None
    root.find("devices").remove(gone)  # type: ignore[union-attr]
    assert canonical(smaller) == canonical(root)


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("<network/>", "<network> is no domain"),
        ("<domain type='lxc'/>", "none of QEMU's"),
        ("<domain type='kvm'><os><type>xen</type></os></domain>", "no full virtual machine"),
        ("<domain type='kvm'><memory>8</memory><os><type>hvm</type></os></domain>", "spec.memory.size: 8Ki is below"),
    ],
)
def test_what_cannot_be_declared_is_refused_with_the_reason(xml: str, message: str) -> None:
    with pytest.raises(InvalidSpec, match=message):
        split_domain(parse_xml(xml))


def test_what_a_reader_should_know_is_noted() -> None:
    xml = "<domain type='kvm' id='3'><!-- mine --><memory>65536</memory><os><type>hvm</type></os></domain>"
    notes = split_domain(parse_xml(xml)).notes
    assert [note.split(":")[0] for note in notes] == [
        "1 comments are left out",
        "this is a running domain's XML, with what holds for this run only; split the inactive one",
    ]
