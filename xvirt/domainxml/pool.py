"""StoragePool as libvirt pool XML."""

from __future__ import annotations

from lxml import etree

from xvirt.domainxml.build import make, sub
from xvirt.model.meta import Resource
from xvirt.model.storage import StoragePoolSpec


def render_pool(pool: Resource, uuid: str) -> etree._Element:
    """A directory pool."""
    spec: StoragePoolSpec = pool.spec
    root = make("pool", type="dir")
    sub(root, "name", pool.metadata.name)
    sub(root, "uuid", uuid)
    sub(sub(root, "target"), "path", spec.path)
    return root
