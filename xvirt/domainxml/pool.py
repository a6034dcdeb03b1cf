"""A StoragePool as libvirt's pool XML (https://libvirt.org/formatstorage.html)."""

from __future__ import annotations

from lxml import etree

from xvirt.domainxml.elements import child
from xvirt.domainxml.overlay import lay_over
from xvirt.domainxml.owned import owned_of_pool
from xvirt.model.meta import Resource
from xvirt.model.storage import PoolType, StoragePoolSpec

LIBVIRT_TYPES = {PoolType.DIR: "dir", PoolType.LVM: "logical"}


def render_pool(pool: Resource, uuid: str) -> etree._Element:
    """A directory or a volume group, with what `spec.pool` adds. libvirt knows no metadata of a pool: its UUID, which is the object's uid,
    says whose it is."""
    spec: StoragePoolSpec = pool.spec
    root = etree.Element("pool", {"type": LIBVIRT_TYPES[spec.type]})
    child(root, "name", text=pool.metadata.name)
    child(root, "uuid", text=uuid)
    if spec.volume_group is not None:
        source = child(root, "source")
        child(source, "name", text=spec.volume_group)
        child(source, "format", {"type": "lvm2"})
    child(child(root, "target"), "path", text=pool_directory(spec))
    if spec.pool is not None:
        lay_over(root, spec.pool, "spec.pool", owned_of_pool(root))
    return root


def pool_directory(spec: StoragePoolSpec) -> str:
    """Where the pool's volumes lie: LVM keeps a group's under /dev."""
    return f"/dev/{spec.volume_group}" if spec.volume_group is not None else spec.path or ""
