"""Anti-spoofing: libvirt network filters (https://libvirt.org/formatnwfilter.html) and the cards that must have them.

They are xVirt's own, for libvirt's `clean-traffic` lets no IPv6 through and learns an address that nobody declared. Rules of direction
`out` are for what a guest sends; what it receives is not filtered.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable, Sequence

from lxml import etree

from xvirt.domainxml.context import NetworkBacking
from xvirt.domainxml.elements import alias_of, attribute, child
from xvirt.domainxml.tree import canonical, to_text
from xvirt.model.errors import InvalidSpec, Problem

OWN_MAC = "xvirt-own-mac-1"
"""Frames from the card's own MAC only. The number counts changes of the rules: a filter in use is never redefined."""
OWN_ADDRESSES = "xvirt-own-addresses-1"
"""And only from the addresses that were declared for it."""
_UNSPECIFIED = {"IP": "0.0.0.0", "IPV6": "::"}
_ACCEPT, _DROP = "accept", "drop"


@dataclasses.dataclass(frozen=True)
class _Match:
    """One rule: what it does, and libvirt's protocol element with its attributes (none: every frame)."""

    action: str
    protocol: str = ""
    attributes: tuple[tuple[str, str], ...] = ()


_MAC_RULES = (
    _Match(_DROP, "mac", (("match", "no"), ("srcmacaddr", "$MAC"))),
    # A tag would carry whatever is in the frame past the rules below, and into another VLAN.
    _Match(_DROP, "mac", (("protocolid", "0x8100"),)),
    _Match(_DROP, "mac", (("protocolid", "0x88a8"),)),
    _Match(_DROP, "arp", (("match", "no"), ("arpsrcmacaddr", "$MAC"))),
)
_ADDRESS_RULES = (
    _Match(_ACCEPT, "arp", (("arpsrcipaddr", "$IP"),)),
    _Match(_ACCEPT, "arp", (("arpsrcipaddr", _UNSPECIFIED["IP"]),)),
    _Match(_ACCEPT, "ip", (("srcipaddr", _UNSPECIFIED["IP"]), ("protocol", "udp"), ("dstportstart", "67"))),
    _Match(_ACCEPT, "ip", (("srcipaddr", "$IP"),)),
    _Match(_ACCEPT, "ipv6", (("srcipaddr", "fe80::"), ("srcipmask", "10"))),
    _Match(_ACCEPT, "ipv6", (("srcipaddr", _UNSPECIFIED["IPV6"]), ("protocol", "icmpv6"))),
    _Match(_ACCEPT, "ipv6", (("srcipaddr", "$IPV6"),)),
    # QEMU tells switches where a machine is after a migration.
    _Match(_ACCEPT, "mac", (("protocolid", "rarp"),)),
    _Match(_DROP),
)
_RULES = {OWN_MAC: _MAC_RULES, OWN_ADDRESSES: (*_MAC_RULES, *_ADDRESS_RULES)}
FILTERS = tuple(_RULES)


def render_filter(name: str) -> str:
    """One of FILTERS as libvirt's XML."""
    root = etree.Element("filter", {"name": name, "chain": "root"})
    for number, rule in enumerate(_RULES[name]):
        attributes: dict[str, str | None] = {"action": rule.action, "direction": "out", "priority": str(100 + number)}
        element = child(root, "rule", attributes)
        if rule.protocol:
            child(element, rule.protocol, dict(rule.attributes))
    return to_text(root)


def add_filter(interface: etree._Element, addresses: Sequence[str]) -> None:
    """Guard a card; `addresses` are those that its guest may use, none where they are not known."""
    if not addresses:
        child(interface, "filterref", {"filter": OWN_MAC})
        return
    element = child(interface, "filterref", {"filter": OWN_ADDRESSES})
    parsed = sorted({ipaddress.ip_address(text) for text in addresses}, key=lambda item: (item.version, int(item)))
    for version, name in ((4, "IP"), (6, "IPV6")):
        # libvirt starts no card whose filter names a variable that it has no value for.
        values = [str(item) for item in parsed if item.version == version] or [_UNSPECIFIED[name]]
        for value in values:
            child(element, "parameter", {"name": name, "value": value})


def filter_of(interface: etree._Element) -> bytes:
    """A card's filter with its parameters; empty where it has none."""
    found = interface.find("filterref")
    return canonical(found) if found is not None else b""


def filters_of(root: etree._Element) -> dict[str, bytes]:
    """`filter_of` each declared card by alias, before an overlay is laid over it."""
    return {alias_of(item): filter_of(item) for item in root.iterfind("devices/interface")}


def check_guarded(root: etree._Element, before: dict[str, bytes], backings: Iterable[NetworkBacking]) -> None:
    """Raises InvalidSpec where an overlay took a filter away, changed it, or added a card beside it on a network that has one."""
    guarded = {item.network or item.bridge for item in backings if item.is_guarded}
    for interface in root.iterfind("devices/interface"):
        source = attribute(interface, "source", "network") or attribute(interface, "source", "bridge")
        if source in guarded and filter_of(interface) != before.get(alias_of(interface)):
            message = f"an interface on {source} would go without the network's antiSpoofing filter"
            remedy = "declare it in spec.nics and leave its filterref alone"
            raise InvalidSpec([Problem("spec.domain.devices.interface", message, remedy)], reason="OverlayConflict")
