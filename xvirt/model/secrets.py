"""Kubernetes' Secret, as a document that is applied beside the machine that names it (`podman kube play` does the same).

A Secret is never stored as an object and never answered: whoever calls Apply resolves it into a field of its own (DESIGN law 12).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.exchange import SecretContent
from xvirt.model.fields import Attribute, attributes, element_type, is_spec_class
from xvirt.model.meta import DEFAULT_NAMESPACE, Resource
from xvirt.model.names import LABEL

SECRET_MAX_BYTES = 1 << 20
"""Kubernetes' own limit for one Secret."""
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_KNOWN = frozenset({"apiVersion", "kind", "metadata", "data", "stringData", "type", "immutable"})


def parse_secret(document: Mapping[str, Any]) -> SecretContent:
    """Content of a Secret document; `stringData` wins over `data`, as in Kubernetes. Raises InvalidSpec."""
    problems = list(_find_problems(document))
    if problems:
        raise InvalidSpec(sorted(problems), "Secret")
    content = {key: base64.b64decode(value) for key, value in (document.get("data") or {}).items()}
    content.update({key: value.encode() for key, value in (document.get("stringData") or {}).items()})
    if sum(map(len, content.values())) > SECRET_MAX_BYTES:
        raise InvalidSpec([Problem("data", f"holds more than {SECRET_MAX_BYTES} bytes", "split it")], "Secret")
    return SecretContent(name=document["metadata"]["name"], data=content)


def secret_namespace(document: Mapping[str, Any]) -> str:
    """Namespace of a Secret document."""
    metadata = document.get("metadata")
    namespace = metadata.get("namespace") if isinstance(metadata, Mapping) else None
    return namespace if isinstance(namespace, str) else DEFAULT_NAMESPACE


def _find_problems(document: Mapping[str, Any]) -> list[Problem]:
    problems = [Problem(key, "is not a field of a Secret", "remove it") for key in document if key not in _KNOWN]
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    if not isinstance(name, str) or not re.fullmatch(LABEL, name):
        problems.append(Problem("metadata.name", "must be a DNS label", "name the Secret"))
    for section in ("data", "stringData"):
        entries = document.get(section) or {}
        if not isinstance(entries, Mapping):
            problems.append(Problem(section, "must be a map of strings"))
            continue
        problems += [item for key, value in entries.items() if (item := _check_entry(section, key, value))]
    return problems


def _check_entry(section: str, key: object, value: object) -> Problem | None:
    path = f"{section}.{key}"
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        return Problem(path, "a key may hold letters, digits and -._")
    if not isinstance(value, str):
        return Problem(path, "must be a string", "quote it")
    if section == "data":
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return Problem(path, "is not base64", "encode it, or use stringData")
    return None


def secret_names(resource: Resource) -> tuple[str, ...]:
    """Names of the Secrets that a document refers to, in its own namespace."""
    return tuple(dict.fromkeys(_walk(resource.spec)))


def _walk(value: Any) -> list[str]:
    found: list[str] = []
    for attribute in attributes(type(value)):
        found += _names_in(attribute, getattr(value, attribute.name))
    return found


def _names_in(attribute: Attribute, entry: Any) -> list[str]:
    if entry is None:
        return []
    if attribute.spec.references == "Secret":
        return [entry]
    if is_spec_class(attribute.annotation):
        return _walk(entry)
    if is_spec_class(element_type(attribute.annotation)):
        return [name for item in entry for name in _walk(item)]
    return []
