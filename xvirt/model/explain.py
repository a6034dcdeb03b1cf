"""`xvirt explain`: kinds and fields in words."""

from __future__ import annotations

import difflib
from typing import Any

from xvirt import API_VERSION
from xvirt.model.describe_field import facts_of, type_word
from xvirt.model.errors import NotFound
from xvirt.model.fields import Attribute, attributes, element_type, is_spec_class
from xvirt.model.kinds import BY_NAME


def explain(kind_name: str, path: list[str], *, is_recursive: bool = False) -> str:
    """Text about a kind (empty path) or a field such as `["spec", "cpu", "cores"]`. Raises NotFound with the nearest name."""
    kind = BY_NAME[kind_name]
    lines = [f"KIND:     {kind.name}", f"VERSION:  {API_VERSION}", ""]
    if not path:
        lines += ["DESCRIPTION:", f"    {kind.doc}", "", "FIELDS:"]
        lines += ["  spec     <" + kind.spec.__name__ + ">", "  status   <" + kind.status.__name__ + ">"]
        return "\n".join(lines)
    head = {"spec": kind.spec, "status": kind.status}.get(path[0])
    if head is None:
        raise NotFound(f"{kind.name}.{path[0]} is not explained; try {kind.singular}.spec")
    current: Any = head
    item: Attribute | None = None
    for number, name in enumerate(path[1:], 1):
        item = _find(current, name, ".".join([kind.name, *path[:number]]))
        current = element_type(item.annotation) or item.annotation
    title = f"{path[-1]} <{type_word(item.annotation) if item else head.__name__}>"
    lines += [f"FIELD:    {title}", "", "DESCRIPTION:"]
    lines.append("    " + (item.spec.doc if item else (head.__doc__ or "").strip().splitlines()[0]))
    if item is not None:
        lines.append(f"    ({'; '.join(facts_of(item))})")
    if is_spec_class(current):
        lines += ["", "FIELDS:", *_fields(current, "  ", is_recursive=is_recursive)]
    return "\n".join(lines)


def _find(cls: Any, name: str, where: str) -> Attribute:
    names = {item.json_name: item for item in attributes(cls)}
    if name in names:
        return names[name]
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {close[0]}?" if close else f"; it has {', '.join(names) or 'no fields'}"
    raise NotFound(f"{where} has no field {name}{hint}")


def _fields(cls: Any, indent: str, *, is_recursive: bool) -> list[str]:
    lines = []
    for item in attributes(cls):
        lines.append(f"{indent}{item.json_name}   <{type_word(item.annotation)}>")
        inner = element_type(item.annotation) or item.annotation
        if is_recursive and is_spec_class(inner):
            lines += _fields(inner, indent + "  ", is_recursive=True)
        elif not is_recursive:
            lines += [f"{indent}  {item.spec.doc}", f"{indent}  ({'; '.join(facts_of(item))})"]
    return lines
