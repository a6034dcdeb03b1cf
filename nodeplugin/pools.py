"""The pool for disks that name none: made where libvirt has none of that name, at the start and whenever somebody removed it."""

from __future__ import annotations

import dataclasses
import uuid

from nodeplugin.hypervisor.port import Hypervisor
from xvirt.domainxml.pool import render_pool
from xvirt.domainxml.tree import to_text
from xvirt.model.errors import Refused
from xvirt.model.meta import ObjectMeta, Resource
from xvirt.model.storage import StoragePoolSpec

_NAMESPACE = uuid.UUID("6b6c2a35-3f0e-5d53-9d5e-2f1b3f9a1c77")
"""Any fixed UUID: the default pool's own is derived from it and its path, so it is the same on every try."""


@dataclasses.dataclass(frozen=True)
class DefaultPool:
    """What the config says of it."""

    name: str
    path: str


def ensure_default_pool(hypervisor: Hypervisor, name: str, path: str) -> None:
    """Define, start and autostart the pool; one that exists under this name and path is only started."""
    found = next((pool for pool in hypervisor.list_pools() if pool.name == name), None)
    if found is not None and found.path.rstrip("/") != path.rstrip("/"):
        raise Refused(
            f"libvirt has a pool {name} with path {found.path}, the config wants {path};"
            " name another default pool or use that path"
        )
    identity = found.uuid if found else str(uuid.uuid5(_NAMESPACE, f"{name}\0{path}"))
    if found is None:
        resource = Resource("StoragePool", ObjectMeta(name=name, namespace=""), StoragePoolSpec(path=path))
        hypervisor.define_pool(to_text(render_pool(resource, identity)))
    if found is None or not found.is_active:
        hypervisor.start_pool(identity)
    if found is None:
        hypervisor.autostart_pool(identity, enabled=True)
