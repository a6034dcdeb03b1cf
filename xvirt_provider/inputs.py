"""A program's arguments as one declaration, which both targets send: Python's names become JSON's, the stack's defaults are filled in,
text for the guest becomes a Secret.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pulumi

from xvirt.model.fields import Attribute, attributes, element_type, is_spec_class
from xvirt.model.kinds import BY_NAME
from xvirt.model.meta import Scope
from xvirt_provider.first_boot import hide_user_data, secret_name
from xvirt_provider.options import GUEST_WAITS, Options, Target
from xvirt_provider.settings import Settings
from xvirt_provider.waits import CLOUD_INIT_PROBE

MACHINE = "VirtualMachine"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Declaration:
    """What a resource declares. Every value may be an Output; names of Secrets are Outputs where the object's name is one."""

    kind: str
    resource_name: str
    metadata: Mapping[str, Any]
    spec: Mapping[str, Any]
    secrets: tuple[tuple[Any, Any], ...]
    """Name and content (a map of texts) of each Secret that comes with it."""
    target: Target
    profile: str | None
    adopt: Any
    options: Options


def make_declaration(
    kind: str, resource_name: str, spec: Mapping[str, Any], common: Mapping[str, Any], settings: Settings
) -> Declaration:
    """`spec` in Python's names, entries of None left out; `common`: what every class takes beside its spec."""
    options = _options(kind, spec, common.get("options") or Options(), settings)
    written: dict[str, Any] = to_json_names(BY_NAME[kind].spec, spec)
    name = common.get("name") or resource_name
    secrets = list((common.get("secrets") or {}).items())
    if kind == MACHINE:
        written, hidden = _first_boot(name, written, options)
        secrets += hidden
    target = common.get("target") or settings.target
    return Declaration(
        kind=kind,
        resource_name=resource_name,
        metadata=_metadata(kind, name, common, settings),
        spec=written,
        secrets=tuple(secrets),
        target=target,
        profile=common.get("profile") or (settings.profile if target == "node" else None),
        adopt=common.get("adopt"),
        options=options,
    )


def _metadata(kind: str, name: Any, common: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    found = {"name": name, "namespace": common.get("namespace")}
    if BY_NAME[kind].scope is Scope.NAMESPACED and found["namespace"] is None:
        found["namespace"] = settings.namespace
    found |= {key: common.get(key) for key in ("labels", "annotations")}
    return {key: value for key, value in found.items() if value is not None}


def _options(kind: str, spec: Mapping[str, Any], given: Options, settings: Settings) -> Options:
    """A stack's `waitFor` is for machines that are to run: no disk has an address."""
    is_for_guests = kind == MACHINE and spec.get("run_strategy") in (None, "Always")
    default = settings.wait_for if is_for_guests or settings.wait_for not in GUEST_WAITS else None
    if default == "cloud-init" and spec.get("cloud_init") is None:
        default = None
    return Options(
        wait_for=given.wait_for or default,  # type: ignore[arg-type]  # settings hold one of WAITS
        on_timeout=given.on_timeout or settings.on_timeout,  # type: ignore[arg-type]
        timeouts=given.timeouts.over(settings.timeouts),
    )


def _first_boot(name: Any, spec: dict[str, Any], options: Options) -> tuple[dict[str, Any], list[tuple[Any, Any]]]:
    """The guest is asked by a readiness probe whether cloud-init has ended, unless the program declares one of its own."""
    if options.wait_for == "cloud-init" and "readinessProbe" not in spec:
        spec = {**spec, "readinessProbe": CLOUD_INIT_PROBE}
    if "cloudInit" not in spec:
        return spec, []
    secret = name.apply(secret_name) if isinstance(name, pulumi.Output) else secret_name(name)
    cloud_init, content = hide_user_data(secret, spec["cloudInit"])
    return {**spec, "cloudInit": cloud_init}, [(secret, content)] if content != {} else []


def to_json_names(cls: type, value: Any) -> Any:
    """A map that stands for a spec dataclass, with JSON's names; an Output of one is an Output. Names that are no field's, and what is no
    map, stay as they are, for the check to tell."""
    if isinstance(value, pulumi.Output):
        return value.apply(lambda found: to_json_names(cls, found))
    if not isinstance(value, Mapping):
        return value
    known = {item.name: item for item in attributes(cls)}
    return {
        known[key].json_name if key in known else key: _convert(known.get(key), entry)
        for key, entry in value.items()
        if entry is not None
    }


def _convert(item: Attribute | None, value: Any) -> Any:
    if item is None:
        return value
    inner: Any = element_type(item.annotation)
    if is_spec_class(inner) and isinstance(value, pulumi.Output):
        return value.apply(lambda found: _convert(item, found))
    if is_spec_class(inner) and isinstance(value, list | tuple):
        return [to_json_names(inner, entry) for entry in value]
    if is_spec_class(item.annotation):
        return to_json_names(item.annotation, value)
    return value
