"""CustomResourceDefinitions from the same declaration: structural OpenAPI v3 with CEL for the rules across fields.

Structural schemas: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
Validation rules: https://kubernetes.io/docs/reference/using-api/cel/
"""

from __future__ import annotations

import enum
import inspect
from typing import Any

from xvirt import API_GROUP, API_VERSION
from xvirt.model import quantity
from xvirt.model.captions import facts_text
from xvirt.model.checks import find_problems
from xvirt.model.fields import (
    Attribute,
    FieldSpec,
    Format,
    Mutability,
    attributes,
    element_type,
    is_spec_class,
    is_string_map,
    is_tree,
    rules_of,
)
from xvirt.model.kinds import Column, Kind
from xvirt.model.names import DESCRIPTIONS, LABEL, LABEL_MAX_LENGTH, PATTERNS
from xvirt.model.quantity import ByteSize
from xvirt.model.validation import check_rules
from xvirt.model.values import encode

Schema = dict[str, Any]
VERSION = API_VERSION.partition("/")[2]
CATEGORY = "xvirt"
_QUANTITY_MAX_LENGTH = 32
_FIXED_MESSAGE = "cannot be changed once set; delete and declare anew"
_INT32_MAXIMUM = (1 << 31) - 1
_CLEAN_TEXT = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$"
"""What `names.is_clean_text` takes, but for surrogates and non-characters, which Go's and Python's patterns have no common word for."""
_PARSERS = {Format.IP: "isIP(self)", Format.INTERFACE_CIDR: "isCIDR(self)"}
"""A pattern cannot count the groups of an IPv6 address."""


class _Part(enum.Enum):
    """Where a schema stands, which decides what rules an API server accepts there.

    Within a list without keys it knows no old value, so rules about changes are refused; within any list the bounds of a quantity
    cost more than its budget for rules (https://kubernetes.io/docs/reference/using-api/cel/#resource-constraints); a status is
    written whole by a node, so it has neither defaults nor rules.
    """

    SPEC = "spec"
    KEYED = "keyed list"
    UNKEYED = "unkeyed list"
    STATUS = "status"

    @property
    def knows_old_value(self) -> bool:
        return self in (_Part.SPEC, _Part.KEYED)

    def within_list(self, key: str | None) -> _Part:
        if self is _Part.STATUS or self is _Part.UNKEYED:
            return self
        return _Part.UNKEYED if key is None else _Part.KEYED


def crd(kind: Kind) -> Schema:
    """The CustomResourceDefinition of a kind, as JSON values."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{API_GROUP}"},
        "spec": {
            "group": API_GROUP,
            "scope": kind.scope.value,
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.singular,
                "shortNames": list(kind.short_names),
                "categories": [CATEGORY],
            },
            "versions": [_version(kind)],
        },
    }


def _version(kind: Kind) -> Schema:
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            *(_printer_column(kind, column) for column in kind.columns),
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
        "selectableFields": [{"jsonPath": f".{path}"} for path in kind.selectable],
        "schema": {"openAPIV3Schema": object_schema(kind)},
    }


def _printer_column(kind: Kind, column: Column) -> Schema:
    shown: Schema = {
        "name": column.heading.capitalize(),
        "type": _column_type(kind, column.path),
        "jsonPath": f".{column.path}",
    }
    return shown | ({"priority": 1} if column.is_wide else {})


def _column_type(kind: Kind, path: str) -> str:
    section, *names = path.split(".")
    current: Any = kind.spec if section == "spec" else kind.status
    for name in names:
        bare = name.partition("[")[0]
        found = next(item for item in attributes(current) if item.json_name == bare)
        current = element_type(found.annotation) or found.annotation
    return "integer" if current is int else "boolean" if current is bool else "string"


def object_schema(kind: Kind) -> Schema:
    """OpenAPI v3 schema of a whole object."""
    properties: Schema = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {
            "type": "object",
            "properties": {"name": {"type": "string", "pattern": LABEL, "maxLength": LABEL_MAX_LENGTH}},
        },
        "spec": _section_schema(kind.spec, _Part.SPEC),
        "status": _section_schema(kind.status, _Part.STATUS),
    }
    if any(item.json_name == "observedGeneration" for item in attributes(kind.status)):
        properties["status"]["default"] = {"observedGeneration": -1}
    required = {"required": ["spec"]} if find_problems(kind.spec, {}, "") or check_rules(kind.spec(), "") else {}
    return {"type": "object", "description": kind.doc, "properties": properties} | required


def _section_schema(cls: type, part: _Part) -> Schema:
    """`spec` or `status` as a whole, with what `kubectl explain` says of it: the first line of the class's docstring."""
    first_line = inspect.cleandoc(cls.__doc__ or "").partition("\n")[0]
    return {"description": first_line} | _class_schema(cls, part)


def _class_schema(cls: type, part: _Part, key: str | None = None) -> Schema:
    items = attributes(cls)
    schema: Schema = {"type": "object", "properties": {item.json_name: _property(item, part, key) for item in items}}
    required = [item.json_name for item in items if item.is_required]
    if required:
        schema["required"] = required
    rules = [] if part is _Part.STATUS else _class_rules(cls, part)
    if rules:
        schema["x-kubernetes-validations"] = rules
    return schema


def _class_rules(cls: type, part: _Part) -> list[Schema]:
    rules: list[Schema] = [
        {"rule": rule.cel, "message": rule.message} | ({"fieldPath": f".{rule.path}"} if rule.path else {})
        for rule in rules_of(cls)
        if rule.cel not in ("", "true")
    ]
    if part.knows_old_value:
        rules += [_presence_rule(item) for item in attributes(cls) if _may_not_come_or_go(item)]
    return rules


def _may_not_come_or_go(item: Attribute) -> bool:
    return item.spec.mutability is Mutability.FIXED and not item.is_required and not _default(item)


def _presence_rule(item: Attribute) -> Schema:
    """A rule of the field's own is not asked where it comes or goes."""
    name = item.json_name
    new, old = f"has(self.{name})", f"has(oldSelf.{name})"
    if item.default is not None:  # an empty list is the same as none
        new, old = f"({new} && size(self.{name}) > 0)", f"({old} && size(oldSelf.{name}) > 0)"
    return {"rule": f"{new} == {old}", "message": f"{name} {_FIXED_MESSAGE}", "fieldPath": f".{name}"}


def _property(item: Attribute, part: _Part, key: str | None) -> Schema:
    schema: Schema = {"description": f"{item.spec.doc} {facts_text(item)}"}
    schema |= _annotation_schema(item.annotation, item.spec, part)
    if part is _Part.STATUS:
        return schema | ({"default": -1} if item.json_name == "observedGeneration" and item.default == -1 else {})
    rules = [*_value_rules(item.annotation, item.spec, part), *_change_rules(item, part, key)]
    if rules:
        schema["x-kubernetes-validations"] = rules
    return schema | _default(item)


def _default(item: Attribute) -> Schema:
    if item.is_required or item.default is None:
        return {}
    value = encode(item.default)
    if is_spec_class(item.annotation):  # complete, because an API server judges it by the rules as it stands
        value = {name: entry for name, entry in value.items() if entry not in ("", [], {})}
    return {} if value in ("", [], {}) else {"default": value}


def _value_rules(annotation: Any, spec: FieldSpec, part: _Part) -> list[Schema]:
    if annotation is ByteSize and part is _Part.SPEC:
        return _size_rules(spec)
    if annotation is str and spec.format is Format.HOST_PATH:
        return [{"rule": "!self.matches('(^|/)[.][.]?(/|$)')", "message": "is not an absolute path without '..'"}]
    if annotation is str and spec.format in _PARSERS:
        return [{"rule": _PARSERS[spec.format], "message": f"is not {DESCRIPTIONS[spec.format]}"}]
    return []


def _size_rules(spec: FieldSpec) -> list[Schema]:
    # What is no quantity is refused by its pattern; a rule that fails on it would only add words about CEL.
    guard, size = "!isQuantity(string(self))", "quantity(string(self))"
    return [
        {"rule": f"{guard} || {size}.compareTo(quantity('{ByteSize(bound)}')) {sign} 0", "message": message}
        for bound, sign, message in (
            (spec.minimum, ">=", f"is below the least, {ByteSize(spec.minimum or 0)}"),
            (spec.maximum, "<=", f"is above the most, {ByteSize(spec.maximum or 0)}"),
        )
        if bound is not None
    ]


def _change_rules(item: Attribute, part: _Part, key: str | None) -> list[Schema]:
    if item.spec.mutability is not Mutability.FIXED or not part.knows_old_value or item.json_name == key:
        return []
    if is_spec_class(item.annotation):
        return []  # its own fields say it
    if item.annotation is ByteSize:
        rule = "quantity(string(self)).compareTo(quantity(string(oldSelf))) == 0"
    else:
        rule = "self == oldSelf"
    return [{"rule": rule, "message": _FIXED_MESSAGE}]


def _annotation_schema(annotation: Any, spec: FieldSpec, part: _Part) -> Schema:
    inner = element_type(annotation)
    if inner is not None:
        return _list_schema(inner, spec, part)
    if is_spec_class(annotation):
        return _class_schema(annotation, part)
    if is_string_map(annotation):
        values = _string_schema(spec, part)
        return {"type": "object", "maxProperties": spec.max_items, "additionalProperties": values}
    if is_tree(annotation):
        return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return _scalar_schema(annotation, spec, part)


def _list_schema(inner: Any, spec: FieldSpec, part: _Part) -> Schema:
    schema: Schema = {"type": "array", "maxItems": spec.max_items}
    if spec.min_items:
        schema["minItems"] = spec.min_items
    key = spec.list_key if is_spec_class(inner) else None
    kind: Schema = {"x-kubernetes-list-type": "atomic"}
    if key is not None:
        kind = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}
    within = part.within_list(key)
    if is_spec_class(inner):
        return schema | kind | {"items": _class_schema(inner, within, key)}
    rules = [] if part is _Part.STATUS else _value_rules(inner, spec, within)
    judged = {"x-kubernetes-validations": rules} if rules else {}
    return schema | kind | {"items": _annotation_schema(inner, spec, within) | judged}


def _scalar_schema(annotation: Any, spec: FieldSpec, part: _Part) -> Schema:
    if annotation is bool:
        return {"type": "boolean"}
    if annotation is ByteSize:
        return {
            "x-kubernetes-int-or-string": True,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": quantity.PATTERN,
            "maxLength": _QUANTITY_MAX_LENGTH,
        }
    if annotation is int:
        return _integer_schema(spec)
    if annotation is str:
        return _string_schema(spec, part)
    return {"type": "string", "enum": [member.value for member in annotation]}


def _integer_schema(spec: FieldSpec) -> Schema:
    is_small = spec.maximum is not None and spec.maximum <= _INT32_MAXIMUM
    bounds = {"minimum": spec.minimum, "maximum": spec.maximum}
    kept = {name: bound for name, bound in bounds.items() if bound is not None}
    return {"type": "integer", "format": "int32" if is_small else "int64"} | kept


def _string_schema(spec: FieldSpec, part: _Part) -> Schema:
    # A status is not refused for a character that a guest has put into it.
    free = None if part is _Part.STATUS else _CLEAN_TEXT
    pattern = PATTERNS.get(spec.format, free)
    return {"type": "string", "maxLength": spec.max_length} | ({} if pattern is None else {"pattern": pattern})
