"""libvirt's own test documents, every one of every kind: XML -> tree -> YAML -> JSON with sorted keys -> XML is the same document."""

from __future__ import annotations

import collections
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lxml import etree

from tools.corpus import corpus_path, documents
from xvirt.domainxml.tree import ORDER, from_tree, parse_xml, qualified_name
from xvirt.domainxml.tree_documents import document_element, document_tree
from xvirt.domainxml.tree_reading import to_node
from xvirt.domainxml.tree_yaml import write_yaml
from xvirt.domainxml.xmltext import canonical, canonical_document, document_text
from xvirt.model.documents import load_tree
from xvirt.model.errors import InvalidSpec

SCHEMAS = Path("/usr/share/libvirt/schemas")
Totals = Callable[[str, object], None]


def readable() -> Iterator[tuple[Path, bytes, etree._Element]]:
    """All but those that are no XML."""
    for path in documents():
        data = path.read_bytes()
        try:
            yield path, data, parse_xml(data)
        except InvalidSpec:
            continue


def independent(text: str | bytes) -> bytes:
    """What another reader takes for the document: lxml's own idea of layout, exclusive C14N."""
    tree = etree.fromstring(text, etree.XMLParser(remove_blank_text=True)).getroottree()
    canonical_text: bytes = etree.tostring(tree, method="c14n", exclusive=True, with_comments=True)
    return canonical_text


def sorted_through_yaml(tree: dict[str, Any]) -> Any:
    """As an API server hands back what was applied as YAML."""
    return json.loads(json.dumps(load_tree(write_yaml(tree)), sort_keys=True))


def test_row_20_and_21_every_document_comes_back_the_same(record_property: Totals) -> None:
    refused, different, mistyped = [], [], []
    ordered = total = 0
    for path in documents():
        total += 1
        data = path.read_bytes()
        try:
            root = parse_xml(data)
        except InvalidSpec as error:
            refused.append(f"{path.relative_to(corpus_path())}: {error}")
            continue
        tree = document_tree(root)
        ordered += ORDER in json.dumps(tree)
        back = document_element(sorted_through_yaml(tree))
        text = document_text(back)
        if canonical_document(back) != canonical_document(root) or independent(text) != independent(data):
            different.append(path.name)
        if yaml.load(write_yaml(tree), yaml.CSafeLoader) != tree:
            mistyped.append(path.name)
    equal = total - len(refused) - len(different)
    record_property(
        "totals", f"corpus {corpus_path().name}: {total} files, {equal} equal, {ordered} of them with $order"
    )
    for line in refused:
        record_property("totals", f"  refused: {line}")
    assert (different, mistyped) == ([], [])
    assert len(refused) < total / 100
    assert ordered < total / 6


def test_every_fragment_comes_back_the_same(record_property: Totals) -> None:
    different, total = [], 0
    for path, _, root in readable():
        for element in [*root.iterchildren(etree.Element), *root.iterfind("devices/*")]:
            if not isinstance(element.tag, str):
                continue
            total += 1
            fragment = parse_xml(etree.tostring(element, with_tail=False))
            back = from_tree(qualified_name(fragment), json.loads(json.dumps(to_node(fragment), sort_keys=True)))
            if canonical(back) != canonical(fragment):
                different.append(f"{path.name}: {fragment.tag}")
    record_property("totals", f"corpus fragments: {total}, {total - len(different)} equal")
    assert different == []


def without_order(node: Any) -> Any:
    """As a person would write it, who knows of no order."""
    if isinstance(node, dict):
        return {key: without_order(value) for key, value in sorted(node.items()) if key != ORDER}
    return [without_order(item) for item in node] if isinstance(node, list) else node


@pytest.fixture(scope="module")
def schemas() -> dict[str, etree.RelaxNG]:
    """Root element -> its schema."""
    files = {
        "domain": "domain",
        "network": "network",
        "pool": "storagepool",
        "volume": "storagevol",
        "domainsnapshot": "domainsnapshot",
        "domaincheckpoint": "domaincheckpoint",
        "domainbackup": "domainbackup",
        "filter": "nwfilter",
        "device": "nodedev",
        "interface": "interface",
        "secret": "secret",
        "capabilities": "capability",
        "domainCapabilities": "domaincaps",
    }
    return {root: etree.RelaxNG(etree.parse(SCHEMAS / f"{name}.rng")) for root, name in files.items()}


def test_row_21_what_was_valid_is_valid_again_also_where_nobody_said_an_order(
    schemas: dict[str, etree.RelaxNG], record_property: Totals
) -> None:
    valid: collections.Counter[str] = collections.Counter()
    worse, unordered = [], []
    for path, _, root in readable():
        schema = schemas.get(str(root.tag))
        if schema is None or not schema.validate(root):
            continue
        valid[str(root.tag)] += 1
        tree = json.loads(json.dumps(document_tree(root), sort_keys=True))
        if not schema.validate(document_element(tree)):
            worse.append(path.name)
        if not schema.validate(document_element(without_order(tree))):
            unordered.append(path.name)
    total = sum(valid.values())
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(valid.items()))
    record_property("totals", f"corpus, valid by the installed schemas: {total} ({kinds}); {total - len(worse)} again")
    record_property("totals", f"  without any $order: {total - len(unordered)} valid")
    assert worse == []
    assert set(valid) == set(schemas)
    assert len(unordered) < total / 40, unordered  # above all domain capabilities, which interleave two names
