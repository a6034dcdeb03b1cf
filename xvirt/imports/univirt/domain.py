"""`spec.domain` of a uni-virt machine: the domain's XML as xmljson's BadgerFish has it, with other signs and some names rewritten.

`@name` became `_name`, `$` became `text`, the elements interface and transient got a leading underscore, and hyphens in some names
became underscores (kubesys/uni-virt, `core/utils`). So a key with a leading underscore is an attribute where its value is a scalar,
and else an element. Values were typed on the way (`0x10` as a number, `yes` as text): what a number stood for is not known any more, and
is written as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lxml import etree

from xvirt.domainxml.split import split_domain
from xvirt.imports.result import Document, make
from xvirt.imports.source import Ledger
from xvirt.model.concise import concise
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.wording import join

TEXT = "text"
_HYPHENATED = ("nested_hv", "suspend_to_mem", "suspend_to_disk")
_DEPTH_MAX = 64
_UNTYPED = {True: "yes", False: "no"}


def read_domain(name: str, tree: Any, ledger: Ledger) -> Document:
    """The machine that a domain's tree declares, as `xvirt adopt` would. Raises InvalidSpec with the path of what is no XML."""
    if not isinstance(tree, Mapping):
        raise InvalidSpec([Problem("spec.domain", "must be a map")], ledger.subject)
    # Newer releases wrap it once more.
    inner = tree.get("domain") if isinstance(tree.get("domain"), Mapping) and len(tree) == 1 else tree
    try:
        root = _element(None, "domain", inner, "spec.domain")
        split = split_domain(root)
    except InvalidSpec as error:
        raise InvalidSpec(error.problems, ledger.subject) from error
    ledger.note("spec.domain", "declares a domain that is there; `xvirt adopt` on its host takes it over as it runs")
    for text in split.notes:
        ledger.note("spec.domain", text)
    return make("VirtualMachine", name, concise(split.spec))


def _element(parent: etree._Element | None, name: str, value: Any, path: str) -> etree._Element:
    if path.count(".") > _DEPTH_MAX:
        raise InvalidSpec([Problem(path[:200], f"is nested deeper than {_DEPTH_MAX} elements")])
    try:
        element = etree.Element(name) if parent is None else etree.SubElement(parent, name)
        if not isinstance(value, Mapping):
            element.text = _scalar(value) or None
            return element
        for key, entry in value.items():
            _fill(element, str(key), entry, join(path, key))
    except ValueError as error:
        raise InvalidSpec([Problem(path, str(error), "correct the name or the text")]) from error
    return element


def _fill(element: etree._Element, key: str, entry: Any, path: str) -> None:
    if key == TEXT and not isinstance(entry, Mapping | list):
        element.text = _scalar(entry) or None
        return
    if isinstance(entry, list):
        for number, item in enumerate(entry):
            _element(element, _name(key), item, join(path, number))
    elif isinstance(entry, Mapping):
        _element(element, _name(key), entry, path)
    elif key.startswith("_"):
        element.set(key[1:], _scalar(entry))
    elif entry is not None:
        _element(element, _name(key), entry, path)


def _name(key: str) -> str:
    name = key.removeprefix("_")
    return name.replace("_", "-") if name in _HYPHENATED else name


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return _UNTYPED[value]
    return "" if value is None else str(value)
