"""Readable documents beside the XML that they become; libvirt's own schema and libvirt itself accept each.

`XVIRT_WRITE_GOLDEN=1` writes the XML anew; read the difference before you commit it.
"""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest
from lxml import etree

from tests.golden.domainxml.conftest import mark_of
from xvirt.domainxml.compare import lost
from xvirt.domainxml.drift import changes_by_hand
from xvirt.domainxml.facts import read_domain
from xvirt.domainxml.mark import read_mark, remove_mark, write_mark
from xvirt.domainxml.network import NetworkDifference, network_changes
from xvirt.domainxml.placement import keep_placement
from xvirt.domainxml.ports import pci_address
from xvirt.domainxml.split import join_domain, split_domain
from xvirt.domainxml.tree import canonical, from_tree, parse_xml, to_text, to_tree
from xvirt.model.errors import InvalidSpec
from xvirt.policy import check

HERE = Path(__file__).parent
SCHEMAS = Path("/usr/share/libvirt/schemas")
GOLDENS = sorted(HERE.glob("*.yaml"))
DOMAINS = [path for path in GOLDENS if not path.stem.startswith(("network-", "pool-"))]
NETWORKS = [path for path in GOLDENS if path.stem.startswith("network-")]
SCOPE: dict[str | None, str] = {"qemu": "http://libvirt.org/schemas/domain/qemu/1.0"}
ROW_8 = (
    "devices/shmem[@name='shared0']/model[@type='ivshmem-plain']",
    "devices/disk/iotune/total_iops_sec[.='100']",
    "sysinfo/system/entry[@name='product'][.='Rocket']",
    "os/smbios[@mode='sysinfo']",
    "features/hyperv/spinlocks[@retries='8191']",
    "iothreads[.='2']",
    "cpu/numa/cell[@id='1'][@memAccess='shared']",
    "qemu:commandline/qemu:arg[@value='ICH9-LPC.disable_s3=1']",
)
SCHEMA_OF = {"domain": "domain.rng", "network": "network.rng", "pool": "storagepool.rng"}


def by_name(path: Path) -> str:
    return path.stem


@functools.cache
def schema(name: str) -> etree.RelaxNG:
    """libvirt's RNG; it comes with the packages libvirt0 or libvirt-daemon-driver-*, which `./dev test` installs."""
    return etree.RelaxNG(etree.parse(str(SCHEMAS / name)))


def define(connection: libvirt.virConnect, root: etree._Element) -> Any:
    """Define with validation; returns what libvirt made of it."""
    domain = connection.defineXMLFlags(to_text(root), libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    return parse_xml(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))


def undefine(connection: libvirt.virConnect, root: etree._Element) -> None:
    flags = libvirt.VIR_DOMAIN_UNDEFINE_NVRAM | libvirt.VIR_DOMAIN_UNDEFINE_TPM
    connection.lookupByUUIDString(root.findtext("uuid")).undefineFlags(flags)


@pytest.mark.parametrize("path", GOLDENS, ids=by_name)
def test_a_document_becomes_its_golden_xml(path: Path, sample: Any) -> None:
    text = to_text(sample(path).render())
    golden = path.with_suffix(".xml")
    if os.environ.get("XVIRT_WRITE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("path", GOLDENS, ids=by_name)
def test_golden_xml_is_valid_by_libvirts_schema(path: Path) -> None:
    document = etree.parse(str(path.with_suffix(".xml")))
    rules = schema(SCHEMA_OF[document.getroot().tag])
    assert rules.validate(document), rules.error_log.last_error


@pytest.mark.parametrize("path", GOLDENS, ids=by_name)
def test_golden_xml_survives_the_tree(path: Path) -> None:
    root = parse_xml(path.with_suffix(".xml").read_text())
    assert canonical(from_tree(root.tag, to_tree(root))) == canonical(root)


@pytest.mark.parametrize("path", DOMAINS, ids=by_name)
def test_libvirt_keeps_everything_of_a_domain(path: Path, sample: Any, embedded: libvirt.virConnect) -> None:
    intended = sample(path).render("qemu")
    dumped = define(embedded, intended)
    try:
        assert lost(intended, dumped) == []
        assert read_domain(dumped).mark == read_domain(intended).mark
    finally:
        undefine(embedded, intended)


@pytest.mark.parametrize("path", DOMAINS, ids=by_name)
def test_as_many_ports_stay_free_as_are_declared(path: Path, sample: Any, embedded: libvirt.virConnect) -> None:
    loaded = sample(path)
    intended = loaded.render("qemu")
    dumped = define(embedded, intended)
    try:
        assert read_domain(dumped).free_pcie_ports >= loaded.resource.spec.devices.hotplug_ports
    finally:
        undefine(embedded, intended)


def places(root: etree._Element) -> dict[tuple[str, ...], tuple[Any, str]]:
    """Where each device is: PCI address and disk target by tag, alias, type, index and model."""
    found = {}
    for device in root.iterfind("devices/*"):
        alias, target = device.find("alias"), device.find("target")
        name = alias.get("name", "") if alias is not None else ""
        key = (device.tag, name, *(device.get(item, "") for item in ("type", "index", "model")))
        found[key] = (pci_address(device), target.get("dev", "") if target is not None else "")
    return found


@pytest.mark.parametrize("path", DOMAINS, ids=by_name)
def test_a_redefinition_moves_no_device(path: Path, sample: Any, embedded: libvirt.virConnect) -> None:
    first = define(embedded, sample(path).render("qemu"))
    try:
        again = sample(path).render("qemu")
        keep_placement(again, first, None)
        second = define(embedded, again)
        assert places(second) == places(first)
        assert lost(again, second) == []
        assert sorted(canonical(item) for item in second.find("devices")) == sorted(
            canonical(item) for item in first.find("devices")
        )
    finally:
        undefine(embedded, first)


@pytest.mark.parametrize("path", DOMAINS, ids=by_name)
def test_row_10_what_libvirt_made_of_it_is_split_and_given_back(
    path: Path, sample: Any, embedded: libvirt.virConnect
) -> None:
    dumped = define(embedded, sample(path).render("qemu"))
    try:
        if sample(path).resource.spec.cloud_init is not None:
            with pytest.raises(InvalidSpec, match="seed volume"):
                split_domain(dumped)
            return
        split = split_domain(dumped)
        remove_mark(dumped)
        assert canonical(join_domain(split, dumped)) == canonical(dumped)
        assert len(split.spec.nics) == len(dumped.findall("devices/interface"))
    finally:
        undefine(embedded, dumped)


@pytest.mark.parametrize("path", DOMAINS, ids=by_name)
def test_row_61_a_definition_that_is_defined_again_is_no_drift(
    path: Path, sample: Any, embedded: libvirt.virConnect
) -> None:
    first = define(embedded, sample(path).render("qemu"))
    try:
        again = sample(path).render("qemu")
        assert changes_by_hand(first, define(embedded, first)) == ()
        keep_placement(again, first, None)
        assert changes_by_hand(first, define(embedded, again)) == ()
        hand = copy.deepcopy(again)
        etree.SubElement(hand, "title").text = "changed"
        assert changes_by_hand(first, define(embedded, hand)) == ("/domain/title was added",)
    finally:
        undefine(embedded, first)


def test_row_8_what_typed_fields_do_not_know_comes_out_of_libvirt_unchanged(
    sample: Any, embedded: libvirt.virConnect
) -> None:
    loaded = sample(HERE / "everything.yaml")
    dumped = define(embedded, loaded.render("qemu"))
    try:
        for place in ROW_8:
            found = dumped.xpath(place, namespaces={"qemu": "http://libvirt.org/schemas/domain/qemu/1.0"})
            assert found, place
        overlay = loaded.resource.spec.domain
        again = split_domain(dumped)
        assert {"qemu:commandline", "sysinfo", "numatune", "cputune", "memoryBacking"} <= set(again.overlay)
        for name in ("qemu:commandline", "sysinfo", "cputune", "memoryBacking"):
            assert from_tree("x", {"y": again.overlay[name]}, SCOPE) is not None
            assert lost(*(from_tree("x", {"y": tree[name]}, SCOPE) for tree in (overlay, again.overlay))) == []
    finally:
        undefine(embedded, dumped)


@pytest.mark.parametrize(
    "path",
    [path for path in DOMAINS if path.stem not in ("everything", "overlay") and "overlay" not in path.stem],
    ids=by_name,
)
def test_what_typed_fields_make_passes_the_strictest_policy(path: Path, sample: Any) -> None:
    loaded = sample(path)
    assert check(loaded.render(), "restricted", loaded.own) == ()


@pytest.fixture(scope="session")
def simulated() -> Iterator[libvirt.virConnect]:
    """libvirt's test driver: its parsers and formatters without a host."""
    connection = libvirt.open("test:///default")
    yield connection
    connection.close()


@pytest.mark.parametrize("path", NETWORKS, ids=by_name)
def test_libvirt_keeps_everything_of_a_network(path: Path, sample: Any, simulated: libvirt.virConnect) -> None:
    loaded = sample(path)
    intended = loaded.render()
    write_mark(intended, mark_of(loaded.resource))
    network = simulated.networkDefineXML(to_text(intended))
    network.create()
    dumped = parse_xml(network.XMLDesc())
    network.destroy()
    network.undefine()
    assert lost(intended, dumped) == []
    assert read_mark(dumped) == mark_of(loaded.resource)
    assert network_changes(dumped, intended) == NetworkDifference()


@pytest.mark.parametrize("name", ["pool-dir.yaml", "pool-lvm.yaml"])
def test_libvirt_keeps_everything_of_a_pool(name: str, sample: Any, simulated: libvirt.virConnect) -> None:
    intended = sample(HERE / name).render()
    pool = simulated.storagePoolDefineXML(to_text(intended).replace(">default<", ">other<"))
    dumped = parse_xml(pool.XMLDesc().replace(">other<", ">default<"))
    pool.undefine()
    assert lost(intended, dumped) == []
