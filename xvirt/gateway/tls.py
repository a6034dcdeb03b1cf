"""The TLS of the listener: the certificate that is shown, and the CA of those who may show one. Both change while connections go on.

asyncio's listener keeps the context that it was made with. Each new connection is given the newest one right after its first message, where
the server may still choose: OpenSSL takes certificate and CAs from there. Only TLS 1.3, without resumption: a resumed session would be
believed by what an older CA had signed.
"""

from __future__ import annotations

import logging
import os
import ssl
from pathlib import Path
from typing import Any

from xvirt.wire.certificates import CertificateFiles, TlsContent, TlsFiles

log = logging.getLogger(__name__)


class Listening:
    """Contexts of one listener. Raises InvalidSpec where the pair of files cannot be used at start."""

    def __init__(self, certificate: Path, key: Path, client_ca: str) -> None:
        # The callers' CA comes from the API server, not from a file: the third file of such a set is the certificate itself.
        self._files = CertificateFiles(TlsFiles(certificate, certificate, key))
        self._content = self._files.load()
        self._client_ca = client_ca
        self._newest = _make(self._content, client_ca)
        self.context = _make(self._content, client_ca)
        self.context.sni_callback = self._choose  # also called where the client names no server

    def trust(self, client_ca: str) -> None:
        """Take callers by another CA from now on; connections that are open go on."""
        if client_ca == self._client_ca:
            return
        try:
            self._newest = _make(self._content, client_ca)
        except ssl.SSLError as error:
            log.warning("the CA of callers has changed but cannot be used; going on with the last one: %s", error)
            return
        self._client_ca = client_ca
        log.info("the CA of callers was exchanged")

    def _choose(self, connection: Any, _name: str | None, _first: ssl.SSLContext) -> None:
        content = self._files.changed()
        if content is not None:
            self._content = content
            self._newest = _make(content, self._client_ca)
            log.info("the serving certificate was read again")
        connection.context = self._newest


def _make(content: TlsContent, client_ca: str) -> ssl.SSLContext:
    """Raises ssl.SSLError for a CA that is none."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.num_tickets = 0
    made.set_alpn_protocols(["http/1.1"])
    made.load_verify_locations(cadata=client_ca)
    # Whoever shows none is answered 401, which says more than a broken connection; kubelet's probes show none.
    made.verify_mode = ssl.CERT_OPTIONAL
    # ssl takes keys from files only; this one is nowhere but in memory, and a pod may have no place to write to.
    with open(os.memfd_create("serving"), "wb") as file:
        file.write(content.certificate + b"\n" + content.key)
        file.flush()
        made.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
    return made
