"""Where volumes lie: pools that are active, and the paths in them."""

from __future__ import annotations

import dataclasses

from nodeplugin.plan.outcome import Obstacle
from xvirt.model.identity import VolumeOwner
from xvirt.model.storage import PoolType

DEVICE_NAME_MAX = 127
"""Of device-mapper (DM_NAME_LEN of linux/dm-ioctl.h without its end), which joins group and volume and doubles every `-`."""


@dataclasses.dataclass(frozen=True)
class PoolPlace:
    """A pool that is active. `directory` is that of a group's devices where it is an Lvm one."""

    directory: str
    type: PoolType = PoolType.DIR

    @property
    def group(self) -> str | None:
        """The volume group of an Lvm pool."""
        return self.directory.rpartition("/")[2] if self.type is PoolType.LVM else None

    def path_of(self, owner: VolumeOwner) -> str:
        """Path of the volume of an owner."""
        name = owner.logical_name if self.type is PoolType.LVM else owner.file_name
        return f"{self.directory}/{name}"


def find_place_obstacle(place: PoolPlace, owner: VolumeOwner) -> Obstacle | None:
    """Why a pool cannot hold a volume."""
    if place.group is None:
        return None
    if owner.kind == "VirtualImage":
        message = (
            f"volume group {place.group} holds no images; name a directory pool, disks of any pool are made from it"
        )
        return Obstacle("PoolHoldsNoImages", message)
    if owner.format != "raw":
        message = f"volumes of volume group {place.group} are raw; declare the disk with format: raw"
        return Obstacle("FormatNotRaw", message)
    name = f"{place.group}-{owner.logical_name}"
    if len(name) + name.count("-") - 1 > DEVICE_NAME_MAX:
        message = (
            f"the name {owner.logical_name} is too long for a volume of group {place.group}; shorten one of its parts"
        )
        return Obstacle("NameTooLong", message)
    return None
