"""Identity is derived, not rolled (DESIGN law 2): the same object gets the same UUID, MACs and host names on every try."""

from __future__ import annotations

import dataclasses
import hashlib
import re

MARK_NAMESPACE = "https://xvirt.io/xmlns/domain/1"
"""XML namespace of the ownership mark in `<metadata>` (DESIGN law 3)."""


def mac_address(uid: str, nic_name: str) -> str:
    """`02:` (locally administered, unicast) and 5 bytes of SHA-256 over (uid, nic name)."""
    digest = hashlib.sha256(f"{uid}\0{nic_name}".encode()).digest()
    return ":".join(f"{byte:02x}" for byte in b"\x02" + digest[:5])


def host_name(namespace: str, name: str) -> str:
    """Name of a domain or network on its host; labels hold no underscore, so it is unambiguous."""
    return f"{namespace}_{name}"


def bridge_name(uid: str) -> str:
    """Name of a libvirt-made bridge: `xv` and 10 hex digits, within the kernel's 15 characters."""
    return "xv" + hashlib.sha256(uid.encode()).hexdigest()[:10]


def inline_volume_name(namespace: str, vm_name: str, disk_name: str, disk_format: str) -> str:
    """Volume of a disk that a VM's own spec declares."""
    return f"{namespace}_{vm_name}_{disk_name}.{disk_format}"


def disk_volume_name(namespace: str, name: str, disk_format: str) -> str:
    """Volume of a VirtualDisk object."""
    return f"{namespace}_{name}.{disk_format}"


def image_volume_name(namespace: str, name: str, disk_format: str) -> str:
    """Cached copy of a VirtualImage object; the inner dot keeps it apart from every disk's name."""
    return f"{namespace}_{name}.image.{disk_format}"


_LABEL = "[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_VOLUME = re.compile(rf"({_LABEL})_({_LABEL})(?:_({_LABEL})|(\.image))?\.(qcow2|raw)")


@dataclasses.dataclass(frozen=True)
class VolumeOwner:
    """Whose a volume is, by its name; `disk` is the inline disk's name where a VirtualMachine declares it."""

    kind: str
    namespace: str
    name: str
    format: str
    disk: str = ""

    @property
    def file_name(self) -> str:
        """Name in a directory."""
        if self.kind == "VirtualMachine":
            return inline_volume_name(self.namespace, self.name, self.disk, self.format)
        name = image_volume_name if self.kind == "VirtualImage" else disk_volume_name
        return name(self.namespace, self.name, self.format)

    @property
    def logical_name(self) -> str:
        """Name in a volume group. LVM reserves names by parts such as `_tdata` and `snapshot` (lvm(8)): no label holds a `+`."""
        return LOGICAL_PREFIX + "+".join(part for part in (self.namespace, self.name, self.disk) if part)


LOGICAL_PREFIX = "xvirt+"
_LOGICAL = re.compile(rf"{re.escape(LOGICAL_PREFIX)}({_LABEL})\+({_LABEL})(?:\+({_LABEL}))?")


def volume_owner(name: str) -> VolumeOwner | None:
    """The inverse of the names above; None for a name that xVirt gives to no volume."""
    logical = _LOGICAL.fullmatch(name)
    if logical is not None:
        namespace, owner, disk = logical.groups()
        return VolumeOwner("VirtualMachine" if disk else "VirtualDisk", namespace, owner, "raw", disk or "")
    found = _VOLUME.fullmatch(name)
    if found is None:
        return None
    namespace, owner, disk, image, volume_format = found.groups()
    kind = "VirtualMachine" if disk else "VirtualImage" if image else "VirtualDisk"
    return VolumeOwner(kind, namespace, owner, volume_format, disk or "")


def disk_serial(disk_name: str) -> str:
    """Serial that a guest sees (`/dev/disk/by-id/virtio-<serial>`); virtio-blk holds 20 bytes."""
    return disk_name if len(disk_name) <= 20 else hashlib.sha256(disk_name.encode()).hexdigest()[:20]


def device_alias(kind: str, name: str) -> str:
    """libvirt user alias (`ua-` prefix is libvirt's own rule) that ties a device to its declared name."""
    return f"ua-{kind}-{name}"
