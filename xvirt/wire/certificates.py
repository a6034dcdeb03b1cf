"""The PEM files of one end of a mutual-TLS connection: read whole, checked to belong together, read again when they change.

While files are being exchanged one by one, a certificate may lie beside the old key; such a pair is not taken, the last good one stays.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from xvirt.model.errors import InvalidSpec, Problem

logger = logging.getLogger(__name__)

Stamp = tuple[tuple[int, int, int], ...]


@dataclasses.dataclass(frozen=True)
class TlsFiles:
    """PEM files of one end; `ca` signs the other end's certificate."""

    ca: Path
    certificate: Path
    key: Path


@dataclasses.dataclass(frozen=True)
class TlsContent:
    """What the files hold, PEM. The key belongs to the certificate."""

    ca: bytes
    certificate: bytes
    key: bytes = dataclasses.field(repr=False)


class CertificateFiles:
    """Three files over time. Threads may share it."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._seen: Stamp = ()

    def load(self) -> TlsContent:
        """The files as they are now. Raises InvalidSpec where one cannot be read, is no PEM, or key and certificate differ."""
        with self._lock:
            try:
                self._seen = self._stamp()
                return self._read()
            except OSError as error:
                raise InvalidSpec([_unreadable(error)]) from error

    def changed(self) -> TlsContent | None:
        """The files where they changed since the last look and are good; None otherwise. Bad ones are logged once."""
        with self._lock:
            stamp = self._seen
            try:
                stamp = self._stamp()
                content = None if stamp == self._seen else self._read()
            except (OSError, InvalidSpec) as error:
                if stamp != self._seen:
                    logger.warning("TLS files changed but are not good; going on with the last good ones: %s", error)
                content = None
            self._seen = stamp
            return content

    def _stamp(self) -> Stamp:
        found = (path.stat() for path in (self._files.ca, self._files.certificate, self._files.key))
        return tuple((item.st_mtime_ns, item.st_ino, item.st_size) for item in found)

    def _read(self) -> TlsContent:
        files = self._files
        content = TlsContent(files.ca.read_bytes(), files.certificate.read_bytes(), files.key.read_bytes())
        for path, data in ((files.ca, content.ca), (files.certificate, content.certificate)):
            if not _certificates(data):
                raise InvalidSpec([Problem(str(path), "holds no PEM certificate")])
        certified = _certificates(content.certificate)[0].public_key()
        if _public_bytes(_load_public(files.key, content.key)) != _public_bytes(certified):
            message = f"is not the key of {files.certificate}"
            raise InvalidSpec([Problem(str(files.key), message, "give the two files that were made together")])
        return content


def _unreadable(error: OSError) -> Problem:
    return Problem(str(error.filename), f"cannot be read: {error.strerror}", "`xvirt node init-pki` makes such files")


def _certificates(data: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError:
        return []


def _load_public(path: Path, data: bytes) -> PublicKeyTypes:
    try:
        return serialization.load_pem_private_key(data, None).public_key()
    except (TypeError, ValueError) as error:
        raise InvalidSpec([Problem(str(path), "holds no unencrypted PEM private key")]) from error


def _public_bytes(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
