"""Every bound on fetching images, in one place."""

from __future__ import annotations

import dataclasses

MIB = 1 << 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageLimits:
    """Times in seconds, sizes in bytes. The node's config sets `size_max_bytes`; the rest is the same everywhere."""

    size_max_bytes: int = 256 << 30
    """An image as it is downloaded, and again as it is unpacked."""
    downloads_max: int = 2
    """At once: two fill a disk's bandwidth, and a slow server leaves one to the others."""
    transfers_max: int = 1000
    """Under way and waiting for one of the two."""
    dns_timeout_s: float = 20.0
    connect_timeout_s: float = 10.0
    """For each address."""
    head_timeout_s: float = 60.0
    """Connection, TLS and the answer's head together, redirects included: a head may trickle in."""
    stall_timeout_s: float = 30.0
    """Without a single byte."""
    rate_window_s: float = 60.0
    rate_min_bytes_s: int = 16 << 10
    """Mean over a window; a server that is slower holds one of two downloads for nothing (1 GiB would take 18 hours)."""
    redirects_max: int = 5
    attempts_max: int = 4
    """In a row with less than `attempt_progress_bytes` new; then the slot is given up, and the object's back-off decides."""
    attempt_progress_bytes: int = MIB
    attempt_pause_s: float = 1.0
    """Doubles from attempt to attempt."""
    refused_retry_s: float = 900.0
    """What was refused for its content or address is not fetched again before; the time doubles with each refusal."""
    refused_retry_max_s: float = 86400.0
    chunk_bytes: int = MIB
    sparse_bytes: int = 4 << 10
    """Zeros of this length and alignment become holes: a block of most file systems."""
    space_check_bytes: int = 16 * MIB
    space_reserve_bytes: int = 256 * MIB
    space_reserve_percent: int = 5
    """The smaller of both stays free: machines write to the same file system, and one that finds it full is paused."""
    manifest_max_bytes: int = 4 * MIB
    """Of a container image; the OCI distribution specification asks registries to take so much."""
    token_max_bytes: int = 64 << 10
    layers_max: int = 128
    """Of one container image that are looked through for the disk; overlayfs allows about as many."""
    layer_members_max: int = 100_000
    layer_head_max_bytes: int = MIB
    """Extended headers of one member of a layer; Linux' paths have 4 KiB."""
    xz_memory_bytes: int = 256 * MIB
    """`xz -9` needs 65 MiB to unpack; a hostile head asks for 4 GiB."""
    zstd_window_bytes: int = 128 * MIB
    """`zstd --long`."""
    progress_interval_s: float = 2.0
    """Between two looks of an object at its own transfer."""
    pending_uploads_max: int = 8
    upload_idle_s: float = 60.0
    """An upload that sends nothing for so long is ended; what came is kept, and it may go on."""
    stop_timeout_s: float = 5.0


DEFAULT_LIMITS = ImageLimits()
