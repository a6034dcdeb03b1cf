"""Images that come from elsewhere: fetched, summed and looked through before anything may use them."""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import json
import os
import ssl
import stat
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import IO

from nodeplugin.hypervisor.port import VolumeFacts
from nodeplugin.hypervisor.qcow2 import Qcow2Header, read_header
from nodeplugin.hypervisor.qemu_img import COPY_TIMEOUT_S, QemuImg
from xvirt.model.errors import InvalidSpec, NotFound, Problem, Refused, Unavailable
from xvirt.model.limits import VOLUME_MAX_BYTES

CHUNK_BYTES = 1 << 20
DOWNLOAD_TIMEOUT_S = 60.0
"""For each read, not for the whole."""

Progress = Callable[[int], None]
_RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclasses.dataclass
class ByteFlow:
    """What is to be read: how much there is (0: not known) and at most may be; who is told; whether to stop."""

    length: int
    limit_bytes: int
    progress: Progress
    is_stopped: Callable[[], bool] = lambda: False

    def sum_up(self, source: IO[bytes], target: IO[bytes] | None) -> str:
        """Read all, write it to `target`. Returns `sha256:...`. Raises Refused beyond the limit, Unavailable when stopped."""
        digest, done = hashlib.sha256(), 0
        while chunk := source.read(CHUNK_BYTES):
            done += len(chunk)
            if done > self.limit_bytes:
                message = f"the image is larger than {self.limit_bytes} bytes, the most that is allowed"
                raise Refused(message, reason="ImageTooLarge")
            if self.is_stopped():
                raise Unavailable("the node plugin is stopping")
            digest.update(chunk)
            if target is not None:
                target.write(chunk)
            if self.length:
                self.progress(min(99, done * 100 // self.length))
        if self.length and done != self.length:
            raise Unavailable(f"it ended after {done} of {self.length} bytes", reason="Truncated")
        return f"sha256:{digest.hexdigest()}"


def sum_file(path: str, progress: Progress) -> str:
    """`sha256:...` of a file. Raises OSError."""
    with open(path, "rb") as handle:
        length = os.fstat(handle.fileno()).st_size
        return ByteFlow(length, max(length, 1), progress).sum_up(handle, None)


def fetch(
    source: str,
    destination: str,
    progress: Progress,
    limit_bytes: int = VOLUME_MAX_BYTES,
    is_stopped: Callable[[], bool] = lambda: False,
) -> str:
    """Copy a host path or a file://, http:// or https:// URL to a new file. Returns `sha256:...` of what was read.

    Raises NotFound and Refused (not there, no regular file, too large, another scheme), Unavailable (worth another try), OSError of
    the destination.
    """
    flow = ByteFlow(0, limit_bytes, progress, is_stopped)
    parts = urllib.parse.urlsplit(source)
    if parts.scheme in ("http", "https"):
        return _fetch_url(source, destination, flow)
    if parts.scheme == "file":
        return _fetch_path(urllib.parse.unquote(parts.path), destination, flow)
    if source.startswith("/"):
        return _fetch_path(source, destination, flow)
    raise Refused(f"image source {source[:200]!r} is neither a path nor a file, http or https URL", reason="BadSource")


def _fetch_path(path: str, destination: str, flow: ByteFlow) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO would wait for its writer
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"image {path} is not on this host", reason="SourceNotFound") from error
    except OSError as error:
        raise Refused(f"image {path} cannot be read: {error.strerror}", reason="SourceUnreadable") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise Refused(f"image {path} is not a regular file", reason="SourceUnreadable")
    with os.fdopen(descriptor, "rb") as handle, open(destination, "xb") as target:
        flow.length = status.st_size
        return flow.sum_up(handle, target)


def _fetch_url(source: str, destination: str, flow: ByteFlow) -> str:
    try:
        opener = urllib.request.build_opener(_HttpRedirectsOnly)
        with opener.open(source, timeout=DOWNLOAD_TIMEOUT_S) as answer, open(destination, "xb") as target:
            length = answer.headers.get("Content-Length") or ""
            flow.length = int(length) if length.isascii() and length.isdigit() else 0
            if flow.length > flow.limit_bytes:
                message = f"{source} has {flow.length} bytes; at most {flow.limit_bytes} are allowed"
                raise Refused(message, reason="ImageTooLarge")
            return flow.sum_up(answer, target)
    except urllib.error.HTTPError as error:
        message = f"{source} answers {error.code} {error.reason}"
        raise (Unavailable if error.code in _RETRIED_STATUS else Refused)(message, reason="DownloadFailed") from error
    except (urllib.error.URLError, TimeoutError, ConnectionError, ssl.SSLError, http.client.HTTPException) as error:
        raise Unavailable(f"{source} cannot be read: {error}", reason="DownloadFailed") from error
    except ValueError as error:
        raise Refused(f"{source} is not a URL: {error}", reason="BadSource") from error


class _HttpRedirectsOnly(urllib.request.HTTPRedirectHandler):
    """A server must not send us to a file of this host."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        if urllib.parse.urlsplit(newurl).scheme not in ("http", "https"):
            raise urllib.error.HTTPError(
                req.full_url, code, f"redirected to {newurl[:200]}, which is not http", headers, fp
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def inspect_image(qemu_img: QemuImg, path: str, volume_format: str, subject: str = "") -> VolumeFacts:
    """Facts of an image that nobody vouches for. The header is read here first: QEMU must not open what it points to.

    Raises InvalidSpec for another format, a backing or data file, encryption, or an absurd virtual size.
    """
    subject = subject or path
    header = read_header(path)
    fault = _find_raw_fault(path, header) if volume_format == "raw" else _find_qcow2_fault(header)
    if fault:
        raise InvalidSpec([Problem("spec.source", f"{subject} {fault}", "convert it with qemu-img first")])
    try:
        found = json.loads(
            qemu_img.run(["info", "-U", "--output=json", "-f", volume_format, path], f"inspect {subject}")
        )
        if volume_format == "qcow2":
            _check_whole(qemu_img, path, subject, int(found["cluster-size"]))
    except Refused as error:
        raise InvalidSpec([Problem("spec.source", error.message, "mend the image")]) from error
    return VolumeFacts(
        path=path,
        format=volume_format,
        capacity_bytes=int(found["virtual-size"]),
        allocation_bytes=int(found["actual-size"]),
    )


def _check_whole(qemu_img: QemuImg, path: str, subject: str, cluster_bytes: int) -> None:
    """A torn qcow2 file opens without a word, and reads as zeros. Raises Refused. Codes of qemu-img check: 2 corrupt, 3 leaks only."""
    argv = ["check", "--output=json", "-f", "qcow2", path]
    found = json.loads(qemu_img.run(argv, f"check {subject}", timeout_s=COPY_TIMEOUT_S, good_codes=(0, 2, 3)))
    faults = found.get("corruptions", 0) + found.get("check-errors", 0)
    # The end is counted in whole clusters, of which the last need not be filled.
    if faults or found.get("image-end-offset", 0) >= os.path.getsize(path) + cluster_bytes:
        raise Refused(f"{subject} is torn or corrupt: qemu-img check finds {faults} faults", reason="ImageCorrupt")


def _find_raw_fault(path: str, header: Qcow2Header | None) -> str:
    if header is not None:
        return "is qcow2, declared is raw"
    size = os.path.getsize(path)
    return f"has {size} bytes; at most {VOLUME_MAX_BYTES} are allowed" if size > VOLUME_MAX_BYTES else ""


def _find_qcow2_fault(header: Qcow2Header | None) -> str:
    if header is None:
        return "is not qcow2"
    if header.backing_path is not None:
        return "has a backing file, which is never followed"
    if header.has_data_file:
        return "has an external data file, which is never followed"
    if header.is_encrypted:
        return "is encrypted"
    if header.capacity_bytes > VOLUME_MAX_BYTES:
        return f"has a virtual size of {header.capacity_bytes} bytes; at most {VOLUME_MAX_BYTES} are allowed"
    return ""
