"""A StoragePool as libvirt's pool XML (https://libvirt.org/formatstorage.html)."""

from __future__ import annotations

from lxml import etree

from xvirt.domainxml.elements import child
from xvirt.model.meta import Resource
from xvirt.model.storage import StoragePoolSpec


def render_pool(pool: Resource, uuid: str) -> etree._Element:
    """A directory pool. libvirt knows no metadata of a pool: its UUID, which is the object's uid, says whose it is."""
    spec: StoragePoolSpec = pool.spec
    root = etree.Element("pool", {"type": spec.type.value.lower()})
    child(root, "name", text=pool.metadata.name)
    child(root, "uuid", text=uuid)
    child(child(root, "target"), "path", text=spec.path)
    return root
