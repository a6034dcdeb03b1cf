"""What the node may rely on when it has images fetched: in memory, and with files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeplugin.hypervisor.qemu_img import QemuImg
from nodeplugin.hypervisor.volumes import QemuImgVolumes
from nodeplugin.images.port import ImageRequest, Images, Origin, TransferFacts, TransferState, Trust
from nodeplugin.images.transfers import Transfers
from tests.fakes.images import FakeImages
from tests.fakes.volumes import FakeImage, FakeVolumes
from tools.lab.processes import wait_until
from xvirt.model.errors import InvalidSpec, NotFound

MIB = 1 << 20


class Bench:
    """Images with a pool's directory, and a way to make sources."""

    def __init__(self, images: Images, volumes: FakeVolumes | QemuImgVolumes, directory: str) -> None:
        self.images = images
        self.volumes = volumes
        self.directory = directory

    def source(self, volume_format: str) -> tuple[str, str]:
        """Path and checksum of an image of 2 MiB."""
        path = f"{self.directory}/source"
        if isinstance(self.volumes, FakeVolumes):
            image = FakeImage(volume_format, 2 * MIB)
            self.volumes.images[path] = image
            return path, image.checksum
        QemuImg().run(["create", "-q", "-f", volume_format, path, str(2 * MIB)], "make an image")
        return path, f"sha256:{hashlib.sha256(Path(path).read_bytes()).hexdigest()}"

    def request(self, source: str, uid: str = "one", **fields: object) -> ImageRequest:
        values: dict[str, object] = {
            "uid": uid,
            "path": f"{self.directory}/{uid}",
            "format": "qcow2",
            "origin": Origin.PATH,
            "source": source,
            "trust": Trust.ANY,
        }
        return ImageRequest(**(values | fields))  # type: ignore[arg-type]

    def fetch(self, request: ImageRequest) -> TransferFacts:
        self.images.start(request)
        wait_until(lambda: self._has_ended(request.uid), 60, "the transfer to end")
        facts = self.images.find(request.uid)
        assert facts is not None
        return facts

    def _has_ended(self, uid: str) -> bool:
        facts = self.images.find(uid)
        return facts is not None and facts.state in (TransferState.DONE, TransferState.FAILED)


@pytest.fixture(params=["fake", "files"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """In memory, then on disk."""
    if request.param == "fake":
        fakes = FakeVolumes()
        yield Bench(FakeImages(fakes), fakes, "/pool")
        return
    volumes = QemuImgVolumes()
    transfers = Transfers(volumes.check_image)
    yield Bench(transfers, volumes, str(tmp_path))
    transfers.close()
    volumes.close()


@pytest.mark.parametrize("volume_format", ["qcow2", "raw"])
def test_an_image_is_brought_in_and_summed_also_when_asked_for_twice(bench: Bench, volume_format: str) -> None:
    source, checksum = bench.source(volume_format)
    request = bench.request(source, format=volume_format, checksum=checksum)
    for _ in range(2):
        facts = bench.fetch(request)
        assert (facts.state, facts.checksum) == (TransferState.DONE, checksum)
        bench.images.forget("one")
    volume = bench.volumes.find_volume(request.path, volume_format)
    assert volume is not None
    assert volume.capacity_bytes == 2 * MIB


def test_another_checksum_is_refused_and_not_kept(bench: Bench) -> None:
    source, _ = bench.source("qcow2")
    request = bench.request(source, checksum="sha256:" + "0" * 64)
    facts = bench.fetch(request)
    assert isinstance(facts.error, InvalidSpec)
    assert facts.error.reason == "ChecksumDiffers"
    assert bench.volumes.find_volume(request.path, "qcow2") is None
    with pytest.raises(InvalidSpec):
        bench.images.start(request)


@pytest.mark.parametrize(("actual", "declared"), [("raw", "qcow2"), ("qcow2", "raw")])
def test_another_format_is_refused(bench: Bench, actual: str, declared: str) -> None:
    source, _ = bench.source(actual)
    assert isinstance(bench.fetch(bench.request(source, format=declared)).error, InvalidSpec)


def test_a_missing_source_is_not_found(bench: Bench) -> None:
    error = bench.fetch(bench.request(f"{bench.directory}/none")).error
    assert isinstance(error, NotFound)
    assert error.reason == "SourceNotFound"


def test_nothing_is_known_of_what_was_forgotten(bench: Bench) -> None:
    source, _ = bench.source("qcow2")
    bench.fetch(bench.request(source))
    bench.images.forget("one")
    assert bench.images.find("one") is None
