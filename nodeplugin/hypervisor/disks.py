"""Disks and CD drives of running domains, by libvirt: media, limits, threads, sizes."""

from __future__ import annotations

from collections.abc import Mapping

import libvirt

from nodeplugin.hypervisor.access import LibvirtAccess
from nodeplugin.hypervisor.port import BlockSize
from xvirt.domainxml.iotune import NUMBERS
from xvirt.model.errors import Refused

_LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE
_TRAY_LOCKED = "timed out waiting to open tray"
"""libvirt's words (qemuHotplugWaitForTrayEject in src/qemu/qemu_hotplug.c), under a code that says only that it failed."""


class LibvirtDisks(LibvirtAccess):
    """Implements the part of `nodeplugin.hypervisor.port.Domains` that is about disks."""

    def change_medium(self, uuid: str, xml: str, *, force: bool) -> None:
        flags = _LIVE | (libvirt.VIR_DOMAIN_DEVICE_MODIFY_FORCE if force else 0)
        timeout_s = self._options.device_timeout_s
        try:
            self._on_domain(
                "change a medium of", uuid, lambda domain: domain.updateDeviceFlags(xml, flags), timeout_s=timeout_s
            )
        except Refused as error:
            if _TRAY_LOCKED not in error.message:
                raise
            raise Refused(error.message, reason="TrayLocked", libvirt_code=error.libvirt_code) from error

    def tune_disk(self, uuid: str, target: str, tune: Mapping[str, int | str]) -> None:
        values = {**dict.fromkeys(NUMBERS, 0), **tune}
        self._on_domain(f"limit {target} of", uuid, lambda domain: domain.setBlockIoTune(target, values, _LIVE))

    def add_io_thread(self, uuid: str, number: int) -> None:
        self._on_domain("add an I/O thread to", uuid, lambda domain: domain.addIOThread(number, _LIVE))

    def remove_io_thread(self, uuid: str, number: int) -> None:
        self._on_domain("remove an I/O thread of", uuid, lambda domain: domain.delIOThread(number, _LIVE))

    def resize_block(self, uuid: str, target: str, size_bytes: int) -> None:
        flags = libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES
        self._on_domain(f"grow {target} of", uuid, lambda domain: domain.blockResize(target, size_bytes, flags))

    def block_size(self, uuid: str, target: str) -> BlockSize:
        capacity, allocation, _ = self._on_domain(f"read {target} of", uuid, lambda domain: domain.blockInfo(target))
        return BlockSize(capacity_bytes=capacity, allocation_bytes=allocation)
