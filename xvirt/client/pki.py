"""A small installation's own CA: ECDSA P-256, a CA for ten years, certificates for one. Names are checked both ways."""

from __future__ import annotations

import datetime
import ipaddress
import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.names import LABEL

CA_DAYS = 3650
LEAF_DAYS = 365


def init_pki(directory: Path, nodes: Sequence[str], clients: Sequence[str]) -> list[Path]:
    """Make `ca.crt`, `ca.key` and NAME.crt, NAME.key for each name that has none yet; returns the files that were made.

    A repeated call keeps the CA and every key and adds names. Raises InvalidSpec for a name that is no DNS label.
    """
    for name in (*nodes, *clients):
        if not re.fullmatch(LABEL, name) or name == "ca":
            raise InvalidSpec(
                [Problem("name", f"{name!r} is not a DNS label", "use lower-case letters, digits and '-'")]
            )
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    made: list[Path] = []
    if not (directory / "ca.key").exists():
        made += _make_ca(directory)
    for name in dict.fromkeys((*nodes, *clients)):
        if not (directory / f"{name}.key").exists():
            made += issue_certificate(directory, name, is_node=name in nodes)
    return made


def issue_certificate(
    directory: Path, name: str, *, is_node: bool, not_after: datetime.datetime | None = None
) -> list[Path]:
    """Make (or renew) NAME.crt and NAME.key, signed by the CA in `directory`."""
    ca = x509.load_pem_x509_certificate((directory / "ca.crt").read_bytes())
    ca_key = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    usage = ExtendedKeyUsageOID.SERVER_AUTH if is_node else ExtendedKeyUsageOID.CLIENT_AUTH
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    if is_node:
        loopback = [x509.IPAddress(ipaddress.ip_address(text)) for text in ("127.0.0.1", "::1")]
        names += [x509.DNSName("localhost"), *loopback]
    builder = (
        _builder(name, ca.subject, key.public_key(), not_after or now + datetime.timedelta(days=LEAF_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
    )
    certificate = builder.sign(ca_key, hashes.SHA256())
    return _write_pair(directory, name, certificate, key)


def _make_ca(directory: Path) -> list[Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "xvirt-ca")])
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=CA_DAYS)
    builder = (
        _builder("xvirt-ca", subject, key.public_key(), end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_ca_usage(), critical=True)
    )
    return _write_pair(directory, "ca", builder.sign(key, hashes.SHA256()), key)


def _ca_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(
    name: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey, not_after: datetime.datetime
) -> x509.CertificateBuilder:
    # An hour and a day back: clocks differ, and a test's expired certificate must have a beginning.
    begin = min(datetime.datetime.now(datetime.UTC), not_after) - datetime.timedelta(days=1, hours=1)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(not_after)
    )


def _write_pair(
    directory: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> list[Path]:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    paths = [directory / f"{name}.crt", directory / f"{name}.key"]
    _write(paths[1], pem, 0o600)
    _write(paths[0], certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return paths


def _write(path: Path, data: bytes, mode: int) -> None:
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
    os.rename(partial, path)
