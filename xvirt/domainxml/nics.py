"""Network cards."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from lxml import etree

from xvirt.domainxml.context import NetworkBacking
from xvirt.domainxml.elements import attribute, child, integer
from xvirt.domainxml.filters import add_filter, filter_of
from xvirt.model.identity import device_alias, mac_address
from xvirt.model.machine.nic import LinkState, Nic, NicBandwidth, TrafficLimit
from xvirt.model.meta import Resource

_LIMIT_ATTRIBUTES = ("average", "peak", "burst")
_DIRECTIONS = ("inbound", "outbound")


def backing_of(nic: Nic, networks: Mapping[str, NetworkBacking]) -> NetworkBacking | None:
    """What a card is plugged into; None where its VirtualNetwork is not among the resolved ones."""
    if nic.bridge is not None:
        return NetworkBacking(bridge=nic.bridge)
    if nic.libvirt_network is not None:
        return NetworkBacking(network=nic.libvirt_network)
    return networks.get(nic.network or "")


def render_nic(machine: Resource, nic: Nic, backing: NetworkBacking, uid: str) -> etree._Element:
    """The card as it stands in the domain; its MAC is the declared one or derived from (uid, name)."""
    is_network = backing.network is not None
    element = etree.Element("interface", {"type": "network" if is_network else "bridge"})
    child(element, "mac", {"address": nic.mac or mac_address(uid, nic.name)})
    child(element, "source", {"network": backing.network} if is_network else {"bridge": backing.bridge})
    if backing.vlan is not None:
        child(child(element, "vlan"), "tag", {"id": str(backing.vlan)})
    if nic.bandwidth is not None:
        _add_bandwidth(element, nic.bandwidth)
    child(element, "model", {"type": nic.model.value})
    if nic.queues is not None:
        child(element, "driver", {"queues": str(nic.queues)})
    if nic.mtu is not None:
        child(element, "mtu", {"size": str(nic.mtu)})
    if backing.is_guarded:
        mac = attribute(element, "mac", "address").lower()
        add_filter(element, (*nic.addresses, *backing.leases.get(mac, ())))
    if nic.link_state is LinkState.DOWN or not nic.adopted:
        child(element, "link", {"state": "up" if nic.link_state is LinkState.UP else "down"})
    if nic.boot_order is not None:
        child(element, "boot", {"order": str(nic.boot_order)})
    child(element, "alias", {"name": device_alias("nic", nic.name)})
    return element


def _add_bandwidth(element: etree._Element, declared: NicBandwidth) -> None:
    limits = {"inbound": declared.inbound, "outbound": declared.outbound}
    if not any(limits.values()):
        return
    bandwidth = child(element, "bandwidth")
    for direction, limit in limits.items():
        if limit is not None:
            _add_limit(bandwidth, direction, limit)


def _add_limit(bandwidth: etree._Element, direction: str, limit: TrafficLimit) -> None:
    """libvirt hands a rate to tc as `kbps`, which are 1000 bytes per second (tc(8)), and a burst as `kb`, which are 1024 bytes."""
    values = {
        "average": str(-(-limit.average // 1000)),
        "peak": None if limit.peak is None else str(-(-limit.peak // 1000)),
        "burst": None if limit.burst is None else str(-(-limit.burst // 1024)),
    }
    child(bandwidth, direction, values)


# what changed


def changed_nic(live: etree._Element, wanted: etree._Element) -> etree._Element | None:
    """What to hand to libvirt so that a running card becomes the wanted one as far as it can without being unplugged; None where
    nothing is to be done.

    All that only a restart can change stays as it runs: libvirt refuses an update that asks for it, and what else is in it.
    """
    different = [tag for tag, read in _LIVE_PARTS.items() if read(live) != read(wanted)]
    if not different:
        return None
    changed = copy.deepcopy(live)
    # libvirt makes a new port of the network for the update, so even a source that stays is given without its old one.
    for tag in {"source", *different}:
        _replace(changed, wanted, tag)
    changed.set("type", wanted.get("type", ""))
    return changed


def has_other_vlan(live: etree._Element, wanted: etree._Element) -> bool:
    """Whether the cards are in different VLANs, which libvirt changes at a start only."""
    return _tags_of(live) != _tags_of(wanted)


def _tags_of(element: etree._Element) -> list[str | None]:
    return [tag.get("id") for tag in element.iterfind("vlan/tag")]


def plugged_again(live: etree._Element, wanted: etree._Element) -> tuple[etree._Element, etree._Element]:
    """Two updates in a row that put the tap of a running card back into its network's bridge.

    libvirt moves a tap only where the source differs, so the card is plugged into the bridge by name first, and then into the network
    again, which gives it a port there.
    """
    again = changed_nic(live, wanted)
    if again is None:
        again = copy.deepcopy(live)
        _replace(again, wanted, "source")
    by_name = copy.deepcopy(again)
    by_name.set("type", "bridge")
    for old in by_name.findall("source"):
        by_name.remove(old)
    child(by_name, "source", {"bridge": attribute(live, "source", "bridge")})
    return by_name, again


def _replace(changed: etree._Element, wanted: etree._Element, tag: str) -> None:
    for old in changed.findall(tag):
        changed.remove(old)
    changed.extend(copy.deepcopy(wanted.findall(tag)))


def _source_of(element: etree._Element) -> tuple[str, str, str]:
    """A running card on a libvirt network shows that network's bridge, too."""
    network, portgroup = attribute(element, "source", "network"), attribute(element, "source", "portgroup")
    return (network, portgroup, "" if network else attribute(element, "source", "bridge"))


def _bandwidth_of(element: etree._Element) -> tuple[int, ...]:
    """Zero where nothing is said, which is what libvirt makes of it."""
    paths = [(f"bandwidth/{direction}", name) for direction in _DIRECTIONS for name in _LIMIT_ATTRIBUTES]
    return tuple(integer(attribute(element, path, name)) for path, name in paths)


def _is_up(element: etree._Element) -> bool:
    return attribute(element, "link", "state") != "down"


_LIVE_PARTS = {"source": _source_of, "bandwidth": _bandwidth_of, "link": _is_up, "filterref": filter_of}
