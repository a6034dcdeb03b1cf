"""Packed images: unpacked in bounds, refused where they are torn or something else."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from tests.unit.nodeplugin.images.conftest import MIB, Pool, checksum
from xvirt.model.errors import InvalidSpec, Refused
from xvirt.model.storage import ImageCompression

Pack = Callable[[bytes], bytes]


def _zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


PACKERS: dict[ImageCompression, Pack] = {
    ImageCompression.GZIP: gzip.compress,
    ImageCompression.XZ: lzma.compress,
    ImageCompression.ZSTD: _zstd,
}
EVERY = pytest.mark.parametrize("packing", list(PACKERS), ids=lambda item: item.value)


def _source(tmp_path: Path, data: bytes) -> str:
    path = tmp_path / "source"
    path.write_bytes(data)
    return str(path)


@EVERY
def test_row_49_a_packed_image_is_unpacked_and_its_checksum_is_of_what_was_fetched(
    pool: Pool, tmp_path: Path, content: bytes, packing: ImageCompression
) -> None:
    packed = PACKERS[packing](content)
    request = pool.request(_source(tmp_path, packed), compression=packing, checksum=checksum(packed))
    assert pool.fetch(request).checksum == checksum(packed)
    assert (pool.directory / "one.img").read_bytes() == content
    assert pool.names() == ["one.img"]


@EVERY
def test_several_streams_one_after_the_other_are_one_image(
    pool: Pool, tmp_path: Path, content: bytes, packing: ImageCompression
) -> None:
    pack = PACKERS[packing]
    source = _source(tmp_path, pack(content[:70_000]) + pack(b"") + pack(content[70_000:]))
    assert pool.fetch(pool.request(source, compression=packing)).error is None
    assert (pool.directory / "one.img").read_bytes() == content


def test_padding_between_and_after_streams_is_none_of_the_image(pool: Pool, tmp_path: Path, content: bytes) -> None:
    packed = lzma.compress(content[:9]) + bytes(8) + lzma.compress(content[9:]) + bytes(4)
    assert pool.fetch(pool.request(_source(tmp_path, packed), compression=ImageCompression.XZ)).error is None
    assert (pool.directory / "one.img").read_bytes() == content


@EVERY
@pytest.mark.parametrize("fault", ["torn", "empty", "head only", "surplus", "flipped", "bzip2"])
def test_what_is_torn_or_something_else_is_refused(
    pool: Pool, tmp_path: Path, content: bytes, packing: ImageCompression, fault: str
) -> None:
    packed = PACKERS[packing](content)
    middle = len(packed) // 2
    broken = {
        "torn": packed[:-20],
        "empty": b"",
        "head only": packed[:7],
        "surplus": packed + b"something else that is no stream",
        "flipped": packed[:5] + bytes([packed[5] ^ 0xFF]) + packed[6:middle] + os.urandom(64) + packed[middle + 64 :],
        "bzip2": bz2.compress(content),
    }[fault]
    error = pool.fails(pool.request(_source(tmp_path, broken), compression=packing))
    assert isinstance(error, InvalidSpec)
    assert error.reason == "ImageCorrupt"
    assert pool.names() == []


@EVERY
def test_a_bomb_ends_at_the_cap_and_leaves_nothing(pool: Pool, tmp_path: Path, packing: ImageCompression) -> None:
    pool.limit(size_max_bytes=8 * MIB)
    packed = PACKERS[packing](bytes(256 * MIB))
    assert len(packed) < MIB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    error = pool.fails(pool.request(_source(tmp_path, packed), compression=packing))
    assert (type(error), getattr(error, "reason", "")) == (Refused, "ImageTooLarge")
    assert pool.names() == []
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10


def test_a_head_that_asks_for_gigabytes_of_memory_is_refused(pool: Pool, tmp_path: Path) -> None:
    pool.limit(xz_memory_bytes=4 * MIB)
    packed = lzma.compress(b"x" * MIB, preset=9)
    error = pool.fails(pool.request(_source(tmp_path, packed), compression=ImageCompression.XZ))
    assert isinstance(error, InvalidSpec)
    assert "emory" in error.message


@EVERY
def test_an_image_that_is_packed_without_saying_so_is_refused(
    pool: Pool, tmp_path: Path, content: bytes, packing: ImageCompression
) -> None:
    error = pool.fails(pool.request(_source(tmp_path, PACKERS[packing](content))))
    assert isinstance(error, InvalidSpec)
    assert f"set compression: {packing.value}" in error.message


def test_zeros_become_holes(pool: Pool, tmp_path: Path) -> None:
    data = b"head" + bytes(8 * MIB) + b"tail" + bytes(8 * MIB)
    source = _source(tmp_path, gzip.compress(data))
    assert pool.fetch(pool.request(source, compression=ImageCompression.GZIP)).error is None
    image = pool.directory / "one.img"
    assert image.read_bytes() == data
    assert image.stat().st_blocks * 512 < MIB
