"""The host as the workers share it: ports, settings, and what other domains use.

Reading the definitions of all domains for each plan would cost a call per domain; they are kept per domain and dropped when an
event says that it changed, and all at a reconnect or resync.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import threading
from collections.abc import Iterable, Mapping

from nodeplugin.clock import Clock
from nodeplugin.converge.leases import Leases
from nodeplugin.hypervisor.port import DomainRecord, Hypervisor, NetworkRecord, PoolRecord, Volumes, XmlView
from nodeplugin.images.policy import ImagePolicy
from nodeplugin.images.port import Images
from nodeplugin.plan.observation import HostUse, NodeSettings
from nodeplugin.plan.place import PoolPlace
from nodeplugin.telemetry import SILENT, Telemetry
from xvirt.domainxml.facts import DiskFacts, DomainFacts, read_domain
from xvirt.domainxml.tree import parse_xml
from xvirt.model.errors import NotFound
from xvirt.model.storage import PoolType


@dataclasses.dataclass(frozen=True)
class _Use:
    name: str
    macs: frozenset[str]
    paths: frozenset[str]
    writable_paths: frozenset[str]
    open_paths: frozenset[str]
    networks: frozenset[str]
    attached: Mapping[str, str]
    is_foreign: bool


class HostIndex:
    """Which MAC, volume and network every domain of the host uses."""

    def __init__(self, hypervisor: Hypervisor, volumes: Volumes) -> None:
        self._hypervisor = hypervisor
        self._volumes = volumes
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._moments = itertools.count(1)
        self._listed = 0
        self._changes = 0
        self._records: dict[str, DomainRecord] = {}
        self._uses: dict[str, _Use] = {}
        self._chains: dict[str, tuple[str, ...]] = {}
        self._networks: dict[str, NetworkRecord] | None = None
        self._pools: dict[str, PoolRecord] | None = None

    def count_changes(self) -> int:
        """How often anything was said to have changed."""
        with self._lock:
            return self._changes

    def touch(self) -> None:
        """A step did something, whatever it was."""
        with self._lock:
            self._changes += 1

    def drop(self, uuid: str) -> None:
        """A domain changed."""
        with self._lock:
            self._changes += 1
            self._uses.pop(uuid, None)

    def drop_networks(self) -> None:
        """A network changed."""
        with self._lock:
            self._changes += 1
            self._networks = None

    def drop_pools(self) -> None:
        """A pool changed."""
        with self._lock:
            self._changes += 1
            self._pools = None

    def clear(self) -> None:
        """Anything may have changed."""
        with self._lock:
            self._changes += 1
            self._uses.clear()
            self._chains.clear()
            self._networks = None
            self._pools = None

    def networks(self) -> Mapping[str, NetworkRecord]:
        """libvirt's networks by name."""
        with self._lock:
            known = self._networks
        if known is None:
            known = {record.name: record for record in self._hypervisor.list_networks()}
            with self._lock:
                self._networks = known
        return known

    def pools(self) -> Mapping[str, PoolRecord]:
        """libvirt's pools by name."""
        with self._lock:
            known = self._pools
        if known is None:
            known = {record.name: record for record in self._hypervisor.list_pools()}
            with self._lock:
                self._pools = known
        return known

    def places(self) -> dict[str, PoolPlace]:
        """Where the pools' volumes lie, by name, of those whose volumes xVirt can make."""
        types = {"dir": PoolType.DIR, "logical": PoolType.LVM}
        records = self.pools().values()
        return {item.name: PoolPlace(item.path.rstrip("/"), types[item.type]) for item in records if item.type in types}

    def use_by_others(self, uuid: str) -> HostUse:
        """What all domains but this one use."""
        others = self._all(but=uuid).values()
        return HostUse(
            macs={mac: use.name for use in others for mac in use.macs},
            paths=_names_by_path((use.name, use.paths) for use in others),
            writable_paths=_names_by_path((use.name, use.writable_paths) for use in others),
            open_paths=_names_by_path((use.name, use.open_paths) for use in others),
        )

    def users_of_path(self, path: str) -> tuple[str, ...]:
        """Names of the domains that have a volume, or one that is based on it."""
        return tuple(sorted(use.name for use in self._all().values() if path in use.paths))

    def volumes_based_on(self, path: str) -> tuple[str, ...]:
        """Names of the pools' qcow2 files that have a volume below them: they would be lost with it."""
        directories = {record.path.rstrip("/") for record in self.pools().values() if record.is_active}
        return self.dependents(directories | {os.path.dirname(path)}).get(path, ())

    def dependents(self, directories: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Of each volume that others are based on: their names. Reads the headers of all qcow2 files of the directories."""
        found: dict[str, list[str]] = {}
        for directory in sorted(directories):
            for name in self._volumes.list_volumes(directory):
                top = f"{directory}/{name}"
                for below in self._volumes.backing_chain(top, "qcow2") if name.endswith(".qcow2") else ():
                    found.setdefault(below, []).append(name)
        return {path: tuple(names) for path, names in found.items()}

    def users_of_network(self, name: str) -> tuple[str, ...]:
        """Names of the running domains with a NIC in a libvirt network."""
        return tuple(sorted(use.name for use in self._all().values() if name in use.networks))

    def foreign_users_of_network(self, name: str) -> tuple[str, ...]:
        """Of `users_of_network`, those that xVirt does not own."""
        uses = self._all().values()
        return tuple(sorted(use.name for use in uses if use.is_foreign and name in use.networks))

    def attachments(self, path: str) -> tuple[tuple[str, str], ...]:
        """(uuid, target) of the running domains that have a volume as a disk."""
        return tuple((uuid, use.attached[path]) for uuid, use in sorted(self._all().items()) if path in use.attached)

    def _all(self, but: str = "") -> dict[str, _Use]:
        """All domains, read where they are not known, but one.

        Workers that ask at the same time share one list, which began after each of them had asked, and read no definition twice: at
        a start all of them ask at once, for every domain of the host.
        """
        asked = next(self._moments)
        with self._reading:
            if self._listed < asked:
                self._relist()
            missing = [record for uuid, record in self._records.items() if uuid not in self._uses and uuid != but]
            for record in missing:
                try:
                    use = self._read(record.uuid, record.name, is_active=record.is_active)
                except NotFound:
                    continue
                with self._lock:
                    self._uses[record.uuid] = use
        with self._lock:
            return {uuid: use for uuid, use in self._uses.items() if uuid != but}

    def _relist(self) -> None:
        began = next(self._moments)
        self._records = {record.uuid: record for record in self._hypervisor.list_domains()}
        self._listed = began
        with self._lock:
            self._uses = {uuid: use for uuid, use in self._uses.items() if uuid in self._records}

    def _read(self, uuid: str, name: str, *, is_active: bool) -> _Use:
        definitions = [read_domain(parse_xml(self._hypervisor.domain_xml(uuid, XmlView.CURRENT)))]
        live = definitions[0] if is_active else None
        if is_active:
            definitions.append(read_domain(parse_xml(self._hypervisor.domain_xml(uuid, XmlView.INACTIVE))))
        disks = [disk for facts in definitions for disk in facts.disks]
        direct = {disk.path: disk.format for disk in disks if disk.path}
        chains = {path for top, volume_format in direct.items() for path in self._chain(top, volume_format)}
        return _Use(
            name=name,
            macs=frozenset(nic.mac.lower() for facts in definitions for nic in facts.nics),
            paths=frozenset(direct) | chains,
            writable_paths=_writable(disks),
            open_paths=_writable(live.disks) if live else frozenset(),
            networks=frozenset(nic.network for nic in live.nics if nic.network) if live else frozenset(),
            attached=_attached(live),
            is_foreign=definitions[0].mark is None,
        )

    def _chain(self, path: str, volume_format: str) -> tuple[str, ...]:
        known = self._chains.get(path)
        if known is None:
            known = tuple(self._volumes.backing_chain(path, volume_format)) if volume_format == "qcow2" else ()
            with self._lock:
                self._chains[path] = known
        return known


def _writable(disks: Iterable[DiskFacts]) -> frozenset[str]:
    return frozenset(disk.path for disk in disks if disk.path and not disk.is_read_only)


def _names_by_path(uses: Iterable[tuple[str, frozenset[str]]]) -> dict[str, tuple[str, ...]]:
    names: dict[str, list[str]] = {}
    for name, paths in uses:
        for path in paths:
            names.setdefault(path, []).append(name)
    return {path: tuple(found) for path, found in names.items()}


def _attached(live: DomainFacts | None) -> dict[str, str]:
    return {disk.path: disk.target for disk in live.disks if disk.path} if live else {}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Host:
    """What every worker has at hand."""

    hypervisor: Hypervisor
    volumes: Volumes
    index: HostIndex
    settings: NodeSettings
    clock: Clock
    images: Images
    telemetry: Telemetry = SILENT
    image_policy: ImagePolicy = dataclasses.field(default_factory=ImagePolicy)
    leases: Leases = dataclasses.field(default_factory=Leases)
