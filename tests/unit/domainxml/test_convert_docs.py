"""docs/convert.md: its examples are what the converter does, and its tables name what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lxml import etree

from xvirt.domainxml.split import split_domain
from xvirt.domainxml.tree_documents import Form, document_tree, read_document, write_document
from xvirt.domainxml.xmltext import canonical_document, parse_xml
from xvirt.model.documents import load_tree

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGE = (DOCS / "convert.md").read_text()
DOMAINS = sorted((DOCS / "convert").glob("*.xml"))
SCHEMA = Path("/usr/share/libvirt/schemas/domain.rng")


def test_row_20_and_21_the_page_shows_what_is_done() -> None:
    before, after = (re.search(rf"```{form}\n(.*?)```", PAGE, re.DOTALL) for form in ("xml", "yaml"))
    assert before is not None
    assert after is not None
    assert write_document(parse_xml(before[1]), Form.YAML) == after[1]
    assert (DOCS / "convert/edited-by-hand.xml").read_text() == before[1]


def test_the_page_links_every_domain() -> None:
    assert len(DOMAINS) == 10
    linked = re.findall(r"\(convert/([a-z0-9-]+\.(?:xml|yaml))\)", PAGE)
    assert sorted(linked) == sorted(path.name for path in (DOCS / "convert").iterdir())


@pytest.mark.parametrize("path", DOMAINS, ids=lambda path: path.stem)
def test_a_domain_and_its_tree_are_the_same_document(path: Path) -> None:
    root = parse_xml(path.read_bytes())
    written = path.with_suffix(".yaml").read_text()
    assert write_document(root, Form.YAML) == written
    assert canonical_document(read_document(written.encode(), Form.YAML)) == canonical_document(root)
    schema = etree.RelaxNG(etree.parse(SCHEMA))
    assert schema.validate(root), schema.error_log
    split_domain(root)


@pytest.mark.parametrize(
    ("xml", "yaml"), re.findall(r"^\| `(<[^`]+>)`(?:: [a-z ]+)? \| `([^`]+)` \|$", PAGE, re.MULTILINE)
)
def test_each_row_of_the_shape_is_true(xml: str, yaml: str) -> None:
    assert document_tree(parse_xml(f"<x>{xml}</x>")) == load_tree(f"x:\n  {yaml}\n")
