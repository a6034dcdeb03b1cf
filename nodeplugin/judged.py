"""What the policy judges of a document: the XML that libvirt would get, and what in it the node computed itself.

Pure. Paths stand for the real ones: the policy asks whose they are, not where a pool lies.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from lxml import etree

from nodeplugin.plan.observation import NodeSettings
from nodeplugin.records import StoredObject
from xvirt.domainxml.assemble import assemble_domain
from xvirt.domainxml.domain import DiskBacking, DomainContext, NetworkBacking
from xvirt.domainxml.hidden import secure_places
from xvirt.domainxml.network import bridged_network, render_network
from xvirt.domainxml.pool import render_pool
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.identity import bridge_name, host_name, inline_volume_name
from xvirt.model.meta import Resource
from xvirt.model.virtualnetwork import NetworkMode
from xvirt.policy import HostPaths, log_path


@dataclasses.dataclass(frozen=True)
class Judged:
    """A document's final XML, and the paths, networks and bridges in it that the node computed."""

    root: etree._Element
    allowed: HostPaths = frozenset()


def judged_xml(stored: StoredObject, resource: Resource, settings: NodeSettings) -> Judged | None:
    """None for a kind of which libvirt gets no XML that a document shapes: a volume's is the node's own, and where images come from is
    judged by `nodeplugin.images.policy`."""
    make = _JUDGED.get(resource.kind)
    return make(stored, resource, settings) if make is not None else None


def _machine(stored: StoredObject, resource: Resource, settings: NodeSettings) -> Judged:
    context = _provisional_context(stored, resource, settings)
    root = assemble_domain(resource, context)
    _refuse_secrets(root)
    names = [name for backing in context.networks.values() for name in (backing.network, backing.bridge)]
    paths = {*(backing.path for backing in context.disks.values()), *names, context.seed_path} - {None, ""}
    declared = {disk.source.path for disk in resource.spec.disks if disk.source is not None}
    log = log_path(context.console_log_path or "")
    return Judged(root, frozenset(path for path in paths if path and path not in declared) | {log})


def _refuse_secrets(root: etree._Element) -> None:
    """A document is shown to whoever may read it, and kept in the domain's metadata: under no profile it says a password."""
    message = "says {}, which everybody who may read the document would see"
    remedy = "remove it"
    problems = [Problem("spec.domain", message.format(place), remedy) for place in secure_places(root)]
    if problems:
        raise InvalidSpec(problems, reason="SecretInDocument")


def _network(stored: StoredObject, resource: Resource, settings: NodeSettings) -> Judged:
    """A bridge of the host is never the node's own; that of another network is made and named by the node."""
    if resource.spec.mode is NetworkMode.BRIDGE:
        return Judged(bridged_network(resource))
    return Judged(render_network(resource, stored.uid, None), frozenset({bridge_name(stored.uid)}))


def _pool(stored: StoredObject, resource: Resource, settings: NodeSettings) -> Judged:
    """Where a pool lies is never the node's own choice."""
    return Judged(render_pool(resource, stored.uid))


_JUDGED: dict[str, Callable[[StoredObject, Resource, NodeSettings], Judged]] = {
    "VirtualMachine": _machine,
    "VirtualNetwork": _network,
    "StoragePool": _pool,
}


def _provisional_context(stored: StoredObject, resource: Resource, settings: NodeSettings) -> DomainContext:
    spec = resource.spec
    disks = {
        disk.name: DiskBacking(
            f"/provisional/{inline_volume_name(stored.namespace, stored.name, disk.name, disk.format.value)}",
            disk.format.value,
        )
        for disk in spec.disks
        if disk.source is not None and disk.source.path is None
    }
    networks = {
        nic.network: NetworkBacking(host_name(stored.namespace, nic.network), None)
        for nic in spec.nics
        if nic.network is not None
    }
    return DomainContext(
        uuid=stored.uid,
        # Not what an adopted domain is called: the policy reads from it whose networks the machine may name.
        name=host_name(stored.namespace, stored.name),
        domain_type=settings.domain_type,
        architecture=settings.architecture,
        disks=disks,
        networks=networks,
        seed_path=f"{settings.seed_directory}/{stored.uid}.iso" if spec.cloud_init is not None else None,
        console_log_path=f"{settings.log_directory}/{stored.uid}.log",
        mark=None,
    )
