"""What a VirtualMachine is told at its first boot."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from xvirt.model import limits
from xvirt.model.fields import Format, Mutability, Rule, field

RESTART = Mutability.RESTART


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextSource:
    """Text, given here or by reference to a Secret: exactly one of the two."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            lambda source: (source.inline is None) != (source.secret is None),
            "has(self.inline) != has(self.secret)",
            "give exactly one of inline and secret",
        ),
    )

    inline: str | None = field("The text itself.", RESTART, default=None, max_length=limits.USER_DATA_MAX_BYTES)
    secret: str | None = field(
        "Secret that holds the text.", RESTART, default=None, format=Format.LABEL, max_length=63, references="Secret"
    )
    key: str | None = field(
        "Key in the Secret; absent: `userData` or `networkData`, as the field is called.",
        RESTART,
        default=None,
        format=Format.SERIAL,
        max_length=253,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SecretText:
    """Text in a Secret."""

    secret: str = field("Secret that holds the text.", RESTART, format=Format.LABEL, max_length=63, references="Secret")
    key: str | None = field(
        "Key in the Secret; absent: `sshAuthorizedKeys`.", RESTART, default=None, format=Format.SERIAL, max_length=253
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CloudInit:
    """First-boot data on a NoCloud volume labelled `cidata`
    (https://cloudinit.readthedocs.io/en/latest/reference/datasources/nocloud.html)."""

    hostname: str | None = field(
        "Host name; absent: the machine's name.", RESTART, default=None, format=Format.DOMAIN_NAME
    )
    user_data: TextSource | None = field("cloud-config or script.", RESTART, default=None)
    network_data: TextSource | None = field("Network configuration, version 1 or 2.", RESTART, default=None)
    ssh_authorized_keys: tuple[str, ...] = field(
        "Public keys that may log in as the image's default user.",
        RESTART,
        default=(),
        format=Format.SSH_KEY,
        max_length=limits.SSH_KEY_MAX_LENGTH,
        max_items=limits.SSH_KEYS_MAX,
    )
    ssh_authorized_keys_from: SecretText | None = field(
        "Secret with more of them, one a line as in authorized_keys.", RESTART, default=None
    )
