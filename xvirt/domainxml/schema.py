"""What a libvirt accepts: the tree of every element and attribute that its RELAX NG documents allow, per kind of document.

Pure: whoever calls reads the schemas of the libvirt that is meant (`nodeplugin.hypervisor.schemas`) and gives them parsed, by file name.
One element name stands once below its parent: alternatives (a disk's `<source>` per type) are merged, so the tree says what may stand
at a place, not what may stand together; whether a document is valid is a question to libvirt. An element within itself
(a backing store of a backing store) is cut: it stands there without content, marked.

Covered: all patterns of RELAX NG (https://relaxng.org/spec-20011203.html) but `except`, which only narrows. A pattern that is none
is a ValueError, so that nothing of a new schema is overlooked.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from lxml import etree

RNG: Final = "http://relaxng.org/ns/structure/1.0"
FILES: Final[Mapping[str, str]] = {
    "domain": "domain.rng",
    "network": "network.rng",
    "storagepool": "storagepool.rng",
    "storagevol": "storagevol.rng",
    "domainsnapshot": "domainsnapshot.rng",
    "domaincheckpoint": "domaincheckpoint.rng",
    "domainbackup": "domainbackup.rng",
    "nwfilter": "nwfilter.rng",
    "nodedev": "nodedev.rng",
    "interface": "interface.rng",
    "secret": "secret.rng",
    "capabilities": "capability.rng",
    "domaincaps": "domaincaps.rng",
}
"""Kind of document -> the file whose `start` describes it; the names since libvirt 1.0 and up to today."""

ANY: Final = "*"
"""Name of an element or attribute that may have any name."""

ENUM, YES_NO, ON_OFF, INT, PATH, TEXT = "enum", "yes/no", "on/off", "int", "path", "text"
_SWITCHES = {frozenset(("yes", "no")): YES_NO, frozenset(("on", "off")): ON_OFF}
_INTEGERS = ("int", "integer", "long", "short", "byte", "unsigned", "positive", "nonNegative")
_PATHS = ("path", "devicename")
"""Ends of the names of definitions that libvirt uses for paths, folded; a `deviceName` is an interface or a path below /dev."""


@dataclasses.dataclass(frozen=True)
class Values:
    """What a text or attribute may hold: some fixed words, or anything of some types, or both."""

    choices: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()

    @property
    def kinds(self) -> tuple[str, ...]:
        """`enum`, `yes/no`, `on/off`, `int`, `path`, `text`: what may stand here, the narrowest first."""
        fixed = (_SWITCHES.get(self.choices, ENUM),) if self.choices else ()
        return (*fixed, *(kind for kind in (INT, PATH, TEXT) if kind in self.types))

    def __or__(self, other: Values) -> Values:
        return Values(self.choices | other.choices, self.types | other.types)


@dataclasses.dataclass(frozen=True)
class Attribute:
    """One attribute; `is_optional` where some form of its element goes without."""

    name: str
    namespace: str
    values: Values
    is_optional: bool


@dataclasses.dataclass(frozen=True)
class Element:
    """One element; `text` is None where it holds no text, `is_cut` where it repeats an element that it stands in."""

    name: str
    namespace: str
    attributes: tuple[Attribute, ...] = ()
    children: tuple[Element, ...] = ()
    text: Values | None = None
    is_optional: bool = False
    is_repeatable: bool = False
    is_cut: bool = False

    def child(self, name: str, namespace: str = "") -> Element | None:
        """The child of that name."""
        return next((item for item in self.children if (item.name, item.namespace) == (name, namespace)), None)

    def attribute(self, name: str, namespace: str = "") -> Attribute | None:
        """The attribute of that name."""
        return next((item for item in self.attributes if (item.name, item.namespace) == (name, namespace)), None)


Path = tuple[Element, ...]
"""An element and all that it stands in, the root first."""


def walk(root: Element) -> Iterator[Path]:
    """Every element in the order of the schema, with all that it stands in."""
    pending: list[Path] = [(root,)]
    while pending:
        path = pending.pop()
        yield path
        pending.extend((*path, child) for child in reversed(path[-1].children))


def path_text(path: Path) -> str:
    """`domain/devices/disk`; a foreign namespace in braces before its name."""
    return "/".join(f"{{{item.namespace}}}{item.name}" if item.namespace else item.name for item in path)


def read_schema(documents: Mapping[str, etree._Element], kind: str) -> Element:
    """The root element of a kind of document (a key of `FILES`) with all that may stand in it.

    `documents` holds the parsed schemas by file name, among them all that the kind's file includes. Raises ValueError for a kind
    that has no schema, a file that is missing, and a schema that cannot be understood.
    """
    if kind not in FILES:
        raise ValueError(f"kind {kind!r} is not one of {', '.join(FILES)}")
    content = _Reader(documents).start(FILES[kind])
    roots = list(content.children.values()) if content else []
    if len(roots) != 1:
        raise ValueError(f"{FILES[kind]} starts with {len(roots)} elements, one is expected")
    return roots[0]


@dataclasses.dataclass(frozen=True)
class _Content:
    """What one pattern adds to the element that it stands in. None in its place means a pattern that nothing matches."""

    attributes: Mapping[tuple[str, str], Attribute] = dataclasses.field(default_factory=dict)
    children: Mapping[tuple[str, str], Element] = dataclasses.field(default_factory=dict)
    text: Values | None = None


def _together(first: _Content, second: _Content) -> _Content:
    """Both patterns: required stays required, and a child of both comes more than once."""
    return _merge(first, second, attribute=_and_attribute, child=_and_child)


def _either(first: _Content, second: _Content) -> _Content:
    """One of two patterns: only what both require is required."""
    return _merge(_loose(first, second), _loose(second, first), attribute=_or_attribute, child=_or_child)


def _loose(content: _Content, other: _Content) -> _Content:
    """The same, with all optional that the other one lacks."""
    return dataclasses.replace(
        content,
        attributes={
            key: item if key in other.attributes else dataclasses.replace(item, is_optional=True)
            for key, item in content.attributes.items()
        },
        children={
            key: item if key in other.children else dataclasses.replace(item, is_optional=True)
            for key, item in content.children.items()
        },
    )


def _optional(content: _Content) -> _Content:
    return _either(content, _Content())


def _repeated(content: _Content) -> _Content:
    children = {key: dataclasses.replace(item, is_repeatable=True) for key, item in content.children.items()}
    return dataclasses.replace(content, children=children)


def _merge(
    first: _Content,
    second: _Content,
    attribute: Callable[[Attribute, Attribute], Attribute],
    child: Callable[[Element, Element], Element],
) -> _Content:
    attributes, children = dict(first.attributes), dict(first.children)
    for key, item in second.attributes.items():
        attributes[key] = attribute(attributes[key], item) if key in attributes else item
    for place, element in second.children.items():
        children[place] = child(children[place], element) if place in children else element
    texts = [text for text in (first.text, second.text) if text is not None]
    return _Content(attributes, children, functools.reduce(Values.__or__, texts) if texts else None)


def _and_attribute(first: Attribute, second: Attribute) -> Attribute:
    return dataclasses.replace(
        first, values=first.values | second.values, is_optional=first.is_optional and second.is_optional
    )


def _or_attribute(first: Attribute, second: Attribute) -> Attribute:
    return dataclasses.replace(
        first, values=first.values | second.values, is_optional=first.is_optional or second.is_optional
    )


def _and_child(first: Element, second: Element) -> Element:
    return dataclasses.replace(
        _same_element(first, second), is_optional=first.is_optional and second.is_optional, is_repeatable=True
    )


def _or_child(first: Element, second: Element) -> Element:
    return dataclasses.replace(
        _same_element(first, second),
        is_optional=first.is_optional or second.is_optional,
        is_repeatable=first.is_repeatable or second.is_repeatable,
    )


def _same_element(first: Element, second: Element) -> Element:
    """Two forms of one element as one: what either holds."""
    if first == second:
        return first
    content = _either(_content_of(first), _content_of(second))
    return _element(first.name, first.namespace, content, is_cut=first.is_cut or second.is_cut)


def _content_of(element: Element) -> _Content:
    return _Content(
        {(item.namespace, item.name): item for item in element.attributes},
        {(item.namespace, item.name): item for item in element.children},
        element.text,
    )


def _element(name: str, namespace: str, content: _Content, is_cut: bool = False) -> Element:
    attributes, children = tuple(content.attributes.values()), tuple(content.children.values())
    return Element(name, namespace, attributes, children, content.text, is_cut=is_cut)


class _Grammar:
    """The definitions of one `<grammar>`: name -> the patterns that were given for it, in combination."""

    def __init__(self, parent: _Grammar | None) -> None:
        self.parent = parent
        self.definitions: dict[str, list[etree._Element]] = {}
        self.known: dict[str, _Content | None] = {}


_START = ""
"""The name of `start` among the definitions; no definition's name is empty."""


class _Reader:
    """Expands patterns into what they allow."""

    def __init__(self, documents: Mapping[str, etree._Element]) -> None:
        self._documents = documents
        self._open: list[etree._Element] = []
        self._open_references: list[tuple[int, str]] = []
        self._cuts = 0

    def start(self, file: str) -> _Content | None:
        """What a file's `start` allows."""
        return self._start(self._document(file), None)

    def _document(self, file: str) -> etree._Element:
        if file not in self._documents:
            raise ValueError(f"schema {file} is missing")
        return self._documents[file]

    def _start(self, root: etree._Element, parent: _Grammar | None) -> _Content | None:
        grammar = _Grammar(parent)
        self._collect(root, grammar, frozenset())
        return self._reference(_START, grammar)

    def _collect(self, body: etree._Element, grammar: _Grammar, overridden: frozenset[str]) -> None:
        """All definitions of a grammar and of what it includes, but for those that the including one replaces."""
        for item in _patterns(body):
            kind = _local(item)
            if kind == "include":
                own = frozenset(_defined(entry) for entry in item.iter(f"{{{RNG}}}define", f"{{{RNG}}}start"))
                self._collect(self._document(item.get("href", "")), grammar, overridden | own)
                self._collect(item, grammar, overridden)
            elif kind == "div":
                self._collect(item, grammar, overridden)
            elif kind in ("define", "start"):
                if _defined(item) not in overridden:
                    grammar.definitions.setdefault(_defined(item), []).append(item)
            else:
                raise ValueError(f"<{kind}> is not known in a grammar (line {item.sourceline})")

    def _reference(self, name: str, grammar: _Grammar) -> _Content | None:
        if name in grammar.known:
            return grammar.known[name]
        if name not in grammar.definitions:
            raise ValueError(f"definition {name or 'start'} is missing")
        key = (id(grammar), name)
        if key in self._open_references:
            raise ValueError(f"definition {name} refers to itself outside of any element")
        self._open_references.append(key)
        cuts = self._cuts
        parts = [self._group(item, grammar) for item in grammar.definitions[name]]
        self._open_references.pop()
        is_choice = any(item.get("combine") == "choice" for item in grammar.definitions[name])
        found = _choice(parts) if is_choice else _all(parts)
        if _is_path(name) and found is not None and found.text is not None:
            found = dataclasses.replace(found, text=Values(found.text.choices, frozenset((PATH,))))
        if cuts == self._cuts:
            # Nothing was cut, so it is on no cycle and the same wherever it stands.
            grammar.known[name] = found
        return found

    def _group(self, parent: etree._Element, grammar: _Grammar) -> _Content | None:
        return _all([self._pattern(item, grammar) for item in _patterns(parent)])

    def _pattern(self, item: etree._Element, grammar: _Grammar) -> _Content | None:
        kind = _local(item)
        if kind == "element":
            return self._element(item, grammar)
        if kind == "attribute":
            return self._attribute(item, grammar)
        if kind in _LEAVES:
            return _LEAVES[kind](item)
        if kind == "ref":
            return self._reference(item.get("name", ""), grammar)
        if kind == "parentRef" and grammar.parent is not None:
            return self._reference(item.get("name", ""), grammar.parent)
        if kind == "grammar":
            return self._start(item, grammar)
        if kind == "externalRef":
            return self._start(self._document(item.get("href", "")), None)
        if kind == "choice":
            return _choice([self._pattern(entry, grammar) for entry in _patterns(item)])
        if kind not in _WRAPPERS:
            raise ValueError(f"<{kind}> is not known as a pattern (line {item.sourceline})")
        return _WRAPPERS[kind](self._group(item, grammar))

    def _element(self, item: etree._Element, grammar: _Grammar) -> _Content | None:
        names = _names(item)
        if item in self._open:
            self._cuts += 1
            return _choice([_only(Element(name, uri, is_cut=True)) for uri, name in names])
        self._open.append(item)
        references, self._open_references = self._open_references, []
        content = _all([self._pattern(entry, grammar) for entry in _patterns(item) if not _is_name(entry)])
        self._open_references = references
        self._open.pop()
        if content is None:
            return None
        return _choice([_only(_element(name, uri, content)) for uri, name in names])

    def _attribute(self, item: etree._Element, grammar: _Grammar) -> _Content | None:
        patterns = [entry for entry in _patterns(item) if not _is_name(entry)]
        content = _all([self._pattern(entry, grammar) for entry in patterns])
        if content is None:
            return None
        values = Values(types=frozenset((TEXT,))) if not patterns else content.text or Values(frozenset(("",)))
        found = {(uri, name): Attribute(name, uri, values, len(_names(item)) > 1) for uri, name in _names(item)}
        return _Content(attributes=found)


def _only(element: Element) -> _Content:
    return _Content(children={(element.namespace, element.name): element})


def _all(parts: list[_Content | None]) -> _Content | None:
    found = _Content()
    for part in parts:
        if part is None:
            return None
        found = _together(found, part)
    return found


def _choice(parts: list[_Content | None]) -> _Content | None:
    possible = [part for part in parts if part is not None]
    return functools.reduce(_either, possible) if possible else None


def _data(item: etree._Element) -> _Content:
    is_integer = item.get("type", "").startswith(_INTEGERS)
    return _Content(text=Values(types=frozenset((INT if is_integer else TEXT,))))


_LEAVES: Mapping[str, Callable[[etree._Element], _Content | None]] = {
    "text": lambda item: _Content(text=Values(types=frozenset((TEXT,)))),
    "value": lambda item: _Content(text=Values(choices=frozenset(((item.text or "").strip(),)))),
    "data": _data,
    "empty": lambda item: _Content(),
    "notAllowed": lambda item: None,
}


def _mixed(content: _Content | None) -> _Content | None:
    return None if content is None else _together(content, _Content(text=Values(types=frozenset((TEXT,)))))


def _listed(content: _Content | None) -> _Content | None:
    """Several values in one text: its words are no choices for the whole of it."""
    if content is None or content.text is None:
        return content
    return dataclasses.replace(content, text=Values(types=content.text.types | {TEXT}))


_WRAPPERS: Mapping[str, Callable[[_Content | None], _Content | None]] = {
    "group": lambda content: content,
    "interleave": lambda content: content,
    "optional": lambda content: _Content() if content is None else _optional(content),
    "zeroOrMore": lambda content: _Content() if content is None else _optional(_repeated(content)),
    "oneOrMore": lambda content: None if content is None else _repeated(content),
    "mixed": _mixed,
    "list": _listed,
}


def _patterns(parent: etree._Element) -> Iterator[etree._Element]:
    """Children that belong to the schema; others are notes."""
    return (item for item in parent if isinstance(item.tag, str) and etree.QName(item).namespace == RNG)


def _local(item: etree._Element) -> str:
    return etree.QName(item).localname


def _defined(item: etree._Element) -> str:
    return _START if _local(item) == "start" else item.get("name", "")


def _is_path(definition: str) -> bool:
    return definition.casefold().endswith(_PATHS)


_NAME_CLASSES = frozenset(("name", "anyName", "nsName"))


def _is_name(item: etree._Element) -> bool:
    """True for the name of an element or attribute that is given as a child; a choice of names counts."""
    if _local(item) == "choice":
        return all(_is_name(entry) for entry in _patterns(item))
    return _local(item) in _NAME_CLASSES


def _names(item: etree._Element) -> list[tuple[str, str]]:
    """(namespace, name) of an element or attribute: one, or several to choose from."""
    if (name := item.get("name")) is not None:
        own = item.get("ns") if _local(item) == "attribute" else _inherited_namespace(item)
        return [_qualified(item, name.strip(), own or "")]
    classes = [entry for entry in _patterns(item) if _is_name(entry)]
    return [found for entry in classes for found in _class_names(entry)]


def _class_names(item: etree._Element) -> list[tuple[str, str]]:
    kind = _local(item)
    if kind == "choice":
        return [found for entry in _patterns(item) for found in _class_names(entry)]
    namespace = _inherited_namespace(item)
    if kind == "name":
        return [_qualified(item, (item.text or "").strip(), namespace)]
    return [(namespace if kind == "nsName" else ANY, ANY)]


def _qualified(item: etree._Element, name: str, namespace: str) -> tuple[str, str]:
    prefix, colon, local = name.rpartition(":")
    return (str(item.nsmap.get(prefix, "")), local) if colon else (namespace, name)


def _inherited_namespace(item: etree._Element) -> str:
    node: etree._Element | None = item
    while node is not None:
        if (found := node.get("ns")) is not None:
            return str(found)
        node = node.getparent()
    return ""
