"""Logical volumes of LVM volume groups (lvm(8)): raw devices, made whole or not at all, and never with what somebody left in them.

A volume is made under a name of its own, zeroed, filled, synced and renamed; LVM's own metadata changes are atomic. Growth is
noted as a tag before it happens, because new extents hold what their last owner wrote: they are zeroed before the tag goes.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
import threading
from collections.abc import Sequence
from typing import Any

from nodeplugin.hypervisor.port import PoolSpace, VolumeFacts, VolumeRequest
from nodeplugin.hypervisor.qemu_img import COPY_TIMEOUT_S, Progress, QemuImg
from xvirt.model.errors import Busy, InvalidSpec, NotFound, Problem, Refused, XvirtError
from xvirt.model.identity import LOGICAL_PREFIX

PARTIAL_PREFIX = "xvirt.partial+"
GROWN_TAG = "xvirt.grows."
"""Followed by the sizes from which to which a volume grows."""
_IN_USE = re.compile("in use|used by another|is busy", re.IGNORECASE)


def is_logical(path: str) -> bool:
    """Whether a path is that of a logical volume of ours."""
    directory, _, name = path.rpartition("/")
    return name.startswith(LOGICAL_PREFIX) and group_of(directory) is not None


def group_of(directory: str) -> str | None:
    """The volume group whose devices lie in a directory; None for a directory that is none of LVM's."""
    parent, _, name = directory.rstrip("/").rpartition("/")
    return name if parent == "/dev" and name != "shm" else None


class LogicalVolumes:
    """What `QemuImgVolumes` does, for logical volumes."""

    def __init__(self, tools: QemuImg) -> None:
        self._tools = tools
        self._lock = threading.Lock()
        self._own: set[str] = set()
        self._extents: dict[str, int] = {}

    def find(self, path: str) -> VolumeFacts | None:
        """Facts of a volume that is active; None where there is no device."""
        try:
            status = os.stat(path)
            if not stat.S_ISBLK(status.st_mode):
                raise InvalidSpec([Problem("", f"volume {path} is no block device", "move it away")])
            capacity = _device_size(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Refused(f"cannot read {path}: {error.strerror}", reason="VolumeFailed") from error
        return VolumeFacts(
            path=path,
            format="raw",
            capacity_bytes=capacity,
            allocation_bytes=capacity,
            unit_bytes=self._extent_bytes(_split(path)[0]),
            is_device=True,
        )

    def create(self, request: VolumeRequest, group: str, progress: Progress) -> None:
        """Make a volume, blank or a full copy; one that exists and is inactive is activated and left as it is."""
        action = f"create volume {request.path}"
        name = _split(request.path)[1]
        if request.format != "raw" or request.backing_path is not None:
            problem = Problem("", f"volume {request.path} would be a logical one", "give it format raw and copy Full")
            raise InvalidSpec([problem])
        if any(item["lv_name"] == name for item in self._list(group)):
            self._run(["lvchange", "--activate", "y", f"{group}/{name}"], action)
            return
        size = request.capacity_bytes or self._source_size(request, action)
        partial = f"{PARTIAL_PREFIX}{secrets.token_hex(4)}"
        with self._lock:
            self._own.add(partial)
        try:
            self._fill(request, (group, partial, int(size)), progress)
            self._run(["lvrename", group, partial, name], action)
        except BaseException:
            self._discard(group, partial)
            raise
        finally:
            with self._lock:
                self._own.discard(partial)

    def _fill(self, request: VolumeRequest, place: tuple[str, str, int], progress: Progress) -> None:
        group, partial, size = place
        action, device = f"create volume {request.path}", f"/dev/{group}/{partial}"
        argv = ["--type", "linear", "--wipesignatures", "n", "--zero", "n", "--size", f"{size}b", "--name", partial]
        self._run(["lvcreate", "--yes", *argv, group], action)
        self._zero(device, 0, _device_size(device), action)
        if request.source_path is not None:
            # Without -U: a disk that a running domain writes is refused, its copy would be torn.
            argv = ["convert", "-p", "-n", "--target-is-zero", "-f", request.source_format or "raw", "-O", "raw"]
            argv += [request.source_path, device]
            self._tools.run(argv, action, timeout_s=COPY_TIMEOUT_S, progress=progress)
        _sync(device)

    def _source_size(self, request: VolumeRequest, action: str) -> int:
        if request.source_path is None:
            raise InvalidSpec([Problem("size", f"{action}: a blank volume needs a size", "give one such as 10Gi")])
        argv = ["info", "--output=json", "-f", request.source_format or "raw", request.source_path]
        return int(json.loads(self._tools.run(argv, action))["virtual-size"])

    def grow(self, path: str, old_bytes: int, capacity_bytes: int) -> None:
        """Grow, and zero what came; also while a domain has it open, whose QEMU sees nothing of it until it is told."""
        group, name = _split(path)
        action, volume = f"grow volume {path}", f"{group}/{name}"
        tag = f"{GROWN_TAG}{old_bytes}-{capacity_bytes}"
        self._run(["lvchange", "--addtag", tag, volume], action)
        try:
            self._run(["lvextend", "--size", f"{capacity_bytes}b", volume], action)
        except XvirtError:
            # Not grown, what it may get by a hand meanwhile is not to be zeroed; grown although the tool was ended, it is.
            if _device_size(path) <= old_bytes:
                self._run(["lvchange", "--deltag", tag, volume], action)
            raise
        self._end_growth(volume, tag, action)

    def _end_growth(self, volume: str, tag: str, action: str) -> None:
        device = f"/dev/{volume}"
        begin, end = map(int, tag.removeprefix(GROWN_TAG).split("-"))
        length = min(end, _device_size(device)) - begin
        if length > 0:
            self._zero(device, begin, length, action)
        self._run(["lvchange", "--deltag", tag, volume], action)

    def delete(self, path: str) -> None:
        """Remove a volume; nothing where it is gone."""
        group, name = _split(path)
        if any(item["lv_name"] == name for item in self._list(group)):
            self._remove(group, name)

    def sweep(self, group: str) -> list[str]:
        """Remove what an interrupted creation left, and end interrupted growth. Returns the names of what was removed.

        A volume that is open may have been written where it grew: it is not zeroed then, and never later.
        """
        removed = []
        for item in self._list(group):
            name = item["lv_name"]
            with self._lock:
                is_left = name.startswith(PARTIAL_PREFIX) and name not in self._own
            if is_left:
                self._remove(group, name)
                removed.append(name)
            for tag in item["lv_tags"].split(","):
                if tag.startswith(GROWN_TAG):
                    self._end_left_growth(group, item, tag)
        return removed

    def _end_left_growth(self, group: str, item: dict[str, str], tag: str) -> None:
        volume = f"{group}/{item['lv_name']}"
        action = f"end the growth of {volume}"
        if item["lv_device_open"] == "open":
            self._run(["lvchange", "--deltag", tag, volume], action)
            return
        if not os.path.exists(f"/dev/{volume}"):
            # Now, because later nobody can tell whether it was written since.
            self._run(["lvchange", "--activate", "y", volume], action)
        self._end_growth(volume, tag, action)

    # groups

    def find_space(self, group: str) -> PoolSpace | None:
        """Size and free space of a group; None where the host has none of this name."""
        found = self._group(group)
        return PoolSpace(int(found["vg_size"]), int(found["vg_free"])) if found is not None else None

    def create_group(self, name: str, devices: Sequence[str]) -> None:
        """Make a group. LVM asks before it overwrites a signature, and nobody answers: a device that holds something is refused."""
        if self._group(name) is None:
            self._run(["vgcreate", name, *devices], f"make volume group {name} of {', '.join(devices)}")

    def _group(self, name: str) -> dict[str, str] | None:
        columns = "vg_name,vg_size,vg_free,vg_extent_size"
        found = self._report("vg", ["vgs", "--options", columns], f"read volume group {name}")
        return next((item for item in found if item["vg_name"] == name), None)

    def _extent_bytes(self, group: str) -> int:
        """Read once: a group's extents change size only by an administrator's hand, and hardly ever."""
        if group not in self._extents:
            found = self._group(group)
            self._extents[group] = int(found["vg_extent_size"]) if found is not None else 1
        return self._extents[group]

    def _list(self, group: str) -> list[dict[str, str]]:
        argv = ["lvs", "--options", "lv_name,vg_name,lv_tags,lv_device_open"]
        found = self._report("lv", argv, f"list volumes of group {group}")
        return [item for item in found if item["vg_name"] == group]

    # tools

    def _report(self, kind: str, argv: list[str], action: str) -> list[dict[str, Any]]:
        text = self._run([*argv, "--reportformat", "json", "--units", "b", "--nosuffix"], action)
        found: list[dict[str, Any]] = json.loads(text)["report"][0][kind]
        return found

    def _remove(self, group: str, name: str) -> None:
        self._run(["lvremove", "--yes", f"{group}/{name}"], f"remove volume {group}/{name}")

    def _discard(self, group: str, partial: str) -> None:
        """After a failure, which is the one to tell: what cannot be removed now the next sweep removes."""
        try:
            if any(item["lv_name"] == partial for item in self._list(group)):
                self._remove(group, partial)
        except XvirtError:
            return

    def _zero(self, device: str, offset: int, length: int, action: str) -> None:
        argv = ["--zeroout", "--offset", str(offset), "--length", str(length), device]
        self._run(["blkdiscard", *argv], action, timeout_s=COPY_TIMEOUT_S)

    def _run(self, command: list[str], action: str, timeout_s: float = 120.0) -> str:
        try:
            return self._tools.run_tool(command, action, timeout_s=timeout_s)
        except Refused as error:
            if _IN_USE.search(error.message):
                raise Busy(error.message, reason="InUse") from error
            if "not found" in error.message or "Failed to find" in error.message:
                raise NotFound(error.message) from error
            raise


def _split(path: str) -> tuple[str, str]:
    """Group and name."""
    directory, _, name = path.rpartition("/")
    return directory.rpartition("/")[2], name


def _device_size(path: str) -> int:
    """Size of a block device in bytes. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.lseek(descriptor, 0, os.SEEK_END)
    finally:
        os.close(descriptor)


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
