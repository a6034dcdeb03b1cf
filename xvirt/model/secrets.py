"""Kubernetes' Secret, as a document that is applied beside the machine that names it (`podman kube play` does the same).

A Secret is never stored as an object and never answered: whoever calls Apply resolves it into a field of its own (DESIGN law 12).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from xvirt.model import limits
from xvirt.model.checks import find_problems, unknown
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.exchange import SecretContent
from xvirt.model.fields import Attribute, Format, attributes, element_type, is_spec_class
from xvirt.model.kinds import SECRET_KIND
from xvirt.model.meta import DEFAULT_NAMESPACE, ObjectMeta, Resource
from xvirt.model.names import PATTERNS
from xvirt.model.validation import check_size, own_metadata
from xvirt.model.wording import join, show

SECRET_MAX_BYTES = 1 << 20
"""Kubernetes' own limit for one Secret."""
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_KNOWN = ("apiVersion", "kind", "metadata", "data", "stringData", "type", "immutable")
_NAME_MAX_LENGTH = 253


def validate_secret(document: Any) -> tuple[Problem, ...]:
    """Everything wrong with a Secret document, sorted by path."""
    problem = check_size(document)
    if problem is not None:
        return (problem,)
    if not isinstance(document, Mapping):
        return (Problem("", "a Secret must be a map with apiVersion, kind, metadata and data"),)
    strange = [key for key in document if key not in _KNOWN]
    problems = [unknown("", key, list(_KNOWN)) for key in strange[: limits.PROBLEMS_MAX]]
    for key, wanted in (("apiVersion", "v1"), ("kind", SECRET_KIND)):
        if document.get(key) != wanted:
            problems.append(Problem(key, f"{show(document.get(key))} is not served for a Secret", f"use {wanted}"))
    problems += _check_metadata(document.get("metadata"))
    if not isinstance(document.get("type", ""), str):
        problems.append(Problem("type", "must be a string"))
    for section in ("data", "stringData"):
        problems += _check_section(section, document.get(section))
    return tuple(sorted(set(problems)))


def _check_metadata(metadata: Any) -> list[Problem]:
    if not isinstance(metadata, Mapping):
        return [Problem("metadata", "must be a map with a name")]
    name = metadata.get("name")
    if isinstance(name, str) and len(name) <= _NAME_MAX_LENGTH and re.fullmatch(PATTERNS[Format.DOMAIN_NAME], name):
        metadata = {**metadata, "name": "secret"}  # a Secret's name may hold dots
    return find_problems(ObjectMeta, own_metadata(metadata), "metadata")


def _check_section(section: str, entries: Any) -> list[Problem]:
    if entries is None:
        return []
    if not isinstance(entries, Mapping):
        return [Problem(section, "must be a map of strings")]
    return [item for key, value in entries.items() if (item := _check_entry(section, key, value))]


def _check_entry(section: str, key: object, value: object) -> Problem | None:
    path = join(section, key)
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        return Problem(path, "a key may hold letters, digits and -._")
    if not isinstance(value, str):
        return Problem(path, "must be a string", "quote it")
    if section == "data" and _decode_base64(value) is None:
        return Problem(path, "is not base64", "encode it, or use stringData")
    return None


def _decode_base64(text: str) -> bytes | None:
    try:  # line breaks are let through as Kubernetes does
        return base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        return None


def parse_secret(document: Mapping[str, Any]) -> SecretContent:
    """Content of a Secret document; `stringData` wins over `data`, as in Kubernetes. Raises InvalidSpec."""
    problems = validate_secret(document)
    if problems:
        raise InvalidSpec(problems, SECRET_KIND)
    content = {key: _decode_base64(value) or b"" for key, value in (document.get("data") or {}).items()}
    content.update({key: value.encode() for key, value in (document.get("stringData") or {}).items()})
    name = document["metadata"]["name"]
    if sum(map(len, content.values())) > SECRET_MAX_BYTES:
        problem = Problem("data", f"holds more than {SECRET_MAX_BYTES} bytes", "split it")
        raise InvalidSpec([problem], f"{SECRET_KIND} {name}")
    return SecretContent(name=name, data=content)


def secret_namespace(document: Mapping[str, Any]) -> str:
    """Namespace of a Secret document."""
    metadata = document.get("metadata")
    namespace = metadata.get("namespace") if isinstance(metadata, Mapping) else None
    return namespace if isinstance(namespace, str) and namespace else DEFAULT_NAMESPACE


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
