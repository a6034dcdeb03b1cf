"""`spec.domain`: a tree laid over the generated domain, for everything that the typed fields do not say.

Elements are matched by identity (disk: target or alias; interface: MAC or alias; controller: type and index; feature: name), single
ones by name; what matches nothing is added. `$patch: delete` removes, `$patch: replace` replaces. Typed fields win: a path that both
set to different values is an error that names it, never a silent override.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lxml import etree

from xvirt.domainxml.tree import from_tree
from xvirt.model.errors import InvalidSpec, Problem

_REPEATED = frozenset(
    [
        "disk",
        "interface",
        "controller",
        "serial",
        "console",
        "channel",
        "hostdev",
        "filesystem",
        "input",
        "redirdev",
        "rng",
        "memory",
        "feature",
        "hostdev",
        "vcpupin",
        "iothreadpin",
        "cell",
        "timer",
        "shmem",
        "graphics",
        "video",
        "sound",
        "panic",
        "tpm",
        "watchdog",
        "smartcard",
        "hub",
        "parallel",
    ]
)
"""Elements that a domain may hold several of; others are merged by name."""


def apply_overlay(root: etree._Element, tree: Mapping[str, Any]) -> None:
    """Merge a tree into a domain. Raises InvalidSpec with the paths of conflicts; the root is then half merged and of no use."""
    problems: list[Problem] = []
    _merge(root, tree, "spec.domain", problems)
    if problems:
        raise InvalidSpec(problems, reason="OverlayConflict")


def _merge(element: etree._Element, tree: Mapping[str, Any], path: str, problems: list[Problem]) -> None:
    for key, value in tree.items():
        where = f"{path}.{key}"
        if key.startswith(("$", "@xmlns")):
            continue
        if key.startswith("@"):
            _set(element, key[1:], value, where, problems)
        elif key == "#text":
            _set_text(element, value, where, problems)
        else:
            entries = value if isinstance(value, list) else [value]
            for number, entry in enumerate(entries):
                place = f"{where}[{number}]" if isinstance(value, list) else where
                _merge_child(element, key, entry, _namespaces(tree), place, problems)


def _namespaces(tree: Mapping[str, Any]) -> dict[str | None, str]:
    return {key[7:]: uri for key, uri in tree.items() if key.startswith("@xmlns:") and isinstance(uri, str)}


def _merge_child(
    parent: etree._Element,
    name: str,
    entry: Any,
    namespaces: dict[str | None, str],
    path: str,
    problems: list[Problem],
) -> None:
    wanted = from_tree(name, entry, namespaces)
    found = _find(parent, wanted)
    patch = entry.get("$patch") if isinstance(entry, Mapping) else None
    if patch not in (None, "delete", "replace"):
        problems.append(Problem(f"{path}.$patch", f"{patch!r} is not known", "use delete or replace"))
    elif patch == "delete":
        if found is not None:
            parent.remove(found)
    elif patch == "replace" and found is not None:
        parent.replace(found, wanted)
    elif found is None:
        parent.append(wanted)
    elif isinstance(entry, str):
        _set_text(found, entry, path, problems)
    else:
        _merge(found, entry, path, problems)


def _find(parent: etree._Element, wanted: etree._Element) -> etree._Element | None:
    same = [item for item in parent if item.tag == wanted.tag]
    keys = _keys(wanted)
    for key in keys:
        for item in same:
            if key in _keys(item):
                return item
    if wanted.tag in _REPEATED and (keys or wanted.tag not in _LONE):
        return None
    return same[0] if same else None


_LONE = frozenset({"rng", "tpm", "watchdog", "video", "graphics", "serial", "console"})
"""Repeated by libvirt, but generated once: without an identity of its own an entry means that one."""


def _keys(element: etree._Element) -> set[tuple[str, ...]]:
    keys: set[tuple[str, ...]] = set()
    if (alias := element.find("alias")) is not None and alias.get("name"):
        keys.add(("alias", alias.get("name", "")))
    if element.tag == "disk" and (target := element.find("target")) is not None and target.get("dev"):
        keys.add(("target", target.get("dev", "")))
    if element.tag == "interface" and (mac := element.find("mac")) is not None and mac.get("address"):
        keys.add(("mac", mac.get("address", "").lower()))
    if element.tag == "controller" and element.get("index") is not None:
        keys.add(("controller", element.get("type", ""), element.get("index", "")))
    if element.tag in ("feature", "timer") and element.get("name"):
        keys.add(("name", element.get("name", "")))
    if element.tag in ("vcpupin", "iothreadpin", "cell"):
        keys.add(("id", element.get("vcpu") or element.get("iothread") or element.get("id") or ""))
    return keys


def _set(element: etree._Element, name: str, value: Any, path: str, problems: list[Problem]) -> None:
    current = element.get(name)
    if current is not None and current != value:
        problems.append(_conflict(path, current, value))
    else:
        element.set(name, value)


def _set_text(element: etree._Element, value: str, path: str, problems: list[Problem]) -> None:
    current = (element.text or "").strip()
    if current and current != value.strip():
        problems.append(_conflict(path, current, value))
    else:
        element.text = value


def _conflict(path: str, current: str, value: Any) -> Problem:
    message = f"sets {value!r} where the typed fields give {current!r}"
    return Problem(path, message, "change the typed field, or replace the whole element with $patch: replace")
