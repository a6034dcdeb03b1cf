"""Reads an object's host: everything that its plan looks at, in few calls and without an effect."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lxml import etree

from nodeplugin.converge.host import Host
from nodeplugin.converge.timers import Timers
from nodeplugin.hypervisor.port import DomainLook, VolumeFacts
from nodeplugin.images.port import ImageRequest, Origin
from nodeplugin.plan.adopted import recognise
from nodeplugin.plan.network import find_vlan_obstacle
from nodeplugin.plan.observation import (
    Definition,
    MachineObservation,
    NetworkObservation,
    PoolObservation,
    References,
    ResolvedNetwork,
    ResolvedVolume,
    VolumeObservation,
)
from nodeplugin.plan.outcome import Obstacle
from nodeplugin.plan.place import PoolPlace
from nodeplugin.plan.storage import inline_path
from nodeplugin.plan.volume import find_difference, image_request, volume_path
from nodeplugin.records import Deletion, StoredObject
from nodeplugin.store import Store
from xvirt.domainxml.facts import NicFacts, read_domain
from xvirt.domainxml.filters import FILTERS
from xvirt.domainxml.pool import pool_directory
from xvirt.domainxml.tree import canonical, parse_xml
from xvirt.model.errors import NotFound, Refused
from xvirt.model.identity import host_name
from xvirt.model.meta import Resource
from xvirt.model.storage import StoragePoolSpec, VirtualDiskSpec, VirtualImageSpec, VolumeSource
from xvirt.model.virtualmachine import VirtualMachineSpec
from xvirt.model.virtualnetwork import NetworkMode, VirtualNetworkSpec, fixed_leases, is_guarded

logger = logging.getLogger(__name__)


class Observer:
    """Observes one object at a time; called by that object's worker, or for a preview."""

    def __init__(self, host: Host, store: Store, timers: Timers) -> None:
        self._host = host
        self._store = store
        self._timers = timers

    # machines

    def machine(self, stored: StoredObject, resource: Resource) -> MachineObservation:
        """A machine and everything that its document names."""
        spec: VirtualMachineSpec = resource.spec
        hypervisor = self._host.hypervisor
        look = hypervisor.look_at_domain(stored.uid)
        domain = look.record if look is not None else None
        config, live = (recognise(item, spec) for item in _definitions(look))
        references = self._references(stored, resource)
        volumes = self._inline_volumes(stored, resource, spec, references)
        name_holder = None
        if domain is None:
            holder = hypervisor.find_domain_by_name(stored.domain_name)
            name_holder = holder.uuid if holder is not None else None
        return MachineObservation(
            domain=domain,
            config=config,
            live=live,
            references=references,
            volumes=volumes,
            block_capacities=self._block_capacities(stored.uid, volumes, live),
            seeds=self._seeds(stored.uid),
            host_use=self._host.index.use_by_others(stored.uid),
            name_holder=name_holder,
            config_hash=definition_hash(config.root) if config else "",
            stop=self._timers.stop(stored.uid),
            off_elapsed_s=self._timers.off_elapsed_s(stored.uid),
            detaches=self._timers.detaches(stored.uid),
            unplugged=self._unplugged(live.facts.nics) if live else frozenset(),
            places={} if stored.deletion is Deletion.NONE else self._host.index.places(),
            hidden=self._hidden(stored, volumes) if stored.run.garbage else {},
        )

    def _hidden(self, stored: StoredObject, volumes: Mapping[str, VolumeFacts | None]) -> dict[str, Obstacle]:
        """Volumes that are to go yet and that cannot be seen, because their pool cannot be."""
        names = {place.directory: name for name, place in self._host.index.places().items()}
        found = {}
        for path, _ in stored.run.garbage:
            directory = os.path.dirname(path)
            unknown = Obstacle("PoolNotFound", f"no pool has the directory {directory} any more")
            pool = self.pool_place(names[directory]) if directory in names else unknown
            if volumes.get(path) is None and isinstance(pool, Obstacle):
                found[path] = pool
        return found

    def _unplugged(self, nics: Iterable[NicFacts]) -> frozenset[str]:
        """Aliases of the NICs whose network runs and does not know them. The index may be older than the network, and lack it."""
        networks = self._host.index.networks()
        found = set()
        for nic in nics:
            record = networks.get(nic.network or "")
            if record is None or not record.is_active or nic.port_id is None:
                continue
            try:
                is_plugged = self._host.hypervisor.has_network_port(record.uuid, nic.port_id)
            except NotFound:
                continue
            if not is_plugged:
                found.add(nic.alias)
        return frozenset(found)

    def _inline_volumes(
        self, stored: StoredObject, resource: Resource, spec: VirtualMachineSpec, references: References
    ) -> dict[str, VolumeFacts | None]:
        wanted = dict(stored.run.garbage)
        for disk in spec.disks:
            pool = references.pools.get(disk.pool)
            if disk.is_inline and isinstance(pool, PoolPlace):
                wanted[inline_path(resource, disk, pool)] = disk.format.value
        return {path: self._host.volumes.find_volume(path, kind) for path, kind in wanted.items()}

    def _block_capacities(
        self, uuid: str, volumes: Mapping[str, VolumeFacts | None], live: Definition | None
    ) -> dict[str, int]:
        """Of the running disks that are logical volumes, by disk name: they grow by themselves, and their QEMU knows only when told."""
        found = {}
        for disk in live.facts.disks if live else ():
            volume = volumes.get(disk.path or "")
            capacity = self._guest_capacity(uuid, disk.target) if volume is not None and volume.is_device else None
            if capacity is not None:
                found[disk.name] = capacity
        return found

    def _seeds(self, uid: str) -> frozenset[str]:
        directory = self._host.settings.seed_directory
        try:
            names = os.listdir(directory)
        except FileNotFoundError:
            return frozenset()
        return frozenset(f"{directory}/{name}" for name in names if name.startswith(uid) and name.endswith(".iso"))

    # what a document names

    def _references(self, stored: StoredObject, resource: Resource) -> References:
        spec: VirtualMachineSpec = resource.spec
        namespace = stored.namespace
        sources = [disk.source for disk in spec.disks if disk.source is not None]
        disks = [name for source in sources for name in (source.disk, source.clone) if name]
        return References(
            networks={
                name: self.network_backing(namespace, name) for name in {nic.network for nic in spec.nics} if name
            },
            images={source.image: self.image(namespace, source.image) for source in sources if source.image},
            disks={name: self.disk(namespace, name) for name in disks},
            pools={name: self.pool_place(name) for name in {disk.pool for disk in spec.disks}},
        )

    def network_backing(self, namespace: str, name: str) -> ResolvedNetwork | Obstacle:
        """What a NIC's network stands for. A network that the host still has serves although its object is not known (a store
        that was rebuilt): its name says whose it is."""
        stored = self._store.find_named("VirtualNetwork", namespace, name)
        guard: dict[str, Any] = {}
        if stored is not None:
            spec: VirtualNetworkSpec = stored.resource.spec
            guard = {"is_guarded": is_guarded(spec), "leases": fixed_leases(spec)}
            if self._missing_filters(spec):
                return Obstacle("NetworkNotReady", f"VirtualNetwork {namespace}/{name} has no filters yet")
            if spec.mode is NetworkMode.BRIDGE:
                if spec.vlan is not None and find_vlan_obstacle(spec, self._bridge(spec)) is not None:
                    return Obstacle("NetworkNotReady", f"VirtualNetwork {namespace}/{name} has no VLANs on this host")
                return ResolvedNetwork(bridge=spec.bridge, vlan=spec.vlan, **guard)
        record = self._host.index.networks().get(host_name(namespace, name))
        if record is not None and record.is_active:
            return ResolvedNetwork(network=record.name, **guard)
        if stored is None:
            return Obstacle("NetworkNotFound", f"VirtualNetwork {namespace}/{name} is not there; apply it")
        return Obstacle("NetworkNotReady", f"VirtualNetwork {namespace}/{name} is not active yet")

    def _bridge(self, spec: VirtualNetworkSpec) -> NetworkObservation:
        """Of a bridge of the host."""
        directory = Path(f"/sys/class/net/{spec.bridge}/bridge")
        try:
            is_vlan_aware = (directory / "vlan_filtering").read_text().strip() == "1"
        except FileNotFoundError:  # no such bridge, or a kernel without VLAN filtering
            is_vlan_aware = False
        return NetworkObservation(
            record=None,
            has_bridge=directory.is_dir(),
            is_vlan_aware=is_vlan_aware,
            libvirt_version=self._host.hypervisor.facts().libvirt_version,
            missing_filters=self._missing_filters(spec),
        )

    def _missing_filters(self, spec: VirtualNetworkSpec) -> tuple[str, ...]:
        if not is_guarded(spec):
            return ()
        present = self._host.hypervisor.list_filters()
        return tuple(name for name in FILTERS if name not in present)

    def pool_place(self, name: str) -> PoolPlace | Obstacle:
        """Where the volumes of a pool lie that is active, and whose directory is there."""
        record = self._host.index.pools().get(name)
        if record is not None and record.is_active:
            place = self._host.index.places().get(name)
            if place is None:
                return Obstacle(
                    "PoolNotUsable", f"libvirt pool {name} is of type {record.type}; name a dir or logical one"
                )
            if not self._host.volumes.has_place(place.directory):
                return Obstacle("PoolNotReady", f"{place.directory} of StoragePool {name} has vanished; bring it back")
            return place
        is_declared = (
            name == self._host.settings.default_pool or self._store.find_named("StoragePool", "", name) is not None
        )
        if record is None and not is_declared:
            return Obstacle("PoolNotFound", f"StoragePool {name} is not there; apply it")
        return Obstacle("PoolNotReady", f"StoragePool {name} is not active yet")

    def image(self, namespace: str, name: str) -> ResolvedVolume | Obstacle:
        """A VirtualImage's copy."""
        stored = self._store.find_named("VirtualImage", namespace, name)
        if stored is None or stored.deletion is not Deletion.NONE:
            return Obstacle("ImageNotFound", f"VirtualImage {namespace}/{name} is not there; apply it")
        spec: VirtualImageSpec = stored.resource.spec
        pool = self.pool_place(spec.pool)
        if isinstance(pool, Obstacle):
            return pool
        return self._volume(
            volume_path(stored, spec, pool), spec.format.value, f"VirtualImage {namespace}/{name}", "Image"
        )

    def disk(self, namespace: str, name: str) -> ResolvedVolume | Obstacle:
        """A VirtualDisk's volume."""
        stored = self._store.find_named("VirtualDisk", namespace, name)
        if stored is None or stored.deletion is not Deletion.NONE:
            return Obstacle("DiskNotFound", f"VirtualDisk {namespace}/{name} is not there; apply it")
        spec: VirtualDiskSpec = stored.resource.spec
        pool = self.pool_place(spec.pool)
        if isinstance(pool, Obstacle):
            return pool
        path = volume_path(stored, spec, pool)
        if find_difference(stored, spec, self._host.volumes.find_volume(path, spec.format.value)) is not None:
            return Obstacle("DiskNotReady", f"VirtualDisk {namespace}/{name} has no volume yet: another lies at {path}")
        return self._volume(path, spec.format.value, f"VirtualDisk {namespace}/{name}", "Disk")

    def _volume(self, path: str, volume_format: str, subject: str, kind: str) -> ResolvedVolume | Obstacle:
        facts = self._host.volumes.find_volume(path, volume_format)
        if facts is None:
            return Obstacle(f"{kind}NotReady", f"{subject} has no volume yet")
        return ResolvedVolume(path=path, format=volume_format, capacity_bytes=facts.capacity_bytes)

    # volumes, networks, pools

    def volume(self, stored: StoredObject, resource: Resource) -> VolumeObservation:
        """A VirtualDisk or VirtualImage."""
        spec: VirtualDiskSpec | VirtualImageSpec = resource.spec
        pool = self.pool_place(spec.pool)
        references = References(pools={spec.pool: pool})
        if isinstance(spec, VirtualDiskSpec) and spec.source is not None:
            references = self._volume_references(stored.namespace, spec.pool, pool, spec.source)
        if isinstance(pool, Obstacle):
            return VolumeObservation(volume=None, references=references)
        if isinstance(spec, VirtualImageSpec):
            return self._image(stored, spec, pool)
        path = volume_path(stored, spec, pool)
        index = self._host.index
        volume, attached = self._host.volumes.find_volume(path, spec.format.value), index.attachments(path)
        is_device = volume is not None and volume.is_device
        return VolumeObservation(
            uid=stored.uid,
            volume=volume,
            references=references,
            users=index.users_of_path(path),
            attached=attached,
            guest_capacity_bytes=self._guest_capacity(*attached[0]) if is_device and attached else None,
        )

    def _guest_capacity(self, uuid: str, target: str) -> int | None:
        """Size of a device as the domain knows that has it; None where it has gone off meanwhile."""
        try:
            return self._host.hypervisor.block_size(uuid, target).capacity_bytes
        except (NotFound, Refused):
            return None

    def _image(self, stored: StoredObject, spec: VirtualImageSpec, pool: PoolPlace) -> VolumeObservation:
        """An image; who uses it is only asked once it is there, for an image that is being fetched is looked at often."""
        request = image_request(stored, spec, pool)
        transfer = self._host.images.find(stored.uid)
        volume = self._host.volumes.find_volume(request.path, spec.format.value)
        index = self._host.index
        return VolumeObservation(
            uid=stored.uid,
            volume=volume,
            references=References(pools={spec.pool: pool}),
            transfer=transfer,
            twin_path=self._find_twin(request) if volume is None and transfer is None else None,
            users=(*index.users_of_path(request.path), *index.volumes_based_on(request.path)) if volume else (),
        )

    def _find_twin(self, request: ImageRequest) -> str | None:
        """Path of another image of the same source, rights and declared checksum, in the same pool."""
        if request.checksum is None or request.origin is Origin.UPLOAD:
            return None
        for other in self.image_requests():
            if other.uid != request.uid and dataclasses.replace(other, uid=request.uid, path=request.path) == request:
                is_near = os.path.dirname(other.path) == os.path.dirname(request.path)
                if is_near and self._host.volumes.find_volume(other.path, other.format) is not None:
                    return other.path
        return None

    def image_requests(self) -> list[ImageRequest]:
        """What all declared images ask for whose pool is there."""
        requests = []
        for stored in self._store.list_objects("VirtualImage"):
            spec: VirtualImageSpec = stored.resource.spec
            pool = self.pool_place(spec.pool)
            if stored.deletion is Deletion.NONE and not isinstance(pool, Obstacle):
                requests.append(image_request(stored, spec, pool))
        return requests

    def collect_images(self) -> None:
        """Remove what interrupted transfers left for which nobody waits any more."""
        wanted = [
            request
            for request in self.image_requests()
            if self._host.volumes.find_volume(request.path, request.format) is None
        ]
        for name in self._host.index.places():
            place = self.pool_place(name)
            if isinstance(place, PoolPlace) and place.group is None:
                for left in self._host.images.collect(place.directory, wanted):
                    logger.info("removed %s/%s, left by a transfer that nobody waits for", place.directory, left)

    def _volume_references(
        self, namespace: str, pool_name: str, pool: PoolPlace | Obstacle, source: VolumeSource
    ) -> References:
        return References(
            pools={pool_name: pool},
            images={source.image: self.image(namespace, source.image)} if source.image else {},
            disks={source.clone: self.disk(namespace, source.clone)} if source.clone else {},
        )

    def network(self, stored: StoredObject, resource: Resource) -> NetworkObservation:
        """A VirtualNetwork."""
        spec: VirtualNetworkSpec = resource.spec
        if spec.mode is NetworkMode.BRIDGE:
            return self._bridge(spec)
        self._host.index.drop_networks()
        name = host_name(stored.namespace, stored.name)
        record = self._host.index.networks().get(name)
        if record is not None and record.uuid != stored.uid:
            return NetworkObservation(record=None, name_holder=record.uuid)
        is_active = record is not None and record.is_active
        return NetworkObservation(
            record=record,
            live_xml=self._host.hypervisor.live_network_xml(stored.uid) if is_active else "",
            users=self._host.index.users_of_network(name),
            foreign_users=self._host.index.foreign_users_of_network(name),
            missing_filters=self._missing_filters(spec),
        )

    def pool(self, stored: StoredObject, resource: Resource) -> PoolObservation:
        """A StoragePool."""
        spec: StoragePoolSpec = resource.spec
        self._host.index.drop_pools()
        record = self._host.index.pools().get(stored.name)
        users = [item.key for item in self._store.list_objects() if stored.name in _pools_of(item)]
        group = spec.volume_group
        return PoolObservation(
            record=record,
            users=tuple(users),
            space=self._host.volumes.find_space(pool_directory(spec)),
            has_group=group is None or self._host.volumes.has_group(group),
        )


def _definitions(look: DomainLook | None) -> tuple[Definition | None, Definition | None]:
    """The persistent and the running one. A domain that was undefined by hand while it runs has no persistent one: libvirt would
    forget it with its end."""
    if look is None:
        return None, None
    return _definition(look.config_xml), _definition(look.live_xml)


def _definition(xml: str | None) -> Definition | None:
    if xml is None:
        return None
    root = parse_xml(xml)
    return Definition(root, read_domain(root))


def _pools_of(stored: StoredObject) -> set[str]:
    """Pools that hold volumes of an object."""
    spec = stored.document["spec"]
    if stored.kind in ("VirtualDisk", "VirtualImage"):
        return {spec.get("pool", "default")}
    if stored.kind == "VirtualMachine":
        machine: VirtualMachineSpec = stored.resource.spec
        return {disk.pool for disk in machine.disks if disk.is_inline}
    return set()


def definition_hash(root: etree._Element) -> str:
    """Hash of a definition without its metadata, which xVirt itself rewrites, and without the order of its devices: libvirt
    lists controllers that it added last after a define, and first once it has read its own file again."""
    bare = copy.deepcopy(root)
    for metadata in bare.findall("metadata"):
        bare.remove(metadata)
    for devices in bare.findall("devices"):
        devices[:] = sorted(devices, key=canonical)
    return hashlib.sha256(canonical(bare)).hexdigest()
