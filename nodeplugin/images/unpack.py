"""Unpacking in bounded memory: a few kilobytes may stand for gigabytes, and a head may ask for gigabytes of memory."""

from __future__ import annotations

import gzip
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from typing import IO

import zstandard

from nodeplugin.images.files import Sink
from nodeplugin.images.limits import ImageLimits
from nodeplugin.images.task import Task
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.storage import ImageCompression

_XZ_INPUT_BYTES = 64 << 10
_ZSTD_INPUT_BYTES = 2 << 10
"""zstd's stream has no bound for its output; four bytes stand for 128 KiB at most, so this gives 64 MiB at most."""
_ERRORS = (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError)

MAGIC = {
    ImageCompression.GZIP: b"\x1f\x8b",
    ImageCompression.XZ: b"\xfd7zXZ\x00",
    ImageCompression.ZSTD: b"\x28\xb5\x2f\xfd",
}


def unpack(source: str, target: str, compression: ImageCompression, task: Task, subject: str) -> None:
    """Unpack a file into another one. Raises InvalidSpec where it is not packed so, or torn; Refused beyond the cap, Exhausted where
    the disk is full, OSError, Cancelled."""
    with open(source, "rb") as packed, Sink(target, task) as sink:
        for chunk in read_unpacked(packed, compression, task, subject):
            sink.write(chunk)
        sink.sync()


def read_unpacked(packed: IO[bytes], compression: ImageCompression, task: Task, subject: str) -> Iterator[bytes]:
    """What is packed in a file, in pieces. Raises InvalidSpec where it is not packed so, or torn; Cancelled."""
    chunks = _READERS[compression](packed, task.limits)
    while True:
        task.check()
        try:
            chunk = next(chunks, None)
        except _ERRORS as error:
            message = f"{subject} is not {compression.value.lower()}, or torn: {error}"
            remedy = "mend the image, or declare how it is packed"
            raise InvalidSpec([Problem("spec.compression", message, remedy)], reason="ImageCorrupt") from error
        if chunk is None:
            return
        yield chunk


def find_packing(path: str) -> ImageCompression | None:
    """How a file that claims to be a plain image is packed, by its first bytes."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as handle:
        head = handle.read(8)
    return next((kind for kind, magic in MAGIC.items() if head.startswith(magic)), None)


def _read_gzip(packed: IO[bytes], limits: ImageLimits) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=packed) as reader:
        if not packed.read(1):
            raise EOFError("it is empty")
        packed.seek(0)
        while chunk := reader.read(limits.chunk_bytes):
            yield chunk


def _read_xz(packed: IO[bytes], limits: ImageLimits) -> Iterator[bytes]:
    data = packed.read(_XZ_INPUT_BYTES)
    if not data:
        raise EOFError("it is empty")
    while data:
        reader = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=limits.xz_memory_bytes)
        while not reader.eof:
            chunk = reader.decompress(data, limits.chunk_bytes)
            if chunk:
                yield chunk
            data = packed.read(_XZ_INPUT_BYTES) if reader.needs_input else b""
            if reader.needs_input and not data and not reader.eof:
                raise EOFError("it ends in the middle")
        data = reader.unused_data or packed.read(_XZ_INPUT_BYTES)
        while data and not data.strip(b"\0"):  # padding between streams
            data = packed.read(_XZ_INPUT_BYTES)
        data = data.lstrip(b"\0")


def _read_zstd(packed: IO[bytes], limits: ImageLimits) -> Iterator[bytes]:
    data = packed.read(_ZSTD_INPUT_BYTES)
    if not data:
        raise EOFError("it is empty")
    while data:
        reader = zstandard.ZstdDecompressor(max_window_size=limits.zstd_window_bytes).decompressobj()
        while not reader.eof:
            if not data:
                raise EOFError("it ends in the middle")
            chunk = reader.decompress(data)
            if chunk:
                yield chunk
            data = b"" if reader.eof else packed.read(_ZSTD_INPUT_BYTES)
        data = reader.unused_data or packed.read(_ZSTD_INPUT_BYTES)


def _read_plain(packed: IO[bytes], limits: ImageLimits) -> Iterator[bytes]:
    while chunk := packed.read(limits.chunk_bytes):
        yield chunk


_READERS: dict[ImageCompression, Callable[[IO[bytes], ImageLimits], Iterator[bytes]]] = {
    ImageCompression.NONE: _read_plain,
    ImageCompression.GZIP: _read_gzip,
    ImageCompression.XZ: _read_xz,
    ImageCompression.ZSTD: _read_zstd,
}
