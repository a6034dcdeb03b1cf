"""Volumes: files of directory pools by qemu-img, logical volumes by LVM (`logical`). Formats are always given, never probed (libvirt docs/kbase/secureusage)."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import threading
from collections.abc import Iterator, Sequence

from nodeplugin.hypervisor.inspection import inspect_image
from nodeplugin.hypervisor.logical import LogicalVolumes, group_of, is_logical
from nodeplugin.hypervisor.port import PoolSpace, VolumeFacts, VolumeRequest
from nodeplugin.hypervisor.qcow2 import read_header
from nodeplugin.hypervisor.qemu_img import COPY_TIMEOUT_S, Progress, QemuImg
from xvirt.model.errors import Exhausted, InvalidSpec, NotFound, Problem, Refused, XvirtError

CHAIN_MAX = 64
PARTIAL_SUFFIX = ".partial"
VOLUME_MODE = 0o600
"""As libvirt's own volumes: it gives a file to QEMU's user for as long as a domain runs."""


class QemuImgVolumes:
    """Implements `nodeplugin.hypervisor.port.Volumes`."""

    def __init__(self) -> None:
        self._qemu_img = QemuImg()
        self._logical = LogicalVolumes(self._qemu_img)
        self._lock = threading.Lock()
        self._own: set[str] = set()
        self._is_closed = threading.Event()

    def close(self) -> None:
        """End what runs; partial files are removed by their makers."""
        self._is_closed.set()
        self._qemu_img.close()

    def find_volume(self, path: str, volume_format: str) -> VolumeFacts | None:
        if is_logical(path):
            return self._logical.find(path)
        try:
            status = os.stat(path)
            if not stat.S_ISREG(status.st_mode):
                raise InvalidSpec([Problem("", f"volume {path} is not a regular file", "move it away")])
            header = read_header(path) if volume_format == "qcow2" else None
        except FileNotFoundError:
            return None
        except OSError as error:
            raise translate_os_error(error, "read", path) from error
        if volume_format == "qcow2" and header is None:
            raise InvalidSpec([Problem("", f"volume {path} is not qcow2", "move it away, or declare its format")])
        return VolumeFacts(
            path=path,
            format=volume_format,
            capacity_bytes=header.capacity_bytes if header else status.st_size,
            allocation_bytes=status.st_blocks * 512,
            backing_path=header.backing_path if header else None,
        )

    def create_volume(self, request: VolumeRequest, progress: Progress) -> None:
        if request.group is not None:
            self._logical.create(request, request.group, progress)
            return
        if os.path.lexists(request.path):
            return
        with self._partial(request.path, VOLUME_MODE) as partial:
            if request.source_path is not None:
                self._copy(request, request.source_path, partial, progress)
            else:
                self._create(request, partial)

    def _create(self, request: VolumeRequest, partial: str) -> None:
        argv = ["create", "-q", "-f", request.format]
        if request.backing_path is not None:
            argv += ["-b", request.backing_path, "-F", request.backing_format or "qcow2"]
        elif request.preallocation != "off":
            argv += ["-o", f"preallocation={request.preallocation}"]
        size = [str(int(request.capacity_bytes))] if request.capacity_bytes is not None else []
        self._qemu_img.run([*argv, partial, *size], f"create volume {request.path}", timeout_s=COPY_TIMEOUT_S)

    def _copy(self, request: VolumeRequest, source: str, partial: str, progress: Progress) -> None:
        action = f"copy {source} to {request.path}"
        # Without -U: a disk that a running domain writes is refused, its copy would be torn.
        argv = ["convert", "-p", "-f", request.source_format or "raw", "-O", request.format]
        if request.preallocation != "off":
            argv += ["-o", f"preallocation={request.preallocation}"]
        self._qemu_img.run([*argv, source, partial], action, timeout_s=COPY_TIMEOUT_S, progress=progress)
        if request.capacity_bytes is not None:
            self._qemu_img.run(
                ["resize", "-q", "-f", request.format, partial, str(int(request.capacity_bytes))], action
            )

    def check_image(self, path: str, volume_format: str, subject: str) -> VolumeFacts:
        return inspect_image(self._qemu_img, path, volume_format, subject)

    def grow_volume(self, path: str, volume_format: str, capacity_bytes: int) -> None:
        facts = self.find_volume(path, volume_format)
        if facts is None:
            raise NotFound(f"volume {path} is not there")
        if facts.is_device and facts.capacity_bytes < capacity_bytes:
            self._logical.grow(path, facts.capacity_bytes, int(capacity_bytes))
        elif facts.capacity_bytes < capacity_bytes:
            argv = ["resize", "-q", "-f", volume_format, path, str(int(capacity_bytes))]
            self._qemu_img.run(argv, f"grow volume {path}")

    def delete_volume(self, path: str) -> None:
        if is_logical(path):
            self._logical.delete(path)
            return
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise translate_os_error(error, "remove", path) from error

    def backing_chain(self, path: str, volume_format: str) -> Sequence[str]:
        chain: list[str] = []
        current: str | None = path if volume_format == "qcow2" else None
        while current is not None and len(chain) < CHAIN_MAX:
            try:
                header = read_header(current)
            except FileNotFoundError:
                break
            except OSError as error:
                raise translate_os_error(error, "read", current) from error
            current = header.backing_path if header else None
            if current is None or current in chain:
                break
            chain.append(current)
        return chain

    def has_place(self, directory: str) -> bool:
        if os.path.isdir(directory):
            return True
        group = group_of(directory)
        return group is not None and self.has_group(group)

    def find_space(self, directory: str) -> PoolSpace | None:
        group = group_of(directory)
        if group is not None:
            return self._logical.find_space(group)
        try:
            found = os.statvfs(directory)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise translate_os_error(error, "read", directory) from error
        return PoolSpace(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)

    def has_group(self, name: str) -> bool:
        return self._logical.find_space(name) is not None

    def create_group(self, name: str, devices: Sequence[str]) -> None:
        self._logical.create_group(name, devices)

    def list_volumes(self, directory: str) -> Sequence[str]:
        try:
            return sorted(name for name in os.listdir(directory) if not name.startswith("."))
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise translate_os_error(error, "list", directory) from error

    def sweep(self, directory: str) -> list[str]:
        group = group_of(directory)
        if group is not None:
            return self._logical.sweep(group)
        removed = []
        try:
            with self._lock:
                for name in sorted(os.listdir(directory)):
                    path = f"{directory}/{name}"
                    if name.startswith(".") and name.endswith(PARTIAL_SUFFIX) and path not in self._own:
                        os.unlink(path)
                        removed.append(name)
        except OSError as error:
            raise translate_os_error(error, "sweep", directory) from error
        return removed

    @contextlib.contextmanager
    def _partial(self, path: str, mode: int) -> Iterator[str]:
        """A name to write to, which becomes `path` at the end: synced before it is renamed, removed where anything fails."""
        directory, name = os.path.split(path)
        partial = f"{directory}/.{name}.{secrets.token_hex(4)}{PARTIAL_SUFFIX}"
        with self._lock:
            self._own.add(partial)
        try:
            yield partial
            os.chmod(partial, mode)
            sync_path(partial)
            os.rename(partial, path)
            sync_path(directory)
        except OSError as error:
            raise translate_os_error(error, "write", path) from error
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(partial)
            with self._lock:
                self._own.discard(partial)


def translate_os_error(error: OSError, verb: str, path: str) -> XvirtError:
    """An operating system's error about a file of ours."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Exhausted(f"no space left for {path}; free some, it goes on by itself", reason="NoSpace")
    if error.errno == errno.ENOENT:
        return NotFound(f"cannot {verb} {path}: {error.filename or path} is not there")
    return Refused(f"cannot {verb} {path}: {error.strerror}", reason="VolumeFailed")


def sync_path(path: str) -> None:
    """Have a file's content, or a directory's entries, on disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
