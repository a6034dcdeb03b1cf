"""Certificates of a control plane: ECDSA P-256, one day, three CAs (cluster, front proxy, etcd), and the key of service accounts.

etcd is behind TLS like the rest: who may write to it is the cluster's administrator, and loopback is everybody's on a machine.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLUSTER, FRONT_PROXY, ETCD = "ca", "front-proxy-ca", "etcd-ca"
SERVICE_IP = "10.96.0.1"
_DAYS = 30
_SERVER_NAMES = (
    *("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"),
    "kubernetes.default.svc.cluster.local",
)


@dataclass(frozen=True)
class Identity:
    """Whom a client certificate stands for: Kubernetes reads the user's name from CN and the groups from O."""

    user: str
    groups: tuple[str, ...] = ()


ADMIN = Identity("admin", ("system:masters",))
CLIENTS: dict[str, Identity] = {
    "admin": ADMIN,
    "controller-manager": Identity("system:kube-controller-manager"),
    "scheduler": Identity("system:kube-scheduler"),
    "kubelet": Identity("system:fake-kubelet", ("system:masters",)),
}


def make_pki(directory: Path) -> None:
    """All of it, below `directory`; what is there is kept."""
    directory.mkdir(mode=0o700, exist_ok=True)
    for name in (CLUSTER, FRONT_PROXY, ETCD):
        if not (directory / f"{name}.key").exists():
            _make_ca(directory, name)
    server = (*_SERVER_NAMES,)
    addresses = ("127.0.0.1", "::1", SERVICE_IP)
    _issue_once(directory, "apiserver", CLUSTER, Identity("kube-apiserver"), (*server, *addresses))
    _issue_once(directory, "front-proxy-client", FRONT_PROXY, Identity("front-proxy-client"))
    _issue_once(directory, "etcd-server", ETCD, Identity("etcd"), ("localhost", "127.0.0.1"))
    _issue_once(directory, "etcd-client", ETCD, Identity("kube-apiserver"))
    for name, identity in CLIENTS.items():
        _issue_once(directory, name, CLUSTER, identity)
    if not (directory / "sa.key").exists():
        key = ec.generate_private_key(ec.SECP256R1())
        _write(directory / "sa.pub", _public_pem(key), 0o644)
        _write(directory / "sa.key", _private_pem(key), 0o600)


def issue(
    directory: Path, name: str, ca: str, identity: Identity, server_names: Sequence[str] = ()
) -> tuple[Path, Path]:
    """NAME.crt and NAME.key, signed by one of the CAs: a client's, or a server's where `server_names` (DNS or IP) are given."""
    signer = x509.load_pem_x509_certificate((directory / f"{ca}.crt").read_bytes())
    signer_key = serialization.load_pem_private_key((directory / f"{ca}.key").read_bytes(), None)
    assert isinstance(signer_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH] + ([ExtendedKeyUsageOID.SERVER_AUTH] if server_names else [])
    builder = (
        _builder(_subject(identity), signer.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer_key.public_key()), critical=False)
    )
    if server_names:
        names = [_general_name(text) for text in server_names]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(signer_key, hashes.SHA256())
    paths = directory / f"{name}.crt", directory / f"{name}.key"
    _write(paths[1], _private_pem(key), 0o600)
    _write(paths[0], certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return paths


def _issue_once(directory: Path, name: str, ca: str, identity: Identity, server_names: Sequence[str] = ()) -> None:
    if not (directory / f"{name}.crt").exists():
        issue(directory, name, ca, identity, server_names)


def _make_ca(directory: Path, name: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(Identity(name))
    builder = (
        _builder(subject, subject, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    _write(directory / f"{name}.key", _private_pem(key), 0o600)
    certificate = builder.sign(key, hashes.SHA256())
    _write(directory / f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
    )


def _subject(identity: Identity) -> x509.Name:
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in identity.groups]
    return x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, identity.user)])


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    # Kubernetes reads keys of service accounts in this older form only.
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form)


def _write(path: Path, data: bytes, mode: int) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as handle:
        handle.write(data)
