"""Every bound on what a document may be, in one place. Beyond a bound a document is refused whole, with its path."""

from __future__ import annotations

DOCUMENT_MAX_BYTES = 1 << 20
"""One document as canonical JSON. etcd's request limit is 1.5 MiB; libvirt's largest test document is 70 KB."""

STREAM_MAX_BYTES = 8 << 20
"""All documents of one file or stream, before parsing."""

STREAM_MAX_DOCUMENTS = 1000
DOCUMENT_MAX_DEPTH = 64
"""Nesting of maps and lists; libvirt's own XML stays below 20."""

YAML_MAX_ALIASES = 100
DOCUMENT_MAX_NODES = 50_000
DISKS_MAX = 64
NICS_MAX = 32
NIC_RATE_MAX_BYTES = 1 << 36
NIC_BURST_MAX_BYTES = 1 << 30
DISK_RATE_MIN_BYTES = 1 << 10
DISK_RATE_MAX_BYTES = 1 << 36
DISK_RATE_MAX_IOPS = 100_000_000
DISK_BURST_MAX_S = 3600
"""QEMU refuses a burst whose rate times length is above 10^15 (util/throttle.c); the products of these bounds are below."""

IO_THREADS_MAX = 16
VCPUS_MAX = 512
MEMORY_MIN_BYTES = 16 << 20
MEMORY_MAX_BYTES = 16 << 40
VOLUME_MIN_BYTES = 1 << 20
VOLUME_MAX_BYTES = 64 << 40
USER_DATA_MAX_BYTES = 512 << 10
PROBE_TIMEOUT_MAX_SECONDS = 30
"""A probe that waits holds one of the node's threads for probes."""

PROBE_HEADERS_MAX = 32
PROBE_ARGUMENTS_MAX = 64
PROBE_ARGUMENT_MAX_LENGTH = 4096

GUEST_TEXT_MAX_LENGTH = 253
"""Any one word of a guest's agent, in characters. The four bounds below are of what a guest may say of itself in its status."""

GUEST_USERS_MAX = 64
GUEST_FILE_SYSTEMS_MAX = 64
GUEST_DISKS_MAX = 16
"""Disks below one file system."""

GUEST_ADDRESSES_MAX = 64
"""Addresses of one machine, from all sources."""

SSH_KEYS_MAX = 64
SSH_KEY_MAX_LENGTH = 8192
"""An RSA key of 16384 bits is 2.8 KiB."""

LABELS_MAX = 64
ANNOTATION_MAX_LENGTH = 256 << 10
"""Kubernetes' bound for all annotations of an object together; `kubectl apply` keeps a whole document in one."""

PROBLEMS_MAX = 100
"""Problems of one spec that are told; a number says how many more there are."""
