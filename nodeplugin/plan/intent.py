"""From a machine's document and what it refers to: the definition it is to have, its volumes and its seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from lxml import etree

from nodeplugin.plan.observation import MachineObservation, NodeSettings, ResolvedNetwork
from nodeplugin.plan.outcome import Obstacle
from nodeplugin.plan.ownership import ownership_mark
from nodeplugin.plan.seed import plan_seed, seed_of
from nodeplugin.plan.step import CreateVolume, WriteSeed
from nodeplugin.plan.storage import VolumePlan, lost_volume, plan_disk
from nodeplugin.records import StoredObject
from xvirt.domainxml.assemble import assemble_domain
from xvirt.domainxml.domain import DiskBacking, DomainContext, NetworkBacking
from xvirt.domainxml.elements import attribute
from xvirt.domainxml.kept import add_spare_ports, keep_bare
from xvirt.domainxml.mark import OwnershipMark, write_mark
from xvirt.domainxml.placement import keep_placement
from xvirt.model.errors import InvalidSpec
from xvirt.model.meta import Resource
from xvirt.model.virtualmachine import MachineBase, VirtualMachineSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class MachineDesired:
    """A machine as it was stored, parsed, on its node."""

    stored: StoredObject
    resource: Resource
    settings: NodeSettings

    @property
    def spec(self) -> VirtualMachineSpec:
        spec: VirtualMachineSpec = self.resource.spec
        return spec

    @property
    def domain_name(self) -> str:
        return self.stored.domain_name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Intent:
    """What the host is to have. `root` is None where an obstacle keeps it from being known."""

    volumes: dict[str, VolumePlan]
    disks: dict[str, DiskBacking]
    networks: dict[str, NetworkBacking]
    seed: WriteSeed | None
    seed_path: str | None
    root: etree._Element | None
    mark: OwnershipMark | None
    obstacles: tuple[Obstacle, ...]


def build_intent(desired: MachineDesired, observed: MachineObservation) -> Intent:
    """Resolve, render, overlay, mark."""
    spec = desired.spec
    volumes = {
        disk.name: plan_disk(desired.resource, disk, observed.references, observed.volumes, observed.host_use)
        for disk in spec.disks
    }
    obstacles = [obstacle for plan in volumes.values() for obstacle in plan.obstacles]
    obstacles += _find_lost(volumes.values(), desired, observed)
    networks, missing = _resolve_networks(spec, observed)
    obstacles += missing
    planned = plan_seed(
        desired.stored,
        desired.spec.cloud_init,
        desired.settings.seed_directory,
        seed_of(observed.config or observed.live),
    )
    obstacles += planned.obstacles
    seed, seed_path = planned.step, planned.path
    disks = {name: DiskBacking(plan.path, plan.format) for name, plan in volumes.items() if plan.path is not None}
    root, mark = None, None
    if not obstacles:
        try:
            root, mark = _define(desired, observed, _context(desired, observed, disks, networks, seed_path))
        except InvalidSpec as error:
            obstacles.append(Obstacle(error.reason, error.message))
    return Intent(
        volumes=volumes,
        disks=disks,
        networks=networks,
        seed=seed,
        seed_path=seed_path,
        root=root,
        mark=mark,
        obstacles=tuple(obstacles),
    )


def _find_lost(volumes: Iterable[VolumePlan], desired: MachineDesired, observed: MachineObservation) -> list[Obstacle]:
    """Volumes that would be made although a definition, or a caller's memory, has them already: they are made before they are defined,
    and never twice."""
    definitions = [item for item in (observed.config, observed.live) if item is not None]
    known = {disk.path for item in definitions for disk in item.facts.disks} | {*desired.stored.run.expected}
    made = [step.request.path for plan in volumes for step in plan.steps if isinstance(step, CreateVolume)]
    return [lost_volume(path) for path in made if path in known]


def _resolve_networks(
    spec: VirtualMachineSpec, observed: MachineObservation
) -> tuple[dict[str, NetworkBacking], list[Obstacle]]:
    found: dict[str, NetworkBacking] = {}
    obstacles = []
    for name in dict.fromkeys(nic.network for nic in spec.nics if nic.network is not None):
        missing = Obstacle("NetworkNotFound", f"VirtualNetwork {name} is not there; apply it")
        resolved = observed.references.networks.get(name, missing)
        if isinstance(resolved, ResolvedNetwork):
            found[name] = NetworkBacking(
                resolved.network,
                resolved.bridge,
                vlan=resolved.vlan,
                is_guarded=resolved.is_guarded,
                leases=resolved.leases,
            )
        else:
            obstacles.append(resolved)
    return found, obstacles


def _context(
    desired: MachineDesired,
    observed: MachineObservation,
    disks: dict[str, DiskBacking],
    networks: dict[str, NetworkBacking],
    seed_path: str | None,
) -> DomainContext:
    settings = desired.settings
    there = observed.config or observed.live
    kept = there.root if there is not None and desired.spec.base is MachineBase.BARE else etree.Element("domain")
    return DomainContext(
        uuid=desired.stored.uid,
        name=desired.domain_name,
        domain_type=kept.get("type") or settings.domain_type,
        architecture=attribute(kept, "os/type", "arch") or settings.architecture,
        disks=disks,
        networks=networks,
        seed_path=seed_path,
        console_log_path=f"{settings.log_directory}/{desired.stored.uid}.log",
        mark=None,
    )


def _define(
    desired: MachineDesired, observed: MachineObservation, context: DomainContext
) -> tuple[etree._Element, OwnershipMark]:
    root = assemble_domain(desired.resource, context)
    mark = ownership_mark(desired.stored, root)
    write_mark(root, mark)
    config = observed.config.root if observed.config else None
    live = observed.live.root if observed.live else None
    keep_placement(root, config, live)
    if desired.spec.base is MachineBase.BARE:
        if config is not None:
            keep_bare(root, config)
        add_spare_ports(root, desired.spec.devices.hotplug_ports)
    return root, mark
