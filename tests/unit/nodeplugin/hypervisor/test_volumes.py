"""Volume files: what QEMU must never be shown, and what is left when something fails."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodeplugin.hypervisor import volumes as volumes_module
from nodeplugin.hypervisor.inspection import inspect_image
from nodeplugin.hypervisor.port import VolumeRequest
from nodeplugin.hypervisor.qemu_img import QemuImg
from nodeplugin.hypervisor.volumes import QemuImgVolumes
from tools.lab.processes import wait_until
from xvirt.model.errors import DeadlineExceeded, Exhausted, InvalidSpec, Refused, Unavailable

MIB = 1 << 20


def _ignore(percent: int) -> None:
    """Progress that nobody looks at."""


def _qemu_img(*argv: str) -> None:
    subprocess.run(["qemu-img", *argv], check=True, capture_output=True)


@pytest.fixture
def volumes() -> Iterator[QemuImgVolumes]:
    made = QemuImgVolumes()
    yield made
    made.close()


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a script in qemu-img's place."""

    def install(script: str) -> None:
        directory = tmp_path / "bin"
        directory.mkdir()
        (directory / "qemu-img").write_text(f"#!/bin/sh\n{script}\n")
        (directory / "qemu-img").chmod(0o755)
        monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")

    return install


def _request(path: Path) -> VolumeRequest:
    return VolumeRequest(path=str(path), format="raw", capacity_bytes=MIB)


def test_volumes_are_for_their_owner(volumes: QemuImgVolumes, tmp_path: Path) -> None:
    volumes.create_volume(_request(tmp_path / "disk"), _ignore)
    assert stat.S_IMODE((tmp_path / "disk").stat().st_mode) == 0o600


def test_a_linked_volume_records_format_and_absolute_path(volumes: QemuImgVolumes, tmp_path: Path) -> None:
    base, top = str(tmp_path / "base.raw"), str(tmp_path / "top.qcow2")
    volumes.create_volume(VolumeRequest(path=base, format="raw", capacity_bytes=MIB), _ignore)
    volumes.create_volume(
        VolumeRequest(path=top, format="qcow2", capacity_bytes=None, backing_path=base, backing_format="raw"), _ignore
    )
    shown = QemuImg().run(["info", "-f", "qcow2", top], "look")
    assert f"backing file: {base}\n" in shown
    assert "backing file format: raw" in shown


@pytest.mark.parametrize("script", ["echo 'No space left on device' >&2; exit 1", "kill -9 $$"])
def test_a_failed_qemu_img_leaves_nothing(
    volumes: QemuImgVolumes, tmp_path: Path, program: Callable[[str], None], script: str
) -> None:
    program(f'touch "$5"; {script}')
    with pytest.raises((Exhausted, Refused)):
        volumes.create_volume(_request(tmp_path / "disk"), _ignore)
    assert [entry.name for entry in tmp_path.iterdir()] == ["bin"]


def test_no_space_is_exhausted(volumes: QemuImgVolumes, tmp_path: Path, program: Callable[[str], None]) -> None:
    program("echo 'qemu-img: write failed: No space left on device' >&2; exit 1")
    with pytest.raises(Exhausted) as caught:
        volumes.create_volume(_request(tmp_path / "disk"), _ignore)
    assert caught.value.reason == "NoSpace"


def test_no_space_while_syncing_is_exhausted_and_leaves_nothing(
    volumes: QemuImgVolumes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(volumes_module, "sync_path", fail)
    with pytest.raises(Exhausted):
        volumes.create_volume(_request(tmp_path / "disk"), _ignore)
    assert list(tmp_path.iterdir()) == []


def test_a_qemu_img_that_does_not_end_is_ended(program: Callable[[str], None]) -> None:
    program("exec sleep 600")
    with pytest.raises(DeadlineExceeded):
        QemuImg().run(["info"], "look", timeout_s=0.05)


def test_closing_ends_what_runs(tmp_path: Path, program: Callable[[str], None]) -> None:
    program(f"touch {tmp_path}/running; exec sleep 600")
    qemu_img = QemuImg()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            qemu_img.run(["info"], "look")
        except Unavailable as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until((tmp_path / "running").exists, 30, "the program to run")
    qemu_img.close()
    thread.join(30)
    assert len(errors) == 1
    with pytest.raises(Unavailable):
        qemu_img.run(["info"], "look")


def test_progress_is_read_from_what_qemu_img_prints(program: Callable[[str], None]) -> None:
    program("printf '    (0.00/100%%)\\r    (41.52/100%%)\\r    (100.00/100%%)\\r'")
    seen: list[int] = []
    QemuImg().run(["convert"], "copy", progress=seen.append)
    assert seen
    assert seen[-1] == 99


def test_a_sweep_spares_what_is_being_made(volumes: QemuImgVolumes, tmp_path: Path) -> None:
    with volumes._partial(str(tmp_path / "disk"), 0o600) as partial:
        Path(partial).touch()
        (tmp_path / ".old.12345678.partial").touch()
        assert volumes.sweep(str(tmp_path)) == [".old.12345678.partial"]
        assert Path(partial).exists()


def test_a_directory_in_a_volumes_place_is_seen(volumes: QemuImgVolumes, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    with pytest.raises(InvalidSpec):
        volumes.find_volume(str(tmp_path / "disk"), "raw")
    with pytest.raises(Refused):
        volumes.delete_volume(str(tmp_path / "disk"))


# images


def _make_backed(directory: Path) -> None:
    _qemu_img("create", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", str(directory / "image"), "1M")


def _make_data_file(directory: Path) -> None:
    options = f"data_file={directory}/secret,data_file_raw=on"
    _qemu_img("create", "-f", "qcow2", "-o", options, str(directory / "image"), "1M")


def _make_encrypted(directory: Path) -> None:
    """By its header: qemu-img measures the CPU for LUKS, and gives up on a busy machine."""
    _qemu_img("create", "-f", "qcow2", str(directory / "image"), "1M")
    with open(directory / "image", "r+b") as handle:
        handle.seek(32)  # crypt_method
        handle.write((2).to_bytes(4, "big"))


def _make_huge(directory: Path) -> None:
    _qemu_img("create", "-f", "qcow2", "-o", "cluster_size=2M", str(directory / "image"), "100T")


def _make_torn(directory: Path) -> None:
    _qemu_img("create", "-f", "qcow2", str(directory / "image"), "1M")
    os.truncate(directory / "image", 200)


def _make_torn_data(directory: Path) -> None:
    (directory / "raw").write_bytes(os.urandom(MIB))
    _qemu_img("convert", "-f", "raw", "-O", "qcow2", str(directory / "raw"), str(directory / "image"))
    os.truncate(directory / "image", (directory / "image").stat().st_size - 300_000)


def _make_text(directory: Path) -> None:
    (directory / "image").write_text("no image")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_make_backed, "backing file"),
        (_make_data_file, "data file"),
        (_make_encrypted, "encrypted"),
        (_make_huge, "virtual size"),
        (_make_torn, "torn"),
        (_make_torn_data, "torn"),
        (_make_text, "not qcow2"),
    ],
)
def test_an_image_that_reaches_outside_or_lies_is_refused(
    volumes: QemuImgVolumes, tmp_path: Path, make: Callable[[Path], None], words: str
) -> None:
    make(tmp_path)
    with pytest.raises(InvalidSpec, match=words):
        volumes.check_image(str(tmp_path / "image"), "qcow2", "the image")


def test_a_good_image_is_described(tmp_path: Path) -> None:
    _qemu_img("create", "-f", "qcow2", str(tmp_path / "image"), "3M")
    facts = inspect_image(QemuImg(), str(tmp_path / "image"), "qcow2")
    assert (facts.capacity_bytes, facts.format, facts.backing_path) == (3 * MIB, "qcow2", None)
