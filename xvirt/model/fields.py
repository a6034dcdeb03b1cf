"""One declaration per field: what a document may hold, what it means, and what a change of it costs.

A kind's spec is a frozen, keyword-only dataclass whose fields are made by `field()`. From the annotation and the `FieldSpec`
that `field()` attaches come the cerberus schema, the OpenAPI schema, the reference pages and the plan's choice of hot-plug,
restart or refusal; nothing about a field is said anywhere else.

Annotations that are understood: `str`, `int`, `bool`, `ByteSize`, an `Enum` with string values, a spec dataclass,
`tuple[T, ...]` (a list), `Mapping[str, str]` (a map), `Tree` (a lossless XML tree, strings only) and `T | None` (may be absent).
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

Tree = Mapping[str, Any]
"""A lossless XML subtree as nested maps, lists and strings (`xvirt.domainxml.tree`)."""

_METADATA_KEY = "xvirt"


class Mutability(enum.Enum):
    """What it takes for a change of a field to reach a running machine."""

    LIVE = "live"
    RESTART = "restart"
    FIXED = "fixed"


class Format(enum.Enum):
    """A string's grammar beyond its length; each has one pattern in `xvirt.model.names`."""

    TEXT = "text"
    LABEL = "label"
    LABEL_VALUE = "label-value"
    MAC = "mac"
    IP = "ip"
    INTERFACE_CIDR = "interface-cidr"
    UUID = "uuid"
    CHECKSUM = "checksum"
    HOST_PATH = "host-path"
    VOLUME_GROUP = "volume-group"
    URL = "url"
    CONTAINER_IMAGE = "container-image"
    DEVICE_NAME = "device-name"
    CPU_MODEL = "cpu-model"
    DOMAIN_NAME = "domain-name"
    DNS_TEXT = "dns-text"
    SERIAL = "serial"
    PRINTABLE = "printable"
    URL_PATH = "url-path"
    SSH_KEY = "ssh-key"
    TIMESTAMP = "timestamp"


@dataclasses.dataclass(frozen=True, kw_only=True)
class FieldSpec:
    """Everything about one field that its annotation cannot say.

    `minimum`/`maximum` bound an integer or a quantity (in `unit`); `max_length` bounds a string in characters,
    `max_items` a list or map; `list_key` names the field by which a list of objects is a map (unique, order kept).
    `order` is what a change of the order of such a list costs; None where order means nothing. `is_whole` tells, from the map that a
    nested object stands in, whether a change within it is one of the whole, with this mutability and not that of the fields below.
    """

    doc: str
    mutability: Mutability
    unit: str = ""
    format: Format = Format.TEXT
    minimum: int | None = None
    maximum: int | None = None
    max_length: int = 253
    min_items: int = 0
    max_items: int = 64
    list_key: str | None = None
    order: Mutability | None = None
    json_name: str | None = None
    is_whole: Callable[[Mapping[str, Any]], bool] | None = None
    references: str | None = None
    """Kind (or `Secret`) that the value names, in the same namespace."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """A condition across the fields of one dataclass: in Python for us, in CEL for an API server.

    `check(value)` is True where the rule holds. `path` is the JSON path, below the dataclass, that a violation is reported at.
    """

    check: Callable[[Any], bool]
    cel: str
    message: str
    path: str = ""


@dataclasses.dataclass(frozen=True)
class Attribute:
    """One field as the generators see it."""

    name: str
    json_name: str
    spec: FieldSpec
    annotation: Any
    is_optional: bool
    default: Any

    @property
    def is_required(self) -> bool:
        return self.default is dataclasses.MISSING


def field(doc: str, mutability: Mutability, *, default: Any = dataclasses.MISSING, **bounds: Any) -> Any:
    """Declare a field. Without `default` it is required; a callable class as default is a factory."""
    spec = FieldSpec(doc=doc, mutability=mutability, **bounds)
    metadata = {_METADATA_KEY: spec}
    if isinstance(default, type):
        return dataclasses.field(default_factory=default, metadata=metadata)
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def rules_of(cls: type) -> tuple[Rule, ...]:
    """The cross-field rules that a spec dataclass declares in its `RULES`."""
    rules: tuple[Rule, ...] = getattr(cls, "RULES", ())
    return rules


def camel_case(name: str) -> str:
    """`run_strategy` -> `runStrategy`."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def attributes(cls: Any) -> tuple[Attribute, ...]:
    """The declared fields of a spec dataclass, in order; none for anything else."""
    return _attributes(cls) if is_spec_class(cls) else ()


@functools.cache
def _attributes(cls: Any) -> tuple[Attribute, ...]:
    hints = typing.get_type_hints(cls)
    return tuple(
        _attribute(item, hints[item.name]) for item in dataclasses.fields(cls) if _METADATA_KEY in item.metadata
    )


def _attribute(item: dataclasses.Field[Any], hint: Any) -> Attribute:
    spec: FieldSpec = item.metadata[_METADATA_KEY]
    annotation, is_optional = _strip_optional(hint)
    default = item.default
    if item.default_factory is not dataclasses.MISSING:
        default = item.default_factory()
    return Attribute(item.name, spec.json_name or camel_case(item.name), spec, annotation, is_optional, default)


def _strip_optional(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return hint, False
    rest = [arm for arm in typing.get_args(hint) if arm is not type(None)]
    if len(rest) != 1:
        raise TypeError(f"a field may be of one type or absent, not {hint}")
    return rest[0], True


def element_type(annotation: Any) -> Any | None:
    """The element type of `tuple[T, ...]`; None for every other annotation."""
    if typing.get_origin(annotation) is tuple:
        return typing.get_args(annotation)[0]
    return None


def is_string_map(annotation: Any) -> bool:
    """True for `Mapping[str, str]`."""
    return typing.get_origin(annotation) is Mapping and typing.get_args(annotation) == (str, str)


def is_tree(annotation: Any) -> bool:
    """True for `Tree`."""
    return bool(annotation == Tree)


def is_spec_class(annotation: Any) -> bool:
    """True for a nested spec dataclass."""
    return isinstance(annotation, type) and dataclasses.is_dataclass(annotation)
