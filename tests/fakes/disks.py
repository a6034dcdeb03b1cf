"""Disks and CD drives of running domains in memory."""

from __future__ import annotations

from collections.abc import Mapping

from lxml import etree

from nodeplugin.hypervisor.port import BlockSize, EventKind
from tests.fakes import domain as xml_work
from tests.fakes.base import FakeBase
from tests.fakes.domain import FakeDomain, refused
from tests.fakes.faults import mutating, reading
from xvirt.domainxml.facts import read_domain
from xvirt.domainxml.iotune import GROUP, add_tune, read_tune
from xvirt.model.errors import Refused, Unsupported


class FakeDisks(FakeBase):
    """Implements the part of `nodeplugin.hypervisor.port.Domains` that is about disks."""

    @mutating
    def change_medium(self, uuid: str, xml: str, *, force: bool) -> None:
        domain, device = self._running(uuid), xml_work.parse_device(xml)
        assert domain.live is not None
        target = str(device.xpath("string(target/@dev)"))
        if target in domain.locked_trays and not force:
            message = f"domain {uuid}: libvirt says: timed out waiting to open tray of '{target}'"
            raise Refused(message, reason="TrayLocked")
        for source in device.iterfind("source[@file]"):
            self._check_file(uuid, source.get("file", ""))
        xml_work.update(domain.live, device, uuid)
        shown = _disk(domain.live, uuid, target).find("target")
        if shown is not None and shown.get("tray") is not None:
            del shown.attrib["tray"]
        alias = str(device.xpath("string(alias/@name)"))
        for move in ("0", "1"):
            self.tell(EventKind.OTHER, uuid, f"{alias}/{move}")

    @mutating
    def tune_disk(self, uuid: str, target: str, tune: Mapping[str, int | str]) -> None:
        _check_tune(uuid, tune)
        root = self._running(uuid).live
        assert root is not None
        found = _disk(root, uuid, target)
        group = tune.get(GROUP) or read_tune(found).get(GROUP)
        if not tune:
            _show(found, {})
            return
        wanted = {**tune, GROUP: group} if group else dict(tune)
        _show(found, wanted)
        for disk in root.iterfind("devices/disk"):
            if group and read_tune(disk).get(GROUP) == group:
                _show(disk, wanted)

    @mutating
    def add_io_thread(self, uuid: str, number: int) -> None:
        root = self._running(uuid).live
        assert root is not None
        present = read_domain(root).io_threads
        if number in present:
            raise refused(uuid, f"an IOThread is already using iothread_id '{number}'")
        _show_threads(root, present | {number})

    @mutating
    def remove_io_thread(self, uuid: str, number: int) -> None:
        root = self._running(uuid).live
        assert root is not None
        facts = read_domain(root)
        if number not in facts.io_threads:
            raise refused(uuid, f"cannot find IOThread '{number}' in iothreadids list")
        if any(disk.io_thread == number for disk in facts.disks):
            raise refused(uuid, f"cannot remove IOThread {number} since it is being used by disk")
        _show_threads(root, facts.io_threads - {number})

    @mutating
    def resize_block(self, uuid: str, target: str, size_bytes: int) -> None:
        path = self._disk_path(self._running(uuid), target)
        facts = self._volumes.files.get(path) if self._volumes is not None else None
        if facts is not None and facts.is_device and size_bytes > facts.capacity_bytes:
            raise refused(uuid, "unable to execute QEMU command 'block_resize': Cannot grow device files")
        self._domains[uuid].sizes[target] = size_bytes
        if self._volumes is not None and facts is not None and not facts.is_device:
            self._volumes.resize_file(path, size_bytes)

    @reading
    def block_size(self, uuid: str, target: str) -> BlockSize:
        domain = self._get(uuid)
        path = self._disk_path(domain, target)
        if self._volumes is not None and path in self._volumes.files:
            facts = self._volumes.files[path]
            if facts.is_device and domain.is_active:
                return BlockSize(capacity_bytes=domain.sizes[target], allocation_bytes=facts.allocation_bytes)
            return BlockSize(capacity_bytes=facts.capacity_bytes, allocation_bytes=facts.allocation_bytes)
        return BlockSize(capacity_bytes=domain.sizes.get(target, 0), allocation_bytes=0)

    def _disk_path(self, domain: FakeDomain, target: str) -> str:
        root = domain.live if domain.live is not None else domain.config
        assert root is not None
        return source_path(_disk(root, domain.uuid, target))

    def _check_file(self, uuid: str, path: str) -> None:
        if self._volumes is not None and path not in self._volumes.files and not path.endswith(".iso"):
            raise Refused(
                f"domain {uuid}: libvirt says: Cannot access storage file '{path}': No such file or directory",
                reason="LibvirtRefused",
            )


def source_path(disk: etree._Element) -> str:
    """File or device of a disk; empty for a drive without medium."""
    return str(disk.xpath("string(source/@file | source/@dev)"))


def _disk(root: etree._Element, uuid: str, target: str) -> etree._Element:
    for disk in root.iterfind("devices/disk"):
        if disk.xpath("string(target/@dev)") == target:
            return disk
    raise refused(uuid, f"invalid path '{target}' not assigned to domain")


def _check_tune(uuid: str, tune: Mapping[str, int | str]) -> None:
    for unit in ("bytes", "iops"):
        total, *ways = (tune.get(f"{way}_{unit}_sec") for way in ("total", "read", "write"))
        if total and any(ways):
            raise refused(uuid, f"total and read/write of {unit}_sec cannot be set at the same time")
    for name, value in tune.items():
        if name.endswith("_max") and int(value) < int(tune.get(name.removesuffix("_max"), 0)):
            message = f"value '{name}' cannot be smaller than '{name.removesuffix('_max')}'"
            raise Unsupported(f"domain {uuid}: libvirt says: unsupported configuration: {message}")


def _show(disk: etree._Element, tune: Mapping[str, int | str]) -> None:
    for old in disk.findall("iotune"):
        disk.remove(old)
    add_tune(disk, tune)


def _show_threads(root: etree._Element, numbers: frozenset[int]) -> None:
    """libvirt counts them, and lists their numbers only where these are not 1, 2, ... anyway."""
    for tag in ("iothreads", "iothreadids"):
        for old in root.findall(tag):
            root.remove(old)
    if numbers:
        count, ids = etree.SubElement(root, "iothreads"), etree.SubElement(root, "iothreadids")
        count.text = str(len(numbers))
        for number in sorted(numbers):
            etree.SubElement(ids, "iothread", id=str(number))
