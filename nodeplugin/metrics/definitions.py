"""What a domain's definition adds to its statistics; read once, and again after an event that says it changed."""

from __future__ import annotations

import dataclasses
import threading

from lxml import etree

from nodeplugin.hypervisor.port import EventKind, Hypervisor, HypervisorEvent, XmlView
from nodeplugin.metrics.names import LIMITS
from xvirt.domainxml.tree import parse_xml
from xvirt.model.errors import XvirtError

_OF_ALL = frozenset({EventKind.CONNECTED, EventKind.DISCONNECTED})
_OF_NONE = frozenset({EventKind.NETWORK, EventKind.POOL})


@dataclasses.dataclass(frozen=True)
class DiskMeta:
    """Labels of one disk (`BLOCK_META` from target_device on), and its I/O limits by series suffix."""

    labels: tuple[str, ...]
    limits: tuple[tuple[str, float], ...]


@dataclasses.dataclass(frozen=True)
class DomainMeta:
    """Disks by target; of NICs by host device: (source_bridge, target_device, virtual_interface)."""

    disks: tuple[DiskMeta, ...] = ()
    nics: tuple[tuple[str, str, str], ...] = ()


class Definitions:
    """Meta of all domains."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor
        self._lock = threading.Lock()
        self._known: dict[str, DomainMeta] = {}
        hypervisor.subscribe(self._on_event)

    def meta(self, uuid: str) -> DomainMeta:
        """A domain's meta; empty where its definition cannot be had now."""
        with self._lock:
            known = self._known.get(uuid)
        if known is not None:
            return known
        try:
            known = read_meta(parse_xml(self._hypervisor.domain_xml(uuid, XmlView.CURRENT)))
        except XvirtError:
            return DomainMeta()
        with self._lock:
            self._known[uuid] = known
        return known

    def keep(self, uuids: set[str]) -> None:
        """Forget domains that are gone."""
        with self._lock:
            self._known = {uuid: meta for uuid, meta in self._known.items() if uuid in uuids}

    def _on_event(self, event: HypervisorEvent) -> None:
        with self._lock:
            if event.kind in _OF_ALL:
                self._known.clear()
            elif event.kind not in _OF_NONE:
                self._known.pop(event.subject, None)


def read_meta(root: etree._Element) -> DomainMeta:
    """Meta of a definition. Nothing in here fails: it may be anybody's domain."""
    return DomainMeta(
        disks=tuple(_disk(element) for element in root.iterfind("devices/disk")),
        nics=tuple(_nic(element) for element in root.iterfind("devices/interface")),
    )


def _disk(element: etree._Element) -> DiskMeta:
    sources = ("file", "dev", "name", "volume", "dir")
    source = next((value for name in sources if (value := _get(element, "source", name))), "")
    labels = (
        _get(element, "target", "dev"),
        source,
        (element.findtext("serial") or "").strip(),
        _get(element, "target", "bus"),
        element.get("device", "disk"),
        *(_get(element, "driver", name) for name in ("type", "cache", "discard")),
    )
    limits = []
    for name, suffix in LIMITS.items():
        text = (element.findtext(f"iotune/{name}") or "").strip()
        if text.isdigit():
            limits.append((suffix, float(text)))
    return DiskMeta(labels, tuple(limits))


def _nic(element: etree._Element) -> tuple[str, str, str]:
    port = element.find("virtualport/parameters")
    interface = port.get("interfaceid", "") if port is not None else ""
    return _get(element, "source", "bridge"), _get(element, "target", "dev"), interface


def _get(element: etree._Element, child: str, name: str) -> str:
    found = element.find(child)
    return found.get(name, "") if found is not None else ""
