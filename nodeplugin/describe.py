"""Rich answers for people: each part is asked for by itself, so one that hangs or fails costs only itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nodeplugin.converge.host import Host
from nodeplugin.hypervisor.port import PoolRecord, XmlView
from nodeplugin.plan.guest import GuestFacts, read_guest
from nodeplugin.records import StoredObject
from xvirt import API_VERSION
from xvirt.domainxml.facts import read_domain
from xvirt.domainxml.hidden import shown_text
from xvirt.domainxml.tree import parse_xml
from xvirt.model.codec import encode
from xvirt.model.errors import XvirtError
from xvirt.model.exchange import DescribedPart, NodeDescription
from xvirt.model.quantity import ByteSize
from xvirt.model.virtualhost import Accelerator, HostPool, VirtualHostStatus

if TYPE_CHECKING:
    from nodeplugin.service import NodeIdentity

CAPABILITIES = ("apply", "delete", "watch", "operate", "describe", "console", "console-log", "events", "orphans")


def describe_machine(host: Host, stored: StoredObject, guest: GuestFacts) -> tuple[DescribedPart, ...]:
    """Addresses, agent, statistics and the definition of a machine."""
    uid = stored.uid
    return (
        _part("addresses", lambda: [dataclasses.asdict(item) for item in guest.addresses]),
        _part("agent", lambda: encode(read_guest(host.hypervisor.ask_agent(uid).facts, None))),
        _part("statistics", lambda: host.hypervisor.domain_stats(uid)),
        _part("domain-xml", lambda: shown_text(parse_xml(host.hypervisor.domain_xml(uid, XmlView.CURRENT)))),
    )


def _part(name: str, ask: Callable[[], Any]) -> DescribedPart:
    try:
        return DescribedPart(name=name, value=ask())
    except XvirtError as error:
        return DescribedPart(name=name, error=error.message)


def _describe_pool(host: Host, pool: PoolRecord) -> HostPool:
    """libvirt's own figures are as old as its last look into the pool, and serve where xVirt cannot look itself."""
    capacity, available = pool.capacity_bytes, pool.available_bytes
    if pool.is_active and pool.type in ("dir", "logical"):
        try:
            space = host.volumes.find_space(pool.path.rstrip("/"))
        except XvirtError:
            space = None
        if space is not None:
            capacity, available = space.capacity_bytes, space.available_bytes
    return HostPool(
        name=pool.name,
        uuid=pool.uuid,
        type=pool.type,
        source=pool_source(pool),
        capacity=ByteSize(capacity),
        available=ByteSize(available),
    )


def pool_source(pool: PoolRecord) -> str:
    """What a pool lies on, by its definition: `server:/export` where it is on the network, else a name or path of the host."""
    source = parse_xml(pool.xml).find("source")
    if source is None:
        return pool.path
    hosts = ",".join(item.get("name", "") for item in source.iterfind("host"))
    place = next((item.get("path", "") for tag in ("dir", "device") for item in source.iterfind(tag)), "")
    name = source.findtext("name", "") or place
    if hosts:
        return f"{hosts}:{name}"
    return name or pool.path


def describe_node(identity: NodeIdentity, host: Host, owned: set[str], boot_id: str) -> NodeDescription:
    """The node as a VirtualHost document."""
    facts = host.hypervisor.facts()
    records = host.hypervisor.list_domains()
    running = [
        read_domain(parse_xml(host.hypervisor.domain_xml(record.uuid, XmlView.CURRENT)))
        for record in records
        if record.is_active
    ]
    status = VirtualHostStatus(
        observed_generation=1,
        node_name=identity.node_name,
        host_uuid=facts.host_uuid,
        boot_id=boot_id,
        xvirt_version=identity.xvirt_version,
        libvirt_version=facts.libvirt_version,
        qemu_version=facts.qemu_version,
        architecture=facts.architecture,
        accelerator=Accelerator(identity.accelerator),
        accelerator_reason=identity.accelerator_reason,
        cpus=facts.cpus,
        memory=ByteSize(facts.memory_bytes),
        allocated_cpus=sum(item.vcpus for item in running),
        allocated_memory=ByteSize(sum(item.memory_bytes for item in running)),
        domains=sum(record.uuid in owned for record in records),
        foreign_domains=sum(record.uuid not in owned for record in records),
        pools=tuple(_describe_pool(host, pool) for pool in host.hypervisor.list_pools()),
        api_versions=(API_VERSION,),
    )
    document = {
        "apiVersion": API_VERSION,
        "kind": "VirtualHost",
        "metadata": {"name": identity.node_name},
        "spec": {},
        "status": encode(status),
    }
    return NodeDescription(document=document, capabilities=CAPABILITIES)
