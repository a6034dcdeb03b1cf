"""Orphans: what lies on the host that is ours by name or mark, and that nobody declares. They are listed, and never removed: whoever
finds one decides, and each tells how."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Iterator, Mapping

from nodeplugin.adoption import domain_mark
from nodeplugin.converge.host import Host
from nodeplugin.hypervisor.port import DomainRecord, VolumeFacts
from nodeplugin.plan.volume import volume_paths
from nodeplugin.records import StoredObject
from nodeplugin.store import Store
from xvirt.domainxml.mark import OwnershipMark, read_mark
from xvirt.domainxml.tree import parse_xml
from xvirt.model.authority import is_served
from xvirt.model.errors import NotFound, XvirtError
from xvirt.model.exchange import Caller, Orphan, OrphanKind
from xvirt.model.identity import VolumeOwner, host_name, volume_owner

RETAINED, LEFT_BEHIND, UNDECLARED = "Retained", "LeftBehind", "Undeclared"

_UID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_SEED = re.compile(rf"({_UID})(?:-[0-9a-f]{{12}})?\.iso")
_LOG = re.compile(rf"({_UID})\.log")
_NVRAM = re.compile(r"([-a-z0-9]+)_([-a-z0-9]+)_VARS\.(?:fd|qcow2)")


@dataclasses.dataclass(frozen=True)
class Found:
    """An orphan, and the authority that its mark names (empty: it has no mark)."""

    orphan: Orphan
    authority: str = ""

    def is_visible_to(self, caller: Caller) -> bool:
        """Its own namespaces' alone, and what belongs to nobody only to those who have all."""
        has_authority = not self.authority or is_served(caller.authorities, self.authority)
        return has_authority and ("*" in caller.namespaces or self.orphan.namespace in caller.namespaces)


def find_orphans(host: Host, store: Store) -> list[Found]:
    """All of them, by kind, namespace and name."""
    search = _Search(host, store)
    found = [*search.volumes(), *search.files(), *search.networks(), *search.domains()]
    return sorted(found, key=lambda item: (item.orphan.kind.value, item.orphan.namespace, item.orphan.name))


class _Search:
    def __init__(self, host: Host, store: Store) -> None:
        self._host = host
        self._objects = store.list_objects()
        self._uids = {item.uid for item in self._objects}
        self._domains = host.hypervisor.list_domains()
        self._marks = {record.uuid: mark for record in self._domains if (mark := self._mark(record)) is not None}

    def _mark(self, record: DomainRecord) -> OwnershipMark | None:
        if record.uuid in self._uids:
            return None
        try:
            return domain_mark(self._host, record.uuid)
        except NotFound:
            return None

    # volumes

    def volumes(self) -> Iterator[Found]:
        index = self._host.index
        index.drop_pools()
        places = {name: index.places()[name] for name in self._pools()}
        directories = {name: place.directory for name, place in places.items()}
        declared = {path for stored in self._objects for path in volume_paths(stored, places)}
        dependents: Mapping[str, tuple[str, ...]] | None = None
        for pool, directory in sorted(directories.items()):
            for name in self._host.volumes.list_volumes(directory):
                path, owner = f"{directory}/{name}", volume_owner(name)
                if owner is None or path in declared:
                    continue
                if dependents is None:
                    dependents = index.dependents(directories.values())
                used_by = (*index.users_of_path(path), *dependents.get(path, ()))
                yield Found(_volume_orphan(pool, owner, self._facts(path, owner), (name, path, used_by)))

    def _pools(self) -> list[str]:
        """Pools that are ours: the default one, and what documents name or declare. A foreign pool may hold names like ours."""
        wanted = {self._host.settings.default_pool}
        for stored in self._objects:
            if stored.kind == "StoragePool":
                wanted.add(stored.name)
            wanted |= _pools_of(stored)
        known, usable = self._host.index.pools(), self._host.index.places()
        return [name for name in wanted if name in usable and known[name].is_active]

    def _facts(self, path: str, owner: VolumeOwner) -> VolumeFacts | None:
        try:
            return self._host.volumes.find_volume(path, owner.format)
        except XvirtError:  # not what its name says: its owner may look
            return None

    # seeds, console logs, UEFI variables

    def files(self) -> Iterator[Found]:
        settings = self._host.settings
        of_uids = (
            (OrphanKind.SEED, settings.seed_directory, _SEED, "cloud-init seed"),
            (OrphanKind.CONSOLE_LOG, settings.log_directory, _LOG, "console log"),
        )
        for kind, directory, pattern, what in of_uids:
            for name, match in _matches(directory, pattern):
                uid = match.group(1)
                if uid in self._uids:
                    continue
                mark = self._marks.get(uid)
                used_by = tuple(record.name for record in self._domains if record.uuid == uid)
                text = f"{what} of a machine with uid {uid}, which no object has"
                yield self._file(kind, f"{directory}/{name}", (text, "nothing needs it"), mark, used_by)
        yield from self._nvram(settings.nvram_directory)

    def _nvram(self, directory: str) -> Iterator[Found]:
        names = {record.name for record in self._domains}
        declared = {host_name(item.namespace, item.name) for item in self._objects if item.kind == "VirtualMachine"}
        for name, match in _matches(directory, _NVRAM):
            namespace, machine = match.groups()
            if host_name(namespace, machine) in names | declared:
                continue
            mark = OwnershipMark(
                uid="", authority="", kind="", namespace=namespace, name=machine, generation=0, epoch=0, spec_hash=""
            )
            text = f"UEFI variables of domain {host_name(namespace, machine)}, which is not there"
            back = f"declare VirtualMachine {namespace}/{machine} with UEFI firmware: it starts with these variables"
            yield self._file(OrphanKind.NVRAM, f"{directory}/{name}", (text, back), mark, ())

    def _file(
        self,
        kind: OrphanKind,
        path: str,
        texts: tuple[str, str],
        mark: OwnershipMark | None,
        used_by: tuple[str, ...],
    ) -> Found:
        message, take_back = texts
        try:
            size = os.stat(path).st_blocks * 512
        except OSError:
            size = 0
        orphan = Orphan(
            kind=kind,
            namespace=mark.namespace if mark else "",
            name=os.path.basename(path),
            location=path,
            reason=LEFT_BEHIND,
            message=message,
            take_back=take_back,
            removal=f"rm {path}" if not used_by else _in_use(used_by),
            size_bytes=size,
            used_by=used_by,
        )
        return Found(orphan, mark.authority if mark else "")

    # networks and domains with a mark

    def networks(self) -> Iterator[Found]:
        for record in self._host.hypervisor.list_networks():
            mark = read_mark(parse_xml(record.xml))
            if mark is None or record.uuid in self._uids:
                continue
            users = self._host.index.users_of_network(record.name)
            removal = f"virsh net-destroy {record.name}; virsh net-undefine {record.name}"
            yield _undeclared(OrphanKind.NETWORK, mark, (record.name, record.uuid), users, removal)

    def domains(self) -> Iterator[Found]:
        for record in self._domains:
            mark = self._marks.get(record.uuid)
            if mark is not None:
                removal = f"virsh undefine --nvram --managed-save {record.name}, once it is off; its disks stay"
                yield _undeclared(OrphanKind.DOMAIN, mark, (record.name, record.uuid), (), removal)


def _matches(directory: str, pattern: re.Pattern[str]) -> Iterator[tuple[str, re.Match[str]]]:
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return
    for name in names:
        match = pattern.fullmatch(name)
        if match is not None:
            yield name, match


def _pools_of(stored: StoredObject) -> set[str]:
    spec = stored.document["spec"]
    if stored.kind in ("VirtualDisk", "VirtualImage"):
        return {spec.get("pool", "default")}
    if stored.kind == "VirtualMachine":
        return {disk.get("pool", "default") for disk in spec.get("disks", ())}
    return set()


def _volume_orphan(
    pool: str, owner: VolumeOwner, facts: VolumeFacts | None, place: tuple[str, str, tuple[str, ...]]
) -> Orphan:
    name, path, used_by = place
    subject = f"{owner.kind} {owner.namespace}/{owner.name}"
    if owner.disk:
        message = f"no {subject} declares a disk {owner.disk} in pool {pool}"
        back = f"declare disk {owner.disk} with pool {pool} and format {owner.format} in {subject}"
    else:
        message = f"no {subject} is declared in pool {pool}"
        back = f"declare {subject} with pool {pool} and format {owner.format}"
    return Orphan(
        kind=OrphanKind.VOLUME,
        namespace=owner.namespace,
        name=name,
        location=path,
        reason=RETAINED,
        message=message,
        take_back=back,
        removal=_removal(path) if not used_by else _in_use(used_by),
        pool=pool,
        size_bytes=facts.allocation_bytes if facts else 0,
        used_by=used_by,
    )


def _undeclared(
    kind: OrphanKind, mark: OwnershipMark, thing: tuple[str, str], users: Iterable[str], removal: str
) -> Found:
    name, uuid = thing
    used_by = tuple(users)
    subject = f"{mark.kind} {mark.namespace}/{mark.name}"
    orphan = Orphan(
        kind=kind,
        namespace=mark.namespace,
        name=name,
        location=uuid,
        reason=UNDECLARED,
        message=f"its mark says {subject} of authority {mark.authority}, which this node does not know",
        take_back=f"apply {subject} with metadata.uid {uuid} as authority {mark.authority}",
        removal=removal if not used_by else _in_use(used_by),
        used_by=used_by,
    )
    return Found(orphan, mark.authority)


def _removal(path: str) -> str:
    return f"lvremove {path.removeprefix('/dev/')}" if path.startswith("/dev/") else f"rm {path}"


def _in_use(used_by: tuple[str, ...]) -> str:
    return f"not while {', '.join(used_by)} uses it"
