"""Where the API server is and what it is told about who calls: a pod's own account, or a kubeconfig.

Credentials are read again: a pod's token each minute and after a 401, certificates when their files change. Static kubeconfigs are read
here; users with `exec`, `auth-provider` or a password are left to the `kubernetes` package, which costs a second and 40 MB to import.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

TOKEN_REREAD_S = 60.0
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
DEFAULT_KUBECONFIG = "~/.kube/config"
_CLUSTER_KEYS = frozenset(
    [
        "server",
        "certificate-authority",
        "certificate-authority-data",
        "insecure-skip-tls-verify",
        "tls-server-name",
        "disable-compression",
        "extensions",
    ]
)
_USER_KEYS = frozenset(
    [
        "token",
        "tokenFile",
        "client-certificate",
        "client-certificate-data",
        "client-key",
        "client-key-data",
        "exec",
        "auth-provider",
        "username",
        "password",
        "extensions",
    ]
)


class AccessFailed(Exception):
    """There is no usable way to the API server; the message says which file, and what is wrong with it."""


class Access:
    """`server` is `https://host:port` without a slash at its end; `namespace` the default one."""

    def __init__(
        self,
        server: str,
        *,
        make_tls: Callable[[], ssl.SSLContext] | None = None,
        read_authorization: Callable[[], str] | None = None,
        watched: tuple[Path, ...] = (),
        server_name: str = "",
        namespace: str = "default",
    ) -> None:
        self.server = server.rstrip("/")
        self.server_name = server_name
        self.namespace = namespace
        self._make_tls = make_tls
        self._read_authorization = read_authorization
        self._watched = watched
        self._tls: ssl.SSLContext | None = None
        self._tls_of: tuple[float, ...] = ()
        self._authorization = ""
        self._read_at: float | None = None

    def tls(self) -> ssl.SSLContext | bool:
        """The context of new connections, made anew when one of its files has changed. Raises OSError."""
        if self._make_tls is None:
            return True
        stamps = tuple(path.stat().st_mtime for path in self._watched)
        if self._tls is None or stamps != self._tls_of:
            self._tls, self._tls_of = self._make_tls(), stamps
        return self._tls

    async def authorization(self) -> str:
        """The Authorization header; empty where a certificate says who calls. Raises OSError."""
        if self._read_authorization is None:
            return ""
        now = time.monotonic()
        if self._read_at is None or now - self._read_at > TOKEN_REREAD_S:
            self._authorization = await asyncio.to_thread(self._read_authorization)
            self._read_at = now
        return self._authorization

    def forget(self) -> None:
        """Read the credentials again before the next request."""
        self._read_at = None


def find_access(kubeconfig: str = "", context: str = "") -> Access:
    """The given kubeconfig, $KUBECONFIG (files, joined as kubectl does), the pod's account, ~/.kube/config: the first that there is.

    Raises AccessFailed.
    """
    if kubeconfig:
        return from_kubeconfig(Path(kubeconfig).expanduser(), context=context)
    named = [Path(name) for name in os.environ.get("KUBECONFIG", "").split(os.pathsep) if name]
    if not named and "KUBERNETES_SERVICE_HOST" in os.environ:
        return in_cluster()
    # As kubectl: of several files some may be missing.
    paths = [path for path in named if path.exists()] or named or [Path(DEFAULT_KUBECONFIG).expanduser()]
    return from_kubeconfig(*paths, context=context)


def in_cluster(account: Path = ACCOUNT, environment: Mapping[str, str] = os.environ) -> Access:
    """The account of the pod that this runs in. Raises AccessFailed."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "443")
    token, ca = account / "token", account / "ca.crt"
    if not host or not token.is_file() or not ca.is_file():
        raise AccessFailed(
            f"not in a cluster: KUBERNETES_SERVICE_HOST is not set, or {account} has no token and ca.crt"
        )
    namespace = account / "namespace"
    return Access(
        f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        make_tls=lambda: ssl.create_default_context(cafile=str(ca)),
        read_authorization=lambda: f"Bearer {token.read_text().strip()}",
        watched=(ca,),
        namespace=namespace.read_text().strip() if namespace.is_file() else "default",
    )


def from_kubeconfig(*paths: Path, context: str = "") -> Access:
    """One context of kubeconfig files; the current one unless named. What is named twice is the first file's. Raises AccessFailed."""
    files = [_read(path) for path in paths]
    names = ", ".join(str(path) for path in paths)
    try:
        current = context or next(str(file["current-context"]) for _, file in files if file.get("current-context"))
        _, chosen = _named(files, "contexts", "context", current)
        cluster_base, cluster = _named(files, "clusters", "cluster", chosen["cluster"])
        user_base, user = _named(files, "users", "user", chosen["user"]) if chosen.get("user") else (Path(), {})
        server = str(cluster["server"])
    except StopIteration as error:
        raise AccessFailed(f"{names} names no current context; name one with --context") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise AccessFailed(f"{names} is not a kubeconfig with that context: {error!r}") from error
    for entry, known, what in ((cluster, _CLUSTER_KEYS, "cluster"), (user, _USER_KEYS, "user")):
        # To leave one out could mean to act as somebody else, or past a proxy.
        if odd := sorted(set(entry) - known):
            raise AccessFailed(f"{names}: {what} has {odd[0]!r}, which xVirt cannot do; use a context without it")
    namespace = str(chosen.get("namespace") or "default")
    if {"exec", "auth-provider", "username"} & set(user):
        return _by_package(paths, current, namespace)
    return _static(server, _Entry(cluster_base, cluster), _Entry(user_base, user), namespace)


def _read(path: Path) -> tuple[Path, Mapping[str, Any]]:
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise AccessFailed(f"{path} cannot be read: {error}; name another with --kubeconfig") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise AccessFailed(f"{path} is not a kubeconfig: {error}") from error
    if not isinstance(document, dict):
        raise AccessFailed(f"{path} is not a kubeconfig: it holds no mapping")
    return path.parent, document


_Files = Sequence[tuple[Path, Mapping[str, Any]]]


def _named(files: _Files, section: str, part: str, name: str) -> tuple[Path, Mapping[str, Any]]:
    for base, document in files:
        for item in document.get(section) or ():
            if item["name"] == name:
                return base, item.get(part) or {}
    raise KeyError(f"{name!r} is not among its {section}")


class _Entry(NamedTuple):
    """A cluster or user, and the directory that its relative paths start from."""

    base: Path
    fields: Mapping[str, Any]


def _static(server: str, cluster: _Entry, user: _Entry, namespace: str) -> Access:
    ca, certificate, key = (
        _Material(entry.base, entry.fields, name)
        for entry, name in ((cluster, "certificate-authority"), (user, "client-certificate"), (user, "client-key"))
    )

    def make_tls() -> ssl.SSLContext:
        made = ssl.create_default_context(cadata=ca.read().decode() if ca.is_there else None)
        if cluster.fields.get("insecure-skip-tls-verify"):
            made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
        if certificate.is_there:
            with certificate.as_file() as certificate_file, key.as_file() as key_file:
                made.load_cert_chain(certificate_file, key_file)
        return made

    token, file = user.fields.get("token"), user.fields.get("tokenFile")

    def read_authorization() -> str:
        return f"Bearer {(user.base / file).read_text().strip() if file else token}"

    return Access(
        server,
        make_tls=make_tls if server.startswith("https") else None,
        read_authorization=read_authorization if file or token else None,
        watched=tuple(part.path for part in (ca, certificate, key) if part.path is not None),
        server_name=str(cluster.fields.get("tls-server-name") or ""),
        namespace=namespace,
    )


class _Material:
    """`NAME-data` (base64) or the file `NAME` of one entry of a kubeconfig."""

    def __init__(self, base: Path, entry: Mapping[str, Any], name: str) -> None:
        self._data = entry.get(f"{name}-data")
        self.path = base / entry[name] if entry.get(name) and not self._data else None

    @property
    def is_there(self) -> bool:
        return bool(self._data or self.path)

    def read(self) -> bytes:
        return base64.b64decode(self._data) if self._data else self.path.read_bytes() if self.path else b""

    @contextlib.contextmanager
    def as_file(self) -> Iterator[str]:
        """The path; data stands in a file for root alone while the block runs, because TLS takes keys from files only."""
        if self.path is not None:
            yield str(self.path)
            return
        with tempfile.NamedTemporaryFile() as file:
            file.write(self.read())
            file.flush()
            yield file.name


def _by_package(paths: Sequence[Path], context: str, namespace: str) -> Access:
    from kubernetes import client, config

    read: Callable[..., None] = config.load_kube_config
    names = os.pathsep.join(str(path) for path in paths)

    def load() -> Any:
        configuration = client.Configuration()
        read(names, context, client_configuration=configuration, persist_config=False)
        return configuration

    def read_authorization() -> str:
        return str(load().api_key.get("BearerToken") or "")

    try:
        loaded = load()
    except Exception as error:  # whatever its plugins raise
        raise AccessFailed(f"{names}: {error}") from error
    if not loaded.api_key and not loaded.cert_file:
        raise AccessFailed(f"{names}: its user's plugin gave no credentials; run its command by hand to see why")

    def make_tls() -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=loaded.ssl_ca_cert)
        if not loaded.verify_ssl:
            made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
        if loaded.cert_file:
            made.load_cert_chain(loaded.cert_file, loaded.key_file)
        return made

    return Access(
        loaded.host,
        make_tls=make_tls if loaded.host.startswith("https") else None,
        read_authorization=read_authorization if loaded.api_key else None,
        server_name=str(loaded.tls_server_name or ""),
        namespace=namespace,
    )
