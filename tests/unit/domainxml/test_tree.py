"""The lossless tree, and what the parser refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from xvirt.domainxml import limits
from xvirt.domainxml.tree import canonical, from_tree, parse_xml, qualified_name, to_text, to_tree
from xvirt.model.errors import InvalidSpec

XML_CHARACTERS = st.characters(
    codec="utf-8",
    exclude_categories=("Cs", "Cc"),
    include_characters="\t\n",
    exclude_characters="\ufffe\uffff",
)
NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
TEXTS = st.text(XML_CHARACTERS, max_size=20)
KEPT_TEXTS = TEXTS.filter(lambda text: not (text and not text.strip(" \t\r\n")))


def elements() -> st.SearchStrategy[Any]:
    """Trees as (name, attributes, children or text)."""
    leaf = st.tuples(NAMES, st.dictionaries(NAMES, TEXTS, max_size=3), KEPT_TEXTS)
    return st.recursive(
        leaf, lambda below: st.tuples(NAMES, st.dictionaries(NAMES, TEXTS, max_size=3), st.lists(below, max_size=5))
    )


def build(shape: Any) -> Any:
    name, attributes, content = shape
    element = etree.Element(name, attributes)
    if isinstance(content, str):
        element.text = content or None
    else:
        element.extend([build(item) for item in content])
    return element


def through(text: str) -> str:
    """XML -> tree -> JSON with sorted keys -> YAML with sorted keys -> XML."""
    root = parse_xml(text)
    tree = json.loads(json.dumps(to_tree(root), sort_keys=True))
    tree = yaml.safe_load(yaml.safe_dump(tree, sort_keys=True, allow_unicode=True))
    back = from_tree(qualified_name(root), tree)
    assert canonical(back) == canonical(root)
    return to_text(back)


@settings(deadline=None)
@given(elements())
def test_every_tree_survives_json_and_yaml_with_sorted_keys(shape: Any) -> None:
    through(to_text(build(shape)))


@pytest.mark.parametrize(
    "text",
    [
        "<a/>",
        "<a>text</a>",
        "<a b='1'>text</a>",
        "<a><c/><b/><c/></a>",
        "<a><z/><b>1</b><b>2</b><z/><y/></a>",
        "<a>one<b/>two<b/>three</a>",
        "<a><!-- first --><b/><!-- last --></a>",
        "<a><?pi some data?><b/></a>",
        "<q:a xmlns:q='urn:q' q:b='1'><q:c/><d xmlns='urn:d'><e/></d></q:a>",
        "<a xmlns='urn:a'><b xmlns=''/></a>",
        "<a xml:space='preserve'> x </a>",
        "<a><![CDATA[<&>]]></a>",
        "<a>  </a>",
        "<memory unit='KiB'>0x10</memory>",
    ],
)
def test_shapes_survive(text: str) -> None:
    through(text)


def test_values_stay_text() -> None:
    tree = to_tree(parse_xml("<a mac='52:54:00:00:00:00'><mode>0744</mode><on>yes</on><hex>0x10</hex></a>"))
    assert tree == {
        "@mac": "52:54:00:00:00:00",
        "mode": "0744",
        "on": "yes",
        "hex": "0x10",
        "$order": "mode on hex",
    }


def test_order_is_only_said_where_it_is_not_alphabetical() -> None:
    assert "$order" not in to_tree(parse_xml("<a><b/><b/><c/></a>"))
    assert to_tree(parse_xml("<a><c/><b/><b/></a>"))["$order"] == "c b"
    assert to_tree(parse_xml("<a><c/><b/><b/><c/></a>"))["$order"] == "c b c"


@pytest.mark.parametrize("value", [1, True, None, 1.5, ["x", 2]])
def test_a_value_that_is_no_text_is_refused_with_its_path(value: Any) -> None:
    with pytest.raises(InvalidSpec) as caught:
        from_tree("a", {"b": {"c": value}})
    assert caught.value.problems[0].path.startswith("a.b.c")
    assert "quote it" in str(caught.value)


@pytest.mark.parametrize(
    "tree",
    [
        {"b c": "x"},
        {"<b>": "x"},
        {"@b c": "x"},
        {"p:b": "x"},
        {"@p:b": "x"},
        {"b": "\x00"},
        {"@b": "\ufffe"},
        {"": "x"},
    ],
)
def test_what_xml_cannot_hold_is_refused_with_its_path(tree: dict[str, str]) -> None:
    with pytest.raises(InvalidSpec) as caught:
        from_tree("a", tree)
    assert caught.value.problems[0].path.startswith("a")


def test_order_that_names_nothing_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="not there"):
        from_tree("a", {"$order": "b"})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<!DOCTYPE a><a/>", "DOCTYPE"),
        ("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "DOCTYPE"),
        ("<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>", "DOCTYPE"),
        ("<!DOCTYPE a SYSTEM 'http://127.0.0.1:1/a.dtd'><a/>", "DOCTYPE"),
        ("<a>", "not XML"),
        ("", "not XML"),
        ("<a>\x00</a>", "not XML"),
        ("<a>&nope;</a>", "not XML"),
        ("<a b='1' b='2'/>", "not XML"),
        ("\ud800", "not XML"),
        ("<a>" * 65 + "</a>" * 65, "deeper"),
        ("<a>" * 5000 + "</a>" * 5000, "XML"),
    ],
)
def test_the_parser_refuses(text: str, reason: str) -> None:
    with pytest.raises(InvalidSpec, match=reason):
        parse_xml(text)


def test_a_bomb_of_entities_is_refused_before_it_grows() -> None:
    levels = "".join(f"<!ENTITY e{n + 1} '{f'&e{n};' * 10}'>" for n in range(20))
    with pytest.raises(InvalidSpec):
        parse_xml(f"<!DOCTYPE a [<!ENTITY e0 'x'>{levels}]><a>&e20;</a>")


def test_an_oversized_document_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="bytes"):
        parse_xml(f"<a>{'x' * limits.XML_MAX_BYTES}</a>")


def test_bytes_are_read_in_the_encoding_that_they_declare() -> None:
    assert parse_xml("<?xml version='1.0' encoding='iso-8859-1'?><a>é</a>".encode("latin-1")).text == "é"
    assert parse_xml("<?xml version='1.0' encoding='iso-8859-1'?><a>é</a>").text == "é"


def test_canonical_form_passes_over_layout_only() -> None:
    assert canonical(parse_xml("<a>\n  <b/>\n</a>")) == canonical(parse_xml("<a><b></b></a>"))
    assert canonical(parse_xml("<a><b> </b></a>")) != canonical(parse_xml("<a><b/></a>"))
