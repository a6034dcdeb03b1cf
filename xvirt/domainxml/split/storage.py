"""Pools and volumes of libvirt's as StoragePools and VirtualDisks."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from lxml import etree

from xvirt.domainxml.difference import difference
from xvirt.domainxml.elements import attribute, size_of, text_of
from xvirt.domainxml.kept import keep_bare, spell_alike
from xvirt.domainxml.overlay import lay_over
from xvirt.domainxml.owned import owned_of_pool
from xvirt.domainxml.pool import render_pool
from xvirt.domainxml.split.layout import bare_copy, is_given_back
from xvirt.domainxml.split.sound import is_sound
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.machine.disk import DiskFormat
from xvirt.model.meta import ObjectMeta, Resource
from xvirt.model.quantity import ByteSize
from xvirt.model.storage import PoolType, StoragePoolSpec, VirtualDiskSpec

_MEASURED = ("capacity", "allocation", "available", "source")
"""What libvirt says of a directory pool of itself; `<source>` is empty there."""
_FORMATS = {item.value: item for item in DiskFormat}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PoolSplit:
    """A pool as it would be declared. `spec.pool` is the overlay."""

    spec: StoragePoolSpec
    name: str
    uuid: str

    @property
    def overlay(self) -> Mapping[str, Any]:
        """What no typed field says; empty where all is typed."""
        return self.spec.pool or {}


@dataclasses.dataclass(frozen=True, kw_only=True)
class VolumeSplit:
    """A volume as it would be declared. A VirtualDisk has no overlay, since the node makes volumes itself: `unsaid` names by path what of
    the volume no field says."""

    spec: VirtualDiskSpec
    name: str
    unsaid: tuple[str, ...]


def split_pool(root: etree._Element) -> PoolSplit:
    """The typed spec of a directory pool, with an overlay for the rest; sizes that libvirt measured are left out.

    Raises InvalidSpec for a pool of another type: none but directories are declared.
    """
    if root.tag != "pool" or root.get("type") != "dir":
        kind = f"<{root.tag}>" if root.tag != "pool" else f"a pool of type {root.get('type')}"
        raise InvalidSpec([Problem("pool", f"{kind} cannot be declared", "StoragePools are directories")])
    pool = bare_copy(root)
    for item in [item for tag in _MEASURED for item in pool.findall(tag) if tag != "source" or _is_empty(item)]:
        pool.remove(item)
    spec = StoragePoolSpec(type=PoolType.DIR, path=text_of(pool, "target/path"))
    plain = PoolSplit(spec=spec, name=pool.findtext("name") or "", uuid=text_of(pool, "uuid"))
    if not is_sound(spec):
        raise InvalidSpec([Problem("pool.target.path", f"{spec.path!r} is no path that can be declared")])
    base = join_pool(plain)
    spell_alike(base, pool)
    tree = difference(base, pool)
    split = dataclasses.replace(plain, spec=dataclasses.replace(spec, pool=tree or None))
    if not is_given_back(functools.partial(join_pool, split, pool), pool):
        raise InvalidSpec([Problem("pool", "cannot be put together again as it is")], reason="NotReversible")
    return split


def _is_empty(element: etree._Element) -> bool:
    return not len(element) and not element.attrib and not (element.text or "").strip()


def join_pool(split: PoolSplit, kept: etree._Element | None = None) -> etree._Element:
    """The definition that a split stands for; spellings and order are taken from `kept`."""
    plain = dataclasses.replace(split.spec, pool=None)
    root = render_pool(Resource("StoragePool", ObjectMeta(name="x"), plain), split.uuid)
    name = root.find("name")
    assert name is not None, "a rendered pool has a name"
    name.text = split.name
    if split.overlay:
        lay_over(root, split.overlay, "spec.pool", owned_of_pool(root))
    if kept is not None:
        keep_bare(root, kept)
    return root


def split_volume(root: etree._Element) -> VolumeSplit:
    """Size and format of a volume, and what else it has. Raises InvalidSpec for what no VirtualDisk can be."""
    volume = bare_copy(root)
    image = _FORMATS.get(attribute(volume, "target/format", "type") or "raw")
    size = size_of(_with_unit(volume.find("capacity")))
    if volume.tag != "volume" or image is None or size is None:
        message = "is no volume of format qcow2 or raw with a capacity"
        raise InvalidSpec([Problem(str(volume.tag), message, "only such volumes are declared")])
    spec = VirtualDiskSpec(size=ByteSize(size), format=image)
    if not is_sound(spec):
        raise InvalidSpec([Problem("volume.capacity", f"{ByteSize(size)} cannot be declared")])
    unsaid = tuple(_leaves(volume, "volume"))
    return VolumeSplit(spec=spec, name=volume.findtext("name") or "", unsaid=unsaid)


def _with_unit(element: etree._Element | None) -> etree._Element | None:
    """libvirt's volumes are in bytes where no unit is said."""
    if element is None:
        return None
    twin = copy.deepcopy(element)
    twin.set("unit", element.get("unit", "bytes"))
    return twin


_SAID = frozenset(
    {"name", "key", "capacity", "allocation", "physical", "target.path", "target.format", "target.timestamps"}
)


def _leaves(element: etree._Element, path: str) -> list[str]:
    found = []
    for item in element:
        place = f"{path}.{item.tag}"
        if place.partition(".")[2] in _SAID or (item.tag == "source" and _is_empty(item)):
            continue
        found += _leaves(item, place) if len(item) else [place]
    return found
