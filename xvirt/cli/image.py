"""`image upload`: send an image to a node."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import sys
import time
from typing import IO, Any

import click

from xvirt.cli.failures import note
from xvirt.cli.session import Session, pass_session
from xvirt.cli.waiting import has_condition, wait_for
from xvirt.cli.words import WrongWords, parse_duration, short_name
from xvirt.client.images import CHUNK_BYTES, ImageFile, upload_image
from xvirt.model.errors import NotFound, Refused
from xvirt.model.exchange import ApplyCall, ObjectRef
from xvirt.model.machine.disk import DiskFormat
from xvirt.model.storage import ImageCompression

_FORMATS = [item.value for item in DiskFormat]
_COMPRESSIONS = [item.value.lower() for item in ImageCompression]


@click.group()
def image() -> None:
    """Images."""


@image.command()
@click.argument("name")
@click.argument("path", type=click.Path(), metavar="FILE")
@click.option(
    "--format", "image_format", type=click.Choice(_FORMATS), default="qcow2", show_default=True, help="Unpacked."
)
@click.option(
    "--compression", type=click.Choice(_COMPRESSIONS), default="none", show_default=True, help="How it is packed."
)
@click.option(
    "--checksum", default="", metavar="sha256:HEX", help="What the file must be; else it is computed and told."
)
@click.option("--pool", default="default", show_default=True, help="StoragePool of the image.")
@click.option("--timeout", default="10m", show_default=True, help="How long to wait for the checks after the upload.")
@pass_session
def upload(
    session: Session, name: str, path: str, image_format: str, compression: str, checksum: str, pool: str, timeout: str
) -> None:
    """Declare the VirtualImage NAME, and send FILE for it. A broken upload goes on where it was when it is repeated."""
    timeout_s = parse_duration(timeout)
    with _open(path) as handle:
        size_bytes = os.fstat(handle.fileno()).st_size
        found = _sum(handle, path, size_bytes, checksum)
        packing = next(item for item in ImageCompression if item.value.lower() == compression)
        document = {
            "apiVersion": "xvirt.io/v1alpha1",
            "kind": "VirtualImage",
            "metadata": {"name": name, "namespace": session.namespace},
            "spec": {
                "source": {"upload": {"size": str(size_bytes)}},
                "format": image_format,
                "compression": packing.value,
                "checksum": found,
                "pool": pool,
            },
        }
        _send(session, document, ImageFile(handle, size_bytes), timeout_s)
    click.echo(found)


def _send(session: Session, document: dict[str, Any], file: ImageFile, timeout_s: float) -> None:
    line = _Line(file.size_bytes)
    with session.connect_node("image upload") as place:
        client = place.client
        ref = client.apply(ApplyCall(document=document), session.timeout_s).object.ref
        try:
            if not has_condition(client.get(ref).document, "Ready", "True"):
                upload_image(client, ref, file, lambda done: line.show("sent", done))
                wait_for(place, ref, _is_settled, time.monotonic() + timeout_s)
        finally:
            line.end()
        _check(client.get(ref).document, ref)
    click.echo(f"{short_name(ref)} uploaded")


def _is_settled(document: Any) -> bool:
    """Ready, or failed for good."""
    return has_condition(document, "Ready", "True") or has_condition(document, "Stalled", "True")


def _check(document: Any, ref: ObjectRef) -> None:
    if not has_condition(document, "Ready", "True"):
        last = document.get("status", {}).get("lastError") or {}
        raise Refused(f"{ref}: {last.get('message', 'it did not become ready')}", reason=last.get("reason", ""))


def _open(path: str) -> IO[bytes]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO would wait for its writer
    except FileNotFoundError as error:
        raise NotFound(f"{path} is not there") from error
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        os.close(descriptor)
        raise Refused(f"{path} is not a regular file with content")
    return os.fdopen(descriptor, "rb")


def _sum(handle: IO[bytes], path: str, size_bytes: int, wanted: str) -> str:
    if wanted and not re.fullmatch(r"sha256:[0-9a-f]{64}", wanted):
        raise WrongWords(f"--checksum: {wanted!r} is no checksum; write sha256: and 64 digits")
    line = _Line(size_bytes)
    digest = hashlib.sha256()
    while chunk := handle.read(CHUNK_BYTES):
        digest.update(chunk)
        line.show("summed", handle.tell())
    line.end()
    found = f"sha256:{digest.hexdigest()}"
    if wanted and found != wanted:
        raise Refused(f"{path} has checksum {found}, wanted is {wanted}; nothing was sent", reason="ChecksumDiffers")
    return found


class _Line:
    """Progress on a terminal's standard error; a note at each tenth elsewhere."""

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._is_terminal = sys.stderr.isatty()
        self._last = -1

    def show(self, verb: str, done_bytes: int) -> None:
        percent = done_bytes * 100 // self._size_bytes
        if percent == self._last:
            return
        if self._is_terminal:
            click.echo(f"\r{verb} {percent} % of {self._size_bytes} bytes", err=True, nl=False)
        elif verb == "sent" and percent // 10 != self._last // 10:
            note(f"{verb} {percent} % of {self._size_bytes} bytes")
        self._last = percent

    def end(self) -> None:
        if self._is_terminal and self._last >= 0:
            click.echo("\r" + " " * 60 + "\r", err=True, nl=False)
            self._last = -1
