"""Golden documents with their context, and an embedded libvirt that has nothing to do with the host's."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest
import yaml
from lxml import etree

from xvirt.domainxml.assemble import assemble_domain
from xvirt.domainxml.domain import DiskBacking, DomainContext, NetworkBacking
from xvirt.domainxml.mark import OwnershipMark, write_mark
from xvirt.domainxml.network import render_network
from xvirt.domainxml.pool import render_pool
from xvirt.model.codec import parse, to_document
from xvirt.model.identity import host_name, inline_volume_name
from xvirt.model.machine.disk import DiskDevice
from xvirt.model.meta import Resource
from xvirt.policy import log_path

UID = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
QEMU_CONF = """\
user = "+{user}"
group = "+{group}"
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
"""


@dataclasses.dataclass(frozen=True)
class Sample:
    """A golden document. Its context: `domainType` (qemu unless said), `bridges` (network -> bridge of the host), whose cards are
    guarded against spoofing."""

    resource: Resource
    domain_type: str
    bridges: dict[str, str]

    @property
    def volumes(self) -> dict[str, DiskBacking]:
        """Backings that a node would have found, one per disk that has a source."""
        namespace, name = self.resource.metadata.namespace, self.resource.metadata.name
        made = {
            disk.name: DiskBacking(
                f"/var/lib/xvirt/pool/{inline_volume_name(namespace, name, disk.name, disk.format.value)}",
                disk.format.value,
            )
            for disk in self.resource.spec.disks
            if disk.device is DiskDevice.DISK and disk.source is not None
        }
        media = {
            disk.name: DiskBacking(
                f"/var/lib/xvirt/pool/{namespace}_{disk.source.image or disk.source.disk}.raw", "raw"
            )
            for disk in self.resource.spec.disks
            if disk.device is DiskDevice.CDROM and disk.source is not None
        }
        return made | media

    def context(self, domain_type: str) -> DomainContext:
        """The machine's place on a host."""
        spec = self.resource.spec
        namespace = self.resource.metadata.namespace
        networks = {
            nic.network: NetworkBacking(bridge=self.bridges[nic.network], is_guarded=True)
            if nic.network in self.bridges
            else NetworkBacking(network=host_name(namespace, nic.network))
            for nic in spec.nics
        }
        return DomainContext(
            uuid=UID,
            name=host_name(namespace, self.resource.metadata.name),
            domain_type=domain_type,
            architecture="x86_64",
            disks=self.volumes,
            networks=networks,
            seed_path=f"/var/lib/xvirt/seed/{UID}.iso" if spec.cloud_init is not None else None,
            console_log_path=f"/var/log/xvirt/{UID}.log",
        )

    def render(self, domain_type: str | None = None) -> etree._Element:
        """What the node would define."""
        resource = self.resource
        if resource.kind == "VirtualNetwork":
            return render_network(resource, UID, None)
        if resource.kind == "StoragePool":
            return render_pool(resource, UID)
        root = assemble_domain(resource, self.context(domain_type or self.domain_type))
        write_mark(root, mark_of(resource))
        return root

    @property
    def own(self) -> frozenset[str]:
        """What the policy is told that the node computed."""
        context = self.context(self.domain_type)
        paths = [backing.path for backing in context.disks.values()]
        paths += [context.seed_path] if context.seed_path else []
        paths += [log_path(context.console_log_path)] if context.console_log_path else []
        paths += [name for item in context.networks.values() for name in (item.network, item.bridge) if name]
        return frozenset(paths)


def mark_of(resource: Resource) -> OwnershipMark:
    """A mark with the whole document."""
    return OwnershipMark(
        uid=UID,
        authority="local",
        kind=resource.kind,
        namespace=resource.metadata.namespace,
        name=resource.metadata.name,
        generation=1,
        epoch=0,
        spec_hash="0" * 64,
        document=to_document(resource),
    )


def load_sample(path: Path) -> Sample:
    """A golden file: the manifest, then (optionally) its context."""
    documents: list[dict[str, Any]] = list(yaml.safe_load_all(path.read_text()))
    context = documents[1] if len(documents) > 1 else {}
    return Sample(parse(documents[0]), context.get("domainType", "qemu"), context.get("bridges", {}))


@pytest.fixture(scope="session")
def sample() -> Any:
    """Loads a golden file."""
    return load_sample


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[libvirt.virConnect]:
    """libvirt's QEMU driver within this process (https://libvirt.org/drvqemu.html#embedded-driver).

    QEMU is probed as this user: another one could not enter the directory, and libvirt would wait for its monitor for ever.
    """
    root = tmp_path_factory.mktemp("libvirt")
    (root / "etc").mkdir()
    (root / "etc" / "qemu.conf").write_text(QEMU_CONF.format(user=os.getuid(), group=os.getgid()))
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    libvirt.virEventRegisterDefaultImpl()
    connection = libvirt.open(f"qemu:///embed?root={root}")
    yield connection
    connection.close()
