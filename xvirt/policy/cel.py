"""The rules as CEL, for an API server to judge a tree by (https://kubernetes.io/docs/reference/using-api/cel/).

An API server sees the tree that is laid over the generated XML, not the XML. CEL has no recursion, so a table becomes one expression per
element of the second level (of the third, below `<devices>`), with a comprehension for each level below. What it lets through, the node
judges again; what it refuses, the node would refuse, but for a path that the node computes and that nobody needs to repeat.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

from xvirt.policy.allowed import Allowed, Table
from xvirt.policy.predicates import Predicate, anything, cel_list

_WORDS = ("$order", "$patch", "#comment", "#pi")
"""Keys of a node that are neither elements, attributes nor text (`xvirt.domainxml.tree`)."""
METADATA = "metadata"
"""Judged by its namespaces, not by a table."""
_NEVER = "false"


@dataclasses.dataclass(frozen=True)
class Section:
    """One part of a tree: its path below the root, and the expression that is true where a tree may hold what stands there."""

    path: str
    expression: str


def as_list(expression: str) -> str:
    """A node or a list of nodes as a list."""
    return f"(type({expression}) == list ? {expression} : [{expression}])"


def nodes_at(tree: str, name: str) -> str:
    """The list of nodes of a child of the root."""
    node = f"{tree}['{name}']"
    return f"('{name}' in {tree} ? {as_list(node)} : [])"


def metadata_is_inert(nodes: str, namespaces: Iterable[str]) -> str:
    """Whether metadata holds nothing but elements of some XML namespaces, each declared where it is used."""
    prefix = "'@xmlns:' + k.split(':')[0]"
    declared = f"(k.contains(':') ? {prefix} : '@xmlns')"
    known = f"type(m) == map && {declared} in m && m[{declared}] in {cel_list(sorted(namespaces))}"
    each = f"k.startsWith('@') || k.startsWith('#') || k.startsWith('$') || {as_list('n[k]')}.all(m, {known})"
    return f"{nodes}.all(n, type(n) != map || n.all(k, {each}))"


class Judge:
    """One table, and the variable of the policy that holds the tree of its root."""

    def __init__(self, table: Table, tree: str, opened: Mapping[str, str]) -> None:
        """`tree`: the expression of the root's map; `opened`: element paths whose children are sections of their own -> the expression
        of the list of their nodes."""
        self._table = table
        self._nodes = {"": f"[{tree}]", **opened}

    def strangers(self) -> Iterator[Section]:
        """Of the root and of each opened element: an expression of the text with the paths of elements that no rule knows."""
        for path, nodes in self._nodes.items():
            start = f"/{path}/" if path else "/"
            known = cel_list([*self._children(path), *([] if path else [METADATA])])
            names = f"n.filter(k, !k.startsWith('@') && !k.startsWith('#') && !k.startsWith('$') && !(k in {known}))"
            named = f"{names}.map(k, '{start}' + k).join(', ')"
            yield Section(path, f"{nodes}.filter(n, type(n) == map).map(n, {named}).filter(t, t != '').join(', ')")

    def sections(self) -> Iterator[Section]:
        """Of the root and each opened element as it stands without its children, and of each child of these: an expression that is true
        where it may stand there."""
        for path, nodes in self._nodes.items():
            as_text = f"type(n) == string && {self._table[path].text.cel.format('n')}"
            yield Section(path, f"{nodes}.all(n, {as_text} || type(n) == map && {self._content(path, 'n', None)})")
            for name in self._children(path):
                child = f"{path}/{name}" if path else name
                node = f"n['{name}']"
                if child not in self._nodes:
                    inner = f"{as_list(node)}.all(m, {self._node(child, 'm', 1)})"
                    yield Section(child, f"{nodes}.all(n, type(n) != map || !('{name}' in n) || {inner})")

    def _children(self, path: str) -> list[str]:
        start = f"{path}/" if path else ""
        below = (item.removeprefix(start) for item in self._table if item.startswith(start) and item != path)
        return sorted({name for name in below if name and "/" not in name})

    def _node(self, path: str, node: str, depth: int) -> str:
        """Whether a node may stand at a path: text, or a map all of whose keys may."""
        text = self._table[path].text
        as_text = (
            f"type({node}) == string && {text.cel.format(node)}" if text is not anything else f"type({node}) == string"
        )
        return f"({as_text} || type({node}) == map && {self._content(path, node, depth)})"

    def _content(self, path: str, node: str, depth: int | None) -> str:
        """Whether each key of a map may stand there; without a depth its children are judged elsewhere."""
        key = f"k{depth or 0}"
        value = f"{node}[{key}]"
        allowed = self._table[path]
        ways = [
            f"{key} in {cel_list(_WORDS)}",
            f"{key}.startsWith('@xmlns:')",
            f"{key} == '#text' && {as_list(value)}.all(t, type(t) == string && {allowed.text.cel.format('t')})",
            *self._attributes(allowed, key, value),
        ]
        if depth is None:
            ways.append(f"!{key}.startsWith('@') && !{key}.startsWith('#')")
        else:
            ways += self._elements(path, key, value, depth)
        return f"{node}.all({key}, {' || '.join(ways)})"

    def _attributes(self, allowed: Allowed, key: str, value: str) -> Iterator[str]:
        grouped: dict[Predicate, list[str]] = {}
        for name, predicate in allowed.attributes.items():
            grouped.setdefault(predicate, []).append(f"@{name}")
        for predicate, names in grouped.items():
            if predicate.cel != _NEVER:
                yield f"{key} in {cel_list(names)} && type({value}) == string && {predicate.cel.format(value)}"

    def _elements(self, path: str, key: str, value: str, depth: int) -> Iterator[str]:
        """What is judged alike is said once."""
        node = f"m{depth}"
        grouped: dict[str, list[str]] = {}
        for name in self._children(path):
            grouped.setdefault(self._node(f"{path}/{name}", node, depth + 1), []).append(name)
        for judged, names in grouped.items():
            yield f"{key} in {cel_list(names)} && {as_list(value)}.all({node}, {judged})"
