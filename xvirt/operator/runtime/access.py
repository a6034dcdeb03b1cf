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
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

TOKEN_REREAD_S = 60.0
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
DEFAULT_KUBECONFIG = "~/.kube/config"


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
    """The given kubeconfig, $KUBECONFIG, the pod's account, ~/.kube/config: the first that there is. Raises AccessFailed."""
    path = kubeconfig or os.environ.get("KUBECONFIG", "")
    if not path and "KUBERNETES_SERVICE_HOST" in os.environ:
        return in_cluster()
    return from_kubeconfig(Path(path or DEFAULT_KUBECONFIG).expanduser(), context)


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


def from_kubeconfig(path: Path, context: str = "") -> Access:
    """One context of a kubeconfig file; the current one unless named. Raises AccessFailed."""
    try:
        document = yaml.safe_load(path.read_text())
        chosen = _named(document, "contexts", context or document["current-context"])["context"]
        cluster = _named(document, "clusters", chosen["cluster"])["cluster"]
        user = _named(document, "users", chosen["user"])["user"] if chosen.get("user") else {}
    except OSError as error:
        raise AccessFailed(f"{path} cannot be read: {error}; name another with --kubeconfig") from error
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise AccessFailed(f"{path} is not a kubeconfig with that context: {error!r}") from error
    namespace = chosen.get("namespace") or "default"
    if {"exec", "auth-provider", "username"} & set(user or {}):
        return _by_package(path, context, namespace)
    return _static(path.parent, cluster, user or {}, namespace)


def _named(document: Any, section: str, name: str) -> Any:
    for item in document.get(section) or ():
        if item["name"] == name:
            return item
    raise KeyError(f"{name!r} is not among its {section}")


def _static(base: Path, cluster: Mapping[str, Any], user: Mapping[str, Any], namespace: str) -> Access:
    server = str(cluster["server"])
    ca, certificate, key = (
        _Material(base, entry, name)
        for entry, name in ((cluster, "certificate-authority"), (user, "client-certificate"), (user, "client-key"))
    )

    def make_tls() -> ssl.SSLContext:
        made = ssl.create_default_context(cadata=ca.read().decode() if ca.is_there else None)
        if cluster.get("insecure-skip-tls-verify"):
            made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
        if certificate.is_there:
            with certificate.as_file() as certificate_file, key.as_file() as key_file:
                made.load_cert_chain(certificate_file, key_file)
        return made

    token_file = base / user["tokenFile"] if user.get("tokenFile") else None

    def read_authorization() -> str:
        return f"Bearer {token_file.read_text().strip() if token_file else user['token']}"

    return Access(
        server,
        make_tls=make_tls if server.startswith("https") else None,
        read_authorization=read_authorization if token_file or user.get("token") else None,
        watched=tuple(part.path for part in (ca, certificate, key) if part.path is not None),
        server_name=str(cluster.get("tls-server-name") or ""),
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


def _by_package(path: Path, context: str, namespace: str) -> Access:
    from kubernetes import client, config

    read: Callable[..., None] = config.load_kube_config

    def load() -> Any:
        configuration = client.Configuration()
        read(str(path), context or None, client_configuration=configuration, persist_config=False)
        return configuration

    def read_authorization() -> str:
        return str(load().api_key.get("BearerToken") or "")

    try:
        loaded = load()
    except Exception as error:  # whatever its plugins raise
        raise AccessFailed(f"{path}: {error}") from error
    if not loaded.api_key and not loaded.cert_file:
        raise AccessFailed(f"{path}: its user's plugin gave no credentials; run its command by hand to see why")

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
