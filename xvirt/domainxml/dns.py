"""DNS of a libvirt network (https://libvirt.org/formatnetwork.html#addressing), and what of a change libvirt makes in place."""

from __future__ import annotations

from collections.abc import Iterable

from lxml import etree

from xvirt.domainxml.elements import child, integer
from xvirt.model.virtualnetwork import Dns, DnsService

Change = tuple[str, etree._Element]
"""Command (`add`, `delete`; libvirt modifies none of these) and the element."""


def render_dns(declared: Dns) -> etree._Element:
    """The `<dns>` element."""
    root = etree.Element("dns")
    for forwarder in declared.forwarders:
        child(root, "forwarder", {"domain": forwarder.domain, "addr": forwarder.address})
    for text in declared.texts:
        child(root, "txt", {"name": text.name, "value": text.value})
    for host in declared.hosts:
        element = child(root, "host", {"ip": host.ip})
        for hostname in host.hostnames:
            child(element, "hostname", text=hostname)
    for service in declared.services:
        _add_service(root, service)
    return root


def _add_service(root: etree._Element, service: DnsService) -> None:
    attributes = {
        "service": service.service,
        "protocol": service.protocol.value,
        "domain": service.domain,
        "target": service.target,
        "port": str(service.port),
        "priority": str(service.priority) if service.priority else None,
        "weight": str(service.weight) if service.weight else None,
    }
    child(root, "srv", attributes)


def forwarders_of(network: etree._Element) -> list[tuple[str, str]]:
    """(domain, address) in order."""
    return [(item.get("domain", ""), item.get("addr", "")) for item in network.iterfind("dns/forwarder")]


def host_changes(live: etree._Element, wanted: etree._Element) -> list[Change]:
    """Names of addresses. An entry is deleted by its address alone: by a name libvirt would find all entries that have it, and refuse."""
    changes = _changes(_by_key(live.iterfind("dns/host")), _by_key(wanted.iterfind("dns/host")))
    return [(command, _bare(item) if command == "delete" else item) for command, item in changes]


def _bare(host: etree._Element) -> etree._Element:
    return etree.Element("host", {"ip": host.get("ip", "")})


def record_changes(live: etree._Element, wanted: etree._Element, tag: str) -> list[Change]:
    """TXT (`txt`) or SRV (`srv`) records."""
    return _changes(_by_key(live.iterfind(f"dns/{tag}")), _by_key(wanted.iterfind(f"dns/{tag}")))


_Key = tuple[tuple[str, ...], frozenset[str]]


def _changes(before: dict[_Key, etree._Element], after: dict[_Key, etree._Element]) -> list[Change]:
    gone = [("delete", item) for key, item in before.items() if key not in after]
    return gone + [("add", item) for key, item in after.items() if key not in before]


def _by_key(elements: Iterable[etree._Element]) -> dict[_Key, etree._Element]:
    return {_key(element): element for element in elements}


def _key(element: etree._Element) -> _Key:
    names = ("ip", "name", "value", "service", "protocol", "domain", "target")
    numbers = (str(integer(element.get(name, "0"))) for name in ("port", "priority", "weight"))
    hostnames = frozenset((item.text or "").strip() for item in element.iterfind("hostname"))
    return (*(element.get(name, "") for name in names), *numbers), hostnames
