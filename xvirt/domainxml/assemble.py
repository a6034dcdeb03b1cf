"""A machine's definition put together: rendered, overlaid, and with the identity that each device has."""

from __future__ import annotations

from lxml import etree

from xvirt.domainxml.context import DomainContext
from xvirt.domainxml.domain import render_domain
from xvirt.domainxml.elements import alias_of
from xvirt.domainxml.filters import check_guarded, filters_of
from xvirt.domainxml.overlay import apply_overlay
from xvirt.model.identity import device_alias
from xvirt.model.meta import Resource
from xvirt.model.virtualmachine import MachineBase, VirtualMachineSpec


def assemble_domain(machine: Resource, context: DomainContext) -> etree._Element:
    """The definition that the document stands for, before `placement` keeps what its host has settled.

    Raises InvalidSpec as `render_domain` and `apply_overlay` do, and where an overlay takes a guarded card's filter away.
    """
    spec: VirtualMachineSpec = machine.spec
    root = render_domain(machine, context)
    if spec.domain is not None:
        filters = filters_of(root)
        apply_overlay(root, spec.domain, has_ports=spec.base is MachineBase.STANDARD)
        check_guarded(root, filters, context.networks.values())
    drop_adopted_aliases(root, spec)
    return root


def adopted_aliases(spec: VirtualMachineSpec) -> frozenset[str]:
    """Aliases by which adopted devices are known while a definition is put together; none of them reaches libvirt."""
    disks = (device_alias("disk", disk.name) for disk in spec.disks if disk.adopted)
    return frozenset((*disks, *(device_alias("nic", nic.name) for nic in spec.nics if nic.adopted)))


def drop_adopted_aliases(root: etree._Element, spec: VirtualMachineSpec) -> None:
    """Adopted devices reach libvirt without an alias."""
    adopted = adopted_aliases(spec)
    for device in root.iterfind("devices/*"):
        alias = device.find("alias")
        if alias is not None and alias_of(device) in adopted:
            device.remove(alias)
