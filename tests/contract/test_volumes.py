"""What the node may rely on when it deals with volume files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeplugin.hypervisor.port import VolumeRequest, Volumes
from nodeplugin.hypervisor.volumes import QemuImgVolumes
from tests.fakes.volumes import FakeVolumes
from xvirt.model.errors import InvalidSpec, NotFound, Refused

MIB = 1 << 20


class Bench:
    """Volumes with a directory, and a way to make images to import."""

    def __init__(self, volumes: Volumes, directory: str) -> None:
        self.volumes = volumes
        self.directory = directory
        self.percents: list[int] = []

    def path(self, name: str) -> str:
        return f"{self.directory}/{name}"

    def create(self, name: str, volume_format: str = "qcow2", **fields: object) -> str:
        path = self.path(name)
        fields.setdefault("capacity_bytes", None)
        request = VolumeRequest(path=path, format=volume_format, **fields)  # type: ignore[arg-type]
        self.volumes.create_volume(request, self.percents.append)
        return path

    def capacity(self, path: str, volume_format: str = "qcow2") -> int:
        facts = self.volumes.find_volume(path, volume_format)
        assert facts is not None
        return facts.capacity_bytes


@pytest.fixture(params=["fake", "files"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """In memory, then on disk."""
    if request.param == "fake":
        yield Bench(FakeVolumes(), "/pool")
        return
    volumes = QemuImgVolumes()
    yield Bench(volumes, str(tmp_path))
    assert not list(tmp_path.glob(".*.partial"))
    volumes.close()


@pytest.mark.parametrize("volume_format", ["qcow2", "raw"])
def test_a_blank_volume_has_its_size(bench: Bench, volume_format: str) -> None:
    path = bench.create("blank", volume_format, capacity_bytes=4 * MIB)
    facts = bench.volumes.find_volume(path, volume_format)
    assert facts is not None
    assert (facts.path, facts.format, facts.capacity_bytes) == (path, volume_format, 4 * MIB)
    assert facts.backing_path is None


def test_a_volume_that_is_not_there_is_none(bench: Bench) -> None:
    assert bench.volumes.find_volume(bench.path("none"), "qcow2") is None


def test_making_a_volume_twice_leaves_the_first(bench: Bench) -> None:
    path = bench.create("once", capacity_bytes=4 * MIB)
    bench.create("once", capacity_bytes=8 * MIB)
    assert bench.capacity(path) == 4 * MIB


def test_a_linked_volume_names_what_is_below_it(bench: Bench) -> None:
    base = bench.create("base", "raw", capacity_bytes=4 * MIB)
    middle = bench.create("middle", capacity_bytes=8 * MIB, backing_path=base, backing_format="raw")
    top = bench.create("top", backing_path=middle, backing_format="qcow2")
    assert bench.capacity(top) == 8 * MIB
    facts = bench.volumes.find_volume(top, "qcow2")
    assert facts is not None
    assert facts.backing_path == middle
    assert list(bench.volumes.backing_chain(top, "qcow2")) == [middle, base]
    assert list(bench.volumes.backing_chain(base, "raw")) == []


def test_a_copy_stands_alone_and_may_be_larger(bench: Bench) -> None:
    base = bench.create("base", "raw", capacity_bytes=4 * MIB)
    linked = bench.create("linked", backing_path=base, backing_format="raw")
    copy = bench.create("copy", "raw", source_path=linked, source_format="qcow2", capacity_bytes=8 * MIB)
    assert bench.capacity(copy, "raw") == 8 * MIB
    assert list(bench.volumes.backing_chain(copy, "raw")) == []
    assert all(0 <= percent <= 99 for percent in bench.percents)


def test_a_copy_is_never_smaller_than_its_source(bench: Bench) -> None:
    base = bench.create("base", capacity_bytes=8 * MIB)
    with pytest.raises(Refused):
        bench.create("small", source_path=base, source_format="qcow2", capacity_bytes=4 * MIB)
    assert bench.volumes.find_volume(bench.path("small"), "qcow2") is None


def test_a_volume_upon_nothing_is_refused(bench: Bench) -> None:
    with pytest.raises(Refused):
        bench.create("orphan", backing_path=bench.path("none"), backing_format="raw")
    with pytest.raises(Refused):
        bench.create("orphan", source_path=bench.path("none"), source_format="raw")


def test_another_format_than_declared_is_seen(bench: Bench) -> None:
    path = bench.create("plain", "raw", capacity_bytes=4 * MIB)
    with pytest.raises(InvalidSpec):
        bench.volumes.find_volume(path, "qcow2")


def test_a_volume_grows_and_never_shrinks(bench: Bench) -> None:
    path = bench.create("grows", capacity_bytes=4 * MIB)
    bench.volumes.grow_volume(path, "qcow2", 8 * MIB)
    bench.volumes.grow_volume(path, "qcow2", 2 * MIB)
    assert bench.capacity(path) == 8 * MIB
    with pytest.raises(NotFound):
        bench.volumes.grow_volume(bench.path("none"), "qcow2", 8 * MIB)


@pytest.mark.parametrize("volume_format", ["qcow2", "raw"])
def test_row_48_a_volume_is_allocated_at_once_where_that_is_asked(bench: Bench, volume_format: str) -> None:
    path = bench.create("full", volume_format, capacity_bytes=4 * MIB, preallocation="full")
    facts = bench.volumes.find_volume(path, volume_format)
    assert facts is not None
    assert facts.allocation_bytes >= 4 * MIB


def test_row_42_a_linked_volume_grows_alone(bench: Bench) -> None:
    base = bench.create("base", "raw", capacity_bytes=4 * MIB)
    middle = bench.create("middle", capacity_bytes=4 * MIB, backing_path=base, backing_format="raw")
    top = bench.create("top", backing_path=middle, backing_format="qcow2")
    bench.volumes.grow_volume(top, "qcow2", 16 * MIB)
    assert [bench.capacity(path) for path in (top, middle)] == [16 * MIB, 4 * MIB]
    assert bench.capacity(base, "raw") == 4 * MIB
    assert list(bench.volumes.backing_chain(top, "qcow2")) == [middle, base]


def test_deleting_twice_is_harmless(bench: Bench) -> None:
    path = bench.create("gone", capacity_bytes=4 * MIB)
    bench.volumes.delete_volume(path)
    bench.volumes.delete_volume(path)
    assert bench.volumes.find_volume(path, "qcow2") is None


@pytest.mark.parametrize(("actual", "declared"), [("raw", "qcow2"), ("qcow2", "raw")])
def test_an_image_of_another_format_is_refused(bench: Bench, actual: str, declared: str) -> None:
    path = bench.create("image", actual, capacity_bytes=2 * MIB)
    with pytest.raises(InvalidSpec):
        bench.volumes.check_image(path, declared, "the image")


@pytest.mark.parametrize("volume_format", ["qcow2", "raw"])
def test_an_image_of_its_format_is_described(bench: Bench, volume_format: str) -> None:
    path = bench.create("image", volume_format, capacity_bytes=2 * MIB)
    assert bench.volumes.check_image(path, volume_format, "the image").capacity_bytes == 2 * MIB


def test_what_a_crash_left_is_swept_and_volumes_stay(bench: Bench) -> None:
    path = bench.create("kept", capacity_bytes=4 * MIB)
    left = bench.path(".kept.0badcafe.partial")
    if isinstance(bench.volumes, FakeVolumes):
        bench.volumes.partials.add(left)
    else:
        Path(left).touch()
    assert bench.volumes.sweep(bench.directory) == [".kept.0badcafe.partial"]
    assert bench.volumes.sweep(bench.directory) == []
    assert bench.volumes.find_volume(path, "qcow2") is not None


def test_volumes_of_a_directory_are_listed_without_what_is_being_made_and_none_where_it_has_vanished(
    bench: Bench,
) -> None:
    assert list(bench.volumes.list_volumes(bench.directory)) == []
    for name in ("b.qcow2", "a.qcow2"):
        bench.create(name, capacity_bytes=4 * MIB)
    if not isinstance(bench.volumes, FakeVolumes):
        left = Path(bench.path(".c.qcow2.0badcafe.partial"))
        left.touch()
    assert list(bench.volumes.list_volumes(bench.directory)) == ["a.qcow2", "b.qcow2"]
    if not isinstance(bench.volumes, FakeVolumes):
        left.unlink()
    assert list(bench.volumes.list_volumes(bench.path("vanished"))) == []
