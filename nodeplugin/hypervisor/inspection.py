"""Looks through an image that nobody vouches for, before QEMU opens it."""

from __future__ import annotations

import json
import os

from nodeplugin.hypervisor.port import VolumeFacts
from nodeplugin.hypervisor.qcow2 import Qcow2Header, read_header
from nodeplugin.hypervisor.qemu_img import COPY_TIMEOUT_S, QemuImg
from xvirt.model.errors import InvalidSpec, Problem, Refused
from xvirt.model.limits import VOLUME_MAX_BYTES


def inspect_image(qemu_img: QemuImg, path: str, volume_format: str, subject: str = "") -> VolumeFacts:
    """Facts of an image that nobody vouches for. The header is read here first: QEMU must not open what it points to.

    Raises InvalidSpec for another format, a backing or data file, encryption, or an absurd virtual size.
    """
    subject = subject or path
    header = read_header(path)
    fault = _find_raw_fault(path, header) if volume_format == "raw" else _find_qcow2_fault(header)
    if fault:
        problem = Problem("spec.source", f"{subject} {fault}", "convert it with qemu-img first")
        raise InvalidSpec([problem], reason="ImageRefused")
    try:
        found = json.loads(
            qemu_img.run(["info", "-U", "--output=json", "-f", volume_format, path], f"inspect {subject}")
        )
        if volume_format == "qcow2":
            _check_whole(qemu_img, path, subject, int(found["cluster-size"]))
    except Refused as error:
        raise InvalidSpec([Problem("spec.source", error.message, "mend the image")], reason="ImageCorrupt") from error
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
