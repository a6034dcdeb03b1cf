"""A pool, a server, and transfers that are quick to give up."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodeplugin.hypervisor.volumes import QemuImgVolumes
from nodeplugin.images.limits import ImageLimits
from nodeplugin.images.policy import ImagePolicy
from nodeplugin.images.port import ImageRequest, Origin, TransferFacts, TransferState, Trust
from nodeplugin.images.transfers import Transfers
from tests.unit.nodeplugin.images.server import FaultServer, Reply
from tools.lab.processes import wait_until

MIB = 1 << 20
WAIT_S = 60.0

QUICK = ImageLimits(
    size_max_bytes=64 * MIB,
    attempt_pause_s=0.01,
    attempt_progress_bytes=1000,
    chunk_bytes=16 << 10,
    space_check_bytes=64 << 10,
    progress_interval_s=0.0,
    space_reserve_percent=0,
)


class Pool:
    """A pool's directory with transfers into it, as one process of the plugin has them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.policy = ImagePolicy()
        self.limits = QUICK
        self.ca_bundle: str | None = None
        self.volumes = QemuImgVolumes()
        self.told: list[str] = []
        self.has_told = threading.Event()
        self._transfers: Transfers | None = None

    @property
    def transfers(self) -> Transfers:
        """The running process's."""
        if self._transfers is None:
            self._transfers = Transfers(self.volumes.check_image, self.policy, self.ca_bundle, self.limits)
            self._transfers.subscribe(self._tell)
        return self._transfers

    def _tell(self, uid: str) -> None:
        self.told.append(uid)
        self.has_told.set()

    def limit(self, **changes: float) -> None:
        """Other limits, for a process to come."""
        self.limits = dataclasses.replace(self.limits, **changes)  # type: ignore[arg-type]

    def restart(self) -> None:
        """End the process; the next one begins with what is on disk."""
        if self._transfers is not None:
            self._transfers.close()
            self._transfers = None

    def close(self) -> None:
        self.restart()
        self.volumes.close()

    def request(self, source: str, uid: str = "one", **fields: object) -> ImageRequest:
        """For a URL or path, by an administrator: the server of the tests is on loopback."""
        values: dict[str, object] = {
            "uid": uid,
            "path": str(self.directory / f"{uid}.img"),
            "format": "raw",
            "origin": Origin.URL if "://" in source else Origin.PATH,
            "source": source,
            "trust": Trust.ANY,
        }
        return ImageRequest(**(values | fields))  # type: ignore[arg-type]

    def facts(self, uid: str = "one") -> TransferFacts:
        facts = self.transfers.find(uid)
        assert facts is not None
        return facts

    def wait(self, uid: str = "one") -> TransferFacts:
        """Until it has ended."""
        ended = (TransferState.DONE, TransferState.FAILED)
        wait_until(lambda: self.facts(uid).state in ended, WAIT_S, f"the transfer of {uid} to end")
        return self.facts(uid)

    def fetch(self, request: ImageRequest) -> TransferFacts:
        """Start and wait."""
        self.transfers.start(request)
        return self.wait(request.uid)

    def fails(self, request: ImageRequest) -> Exception:
        """Start, wait, and return what it failed with."""
        facts = self.fetch(request)
        assert facts.error is not None, facts
        return facts.error

    def names(self) -> list[str]:
        return sorted(os.listdir(self.directory))


def checksum(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    directory = tmp_path / "pool"
    directory.mkdir()
    made = Pool(directory)
    yield made
    made.close()


@pytest.fixture
def content() -> bytes:
    """Half a MiB of noise that is no other format's head."""
    return b"raw:" + os.urandom(512 << 10)


@pytest.fixture
def serve(content: bytes) -> Iterator[Callable[..., FaultServer]]:
    """Starts servers; they end with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda *replies: stack.enter_context(FaultServer(content, list(replies) or [Reply()]).running())
