"""What the node may rely on when it deals with logical volumes: over the fake, and over LVM's own tools (see `loop_lvm`)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeplugin.hypervisor.logical import GROWN_TAG, PARTIAL_PREFIX, LogicalVolumes
from nodeplugin.hypervisor.port import VolumeRequest, Volumes
from nodeplugin.hypervisor.volumes import QemuImgVolumes
from tests.contract.loop_lvm import MIB, LoopLvm
from tests.fakes.volumes import FakeVolumes
from xvirt.model.errors import Exhausted, InvalidSpec, NotFound, Refused


class Bench:
    """A volume group, and images to copy."""

    def __init__(self, volumes: Volumes, directory: Path, group: str) -> None:
        self.volumes, self.directory, self.group = volumes, directory, group

    @property
    def is_real(self) -> bool:
        return not isinstance(self.volumes, FakeVolumes)

    def path(self, name: str = "data") -> str:
        return f"/dev/{self.group}/xvirt+default+{name}"

    def create(self, name: str = "data", volume_format: str = "raw", **fields: object) -> str:
        fields.setdefault("capacity_bytes", None)
        request = VolumeRequest(path=self.path(name), format=volume_format, group=self.group, **fields)  # type: ignore[arg-type]
        self.volumes.create_volume(request, lambda _: None)
        return self.path(name)

    def capacity(self, path: str) -> int:
        facts = self.volumes.find_volume(path, "raw")
        assert facts is not None
        assert facts.is_device
        return facts.capacity_bytes

    def available(self) -> int:
        space = self.volumes.find_space(f"/dev/{self.group}")
        assert space is not None
        return space.available_bytes

    def source(self) -> tuple[str, bytes]:
        """A qcow2 image of 6 MiB with something in it, and what that is."""
        path = str(self.directory / "source.qcow2")
        request = VolumeRequest(path=path, format="qcow2", capacity_bytes=6 * MIB)
        self.volumes.create_volume(request, lambda _: None)
        content = bytes(6 * MIB)
        if self.is_real:
            content = b"\x07" * MIB + bytes(3 * MIB) + b"\x09" * (2 * MIB)
            raw = self.directory / "source.raw"
            raw.write_bytes(content)
            subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), path], check=True)
        return path, content


@pytest.fixture(params=["fake", "lvm"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """In memory, then by LVM."""
    group = f"xvirt-test-{os.getpid()}"
    if request.param == "fake":
        fake = FakeVolumes()
        fake.blank_devices.add("/dev/sdb")
        fake.create_group(group, ["/dev/sdb"])
        yield Bench(fake, tmp_path, group)
        return
    with LoopLvm(tmp_path / "lvm", 96 * MIB).on_path() as lvm:
        volumes = QemuImgVolumes()
        volumes.create_group(group, [lvm.device])
        yield Bench(volumes, tmp_path, group)
        assert not [name for name in volumes.list_volumes(f"/dev/{group}") if name.startswith(PARTIAL_PREFIX)]
        volumes.close()


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return b"".join(iter(lambda: os.read(descriptor, MIB), b""))
    finally:
        os.close(descriptor)


def test_row_48_a_blank_volume_is_whole_extents_of_zeros_whatever_lay_there_before(bench: Bench) -> None:
    before = bench.available()
    path = bench.create(capacity_bytes=6 * MIB)
    assert bench.capacity(path) == 8 * MIB
    assert bench.available() == before - 8 * MIB
    assert list(bench.volumes.list_volumes(f"/dev/{bench.group}")) == ["xvirt+default+data"]
    if bench.is_real:
        assert _read(path) == bytes(8 * MIB)


def test_row_23_a_copy_holds_its_source_and_zeros_behind_it(bench: Bench) -> None:
    source, content = bench.source()
    path = bench.create(capacity_bytes=12 * MIB, source_path=source, source_format="qcow2")
    assert bench.capacity(path) == 12 * MIB
    small = bench.create("small", source_path=source, source_format="qcow2")
    assert bench.capacity(small) == 8 * MIB
    if bench.is_real:
        assert _read(path) == content + bytes(6 * MIB)
        assert _read(small) == content + bytes(2 * MIB)


def test_row_42_growth_keeps_what_is_there_and_brings_zeros(bench: Bench) -> None:
    path = bench.create(capacity_bytes=4 * MIB)
    if bench.is_real:
        with Path(path).open("rb+") as device:
            device.write(b"\x05" * (4 * MIB))
    bench.volumes.grow_volume(path, "raw", 16 * MIB)
    bench.volumes.grow_volume(path, "raw", 8 * MIB)
    assert bench.capacity(path) == 16 * MIB
    if bench.is_real:
        assert _read(path) == b"\x05" * (4 * MIB) + bytes(12 * MIB)
    with pytest.raises(NotFound):
        bench.volumes.grow_volume(bench.path("none"), "raw", 8 * MIB)


def test_making_a_volume_twice_leaves_the_first_and_deleting_twice_is_harmless(bench: Bench) -> None:
    path = bench.create(capacity_bytes=4 * MIB)
    bench.create(capacity_bytes=8 * MIB)
    assert bench.capacity(path) == 4 * MIB
    before = bench.available()
    bench.volumes.delete_volume(path)
    bench.volumes.delete_volume(path)
    assert bench.volumes.find_volume(path, "raw") is None
    assert bench.available() == before + 4 * MIB


def test_what_is_not_raw_or_depends_on_another_is_refused(bench: Bench) -> None:
    source, _ = bench.source()
    with pytest.raises(InvalidSpec):
        bench.create(volume_format="qcow2", capacity_bytes=4 * MIB)
    with pytest.raises(InvalidSpec):
        bench.create(backing_path=source, backing_format="qcow2")
    assert bench.volumes.find_volume(bench.path(), "raw") is None


def test_a_group_that_is_not_there_has_no_place_and_no_space(bench: Bench) -> None:
    assert bench.volumes.has_group(bench.group)
    assert bench.volumes.has_place(f"/dev/{bench.group}")
    assert not bench.volumes.has_group("none")
    assert not bench.volumes.has_place("/dev/none")
    assert bench.volumes.find_space("/dev/none") is None


@pytest.fixture
def lvm(tmp_path: Path) -> Iterator[LoopLvm]:
    with LoopLvm(tmp_path / "lvm", 96 * MIB).on_path() as made:
        yield made


@pytest.fixture
def real(lvm: LoopLvm, tmp_path: Path) -> Iterator[Bench]:
    """LVM's own tools alone."""
    group = f"xvirt-test-{os.getpid()}"
    volumes = QemuImgVolumes()
    volumes.create_group(group, [lvm.device])
    yield Bench(volumes, tmp_path, group)
    volumes.close()


def test_a_full_group_is_told_and_nothing_is_left_and_all_goes_on_when_there_is_space(real: Bench) -> None:
    ballast = real.create("ballast", capacity_bytes=80 * MIB)
    before = real.available()
    with pytest.raises(Exhausted):
        real.create(capacity_bytes=32 * MIB)
    with pytest.raises(Exhausted):
        real.volumes.grow_volume(ballast, "raw", 160 * MIB)
    assert real.available() == before
    tags = subprocess.run(["lvs", "-o", "lv_tags"], check=True, capture_output=True, text=True).stdout
    assert GROWN_TAG not in tags
    assert list(real.volumes.list_volumes(f"/dev/{real.group}")) == ["xvirt+default+ballast"]
    assert real.volumes.sweep(f"/dev/{real.group}") == []
    assert real.capacity(ballast) == 80 * MIB
    real.volumes.delete_volume(ballast)
    assert real.capacity(real.create(capacity_bytes=32 * MIB)) == 32 * MIB


def test_a_growth_that_was_interrupted_is_ended_by_the_next_sweep(real: Bench) -> None:
    path = real.create(capacity_bytes=4 * MIB)
    volume = path.removeprefix("/dev/")
    subprocess.run(["lvchange", "--addtag", f"{GROWN_TAG}{4 * MIB}-{8 * MIB}", volume], check=True)
    subprocess.run(["lvextend", "--size", f"{8 * MIB}b", volume], check=True)
    assert b"last owner" in _read(path)
    assert real.volumes.sweep(f"/dev/{real.group}") == []
    assert _read(path) == bytes(8 * MIB)
    assert GROWN_TAG not in subprocess.run(["lvs", "-o", "lv_tags"], check=True, capture_output=True, text=True).stdout


def test_what_grew_and_may_have_been_written_since_is_never_zeroed(real: Bench) -> None:
    path = real.create(capacity_bytes=4 * MIB)
    volume = path.removeprefix("/dev/")
    subprocess.run(["lvchange", "--addtag", f"{GROWN_TAG}{4 * MIB}-{8 * MIB}", volume], check=True)
    subprocess.run(["lvextend", "--size", f"{8 * MIB}b", volume], check=True)
    before = _read(path)
    found = LogicalVolumes._list
    with pytest.MonkeyPatch.context() as patch:  # loop devices are never open to LVM, which maps nothing here
        patch.setattr(
            LogicalVolumes, "_list", lambda *words: [{**item, "lv_device_open": "open"} for item in found(*words)]
        )
        assert real.volumes.sweep(f"/dev/{real.group}") == []
    assert real.volumes.sweep(f"/dev/{real.group}") == []
    assert _read(path) == before
    assert GROWN_TAG not in subprocess.run(["lvs", "-o", "lv_tags"], check=True, capture_output=True, text=True).stdout


def test_a_device_that_holds_something_becomes_no_group(lvm: LoopLvm) -> None:
    subprocess.run(["mkfs.ext4", "-q", "-F", lvm.device], check=True)
    volumes = QemuImgVolumes()
    with pytest.raises(Refused, match="signature detected"):
        volumes.create_group("precious", [lvm.device])
    assert not volumes.has_group("precious")
    subprocess.run(["fsck.ext4", "-n", lvm.device], check=True, capture_output=True)
    volumes.close()


_COPY_AND_DIE = """
import os, signal, sys
from nodeplugin.hypervisor.port import VolumeRequest
from nodeplugin.hypervisor.volumes import QemuImgVolumes
path, source, group = sys.argv[1:]
request = VolumeRequest(path=path, format="raw", capacity_bytes=None, source_path=source, source_format="qcow2", group=group or None)
QemuImgVolumes().create_volume(request, lambda percent: percent > 0 and os.kill(os.getpid(), signal.SIGKILL))
"""


@pytest.mark.parametrize("kind", ["directory", "group"])
def test_row_48_a_plugin_killed_in_the_middle_of_a_copy_leaves_no_volume_and_the_next_sweep_takes_the_rest(
    real: Bench, kind: str
) -> None:
    source, content = real.source()
    pool = real.directory / "pool"
    pool.mkdir()
    group = real.group if kind == "group" else ""
    path = real.path() if group else str(pool / "default_data.raw")
    before = real.available()
    done = subprocess.run([sys.executable, "-c", _COPY_AND_DIE, path, source, group], check=False)
    assert done.returncode == -signal.SIGKILL
    assert real.volumes.find_volume(path, "raw") is None
    directory = f"/dev/{real.group}" if group else str(pool)
    assert len(real.volumes.sweep(directory)) == 1
    assert real.volumes.sweep(directory) == []
    assert real.available() == before
    request = VolumeRequest(
        path=path, format="raw", capacity_bytes=None, source_path=source, source_format="qcow2", group=group or None
    )
    real.volumes.create_volume(request, lambda _: None)
    assert _read(path)[: len(content)] == content
