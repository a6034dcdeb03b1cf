"""A Pulumi program in Python that declares machines as they are, each with the input `adopt` by which it is taken over."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from xvirt.exports.text import Code, call, identifier
from xvirt.model.codec import parse
from xvirt.model.concise import concise_document
from xvirt.model.fields import Attribute, attributes, element_type, is_spec_class
from xvirt.model.meta import DEFAULT_NAMESPACE
from xvirt.model.secrets import secret_names
from xvirt.model.virtualmachine import VirtualMachineSpec

MACHINE = "VirtualMachine"
OWNER_ANNOTATION = "xvirt.io/pulumi-resource"
_KEYS = {"user_data": "userData", "network_data": "networkData", "ssh_authorized_keys_from": "sshAuthorizedKeys"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exported:
    """One machine. `adopt`: UUID of its domain. `owner`: the authority that declares it now; empty for a foreign domain. `is_stopped`:
    it is off, though it is declared to run."""

    document: Mapping[str, Any]
    adopt: str
    owner: str = ""
    is_stopped: bool = False


def write_program(machines: Iterable[Exported]) -> str:
    """The whole `__main__.py`."""
    found = list(machines)
    names = _resource_names(found)
    blocks = [_machine(item, name) for item, name in zip(found, names, strict=True)]
    needs_config = any("config.require_secret(" in block for block in blocks)
    head = [*_docstring(found), "", *(["import pulumi", ""] if needs_config else [])]
    head += [f"from xvirt_provider import {MACHINE}", *(["", "config = pulumi.Config()"] if needs_config else [])]
    return "\n".join(head) + "\n\n" + "\n\n".join(blocks) + "\n"


def secrets_of(document: Mapping[str, Any]) -> dict[str, list[str]]:
    """Keys of each Secret that a machine names."""
    found: dict[str, list[str]] = {}
    cloud_init = parse(document).spec.cloud_init
    for field, default in _KEYS.items() if cloud_init is not None else ():
        source = getattr(cloud_init, field)
        if source is not None and source.secret is not None:
            found.setdefault(source.secret, []).append(source.key or default)
    return found


def _docstring(machines: list[Exported]) -> Iterator[str]:
    yield '"""Machines as they run, written by `xvirt export --to pulumi`.'
    yield ""
    yield "The first `pulumi up` takes them over as they are; where anything of one would change, it is refused and nothing is done."
    owned = [item for item in machines if item.owner]
    if owned:
        yield "Before it, give back those that somebody else declares; they go on running meanwhile:"
        yield ""
        yield from (f"    {_release(item)}  # declared by {item.owner}" for item in owned)
    yield '"""'


def _release(item: Exported) -> str:
    metadata = item.document["metadata"]
    namespace = metadata.get("namespace") or DEFAULT_NAMESPACE
    return f"xvirt release {metadata['name']}" + (f" -n {namespace}" if namespace != DEFAULT_NAMESPACE else "")


def _resource_names(machines: list[Exported]) -> list[str]:
    names = [item.document["metadata"]["name"] for item in machines]
    spaces = [item.document["metadata"].get("namespace") or DEFAULT_NAMESPACE for item in machines]
    return [f"{space}-{name}" if names.count(name) > 1 else name for space, name in zip(spaces, names, strict=True)]


def _machine(item: Exported, resource_name: str) -> str:
    resource = parse(item.document)
    document = concise_document(resource)
    arguments: dict[str, Any] = {
        "": resource_name,
        **_metadata(document["metadata"], resource_name),
        "adopt": item.adopt,
    }
    arguments |= _python_names(VirtualMachineSpec, document["spec"])
    if item.is_stopped:
        arguments["run_strategy"] = "Manual"
    if secret_names(resource):
        arguments["secrets"] = {
            name: {key: Code(f'config.require_secret("{name}-{key}")') for key in keys}
            for name, keys in secrets_of(item.document).items()
        }
    notes = list(_notes(item, arguments))
    return "\n".join([*(f"# {note}" for note in notes), f"{identifier(resource_name)} = {call(MACHINE, arguments)}"])


def _notes(item: Exported, arguments: Mapping[str, Any]) -> Iterator[str]:
    if item.is_stopped:
        yield "It is off now. It was declared to run always; Manual leaves it off. Say Always again once it is taken over."
    for name, entries in (arguments.get("secrets") or {}).items():
        yield from (f"pulumi config set --secret {name}-{key}  # the node tells nobody what it is" for key in entries)
    others = sorted(_named_objects(arguments))
    if others:
        yield f"Declared elsewhere, and not taken over: {', '.join(others)}."


def _named_objects(arguments: Mapping[str, Any]) -> Iterator[str]:
    for disk in arguments.get("disks") or ():
        source = disk.get("source") or {}
        yield from (
            f"{kind} {source[key]}"
            for key, kind in (("disk", "VirtualDisk"), ("image", "VirtualImage"))
            if source.get(key)
        )
    yield from (f"VirtualNetwork {nic['network']}" for nic in arguments.get("nics") or () if nic.get("network"))


def _metadata(metadata: Mapping[str, Any], resource_name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if metadata["name"] != resource_name:
        found["name"] = metadata["name"]
    if metadata.get("namespace") not in (None, "", DEFAULT_NAMESPACE):
        found["namespace"] = metadata["namespace"]
    annotations = {key: text for key, text in (metadata.get("annotations") or {}).items() if key != OWNER_ANNOTATION}
    found |= {"labels": metadata.get("labels"), "annotations": annotations}
    return {key: value for key, value in found.items() if value}


def _python_names(cls: Any, value: Any) -> Any:
    """A valid document's values with the names that a program uses."""
    known = {item.json_name: item for item in attributes(cls)}
    return {known[key].name: _convert(known[key], entry) for key, entry in value.items()}


def _convert(item: Attribute, value: Any) -> Any:
    inner: Any = element_type(item.annotation)
    if is_spec_class(inner):
        return [_python_names(inner, entry) for entry in value]
    return _python_names(item.annotation, value) if is_spec_class(item.annotation) else value
