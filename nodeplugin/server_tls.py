"""The server's certificates: mutual TLS always, files read again when they change, the last good ones kept when they are bad."""

from __future__ import annotations

import logging
import threading

import grpc

from nodeplugin.server_options import TlsFiles
from xvirt.model.errors import InvalidSpec, Problem

logger = logging.getLogger(__name__)


class CertificateSource:
    """Asked by gRPC for each new connection."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._stamp: tuple[int, ...] = ()

    def credentials(self) -> grpc.ServerCredentials:
        """Raises InvalidSpec where the files cannot be read at start."""
        try:
            self._stamp = self._read_stamp()
            first = self._read()
        except OSError as error:
            problem = Problem(
                f"tls: {error.filename}", f"cannot be read: {error.strerror}", "run `xvirt node init-pki`"
            )
            raise InvalidSpec([problem]) from error
        return grpc.dynamic_ssl_server_credentials(
            first,
            self._fetch,  # type: ignore[arg-type]  # None means unchanged
            require_client_authentication=True,
        )

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        try:
            with self._lock:
                stamp = self._read_stamp()
                if stamp == self._stamp:
                    return None
                configuration = self._read()
                self._stamp = stamp
            logger.info("certificates were read again")
            return configuration
        except Exception:  # an exception here would end every handshake from now on
            logger.exception("certificates cannot be read; going on with the last good ones")
            return None

    def _read_stamp(self) -> tuple[int, ...]:
        files = (self._files.ca, self._files.certificate, self._files.key)
        return tuple(path.stat().st_mtime_ns for path in files)

    def _read(self) -> grpc.ServerCertificateConfiguration:
        pair = (self._files.key.read_bytes(), self._files.certificate.read_bytes())
        return grpc.ssl_server_certificate_configuration([pair], self._files.ca.read_bytes())
