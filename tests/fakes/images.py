"""Image transfers in memory: one look later they run, two looks later they are done."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Collection
from typing import TypeVar

from nodeplugin.hypervisor.port import VolumeFacts
from nodeplugin.images.port import ImageRequest, TransferFacts, TransferState, Upload
from tests.fakes.faults import Faults, mutating
from tests.fakes.volumes import FakeVolumes
from xvirt.model.errors import InvalidSpec, NotFound, Problem, RetryLater, Unsupported, XvirtError

R = TypeVar("R")


class FakeImages:
    """Implements `nodeplugin.images.port.Images`. Sources are the `images` of the volumes."""

    def __init__(self, volumes: FakeVolumes, *, faults: Faults | None = None) -> None:
        self.faults = faults or volumes.faults
        self.is_held = False
        """Transfers get no further than half."""
        self.partials: dict[str, str] = {}
        """uid of the image -> directory, of what a killed process has left."""
        self._volumes = volumes
        self._lock = threading.RLock()
        self._requests: dict[str, ImageRequest] = {}
        self._facts: dict[str, TransferFacts] = {}
        self._listener: Callable[[str], None] = lambda uid: None

    def guarded(self, call: Callable[[], R]) -> R:
        with self._lock:
            return call()

    def reboot(self) -> None:
        """The process is a new one: it knows of no transfer, and finds what they wrote."""
        for uid, facts in self._facts.items():
            if facts.state is TransferState.RUNNING:
                self.partials[uid] = self._requests[uid].path.rpartition("/")[0]
        self._requests.clear()
        self._facts.clear()

    def subscribe(self, listener: Callable[[str], None]) -> None:
        self._listener = listener

    def start(self, request: ImageRequest) -> None:
        facts = self._facts.get(request.uid)
        if facts is not None and facts.error is not None:
            if isinstance(facts.error, RetryLater):
                self.forget(request.uid)
            raise facts.error
        if request.path in self._volumes.files:  # only read
            self._requests[request.uid] = request
            self._facts[request.uid] = TransferFacts(state=TransferState.QUEUED)
        else:
            self._begin(request)

    @mutating
    def _begin(self, request: ImageRequest) -> None:
        self._requests[request.uid] = request
        self._facts[request.uid] = TransferFacts(state=TransferState.QUEUED)

    def find(self, uid: str) -> TransferFacts | None:
        """What it is now; and it goes on."""
        with self._lock:
            facts = self._facts.get(uid)
            if facts is not None and facts.state is TransferState.QUEUED:
                facts = TransferFacts(state=TransferState.RUNNING, done_bytes=50, total_bytes=100)
            elif facts is not None and facts.state is TransferState.RUNNING and not self.is_held:
                facts = self._finish(self._requests[uid])
            if facts is not None:
                self._facts[uid] = facts
            return facts

    def _finish(self, request: ImageRequest) -> TransferFacts:
        image = self._volumes.images.get(request.source)
        error: XvirtError | None = None
        if image is None:
            error = NotFound(f"image {request.source} is not on this host", reason="SourceNotFound")
        elif request.checksum not in (None, image.checksum):
            message = f"{request.source} has checksum {image.checksum}, declared is {request.checksum}"
            error = InvalidSpec([Problem("spec.checksum", message, "mend it")], reason="ChecksumDiffers")
        elif image.format != request.format or image.backing_path is not None:
            error = InvalidSpec(
                [Problem("spec.source", f"{request.source} is not {request.format} or has a backing file")]
            )
        if error is not None or image is None:
            return TransferFacts(state=TransferState.FAILED, error=error)
        self._volumes.files.setdefault(
            request.path,
            VolumeFacts(
                path=request.path,
                format=request.format,
                capacity_bytes=image.capacity_bytes,
                allocation_bytes=len(image.content),
            ),
        )
        self.partials.pop(request.uid, None)
        return TransferFacts(state=TransferState.DONE, done_bytes=100, total_bytes=100, checksum=image.checksum)

    def fail(self, uid: str, error: XvirtError) -> None:
        """A transfer goes wrong."""
        self._facts[uid] = dataclasses.replace(self._facts[uid], state=TransferState.FAILED, error=error)

    def await_upload(self, uid: str) -> None:
        """Nothing was sent yet."""
        self._facts[uid] = TransferFacts(state=TransferState.AWAITING)

    def forget(self, uid: str) -> None:
        with self._lock:
            self._facts.pop(uid, None)
            self._requests.pop(uid, None)

    def open_upload(self, request: ImageRequest, total_bytes: int | None) -> Upload:
        raise Unsupported("nothing is uploaded to a fake")

    def collect(self, directory: str, wanted: Collection[ImageRequest]) -> list[str]:
        uids = {request.uid for request in wanted}
        found = [uid for uid, place in self.partials.items() if place == directory and uid not in uids]
        for uid in found:
            del self.partials[uid]
        return found

    def close(self) -> None:
        """Nothing runs."""
