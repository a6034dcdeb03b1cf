"""CustomResourceDefinitions from the model: structural OpenAPI v3 with list-map keys, bounds, defaults and CEL rules."""

from __future__ import annotations

import enum
from typing import Any

from xvirt import API_GROUP, API_VERSION
from xvirt.model.codec import encode
from xvirt.model.describe_field import MUTABILITY_WORDS
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
from xvirt.model.kinds import Kind
from xvirt.model.names import PATTERNS
from xvirt.model.quantity import PATTERN as QUANTITY_PATTERN
from xvirt.model.quantity import ByteSize

Schema = dict[str, Any]


def crd(kind: Kind) -> Schema:
    """The CustomResourceDefinition of a kind."""
    status = object_schema(kind.status)
    status["properties"]["observedGeneration"]["default"] = -1
    schema = {
        "type": "object",
        "description": kind.doc,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": object_schema(kind.spec),
            "status": status,
        },
    }
    version = {
        "name": API_VERSION.partition("/")[2],
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
        "additionalPrinterColumns": _columns(kind),
    }
    names = {
        "kind": kind.name,
        "listKind": f"{kind.name}List",
        "plural": kind.plural,
        "singular": kind.singular,
        "shortNames": list(kind.short_names),
        "categories": ["xvirt"],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{API_GROUP}"},
        "spec": {"group": API_GROUP, "scope": kind.scope.value, "names": names, "versions": [version]},
    }


def _columns(kind: Kind) -> list[Schema]:
    columns = [
        {
            "name": column.heading.capitalize(),
            "type": "string",
            "jsonPath": f".{column.path}",
            **({"priority": 1} if column.is_wide else {}),
        }
        for column in kind.columns
    ]
    return [*columns, {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}]


def object_schema(cls: Any) -> Schema:
    """A spec dataclass."""
    schema: Schema = {
        "type": "object",
        "description": " ".join((cls.__doc__ or "").split()),
        "properties": {item.json_name: _field(item) for item in attributes(cls)},
    }
    required = [item.json_name for item in attributes(cls) if item.is_required]
    if required:
        schema["required"] = required
    rules = [{"rule": rule.cel, "message": rule.message} for rule in rules_of(cls) if rule.cel != "true"]
    if rules:
        schema["x-kubernetes-validations"] = rules
    return schema


def _field(item: Attribute) -> Schema:
    spec = item.spec
    schema = _schema(item.annotation, spec)
    unit = f" Unit: {spec.unit}." if spec.unit else ""
    schema["description"] = f"{spec.doc}{unit} It {MUTABILITY_WORDS[spec.mutability]}."
    if not item.is_required and item.default is not None:
        schema["default"] = encode(item.default)
    is_leaf = schema["type"] not in ("object", "array") if "type" in schema else False
    if spec.mutability is Mutability.FIXED and is_leaf:
        message = f"{item.json_name} never changes once set"
        schema["x-kubernetes-validations"] = [{"rule": "self == oldSelf", "message": message}]
    return schema


def _schema(annotation: Any, spec: FieldSpec) -> Schema:
    inner = element_type(annotation)
    if inner is not None:
        schema: Schema = {"type": "array", "maxItems": spec.max_items, "items": _schema(inner, spec)}
        if spec.list_key is not None:
            schema |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [spec.list_key]}
        return schema
    if is_spec_class(annotation):
        return object_schema(annotation)
    if is_string_map(annotation):
        values = {"type": "string", "maxLength": spec.max_length}
        return {"type": "object", "maxProperties": spec.max_items, "additionalProperties": values}
    if is_tree(annotation):
        return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return _scalar(annotation, spec)


def _scalar(annotation: Any, spec: FieldSpec) -> Schema:
    if annotation is bool:
        return {"type": "boolean"}
    if annotation is ByteSize:
        return {"x-kubernetes-int-or-string": True, "pattern": QUANTITY_PATTERN, "maxLength": 32}
    if annotation is int:
        bounds = {"minimum": spec.minimum, "maximum": spec.maximum}
        return {"type": "integer", "format": "int64"} | {
            key: value for key, value in bounds.items() if value is not None
        }
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return {"type": "string", "enum": [member.value for member in annotation]}
    schema: Schema = {"type": "string", "maxLength": spec.max_length}
    if spec.format is not Format.TEXT:
        schema["pattern"] = PATTERNS[spec.format]
    return schema
