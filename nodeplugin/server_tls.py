"""The server's certificates: mutual TLS always, files read again when they change, the last good ones kept when they are bad."""

from __future__ import annotations

import logging

import grpc

from xvirt.wire.certificates import CertificateFiles, TlsContent, TlsFiles

logger = logging.getLogger(__name__)


class CertificateSource:
    """Asked by gRPC for each new connection."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = CertificateFiles(files)

    def credentials(self) -> grpc.ServerCredentials:
        """Raises InvalidSpec where the files cannot be used at start."""
        return grpc.dynamic_ssl_server_credentials(
            _configuration(self._files.load()),
            self._fetch,  # type: ignore[arg-type]  # None means unchanged
            require_client_authentication=True,
        )

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        try:
            content = self._files.changed()
            if content is None:
                return None
            logger.info("certificates were read again")
            return _configuration(content)
        except Exception:  # an exception here would end every handshake from now on
            logger.exception("certificates cannot be read; going on with the last good ones")
            return None


def _configuration(content: TlsContent) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(content.key, content.certificate)], content.ca)
