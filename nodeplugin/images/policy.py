"""Which sources an image may name: the host itself reads them, so a free choice would reach into its files and its network."""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
import posixpath
import urllib.parse

from nodeplugin.images.port import ImageRequest, Origin, Trust, show_url
from nodeplugin.images.reference import Reference, parse_reference
from xvirt.model.errors import PolicyRefused, Refused

PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class PrivateAddresses(enum.Enum):
    """Whether images may come from loopback, link-local and private addresses."""

    REFUSE = "Refuse"
    ALLOW = "Allow"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImagePolicy:
    """`paths`: folders that files may come from. `url_prefixes`: what a URL must begin with, where there are any; addresses of what
    begins so are not looked at, for an administrator named it."""

    paths: tuple[str, ...] = ()
    url_prefixes: tuple[str, ...] = ()
    private_addresses: PrivateAddresses = PrivateAddresses.REFUSE

    def check(self, request: ImageRequest) -> None:
        """Before anything is opened. Raises PolicyRefused, or Refused for a URL that says nothing good."""
        if request.origin is Origin.URL:
            parts = split_url(request.source)
            if request.trust is Trust.LISTED and self.url_prefixes and not self.is_listed(parts):
                message = f"image {request.shown} begins with none of the URLs that this node allows: {', '.join(self.url_prefixes)}"
                raise PolicyRefused(f"{message}; add it to `images.urlPrefixes` of its config", reason="SourceDenied")
        elif request.origin is Origin.CONTAINER_DISK:
            url = self.registry_url(parse_reference(request.source))
            self.check(dataclasses.replace(request, origin=Origin.URL, source=url + "/"))
        elif request.origin is Origin.PATH:
            self.check_path(request.source, request.trust)

    def registry_url(self, reference: Reference) -> str:
        """A repository's URL at its registry: https, unless http is what the prefixes name."""
        rest = f"{reference.registry}/v2/{reference.repository}"
        is_plain = self.is_listed(urllib.parse.urlsplit(f"http://{rest}/"))
        return f"http://{rest}" if is_plain else f"https://{rest}"

    def check_path(self, path: str, trust: Trust) -> None:
        """A path of the host; the caller passes what the path really is once it is open. Raises PolicyRefused."""
        if trust is Trust.ANY or any(is_below(path, folder) for folder in self.paths):
            return
        allowed = ", ".join(self.paths) or "none"
        message = f"image {path} lies in none of the folders that this node allows ({allowed})"
        raise PolicyRefused(f"{message}; put it there, or add its folder to `images.paths`", reason="SourceDenied")

    def is_listed(self, parts: urllib.parse.SplitResult) -> bool:
        """Whether a URL begins with one of the prefixes: scheme, host and port the same, the path at or below the prefix's."""
        return any(_has_prefix(parts, urllib.parse.urlsplit(prefix)) for prefix in self.url_prefixes)

    def check_address(self, parts: urllib.parse.SplitResult, address: Address, trust: Trust) -> None:
        """What a URL's host resolved to, at first and after each redirect. Raises PolicyRefused."""
        if trust is Trust.ANY or self.private_addresses is PrivateAddresses.ALLOW:
            return
        if is_public(address) or self.is_listed(parts):
            return
        message = f"{parts.hostname} is {address}, which is no public address"
        raise PolicyRefused(
            f"{message}; an administrator may allow its URL (`images.urlPrefixes`)", reason="PrivateAddress"
        )


def split_url(url: str) -> urllib.parse.SplitResult:
    """An http or https URL in its parts. Raises Refused for anything else, for credentials and for `..`."""
    shown = show_url(url)
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise Refused(f"{shown} is not a URL: {error}", reason="BadSource") from error
    if parts.scheme not in PORTS or not parts.hostname:
        raise Refused(f"{shown} is not an http or https URL", reason="BadSource")
    if parts.username is not None or parts.password is not None:
        raise Refused(f"{shown} holds a user or password, which would be seen in status and logs", reason="BadSource")
    if any(ord(sign) <= 32 or ord(sign) > 126 for sign in url):
        raise Refused(f"{shown} holds blanks or signs beyond ASCII; write them as %XX", reason="BadSource")
    if ".." in urllib.parse.unquote(parts.path).replace("\\", "/").split("/"):
        raise Refused(f"{shown} holds `..`", reason="BadSource")
    return parts


def port_of(parts: urllib.parse.SplitResult) -> int:
    """The port, or its scheme's."""
    return parts.port or PORTS[parts.scheme]


def is_public(address: Address) -> bool:
    """Whether an address is of the Internet: also the IPv4 address that an IPv6 one carries."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address.teredo is not None:
            inner = address.teredo[1]
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved


def is_below(path: str, folder: str) -> bool:
    """Whether a path is in a folder, by name."""
    inner, outer = posixpath.normpath(path), posixpath.normpath(folder)
    return inner.startswith(outer.rstrip("/") + "/")


def _has_prefix(parts: urllib.parse.SplitResult, prefix: urllib.parse.SplitResult) -> bool:
    same_place = parts.scheme == prefix.scheme and parts.hostname == prefix.hostname
    if not same_place or prefix.scheme not in PORTS or port_of(parts) != port_of(prefix):
        return False
    folder = prefix.path.rstrip("/")
    return parts.path == prefix.path or parts.path.startswith(folder + "/")
