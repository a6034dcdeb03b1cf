"""What a stack's configuration says for all of its resources: keys of the namespace `xvirt`, read in the program.

The node's address and its TLS files are read by the provider instead (`xvirt_provider.connection`): they stand in no resource.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, get_args

import pulumi

from xvirt_provider.connection import NAMESPACE
from xvirt_provider.options import WAITS, OnTimeout, Target, Timeouts

KEYS = ("target", "namespace", "profile", "waitFor", "onTimeout", "timeouts")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Defaults of a stack; None where it says nothing. A resource's own argument goes before each."""

    target: Target = "node"
    namespace: str | None = None
    profile: str | None = None
    wait_for: str | None = None
    """For machines that are to run; other objects are waited for until they are Ready."""
    on_timeout: str | None = None
    timeouts: Timeouts = dataclasses.field(default_factory=Timeouts)


def read_settings() -> Settings:
    """The stack's defaults. Raises pulumi.RunError for a value that is none."""
    config = pulumi.Config(NAMESPACE)
    return Settings(
        target=_one_of(config, "target", get_args(Target)) or "node",
        namespace=config.get("namespace"),
        profile=config.get("profile"),
        wait_for=_one_of(config, "waitFor", WAITS),
        on_timeout=_one_of(config, "onTimeout", get_args(OnTimeout)),
        timeouts=_timeouts(config.get_object("timeouts") if config.get("timeouts") else {}),
    )


def _one_of(config: pulumi.Config, key: str, known: tuple[str, ...]) -> Any:
    value = config.get(key)
    if value is not None and value not in known:
        raise pulumi.RunError(f"configuration {NAMESPACE}:{key} is {value!r}; use one of {', '.join(known)}")
    return value


def _timeouts(value: Any) -> Timeouts:
    names = [item.name for item in dataclasses.fields(Timeouts)]
    is_sound = isinstance(value, Mapping) and all(
        key in names and isinstance(seconds, int | float) and seconds > 0 for key, seconds in value.items()
    )
    if not is_sound:
        raise pulumi.RunError(
            f"configuration {NAMESPACE}:timeouts must hold seconds for {', '.join(names)}; set one with"
            f" `pulumi config set --path {NAMESPACE}:timeouts.create 900`"
        )
    return Timeouts(**value)
