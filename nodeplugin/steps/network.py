"""Networks and pools."""

from __future__ import annotations

from nodeplugin.converge.host import Host
from nodeplugin.plan.step import (
    AutostartPool,
    CreateGroup,
    DefineFilter,
    DefineNetwork,
    DefinePool,
    StartNetwork,
    StartPool,
    StopNetwork,
    StopPool,
    UndefineNetwork,
    UndefinePool,
    UpdateNetwork,
)


def define_network(step: DefineNetwork, host: Host) -> str:
    """Define, and let libvirt start it with the host."""
    host.hypervisor.define_network(step.xml)
    host.hypervisor.autostart_network(step.uuid)
    host.index.drop_networks()
    return ""


def start_network(step: StartNetwork, host: Host) -> str:
    if not any(record.uuid == step.uuid and record.is_active for record in host.hypervisor.list_networks()):
        host.hypervisor.start_network(step.uuid)
    host.index.drop_networks()
    return ""


def stop_network(step: StopNetwork, host: Host) -> str:
    if any(record.uuid == step.uuid and record.is_active for record in host.hypervisor.list_networks()):
        host.hypervisor.stop_network(step.uuid)
    host.index.drop_networks()
    return ""


def undefine_network(step: UndefineNetwork, host: Host) -> str:
    if any(record.uuid == step.uuid for record in host.hypervisor.list_networks()):
        host.hypervisor.undefine_network(step.uuid)
    host.index.drop_networks()
    return ""


def update_network(step: UpdateNetwork, host: Host) -> str:
    host.hypervisor.update_network(step.uuid, step.change)
    host.index.drop_networks()
    return ""


def define_filter(step: DefineFilter, host: Host) -> str:
    if step.filter_name not in host.hypervisor.list_filters():
        host.hypervisor.define_filter(step.xml)
    return ""


def create_group(step: CreateGroup, host: Host) -> str:
    host.volumes.create_group(step.group, step.devices)
    return ""


def define_pool(step: DefinePool, host: Host) -> str:
    host.hypervisor.define_pool(step.xml)
    host.index.drop_pools()
    return ""


def start_pool(step: StartPool, host: Host) -> str:
    if not any(record.uuid == step.uuid and record.is_active for record in host.hypervisor.list_pools()):
        host.hypervisor.start_pool(step.uuid)
    host.index.drop_pools()
    return ""


def stop_pool(step: StopPool, host: Host) -> str:
    if any(record.uuid == step.uuid and record.is_active for record in host.hypervisor.list_pools()):
        host.hypervisor.stop_pool(step.uuid)
    host.index.drop_pools()
    return ""


def undefine_pool(step: UndefinePool, host: Host) -> str:
    if any(record.uuid == step.uuid for record in host.hypervisor.list_pools()):
        host.hypervisor.undefine_pool(step.uuid)
    host.index.drop_pools()
    return ""


def autostart_pool(step: AutostartPool, host: Host) -> str:
    host.hypervisor.autostart_pool(step.uuid, enabled=step.is_enabled)
    host.index.drop_pools()
    return ""
