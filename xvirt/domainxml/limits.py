"""Bounds on XML, in one place. Beyond a bound a document is refused whole."""

from __future__ import annotations

XML_MAX_BYTES = 8 << 20
"""libvirt's own limit for a string is 4 MiB (REMOTE_STRING_MAX in src/remote/remote_protocol.x); its largest test file is 70 KB."""

XML_MAX_DEPTH = 64
"""libvirt's own documents stay below 20 levels."""

XML_MAX_ELEMENTS = 200_000
