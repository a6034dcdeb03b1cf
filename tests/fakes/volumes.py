"""Volume files in memory."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from nodeplugin.hypervisor.port import PoolSpace, VolumeFacts, VolumeRequest
from tests.fakes.faults import Faults, mutating, reading
from xvirt.model.errors import InvalidSpec, NotFound, Problem, Refused

R = TypeVar("R")
EXTENT_BYTES = 4 << 20
POOL_CAPACITY_BYTES = 100 << 30
Progress = Callable[[int], None]


@dataclasses.dataclass(frozen=True)
class FakeImage:
    """Something to import: what its content is, and what a checksum of it says."""

    format: str
    capacity_bytes: int
    content: bytes = b"image"
    backing_path: str | None = None

    @property
    def checksum(self) -> str:
        """`sha256:...`"""
        return f"sha256:{hashlib.sha256(self.content).hexdigest()}"


class FakeVolumes:
    """Implements `nodeplugin.hypervisor.port.Volumes`. `files` are volumes by path, `images` what can be imported by source."""

    def __init__(self, *, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.files: dict[str, VolumeFacts] = {}
        self.images: dict[str, FakeImage] = {}
        self.partials: set[str] = set()
        self.groups: set[str] = set()
        self.blank_devices: set[str] = set()
        self.vanished: set[str] = set()
        """Directories of pools that are not there any more."""
        self._lock = threading.RLock()

    def guarded(self, call: Callable[[], R]) -> R:
        with self._lock:
            return call()

    def used_bytes(self, directory: str) -> int:
        """Allocation of all volumes of a directory."""
        return sum(facts.allocation_bytes for path, facts in self.files.items() if path.startswith(f"{directory}/"))

    def resize_file(self, path: str, capacity_bytes: int) -> None:
        """As a running QEMU does."""
        self.files[path] = dataclasses.replace(self.files[path], capacity_bytes=capacity_bytes)

    @reading
    def find_volume(self, path: str, volume_format: str) -> VolumeFacts | None:
        facts = self.files.get(path)
        if facts is not None and volume_format == "qcow2" and facts.format != "qcow2":
            raise InvalidSpec([Problem("", f"volume {path} is not qcow2", "move it away, or declare its format")])
        return facts

    @mutating
    def create_volume(self, request: VolumeRequest, progress: Progress) -> None:
        if request.path in self.files:
            return
        below = request.source_path or request.backing_path
        if below is not None and below not in self.files:
            raise Refused(f"create volume {request.path}: qemu-img says: {below}: No such file", reason="VolumeFailed")
        inherited = self.files[below].capacity_bytes if below is not None else 0
        capacity = inherited if request.capacity_bytes is None else int(request.capacity_bytes)
        if request.source_path is not None:
            progress(50)
            if capacity < inherited:
                raise Refused(f"create volume {request.path}: qemu-img says: use --shrink", reason="VolumeFailed")
        is_device = request.group is not None
        if is_device and (request.format != "raw" or request.backing_path is not None):
            raise InvalidSpec([Problem("", f"volume {request.path} would be a logical one")])
        if is_device:
            capacity = -(-capacity // EXTENT_BYTES) * EXTENT_BYTES
        self.files[request.path] = VolumeFacts(
            path=request.path,
            format=request.format,
            capacity_bytes=capacity,
            allocation_bytes=capacity if is_device or request.preallocation in ("falloc", "full") else 200 << 10,
            backing_path=request.backing_path,
            unit_bytes=EXTENT_BYTES if is_device else 1,
            is_device=is_device,
        )

    @reading
    def check_image(self, path: str, volume_format: str, subject: str) -> VolumeFacts:
        facts = self.files.get(path)
        if facts is None:
            raise NotFound(f"{subject} is not there")
        if facts.format != volume_format or facts.backing_path is not None:
            raise InvalidSpec([Problem("spec.source", f"{subject} is not {volume_format} or has a backing file")])
        return facts

    @mutating
    def grow_volume(self, path: str, volume_format: str, capacity_bytes: int) -> None:
        facts = self.files.get(path)
        if facts is None:
            raise NotFound(f"volume {path} is not there")
        if facts.capacity_bytes < capacity_bytes:
            self.resize_file(path, int(capacity_bytes))

    @mutating
    def delete_volume(self, path: str) -> None:
        self.files.pop(path, None)

    @reading
    def backing_chain(self, path: str, volume_format: str) -> Sequence[str]:
        chain: list[str] = []
        facts = self.files.get(path)
        while facts is not None and facts.backing_path is not None and facts.backing_path not in chain:
            chain.append(facts.backing_path)
            facts = self.files.get(facts.backing_path)
        return chain

    @reading
    def has_place(self, directory: str) -> bool:
        return self.find_space(directory) is not None

    @reading
    def find_space(self, directory: str) -> PoolSpace | None:
        if directory in self.vanished or (_is_group(directory) and directory.removeprefix("/dev/") not in self.groups):
            return None
        return PoolSpace(POOL_CAPACITY_BYTES, POOL_CAPACITY_BYTES - self.used_bytes(directory))

    @reading
    def has_group(self, name: str) -> bool:
        return name in self.groups

    @mutating
    def create_group(self, name: str, devices: Sequence[str]) -> None:
        if name in self.groups:
            return
        if not set(devices) <= self.blank_devices:
            raise Refused(f"make volume group {name}: vgcreate says: Aborted wiping", reason="VolumeFailed")
        self.groups.add(name)

    @reading
    def list_volumes(self, directory: str) -> Sequence[str]:
        return sorted(path.rpartition("/")[2] for path in self.files if path.rpartition("/")[0] == directory)

    @mutating
    def sweep(self, directory: str) -> list[str]:
        found = sorted(path for path in self.partials if path.rpartition("/")[0] == directory)
        self.partials.difference_update(found)
        return [path.rpartition("/")[2] for path in found]


def _is_group(directory: str) -> bool:
    return directory.startswith("/dev/")
