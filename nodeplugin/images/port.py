"""What the workers may ask of images: values without I/O, and the port."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Collection
from typing import Protocol

from xvirt.model.errors import XvirtError
from xvirt.model.storage import ImageCompression


class Origin(enum.Enum):
    """Where the bytes come from."""

    PATH = "path"
    URL = "url"
    UPLOAD = "upload"
    CONTAINER_DISK = "container-disk"


class Trust(enum.Enum):
    """Whether the node's list of allowed sources binds who declared the image."""

    LISTED = "listed"
    ANY = "any"
    """Profile `privileged`: an administrator of this host, who could read the file himself."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """One VirtualImage. `path` is its place in the pool; `source` a host path, a URL, a container image, or the object's uid for an
    upload; `member` the file in a container image, where it is named; `checksum` is `sha256:...` of the bytes as they are fetched; `twin_path` another image of the same declared content."""

    uid: str
    path: str
    format: str
    origin: Origin
    source: str
    checksum: str | None = None
    compression: ImageCompression = ImageCompression.NONE
    trust: Trust = Trust.LISTED
    member: str | None = None
    twin_path: str | None = None

    @property
    def shown(self) -> str:
        """The source for people: a URL without its query, which may be a signature."""
        if self.origin is Origin.UPLOAD:
            return "the upload"
        return show_url(self.source) if self.origin is Origin.URL else self.source


def show_url(url: str) -> str:
    """A URL for messages: without its query, which may be a signature, without credentials, and without what moves a cursor."""
    head = "".join(sign for sign in url[:4096] if sign.isprintable())
    head = head.partition("?")[0].partition("#")[0]
    scheme, separator, rest = head.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"[:300]


class TransferState(enum.Enum):
    """What a transfer does. AWAITING, RECEIVING: an upload before its end. QUEUED: the downloads that may run do."""

    AWAITING = "awaiting"
    RECEIVING = "receiving"
    QUEUED = "queued"
    RUNNING = "running"
    CHECKING = "checking"
    DONE = "done"
    FAILED = "failed"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransferFacts:
    """A transfer as it is. Bytes as they are fetched; `total_bytes` None where the source does not tell. `checksum` once DONE."""

    state: TransferState
    done_bytes: int = 0
    total_bytes: int | None = None
    checksum: str | None = None
    error: XvirtError | None = None


class Upload(Protocol):
    """An upload that is open."""

    @property
    def received_bytes(self) -> int:
        """What is there already, from an earlier try: the sender goes on from here."""

    def write(self, data: bytes) -> None:
        """Take more. Raises Refused beyond the cap, Exhausted where the disk is full."""

    def finish(self) -> None:
        """All is there: check it, and wake the image."""

    def close(self) -> None:
        """No more comes now; what is there is kept for another try."""


class Images(Protocol):
    """Images on their way into pools. No call waits for a transfer."""

    def subscribe(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the uid whose transfer changed, from the transfer's thread: it must only enqueue."""

    def start(self, request: ImageRequest) -> None:
        """Start a transfer, or join one of the same source. Raises what made the last one fail, and forgets that where it is worth
        another try."""

    def find(self, uid: str) -> TransferFacts | None:
        """What is known of an image's transfer; None where there is none."""

    def forget(self, uid: str) -> None:
        """Leave the transfer; it is cancelled, and what it wrote removed, where nobody else waits for it."""

    def open_upload(self, request: ImageRequest, total_bytes: int | None) -> Upload:
        """Receive an upload. Raises Busy while another one goes on, Exhausted where too many do."""

    def collect(self, directory: str, wanted: Collection[ImageRequest]) -> list[str]:
        """Remove what interrupted transfers left in a pool's directory and none of `wanted` goes on with; names of what went."""

    def close(self) -> None:
        """Stop all transfers; what they wrote is kept for the next start."""
