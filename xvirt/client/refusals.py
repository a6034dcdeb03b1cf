"""Which certificate is wrong, where a TLS connection was refused.

gRPC's client tells what it found wrong with the node, in BoringSSL's words; a server that refuses a client closes the connection without
a word, so there the client's own files are looked at. Pure: the time is given.
"""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID

from xvirt.model.errors import Unavailable
from xvirt.wire.certificates import TlsContent, TlsFiles
from xvirt.wire.status import TLS_REFUSED

_NODE_WORDS = (
    ("certificate has expired", "the node's certificate has expired; renew it on the node"),
    ("certificate is not yet valid", "the node's certificate is not valid yet; look at both clocks"),
    ("unsupported certificate purpose", "the node's certificate is not one for servers; issue it with --node"),
    ("CERTIFICATE_VERIFY_FAILED", "the node's certificate is not signed by a CA in {ca}; give the CA that signed it"),
    ("WRONG_VERSION_NUMBER", "what listens there does not speak TLS"),
)
_NAME_WORDS = ("Hostname Verification", "Peer name", "No match found for server name")
_CLOSED_WORDS = (
    "Socket closed",
    "Connection reset",
    "recvmsg",
    "Handshaker shutdown",
    "End of TCP stream",
    "handshake",
)


def explain_refusal(
    failure: Unavailable, content: TlsContent, files: TlsFiles, node_name: str, now: datetime.datetime
) -> Unavailable:
    """The failure, with what is wrong put in front where that is known; then its reason is `TlsRefused`."""
    found = _with_node(failure.message, files, node_name)
    if not found and any(word in failure.message for word in _CLOSED_WORDS):
        found = _with_client(content, files, now)
    if not found:
        return failure
    return Unavailable(f"{found} ({failure.message})", reason=TLS_REFUSED)


def _with_node(text: str, files: TlsFiles, node_name: str) -> str:
    if any(word in text for word in _NAME_WORDS):
        return f"the node's certificate is not that of {node_name!r}; give the name of the node that listens there"
    return next((told.format(ca=files.ca) for word, told in _NODE_WORDS if word in text), "")


def _with_client(content: TlsContent, files: TlsFiles, now: datetime.datetime) -> str:
    """What a node would refuse; empty where these files look right."""
    certificate = x509.load_pem_x509_certificate(content.certificate)
    name = f"the client's certificate {files.certificate}"
    if certificate.not_valid_after_utc < now:
        return f"{name} has expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC; issue a new one"
    if certificate.not_valid_before_utc > now:
        return f"{name} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC; look at the clock"
    if not _is_for_clients(certificate):
        return f"{name} is not one for clients; issue it with --client"
    if not any(_is_signed(certificate, ca) for ca in x509.load_pem_x509_certificates(content.ca)):
        return f"{name} is not signed by a CA in {files.ca}; give the one that the node's clientCa has signed"
    return ""


def _is_for_clients(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.CLIENT_AUTH in usage


def _is_signed(certificate: x509.Certificate, ca: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(ca)
    except (InvalidSignature, TypeError, ValueError):
        return False
    return True
