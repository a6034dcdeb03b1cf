"""Patterns of names and other formatted strings: the only grammar for them, used by cerberus, OpenAPI and the host's file names.

libvirt itself refuses hardly anything in a name (volumes: only `/`), so these patterns are what stands between a document and
a path on the host.
"""

from __future__ import annotations

import re

from xvirt.model.fields import Format

LABEL = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
"""DNS label, RFC 1123: object, namespace, disk and NIC names. It holds no underscore, so `<namespace>_<name>` is unambiguous."""

LABEL_MAX_LENGTH = 63

LABEL_KEY = r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
"""Key of a label or an annotation (https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/)."""

_OCTET = r"(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(\.{_OCTET}){{3}}"
_IPV6 = r"[0-9a-fA-F]{0,4}(:[0-9a-fA-F]{0,4}){2,7}"

_REGISTRY = r"([A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+(:[0-9]{1,5})?|[A-Za-z0-9-]+:[0-9]{1,5}|localhost)"
_REPOSITORY_PART = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_CONTAINER_IMAGE = (
    rf"^{_REGISTRY}(/{_REPOSITORY_PART})+(:[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}})?(@sha256:[0-9a-f]{{64}})?$"
)
"""Registry, repository, tag, digest: the OCI distribution specification's grammar (spec.md, "Pulling manifests"), the registry required: with a dot or a port,
as Docker tells it from a repository."""

_SSH_KEY = (
    r"^(ssh-(ed25519|rsa|dss)|ecdsa-sha2-nistp(256|384|521)|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com)"
    r" [A-Za-z0-9+/]{16,}={0,3}( [ -~]*)?$"
)
"""A line of authorized_keys without options (sshd(8), AUTHORIZED_KEYS FILE FORMAT)."""

PATTERNS: dict[Format, str] = {
    Format.LABEL: LABEL,
    Format.LABEL_VALUE: r"^(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?$",
    Format.MAC: r"^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$",
    Format.IP: rf"^({_IPV4}|{_IPV6})$",
    Format.INTERFACE_CIDR: rf"^({_IPV4}/(3[0-2]|[12]?[0-9])|{_IPV6}/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))$",
    Format.UUID: r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
    Format.CHECKSUM: r"^sha256:[0-9a-f]{64}$",
    Format.HOST_PATH: r"^(/[A-Za-z0-9._+@%=:, -]+)+$",
    # As LVM's own (lvm(8), "VALID NAMES"), without a leading dot.
    Format.VOLUME_GROUP: r"^[A-Za-z0-9_+][A-Za-z0-9_+.-]*$",
    Format.URL: r"^(https?|file)://[!-~]+$",
    Format.CONTAINER_IMAGE: _CONTAINER_IMAGE,
    Format.DEVICE_NAME: r"^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$",
    Format.CPU_MODEL: r"^[A-Za-z0-9][A-Za-z0-9._+-]*$",
    Format.DOMAIN_NAME: r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$",
    # One line of dnsmasq's configuration holds it: a line break would start another option there, a comma another string.
    Format.DNS_TEXT: r"^[ !#-+\--\[\]-~]*$",
    Format.SERIAL: r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$",
    Format.PRINTABLE: r"^[ -~]*$",
    Format.URL_PATH: r"^/[!-~]*$",
    Format.SSH_KEY: _SSH_KEY,
    Format.TIMESTAMP: r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z$",
}

DESCRIPTIONS: dict[Format, str] = {
    Format.TEXT: "text without control characters",
    Format.LABEL: "a DNS label: lower-case letters, digits and '-', at most 63 characters, no '-' at either end",
    Format.LABEL_VALUE: "a label's value: at most 63 letters, digits and -_., with a letter or digit at either end",
    Format.MAC: "a unicast MAC address in lower case such as 02:00:5e:10:00:01",
    Format.IP: "an IPv4 or IPv6 address",
    Format.INTERFACE_CIDR: "an address with prefix length such as 192.0.2.1/24",
    Format.UUID: "a UUID in lower case",
    Format.CHECKSUM: "sha256: followed by 64 lower-case hex digits",
    Format.HOST_PATH: "an absolute path without '..'",
    Format.VOLUME_GROUP: "letters, digits and _+.-, with no '-' or '.' in front",
    Format.URL: "a URL that starts with file://, http:// or https://",
    Format.CONTAINER_IMAGE: "a container image with its registry, such as quay.io/containerdisks/debian:12",
    Format.DEVICE_NAME: "a network device name of at most 15 characters",
    Format.CPU_MODEL: "a CPU model name as in `virsh cpu-models`",
    Format.DOMAIN_NAME: "a DNS name in lower case",
    Format.DNS_TEXT: "printable ASCII without comma, quotation mark and backslash",
    Format.SERIAL: "letters, digits and _.+-, starting with a letter or digit",
    Format.PRINTABLE: "printable ASCII",
    Format.URL_PATH: "a path that starts with /, of printable ASCII without spaces",
    Format.SSH_KEY: "a public SSH key as in a .pub file: type, base64 and comment in one line, without options",
    Format.TIMESTAMP: "an RFC 3339 time in UTC",
}


def is_clean_text(text: str) -> bool:
    """True where XML 1.0 can hold the text and a terminal is not driven by it: no control characters but tab and newline,
    no surrogates, no non-characters."""
    return all(_is_clean(ord(char)) for char in text)


def _is_clean(code: int) -> bool:
    if code < 0x20:
        return code in (0x09, 0x0A)
    return not (0x7F <= code <= 0x9F or 0xD800 <= code <= 0xDFFF or code & 0xFFFE == 0xFFFE)


def has_path_escape(path: str) -> bool:
    """True where a path holds `.` or `..` as a component."""
    return any(part in (".", "..") for part in path.split("/"))


def to_label(text: str) -> str:
    """The DNS label nearest to a strange name: `Web.Server_1` is `web-server-1`. Empty where no letter or digit is left."""
    dashed = re.sub(r"[^a-z0-9]+", "-", text.lower())
    return dashed.strip("-")[:LABEL_MAX_LENGTH].strip("-")
