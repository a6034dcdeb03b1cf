"""Which places of a rendered domain a typed field speaks for: `spec.domain` may add to them, never contradict them.

A place is a path below the domain, `@name` for an attribute, a bare path for an element's presence and text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lxml import etree

from xvirt.domainxml.elements import alias_of
from xvirt.domainxml.iotune import GROUP, NUMBERS

_DOMAIN = {
    "@type": "the node's accelerator",
    "name": "metadata.name",
    "uuid": "metadata.uid",
    "memory": "spec.memory",
    "memory/@unit": "spec.memory",
    "currentMemory": "spec.memory",
    "currentMemory/@unit": "spec.memory",
    "maxMemory": "spec.memory.max",
    "maxMemory/@unit": "spec.memory.max",
    "maxMemory/@slots": "spec.memory.max",
    "vcpu": "spec.cpu",
    "vcpu/@current": "spec.cpu.cores",
    "iothreads": "spec.ioThreads",
    "os/@firmware": "spec.firmware.type",
    "os/type": "spec.machine",
    "os/type/@arch": "spec.machine",
    "os/type/@machine": "spec.machine",
    "os/firmware/feature/@enabled": "spec.firmware.secureBoot",
    "os/firmware/feature/@name": "spec.firmware.secureBoot",
    "features/smm/@state": "spec.firmware.secureBoot",
    "cpu/@mode": "spec.cpu.model",
    "cpu/@match": "spec.cpu.model",
    "cpu/model": "spec.cpu.model",
    "cpu/topology/@sockets": "spec.cpu.topology",
    "cpu/topology/@cores": "spec.cpu.topology",
    "cpu/topology/@threads": "spec.cpu.topology",
    "cpu/feature/@name": "spec.cpu.features",
    "cpu/feature/@policy": "spec.cpu.features",
    "cpu/numa/cell/@id": "spec.memory.max",
    "cpu/numa/cell/@cpus": "spec.memory.max",
    "cpu/numa/cell/@memory": "spec.memory.max",
    "cpu/numa/cell/@unit": "spec.memory.max",
    "devices/rng": "spec.devices.rng",
    "devices/tpm": "spec.devices.tpm",
    "devices/tpm/backend/@type": "spec.devices.tpm",
    "devices/tpm/backend/@version": "spec.devices.tpm",
    "devices/graphics": "spec.devices.graphics",
    "devices/graphics/@type": "spec.devices.graphics",
    "devices/graphics/listen/@type": "spec.devices.graphics",
    "devices/watchdog": "spec.devices.watchdog",
    "devices/watchdog/@action": "spec.devices.watchdog",
    "devices/channel": "spec.devices.guestAgent",
    "devices/channel/target/@name": "spec.devices.guestAgent",
    "devices/memory": "spec.memory.max",
    "devices/memory/@model": "spec.memory.hotplug",
    "devices/memory/alias/@name": "spec.memory",
    "devices/memory/target/size": "spec.memory.max",
    "devices/memory/target/requested": "spec.memory.size",
}

_DISK = {
    "": "",
    "@type": "source",
    "@device": "device",
    "driver/@type": "format",
    "driver/@cache": "cache",
    "driver/@discard": "discard",
    "driver/@io": "io",
    "driver/@detect_zeroes": "detectZeroes",
    "driver/@error_policy": "errorPolicy",
    "driver/@queues": "queues",
    "driver/@iothread": "ioThread",
    "source": "source",
    "source/@file": "source",
    "target/@dev": "name",
    "target/@bus": "bus",
    **{f"iotune/{name}": "ioLimits" for name in (*NUMBERS, GROUP)},
    "readonly": "readOnly",
    "serial": "serial",
    "boot/@order": "bootOrder",
    "alias/@name": "name",
}

_NIC = {
    "": "",
    "@type": "network",
    "mac/@address": "mac",
    "source": "network",
    "source/@network": "network",
    "source/@bridge": "network",
    "model/@type": "model",
    "link/@state": "linkState",
    "driver/@queues": "queues",
    "mtu/@size": "mtu",
    "bandwidth/inbound/@average": "bandwidth",
    "bandwidth/inbound/@peak": "bandwidth",
    "bandwidth/inbound/@burst": "bandwidth",
    "bandwidth/outbound/@average": "bandwidth",
    "bandwidth/outbound/@peak": "bandwidth",
    "bandwidth/outbound/@burst": "bandwidth",
    "vlan": "network",
    "vlan/tag": "network",
    "vlan/tag/@id": "network",
    "filterref": "network",
    "filterref/@filter": "network",
    "boot/@order": "bootOrder",
    "alias/@name": "name",
}

_DEVICES = (("disk", "ua-disk-", "spec.disks", _DISK), ("interface", "ua-nic-", "spec.nics", _NIC))
_SEED_ALIAS = "ua-seed"


Owned = Mapping[tuple[etree._Element, str], str]

_NETWORK = {
    "name": "metadata.name",
    "uuid": "metadata.uid",
    "forward": "spec.mode",
    "forward/@mode": "spec.mode",
    "forward/nat/@ipv6": "spec.subnets",
    "bridge": "spec.mode",
    "bridge/@name": "the node",
    "mtu/@size": "spec.mtu",
    "mac/@address": "metadata.uid",
    "domain/@name": "spec.domainName",
    "dns": "spec.dns",
    "dns/forwarder": "spec.dns.forwarders",
    "dns/forwarder/@addr": "spec.dns.forwarders",
    "dns/host": "spec.dns.hosts",
    "dns/host/@ip": "spec.dns.hosts",
    "dns/host/hostname": "spec.dns.hosts",
    "dns/txt": "spec.dns.texts",
    "dns/txt/@value": "spec.dns.texts",
    "dns/srv": "spec.dns.services",
    "ip": "spec.subnets",
    "ip/@address": "spec.subnets",
    "ip/@prefix": "spec.subnets",
    "ip/@family": "spec.subnets",
    "ip/dhcp": "spec.subnets",
    "ip/dhcp/range": "spec.subnets",
    "ip/dhcp/range/@start": "spec.subnets",
    "ip/dhcp/range/@end": "spec.subnets",
    "ip/dhcp/host": "spec.subnets",
    "ip/dhcp/host/@ip": "spec.subnets",
    "ip/dhcp/host/@name": "spec.subnets",
    "route": "spec.routes",
    "route/@address": "spec.routes",
    "route/@prefix": "spec.routes",
    "route/@gateway": "spec.routes",
    "route/@metric": "spec.routes",
}

_POOL = {
    "@type": "spec.type",
    "name": "metadata.name",
    "uuid": "metadata.uid",
    "source": "spec.volumeGroup",
    "source/name": "spec.volumeGroup",
    "source/format": "spec.volumeGroup",
    "source/format/@type": "spec.volumeGroup",
    "target": "spec.path",
    "target/path": "spec.path",
}


def owned_of_network(root: etree._Element) -> Owned:
    """As `owned_places`, of a rendered network."""
    return dict(_places(root, _NETWORK))


def owned_of_pool(root: etree._Element) -> Owned:
    """As `owned_places`, of a rendered pool."""
    return dict(_places(root, _POOL))


def _places(root: etree._Element, table: Mapping[str, str]) -> Iterator[tuple[tuple[etree._Element, str], str]]:
    for place, field in table.items():
        path, attribute = _split(place)
        for element in root.iterfind(path) if path else [root]:
            if not attribute or element.get(attribute) is not None:
                yield (element, attribute), field


def owned_places(root: etree._Element) -> dict[tuple[etree._Element, str], str]:
    """(element, attribute name or empty for presence and text) -> what speaks for it, over a freshly rendered domain."""
    found = dict(_places(root, _DOMAIN))
    for device in root.iterfind("devices/*"):
        found.update(_device_places(device))
    return found


def _device_places(device: etree._Element) -> Iterator[tuple[tuple[etree._Element, str], str]]:
    alias = alias_of(device)
    for tag, prefix, field, table in _DEVICES:
        if device.tag != tag or not (alias.startswith(prefix) or alias == _SEED_ALIAS):
            continue
        owner = "spec.cloudInit" if alias == _SEED_ALIAS else f"{field}[{alias[len(prefix) :]}]"
        for place, name in table.items():
            path, attribute = _split(place)
            element = device.find(path) if path else device
            if element is not None and (not attribute or element.get(attribute) is not None):
                suffix = f".{name}" if name and alias != _SEED_ALIAS else ""
                yield (element, attribute), owner + suffix


def _split(place: str) -> tuple[str, str]:
    head, _, last = place.rpartition("/")
    return (head, last[1:]) if last.startswith("@") else (place, "")
