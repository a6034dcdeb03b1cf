"""Volume files of directory pools, by qemu-img. Formats are always given, never probed (libvirt docs/kbase/secureusage)."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from typing import IO

from nodeplugin.hypervisor.port import VolumeFacts, VolumeRequest
from nodeplugin.hypervisor.qcow2 import Qcow2Header, read_header
from xvirt.model.errors import Exhausted, InvalidSpec, NotFound, Problem, Refused, Unavailable
from xvirt.model.limits import VOLUME_MAX_BYTES

CHUNK_BYTES = 1 << 20
CHAIN_MAX = 64
DOWNLOAD_TIMEOUT_S = 60.0
IMAGE_MAX_BYTES = VOLUME_MAX_BYTES
PARTIAL_SUFFIX = ".partial"
_PROGRESS = re.compile(rb"\((\d+)\.\d+/100%\)")
Progress = Callable[[int], None]


class QemuImgVolumes:
    """Implements `nodeplugin.hypervisor.port.Volumes`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._own: set[str] = set()

    def find_volume(self, path: str, volume_format: str) -> VolumeFacts | None:
        try:
            status = os.stat(path)
            header = read_header(path) if volume_format == "qcow2" else None
        except FileNotFoundError:
            return None
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
        if os.path.exists(request.path):
            return
        with self._partial(request.path) as partial:
            if request.source_path is not None:
                self._copy(request, partial, progress)
            else:
                self._create(request, partial)

    def _create(self, request: VolumeRequest, partial: str) -> None:
        argv = ["qemu-img", "create", "-q", "-f", request.format]
        if request.backing_path is not None:
            argv += ["-b", request.backing_path, "-F", request.backing_format or "qcow2"]
        elif request.preallocation != "off":
            argv += ["-o", f"preallocation={request.preallocation}"]
        size = [str(int(request.capacity_bytes))] if request.capacity_bytes is not None else []
        _run([*argv, partial, *size], f"create volume {request.path}")

    def _copy(self, request: VolumeRequest, partial: str, progress: Progress) -> None:
        action = f"copy {request.source_path} to {request.path}"
        argv = ["qemu-img", "convert", "-p", "-U", "-f", request.source_format or "raw", "-O", request.format]
        if request.preallocation != "off":
            argv += ["-o", f"preallocation={request.preallocation}"]
        _run([*argv, request.source_path or "", partial], action, progress)
        if request.capacity_bytes is not None:
            argv = ["qemu-img", "resize", "-q", "-f", request.format, partial, str(int(request.capacity_bytes))]
            _run(argv, action)

    def import_image(self, source: str, path: str, volume_format: str, checksum: str | None, progress: Progress) -> str:
        if os.path.exists(path):
            return _checksum(path, progress)
        with self._partial(path) as partial:
            found = _fetch(source, partial, progress)
            if checksum is not None and found != checksum:
                message = f"{source} has checksum {found}, declared is {checksum}"
                raise InvalidSpec([Problem("spec.checksum", message, "mend the source or the checksum")])
            _check_image(source, partial, volume_format)
            os.chmod(partial, 0o644)
        return found

    def grow_volume(self, path: str, volume_format: str, capacity_bytes: int) -> None:
        facts = self.find_volume(path, volume_format)
        if facts is None:
            raise NotFound(f"volume {path} is not there")
        if facts.capacity_bytes < capacity_bytes:
            argv = ["qemu-img", "resize", "-q", "-f", volume_format, path, str(int(capacity_bytes))]
            _run(argv, f"grow volume {path}")

    def delete_volume(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def backing_chain(self, path: str, volume_format: str) -> Sequence[str]:
        chain: list[str] = []
        current: str | None = path
        while current is not None and len(chain) < CHAIN_MAX:
            try:
                header = read_header(current)
            except OSError:
                break
            current = header.backing_path if header else None
            if current is None or current in chain:
                break
            chain.append(current)
        return chain

    def sweep(self, directory: str) -> list[str]:
        removed = []
        with self._lock:
            for name in sorted(os.listdir(directory)):
                path = f"{directory}/{name}"
                if name.startswith(".") and name.endswith(PARTIAL_SUFFIX) and path not in self._own:
                    os.unlink(path)
                    removed.append(name)
        return removed

    @contextlib.contextmanager
    def _partial(self, path: str) -> Iterator[str]:
        """A name to write to, which becomes `path` at the end: synced before it is renamed, removed where anything fails."""
        directory, name = os.path.split(path)
        partial = f"{directory}/.{name}.{secrets.token_hex(4)}{PARTIAL_SUFFIX}"
        with self._lock:
            self._own.add(partial)
        try:
            yield partial
            _sync(partial)
            os.rename(partial, path)
            _sync(directory)
        except OSError as error:
            raise _translate(error, path) from error
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(partial)
            with self._lock:
                self._own.discard(partial)


def _translate(error: OSError, path: str) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Exhausted(f"no space left for {path}; free some, it goes on by itself", reason="NoSpace")
    if error.errno == errno.ENOENT:
        return NotFound(f"{error.filename or path} is not there")
    return Refused(f"cannot write {path}: {error.strerror}", reason="VolumeFailed")


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _run(argv: list[str], action: str, progress: Progress | None = None) -> None:
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        _follow(process.stdout, progress)
        text = process.stderr.read().decode(errors="replace").strip()
        code = process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    if code == 0:
        return
    if "No space left" in text or "Disk quota" in text:
        raise Exhausted(f"{action}: no space left; free some, it goes on by itself", reason="NoSpace")
    raise Refused(f"{action}: qemu-img says: {text or f'exit code {code}'}", reason="VolumeFailed")


def _follow(stdout: IO[bytes], progress: Progress | None) -> None:
    while chunk := os.read(stdout.fileno(), 4096):
        found = _PROGRESS.findall(chunk)
        if found and progress is not None:
            progress(min(99, int(found[-1])))


def _check_image(source: str, path: str, volume_format: str) -> None:
    header = read_header(path)
    if volume_format == "raw":
        return
    problem = "is not qcow2" if header is None else _find_fault(header)
    if problem:
        raise InvalidSpec([Problem("spec.source", f"{source} {problem}", "convert it with qemu-img first")])


def _find_fault(header: Qcow2Header) -> str:
    if header.backing_path is not None:
        return "has a backing file, which is never followed"
    if header.has_data_file:
        return "has an external data file, which is never followed"
    if header.is_encrypted:
        return "is encrypted"
    if header.capacity_bytes > VOLUME_MAX_BYTES:
        return f"has a virtual size of {header.capacity_bytes} bytes; at most {VOLUME_MAX_BYTES} are allowed"
    return ""


class _NoForeignRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        if urllib.parse.urlsplit(newurl).scheme not in ("http", "https"):
            raise urllib.error.URLError(f"redirected to {newurl[:200]}, which is not http")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _fetch(source: str, partial: str, progress: Progress) -> str:
    """Copy a path or URL to a file. Returns its checksum."""
    scheme = urllib.parse.urlsplit(source).scheme
    if scheme not in ("http", "https"):
        path = urllib.parse.unquote(urllib.parse.urlsplit(source).path) if scheme == "file" else source
        try:
            with open(path, "rb") as handle:
                return _store(handle, os.fstat(handle.fileno()).st_size, partial, progress)
        except FileNotFoundError as error:
            raise NotFound(f"image {path} is not on this host", reason="SourceNotFound") from error
        except IsADirectoryError as error:
            raise Refused(f"image {path} is a directory", reason="SourceNotFound") from error
    try:
        opener = urllib.request.build_opener(_NoForeignRedirect)
        with opener.open(source, timeout=DOWNLOAD_TIMEOUT_S) as answer:
            length = int(answer.headers.get("Content-Length") or 0)
            checksum = _store(answer, length, partial, progress)
            if length and os.path.getsize(partial) != length:
                raise Unavailable(
                    f"{source} ended after {os.path.getsize(partial)} of {length} bytes", reason="Truncated"
                )
            return checksum
    except urllib.error.HTTPError as error:
        raise Refused(f"{source} answers {error.code} {error.reason}", reason="DownloadFailed") from error
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise Unavailable(f"{source} cannot be read: {error}", reason="DownloadFailed") from error


def _store(source: IO[bytes], length: int, partial: str, progress: Progress) -> str:
    digest = hashlib.sha256()
    done = 0
    with open(partial, "wb") as target:
        while chunk := source.read(CHUNK_BYTES):
            done += len(chunk)
            if done > IMAGE_MAX_BYTES:
                raise Refused(f"the image is larger than {IMAGE_MAX_BYTES} bytes", reason="ImageTooLarge")
            digest.update(chunk)
            target.write(chunk)
            if length:
                progress(min(99, done * 100 // length))
    return f"sha256:{digest.hexdigest()}"


def _checksum(path: str, progress: Progress) -> str:
    digest = hashlib.sha256()
    length = os.path.getsize(path)
    done = 0
    with open(path, "rb") as handle:
        while chunk := handle.read(CHUNK_BYTES):
            done += len(chunk)
            digest.update(chunk)
            progress(min(99, done * 100 // max(length, 1)))
    return f"sha256:{digest.hexdigest()}"
