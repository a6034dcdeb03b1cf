"""What becomes of a program's `cloud_init`: the text for the guest stands in no document.

`user_data` is a secret whatever it says: people write passwords and tokens into it. It becomes a Secret that the document names, so that
it stands neither in the document (which libvirt's definition holds, too) nor in clear in Pulumi's state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import pulumi

NAME_MAX_LENGTH = 63
_SUFFIX = "-cloud-init"
_DIGEST_LENGTH = 8
KEY = "userData"


def secret_name(machine: str) -> str:
    """What the Secret of a machine's user data is called: a DNS label."""
    if len(machine) + len(_SUFFIX) <= NAME_MAX_LENGTH:
        return machine + _SUFFIX
    digest = hashlib.sha256(machine.encode()).hexdigest()[:_DIGEST_LENGTH]
    kept = machine[: NAME_MAX_LENGTH - len(_SUFFIX) - _DIGEST_LENGTH - 1].rstrip("-")
    return f"{kept}-{digest}{_SUFFIX}"


def hide_user_data(name: Any, cloud_init: Any) -> tuple[Any, Any]:
    """`cloudInit` that names the Secret `name` instead of its text, and the Secret's content (a map, empty where there is none to
    hide). What Pulumi does not know yet, or only later, is hidden then."""
    if isinstance(cloud_init, pulumi.Output):
        both: pulumi.Output[tuple[Any, Any]] = cloud_init.apply(lambda value: hide_user_data(name, value))
        return both.apply(lambda found: found[0]), both.apply(lambda found: found[1])
    if not isinstance(cloud_init, Mapping):
        return cloud_init, {}
    source = cloud_init.get("userData")
    if isinstance(source, pulumi.Output):
        split: pulumi.Output[tuple[Any, Any]] = source.apply(lambda value: _hide(name, value))
        return {**cloud_init, "userData": split.apply(lambda found: found[0])}, split.apply(lambda found: found[1])
    shown, content = _hide(name, source)
    return ({**cloud_init, "userData": shown} if content else cloud_init), content


def _hide(name: Any, source: Any) -> tuple[Any, dict[str, Any]]:
    if not isinstance(source, Mapping) or source.get("inline") is None or source.get("secret") is not None:
        return source, {}
    key = source.get("key") or KEY
    rest = {entry: value for entry, value in source.items() if entry not in ("inline", "key")}
    return {**rest, "secret": name, "key": key}, {key: source["inline"]}
