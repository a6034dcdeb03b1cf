"""Networks of libvirt's as a VirtualNetwork's fields and an overlay, and back."""

from __future__ import annotations

import copy
import dataclasses
import functools
import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from lxml import etree

from xvirt.domainxml.difference import difference
from xvirt.domainxml.elements import attribute, integer, text_of
from xvirt.domainxml.kept import keep_bare, spell_alike
from xvirt.domainxml.network import render_network
from xvirt.domainxml.overlay import lay_over
from xvirt.domainxml.owned import owned_of_network
from xvirt.domainxml.split.layout import bare_copy, is_given_back
from xvirt.domainxml.split.sound import is_sound
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.meta import ObjectMeta, Resource
from xvirt.model.virtualnetwork import (
    Dhcp,
    DhcpHost,
    DhcpRange,
    Dns,
    DnsForwarder,
    DnsHost,
    DnsService,
    DnsText,
    NetworkMode,
    Route,
    Subnet,
    Transport,
    VirtualNetworkSpec,
)

_MODES = {"nat": NetworkMode.NAT, "route": NetworkMode.ROUTED}
_KEPT = ("name", "uuid", "bridge", "mac")


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkSplit:
    """A network as it would be declared. `spec.network` is the overlay; `identity` holds the elements that a node gives itself."""

    spec: VirtualNetworkSpec
    identity: etree._Element

    @property
    def overlay(self) -> Mapping[str, Any]:
        """What no typed field says; empty where all is typed."""
        return self.spec.network or {}


def split_network(root: etree._Element) -> NetworkSplit:
    """The smallest typed spec of a network, with an overlay for the rest. Raises InvalidSpec for what is no network."""
    if root.tag != "network":
        raise InvalidSpec([Problem("", f"<{root.tag}> is no network", "give the XML of a network")])
    network = bare_copy(root)
    identity = etree.Element("network")
    identity.extend(copy.deepcopy([item for item in network if item.tag in _KEPT]))
    said = copy.deepcopy(network)
    for bridge in said.findall("bridge"):
        bridge.set("stp", bridge.get("stp", "on"))
    for spec in _candidates(network):
        base = _render(spec, identity)
        spell_alike(base, network)
        tree = difference(base, said)
        split = NetworkSplit(spec=dataclasses.replace(spec, network=tree or None), identity=identity)
        if is_sound(split.spec) and is_given_back(functools.partial(join_network, split, network), network):
            return split
    raise InvalidSpec([Problem("network", "cannot be put together again as it is")], reason="NotReversible")


def join_network(split: NetworkSplit, kept: etree._Element | None = None) -> etree._Element:
    """The definition that a split stands for; spellings and order are taken from `kept`."""
    root = _render(split.spec, split.identity)
    if split.overlay:
        lay_over(root, split.overlay, "spec.network", owned_of_network(root))
    if kept is not None:
        keep_bare(root, kept)
    return root


def _render(spec: VirtualNetworkSpec, identity: etree._Element) -> etree._Element:
    plain = Resource("VirtualNetwork", ObjectMeta(name="x"), dataclasses.replace(spec, network=None))
    root = render_network(plain, "", None)
    for tag in _KEPT:
        own, theirs = root.find(tag), identity.find(tag)
        if own is not None and theirs is not None:
            own.text = theirs.text
            for key in ("name", "address"):
                if theirs.get(key) is not None:
                    own.set(key, theirs.get(key, ""))
        elif own is not None:
            root.remove(own)
    return root


def _candidates(network: etree._Element) -> Iterable[VirtualNetworkSpec]:
    """From all that can be read to nothing but the mode, to nothing at all."""
    forward = network.find("forward")
    mode = _MODES.get(forward.get("mode", "nat")) if forward is not None else NetworkMode.ISOLATED
    subnets = tuple(_subnet(item) for item in network.iterfind("ip"))
    if mode is not None and None not in subnets:
        whole = VirtualNetworkSpec(
            mode=mode,
            subnets=tuple(item for item in subnets if item is not None),
            dns=_dns(network),
            routes=tuple(route for item in network.iterfind("route") if (route := _route(item)) is not None),
            domain_name=attribute(network, "domain", "name") or None,
            mtu=integer(attribute(network, "mtu", "size"), 0) or None,
        )
        yield whole
        yield dataclasses.replace(whole, dns=None)
        yield dataclasses.replace(whole, dns=None, routes=())
        yield VirtualNetworkSpec(mode=mode, subnets=whole.subnets)
    yield VirtualNetworkSpec(mode=NetworkMode.ISOLATED)


def _subnet(element: etree._Element) -> Subnet | None:
    suffix = element.get("prefix") or element.get("netmask")
    try:
        interface = ipaddress.ip_interface(f"{element.get('address', '')}/{suffix}")
    except ValueError:
        return None
    dhcp = element.find("dhcp")
    hosts = [_dhcp_host(item) for item in dhcp.iterfind("host")] if dhcp is not None else []
    ranges = [_range(item) for item in dhcp.iterfind("range")] if dhcp is not None else []
    is_typed = dhcp is not None and None not in hosts and interface.version == 4
    declared = Dhcp(ranges=tuple(ranges), hosts=tuple(host for host in hosts if host)) if is_typed or ranges else None
    subnet = Subnet(address=f"{interface.ip}/{interface.network.prefixlen}", dhcp=declared)
    return subnet if is_sound(subnet) else None


def _range(element: etree._Element) -> DhcpRange:
    return DhcpRange(start=element.get("start", ""), end=element.get("end", ""))


def _dhcp_host(element: etree._Element) -> DhcpHost | None:
    host = DhcpHost(mac=element.get("mac", "").lower(), ip=element.get("ip", ""), name=element.get("name"))
    return host if is_sound(host) else None


def _route(element: etree._Element) -> Route | None:
    suffix = element.get("prefix") or element.get("netmask")
    metric = integer(element.get("metric", ""), 0) or None
    route = Route(
        destination=f"{element.get('address', '')}/{suffix}", gateway=element.get("gateway", ""), metric=metric
    )
    return route if is_sound(route) else None


def _dns(network: etree._Element) -> Dns | None:
    found = network.find("dns")
    if found is None:
        return None
    names = {item.get("ip", ""): tuple(text_of(name, ".") for name in item) for item in found.iterfind("host")}
    dns = Dns(
        hosts=tuple(DnsHost(ip=ip, hostnames=hostnames) for ip, hostnames in names.items()),
        texts=tuple(DnsText(name=item.get("name", ""), value=item.get("value", "")) for item in found.iterfind("txt")),
        services=tuple(_service(item) for item in found.iterfind("srv") if item.get("protocol") in ("tcp", "udp")),
        forwarders=tuple(
            DnsForwarder(address=item.get("addr", ""), domain=item.get("domain"))
            for item in found.iterfind("forwarder")
            if item.get("addr")
        ),
    )
    return dns if is_sound(dns) else None


def _service(element: etree._Element) -> DnsService:
    return DnsService(
        service=element.get("service", ""),
        protocol=Transport(element.get("protocol", "tcp")),
        domain=element.get("domain"),
        target=element.get("target", ""),
        port=integer(element.get("port", ""), 0),
        priority=integer(element.get("priority", ""), 0),
        weight=integer(element.get("weight", ""), 0),
    )
