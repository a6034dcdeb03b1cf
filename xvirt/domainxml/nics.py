"""Network cards."""

from __future__ import annotations

from lxml import etree

from xvirt.domainxml.context import NetworkBacking
from xvirt.domainxml.elements import child
from xvirt.model.identity import device_alias, mac_address
from xvirt.model.meta import Resource
from xvirt.model.virtualmachine import LinkState, Nic


def render_nic(machine: Resource, nic: Nic, backing: NetworkBacking, uid: str) -> etree._Element:
    """The card as it stands in the domain; its MAC is the declared one or derived from (uid, name)."""
    is_network = backing.network is not None
    element = etree.Element("interface", {"type": "network" if is_network else "bridge"})
    child(element, "mac", {"address": nic.mac or mac_address(uid, nic.name)})
    child(element, "source", {"network": backing.network} if is_network else {"bridge": backing.bridge})
    child(element, "model", {"type": nic.model.value})
    child(element, "link", {"state": "up" if nic.link_state is LinkState.UP else "down"})
    if nic.boot_order is not None:
        child(element, "boot", {"order": str(nic.boot_order)})
    child(element, "alias", {"name": device_alias("nic", nic.name)})
    return element
