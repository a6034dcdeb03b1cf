"""NICs: typed where they are plugged into a libvirt network or a bridge of the host."""

from __future__ import annotations

from lxml import etree

from xvirt.domainxml.compare import lost
from xvirt.domainxml.elements import alias_of, attribute, integer
from xvirt.domainxml.facts import NIC_PREFIX
from xvirt.domainxml.nics import backing_of, render_nic
from xvirt.domainxml.split.sound import is_sound
from xvirt.model.machine.hardware import Memory
from xvirt.model.machine.nic import LinkState, Nic, NicBandwidth, NicModel, TrafficLimit
from xvirt.model.meta import ObjectMeta, Resource
from xvirt.model.quantity import ByteSize
from xvirt.model.virtualmachine import VirtualMachineSpec

_MODELS = {item.value: item for item in NicModel}
_SOURCES = {"network": "network", "bridge": "bridge"}


def split_nics(root: etree._Element) -> tuple[Nic, ...]:
    """The NICs that can be typed, in the domain's order; `net0` is the first of all."""
    elements = root.findall("devices/interface")
    macs = [_mac(element) for element in elements]
    found = [_nic(element, f"net{number}") for number, element in enumerate(elements) if macs.count(macs[number]) == 1]
    return tuple(nic for nic in found if nic is not None)


def _mac(element: etree._Element) -> str:
    return attribute(element, "mac", "address").lower()


def _nic(element: etree._Element, name: str) -> Nic | None:
    kind = element.get("type", "")
    source = attribute(element, "source", _SOURCES[kind]) if kind in _SOURCES else ""
    model = _MODELS.get(attribute(element, "model", "type"))
    if not source or model is None:
        return None
    alias = alias_of(element)
    is_own = alias.startswith(NIC_PREFIX)
    queues = integer(attribute(element, "driver", "queues"), 0) or None
    nic = Nic(
        name=alias[len(NIC_PREFIX) :] if is_own else name,
        adopted=not is_own,
        libvirt_network=source if kind == "network" else None,
        bridge=source if kind == "bridge" else None,
        mac=_mac(element),
        model=model,
        link_state=LinkState.DOWN if attribute(element, "link", "state") == "down" else LinkState.UP,
        bandwidth=_bandwidth(element),
        queues=queues if model is NicModel.VIRTIO else None,
        mtu=integer(attribute(element, "mtu", "size"), 0) or None,
        boot_order=integer(attribute(element, "boot", "order"), 0) or None,
    )
    return nic if is_sound(nic) and not lost(_bare(nic), element) else None


def _bandwidth(element: etree._Element) -> NicBandwidth | None:
    inbound, outbound = (_limit(element.find(f"bandwidth/{name}")) for name in ("inbound", "outbound"))
    return NicBandwidth(inbound=inbound, outbound=outbound) if inbound or outbound else None


def _limit(element: etree._Element | None) -> TrafficLimit | None:
    """The inverse of `xvirt.domainxml.nics`: kilobytes of 1000 bytes, a burst in KiB."""
    average = integer(element.get("average", ""), 0) if element is not None else 0
    if element is None or average <= 0:
        return None
    peak, burst = (integer(element.get(name, ""), 0) for name in ("peak", "burst"))
    return TrafficLimit(
        average=ByteSize(average * 1000),
        peak=ByteSize(peak * 1000) if peak > 0 else None,
        burst=ByteSize(burst * 1024) if burst > 0 else None,
    )


def _bare(nic: Nic) -> etree._Element:
    spec = VirtualMachineSpec(memory=Memory(size=ByteSize(1 << 30)), nics=(nic,))
    backing = backing_of(nic, {})
    assert backing is not None, "what is split names a libvirt network or a bridge"
    element = render_nic(Resource("VirtualMachine", ObjectMeta(name="x"), spec), nic, backing, "")
    for alias in element.findall("alias"):
        element.remove(alias)
    for link in element.findall("link[@state='up']"):
        element.remove(link)
    return element
