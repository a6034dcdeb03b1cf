"""`python -m tools.corpus.shapes`: propose the table of `xvirt/domainxml/shapes.py` from libvirt's schemas and documents.

Which children an element may have, and which of them more than once, is read from the installed RELAX NG documents; in which order
libvirt writes them, from what its test driver makes of its own test documents, then from those documents. The table that is
committed is part of the trees' format: take over what this proposes for new names, never another order of known ones.
"""

from __future__ import annotations

import copy
import itertools
import statistics
import sys
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import libvirt
from lxml import etree

from tools.corpus.documents import documents
from xvirt.domainxml.schema import FILES, read_schema, walk

SCHEMAS = Path("/usr/share/libvirt/schemas")
_FORMATTED_WEIGHT = 100
_NEWER = {"devices": ("crypto*", "watchdog*", "iommu*"), "acpi": ("table*",)}
"""Repeatable in a libvirt that is newer than the schemas at hand."""
_ONCE = {
    *(
        (device, "source")
        for device in ("serial", "parallel", "console", "channel", "redirdev", "smartcard", "backend")
    ),
    ("source", "name"),
}
"""Two of them stand in a rare form only (a UDP character device's two ends); a list for every serial port would serve nobody."""
_EXTENSIONS = {
    "qemu:commandline": ("qemu:arg*", "qemu:env*"),
    "qemu:capabilities": ("qemu:add*", "qemu:del*"),
    "qemu:override": ("qemu:device*",),
    "qemu:frontend": ("qemu:property*",),
    "dnsmasq:options": ("dnsmasq:option*",),
    "fs:mount_opts": ("fs:option*",),
    "rbd:config_opts": ("rbd:option*",),
}


_STATED = {
    "domain": "name uuid genid title description metadata maxMemory memory currentMemory blkiotune memtune memoryBacking vcpu "
    "vcpus iothreads iothreadids defaultiothread cputune numatune resource sysinfo bootloader bootloader_args os idmap features "
    "cpu clock on_poweroff on_reboot on_crash on_lockfailure pm perf devices seclabel keywrap launchSecurity",
    "devices": "emulator disk controller lease filesystem interface smartcard serial parallel console channel input tpm graphics "
    "sound audio video hostdev redirdev redirfilter hub watchdog memballoon rng nvram panic shmem memory crypto iommu vsock",
    "disk": "driver auth source backingStore backenddomain geometry blockio mirror target iotune readonly shareable transient "
    "serial wwn vendor product encryption boot alias acpi address",
    "interface": "mac source ip route vlan virtualport portForward bandwidth script downscript backenddomain target guest model "
    "driver backend filterref tune link mtu coalesce teaming boot alias rom acpi address",
    "controller": "driver model target master alias acpi address",
    "hostdev": "driver source readonly shareable teaming boot alias rom acpi address",
    "features": "acpi apic pae hap viridian privnet hyperv kvm xen pvspinlock capabilities pmu vmport gic smm ioapic hpt "
    "vmcoreinfo htm nested-hv msrs ccf-assist cfpc sbbc ibs tcg",
    "os": "type firmware init initarg initenv initdir inituser initgroup loader nvram kernel initrd cmdline dtb root acpi boot "
    "bootmenu smbios bios",
    "cpu": "arch model vendor microcode signature counter topology cache maxphysaddr feature numa",
    "graphics": "listen channel image jpeg zlib playback streaming mouse clipboard filetransfer gl audio",
    **dict.fromkeys(("serial", "parallel", "console", "channel"), "source log protocol target alias acpi address"),
}
"""What libvirt writes in this order and its test driver does not show together."""
_STATED["inactiveDomain"] = _STATED["domain"]
_ANY_DEVICE = "driver boot alias rom acpi address"
_STATED_WEIGHT = 1_000_000


class Order:
    """What was seen of one parent's children."""

    def __init__(self) -> None:
        self.before: dict[tuple[str, str], int] = defaultdict(int)
        """(earlier, later) -> weight of the elements in which they stand so."""
        self.places: dict[str, list[float]] = defaultdict(list)
        """Where among all children each stood, 0 the first and 1 the last."""

    def add(self, names: list[str], weight: int) -> None:
        """Take in the children of one element."""
        found: dict[str, list[int]] = defaultdict(list)
        for place, name in enumerate(names):
            found[name].append(place)
        for earlier, first in found.items():
            self.places[earlier].append(first[0] / len(names))
            for later, second in found.items():
                if first[-1] < second[0]:
                    self.before[earlier, later] += weight

    def contradicted(self, name: str, others: Iterable[str]) -> tuple[int, float, str]:
        """How much speaks against a name before all the others; its usual place decides between equals."""
        pairs = ((other.rstrip("*"), name.rstrip("*")) for other in others)
        against = sum(max(0, self.before.get((a, b), 0) - self.before.get((b, a), 0)) for a, b in pairs)
        return against, statistics.fmean(self.places.get(name.rstrip("*"), [1.0])), name


def known_children() -> dict[str, set[str]]:
    """Parent -> children by the schemas, those that may be repeated with `*` at their end."""
    parsed = {path.name: etree.parse(path).getroot() for path in SCHEMAS.glob("*.rng")}
    names: dict[str, set[str]] = defaultdict(set)
    repeated: set[tuple[str, str]] = set()
    for kind in FILES:
        for path in walk(read_schema(parsed, kind)):
            for child in path[-1].children:
                if not child.namespace:
                    names[path[-1].name].add(child.name)
                    if child.is_repeatable:
                        repeated.add((path[-1].name, child.name))
    for parent, extra in _NEWER.items():
        names[parent].update(name.rstrip("*") for name in extra)
        repeated.update((parent, name.rstrip("*")) for name in extra)
    repeated -= _ONCE
    return {
        parent: {f"{name}*" if (parent, name) in repeated else name for name in found}
        for parent, found in names.items()
    }


def observed_order(files: Iterable[Path]) -> dict[str, Order]:
    """Parent -> how its children stood, in the documents and in what libvirt made of them."""
    seen: dict[str, Order] = defaultdict(Order)
    connection = libvirt.open("test:///default")
    for file in files:
        try:
            root = etree.fromstring(file.read_bytes())
        except etree.XMLSyntaxError:
            continue
        for document, weight in ((root, 1), (formatted(connection, root), _FORMATTED_WEIGHT)):
            for element in document.iter(etree.Element) if document is not None else ():
                seen[str(element.tag)].add([str(child.tag) for child in element.iterchildren(etree.Element)], weight)
    return seen


def formatted(connection: libvirt.virConnect, root: etree._Element) -> etree._Element | None:
    """A document as libvirt writes it; None for what its test driver does not take."""
    define = {
        "domain": connection.defineXML,
        "network": connection.networkDefineXML,
        "pool": connection.storagePoolDefineXML,
        "interface": connection.interfaceDefineXML,
    }.get(str(root.tag))
    copied = copy.deepcopy(root)
    for name in copied.iterfind("name"):  # the driver has a domain called test, and a network
        name.text = "tested"
    for uuid in copied.findall("uuid"):
        copied.remove(uuid)
    if root.tag == "domain":
        copied.set("type", "test")
        for kind in copied.iterfind("os/type"):
            kind.attrib.clear()
            kind.text = "hvm"
    if define is None:
        return None
    try:
        made = define(etree.tostring(copied, encoding="unicode"))
        text = made.XMLDesc(0)
        made.undefine()
    except libvirt.libvirtError:
        return None
    return etree.fromstring(text)


def arranged(names: set[str], order: Order, stated: Sequence[str] = ()) -> list[str]:
    """The names in the order that contradicts least of what was seen; what was never seen comes last, by name."""
    for earlier, later in itertools.combinations(stated, 2):
        order.before[earlier, later] += _STATED_WEIGHT
    left = sorted(name for name in names if name.rstrip("*") in {*order.places, *stated})
    found: list[str] = []
    while left:
        best = min(left, key=lambda name: order.contradicted(name, left))
        left.remove(best)
        found.append(best)
    return found + sorted(names - set(found))


def table() -> dict[str, str]:
    """Parent -> children in order; parents with one child that stands once are left out, as nothing is to be known of it."""
    order = observed_order(documents())
    known = {**known_children(), **{parent: set(names) for parent, names in _EXTENSIONS.items()}}
    lines = {
        parent: " ".join(arranged(names, order.get(parent, Order()), _stated(parent, names)))
        for parent, names in known.items()
    }
    return {parent: line for parent, line in sorted(lines.items()) if " " in line or "*" in line}


def _stated(parent: str, names: set[str]) -> list[str]:
    return _STATED.get(parent, _ANY_DEVICE if {"alias", "address"} <= names else "").split()


def main() -> int:
    """Print the table as it is written there."""
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    for parent, line in table().items():
        print(textwrap.fill(f"{parent}: {line}", 118, subsequent_indent="  ", break_on_hyphens=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
