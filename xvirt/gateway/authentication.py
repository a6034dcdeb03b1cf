"""Who asks: the API server proves itself by its certificate and names the user in headers. Nobody else is believed.

What it proves itself by it publishes in the ConfigMap `kube-system/extension-apiserver-authentication`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from xvirt.model.errors import Unavailable

CONFIG_MAP = ("kube-system", "extension-apiserver-authentication")


class Unauthenticated(Exception):
    """The caller did not prove that it may speak in anybody's name."""


@dataclasses.dataclass(frozen=True)
class FrontProxy:
    """How the API server is known. `allowed_names`: common names of its certificate, empty for any that the CA signed."""

    ca: str
    allowed_names: tuple[str, ...]
    username_headers: tuple[str, ...]
    uid_headers: tuple[str, ...]
    group_headers: tuple[str, ...]
    extra_prefixes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class User:
    """Who the API server says is asking."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


def read_front_proxy(config_map: Mapping[str, Any]) -> FrontProxy:
    """From the ConfigMap. Raises Unavailable where it has no CA or is not what it should be."""
    data = config_map.get("data") or {}
    ca = data.get("requestheader-client-ca-file") or ""
    try:
        found = FrontProxy(
            ca=ca,
            allowed_names=_names(data, "requestheader-allowed-names"),
            username_headers=_names(data, "requestheader-username-headers"),
            uid_headers=_names(data, "requestheader-uid-headers"),
            group_headers=_names(data, "requestheader-group-headers"),
            extra_prefixes=_names(data, "requestheader-extra-headers-prefix"),
        )
    except ValueError as error:
        raise Unavailable(f"ConfigMap {'/'.join(CONFIG_MAP)}: {error}", reason="NoFrontProxy") from error
    if not ca or not found.username_headers:
        raise Unavailable(
            f"ConfigMap {'/'.join(CONFIG_MAP)} names no CA or no header of users; start kube-apiserver with"
            " --requestheader-client-ca-file and --requestheader-username-headers",
            reason="NoFrontProxy",
        )
    return found


def _names(data: Mapping[str, str], key: str) -> tuple[str, ...]:
    names = json.loads(data.get(key) or "[]")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{key} is no list of names")
    return tuple(names)


def authenticate(proxy: FrontProxy, certificate: Mapping[str, Any] | None, headers: Sequence[tuple[str, str]]) -> User:
    """The user of a request. `certificate` is what `ssl` tells of the verified peer; None where it showed none.

    Raises Unauthenticated; headers of a caller that is not the API server are not looked at.
    """
    if not certificate:
        raise Unauthenticated("no client certificate; this API is asked through the API server")
    names = common_names(certificate)
    if len(names) != 1 or (proxy.allowed_names and names[0] not in proxy.allowed_names):
        raise Unauthenticated(f"the certificate's common name {', '.join(names) or '(none)'} may not speak for users")
    lowered = [(name.lower(), value) for name, value in headers]
    user = next(iter(_values(lowered, proxy.username_headers)), "")
    if not user:
        raise Unauthenticated("the API server names no user")
    return User(
        name=user,
        uid=next(iter(_values(lowered, proxy.uid_headers)), ""),
        groups=_values(lowered, proxy.group_headers),
        extra=_extra(lowered, proxy.extra_prefixes),
    )


def common_names(certificate: Mapping[str, Any]) -> list[str]:
    """Common names of a certificate as `ssl` tells it."""
    return [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]


def _values(headers: Sequence[tuple[str, str]], names: tuple[str, ...]) -> tuple[str, ...]:
    wanted = [name.lower() for name in names]
    return tuple(value for name in wanted for header, value in headers if header == name and value)


def _extra(headers: Sequence[tuple[str, str]], prefixes: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """What stands behind the prefix is the key, percent-encoded and in lower case."""
    found: dict[str, tuple[str, ...]] = {}
    for prefix in (item.lower() for item in prefixes):
        for name, value in headers:
            if name.startswith(prefix) and len(name) > len(prefix):
                key = unquote(name.removeprefix(prefix)).lower()
                found[key] = (*found.get(key, ()), value)
    return found
