"""The lossless tree, and what the parser refuses."""

from __future__ import annotations

import json
from typing import Any
from xml.sax.saxutils import escape

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
NAMES = st.sampled_from(["devices", "disk", "controller", "driver", "source", "os", "boot", "zz", "a", "x-1", "qemu"])
"""With children that the table of shapes knows and others, lists and single ones."""
URIS = st.sampled_from(["urn:one", "urn:two"])
PREFIXES = st.sampled_from(["", "", "", "p:", "q:"])
TEXTS = st.text(XML_CHARACTERS, max_size=20)
BLANKS = st.text(" \t\n\r", max_size=4)


def escaped(text: str) -> str:
    return escape(text, {"\r": "&#13;", "\t": "&#9;", "\n": "&#10;", '"': "&quot;"})


@st.composite
def attributes(draw: st.DrawFn) -> str:
    names = draw(
        st.lists(st.tuples(PREFIXES, st.sampled_from(["a", "b", "type"])), max_size=3, unique_by=lambda it: it[1])
    )
    words = [f' {prefix}{name}="{escaped(draw(TEXTS))}"' for prefix, name in names]
    if draw(st.integers(0, 9)) == 0:
        words.append(f' xml:space="{draw(st.sampled_from(["preserve", "default"]))}"')
    for place in draw(st.lists(st.sampled_from(["xmlns", "xmlns:p", "xmlns:q"]), max_size=2, unique=True)):
        words.append(f' {place}="{draw(URIS)}"')
    return "".join(words)


LEAVES = st.one_of(
    TEXTS.map(escaped),
    BLANKS,
    st.text(st.sampled_from("ab -"), max_size=8)
    .filter(lambda t: "--" not in t and not t.endswith("-"))
    .map(lambda t: f"<!--{t}-->"),
    st.sampled_from(["<?pi?>", "<?pi data ?>", "<?other a=b?>", "<![CDATA[<&>]]>", "<![CDATA[ ]]>"]),
)


@st.composite
def xml_elements(draw: st.DrawFn, content: st.SearchStrategy[str]) -> str:
    name = draw(PREFIXES) + draw(NAMES)
    return f"<{name}{draw(attributes())}>{draw(content)}</{name}>"


def contents() -> st.SearchStrategy[str]:
    """What may stand in an element: text, comments, instructions, CDATA sections and elements, in any order."""
    return st.recursive(
        LEAVES,
        lambda below: st.lists(st.one_of(LEAVES, xml_elements(below)), max_size=6).map("".join),
        max_leaves=20,
    )


def documents() -> st.SearchStrategy[str]:
    """Whole documents with two prefixes that may be declared anew below, for one URI as well."""
    return st.tuples(URIS, URIS, xml_elements(contents())).map(
        lambda made: f'<root xmlns:p="{made[0]}" xmlns:q="{made[1]}">{made[2]}</root>'
    )


def sorted_json(tree: Any) -> Any:
    """What an API server makes of it."""
    return json.loads(json.dumps(tree, sort_keys=True))


def through(text: str) -> str:
    """XML -> tree -> JSON with sorted keys -> YAML with sorted keys -> XML."""
    root = parse_xml(text)
    tree = sorted_json(to_tree(root))
    tree = yaml.safe_load(yaml.safe_dump(tree, sort_keys=True, allow_unicode=True))
    back = from_tree(qualified_name(root), tree)
    assert canonical(back) == canonical(root)
    written = to_text(back)
    assert canonical(parse_xml(written)) == canonical(root)
    return written


def is_well_formed(text: str) -> bool:
    """Two attributes may turn out to be one by their namespaces."""
    try:
        parse_xml(text)
    except InvalidSpec:
        return False
    return True


@settings(deadline=None, max_examples=300)
@given(documents().filter(is_well_formed))
def test_every_document_survives_json_and_yaml_with_sorted_keys(text: str) -> None:
    through(text)


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
        "$order": "mode on",
    }


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("<devices><disk/><disk/><interface/></devices>", None),
        ("<devices><interface/><disk/></devices>", "interface*"),
        ("<devices><interface/><interface/><disk/></devices>", "interface*"),
        ("<devices><controller/><disk/><controller/><disk/></devices>", "controller disk controller"),
        (
            "<devices><controller/><disk/><controller/><controller/><disk/><graphics/></devices>",
            "controller disk controller*",
        ),
        ("<devices><disk/><controller/><disk/><other/></devices>", "disk controller"),
        ("<a><b/><b/><c/></a>", None),
        ("<a><c/><b/><b/></a>", "c"),
        ("<domain><name/><uuid/><os/><memory/><vcpu/><devices/></domain>", "name uuid os"),
        ("<domain><!-- first --><name/></domain>", None),
        ("<domain><name/><!-- then --><uuid/></domain>", "name"),
        ("<domain><name/><uuid/><!-- last --></domain>", "name uuid"),
    ],
)
def test_order_is_said_only_where_it_is_not_the_usual_one_and_no_further(text: str, order: str | None) -> None:
    tree = to_tree(parse_xml(text))
    assert tree.get("$order") == (
        order
        if order is None
        else order.replace("interface*", "interface*" if text.count("<interface/>") > 1 else "interface")
    )
    through(text)


def test_what_libvirt_allows_more_than_once_is_always_a_list() -> None:
    one = to_tree(parse_xml("<devices><emulator>/q</emulator><disk/><video/></devices>"))
    assert one == {"emulator": "/q", "disk": [{}], "video": [{}]}
    assert to_tree(parse_xml("<os><type>hvm</type><boot dev='hd'/></os>")) == {"type": "hvm", "boot": [{"@dev": "hd"}]}
    assert from_tree("os", {"boot": {"@dev": "hd"}})[0].get("dev") == "hd"


def test_a_tree_written_by_hand_comes_out_in_libvirts_order() -> None:
    tree = {"devices": {"rng": {}, "disk": {}, "emulator": "/q"}, "vcpu": "1", "name": "web", "xyz": "", "abc": ""}
    root = from_tree("domain", tree)
    assert [item.tag for item in root] == ["name", "vcpu", "devices", "abc", "xyz"]
    assert [item.tag for item in root.iterfind("devices/*")] == ["emulator", "disk", "rng"]


def test_comments_and_text_among_children_keep_the_shape_of_the_rest() -> None:
    assert to_tree(parse_xml("<devices>\n  <!-- why -->\n  <disk/>\n</devices>")) == {
        "#comment": [" why "],
        "disk": [{}],
    }
    assert to_tree(parse_xml("<a>one<b/>two</a>")) == {"#text": ["one", "two"], "b": {}, "$order": "#text b"}
    assert to_tree(parse_xml("<a><?pi x?></a>")) == {"#pi": ["pi x"]}


@pytest.mark.parametrize(
    "text",
    [
        "<r xmlns:p='urn:u' xmlns:q='urn:u'><q:b q:x='1' y='&#13;'>\n<!-- c --><p:c q:z='&quot;'/>t&#13;<?pi d?></q:b><p:d/></r>",
        "<r xmlns='urn:u' xmlns:q='urn:u'><b/><q:b q:x='1'/><c xmlns=''/></r>",
        "<r xmlns:p='urn:u'><q:b xmlns:q='urn:u' p:x='1'><p:c q:x='2'/></q:b></r>",
    ],
)
def test_two_prefixes_of_one_namespace_stay_apart(text: str) -> None:
    assert canonical(parse_xml(through(text))) == canonical(parse_xml(text))
    back = from_tree("r", to_tree(parse_xml(text)))
    assert [item.prefix for item in back.iter("*")] == [item.prefix for item in parse_xml(text).iter("*")]


def test_white_space_is_kept_where_it_is_content() -> None:
    for text in (
        "<a> </a>",
        "<a>\n</a>",
        "<a>x <b/> <c/></a>",
        "<a xml:space='preserve'> <b> <c/></b></a>",
        "<s> 1 </s>",
    ):
        assert etree.tostring(parse_xml(through(text))) == etree.tostring(parse_xml(text))
    assert to_tree(parse_xml("<a>\n  <b/>\n  <c/>\n</a>")) == {"b": {}, "c": {}}


@pytest.mark.parametrize("value", [1, True, None, 1.5, ["x", 2]])
def test_a_value_that_is_no_text_is_refused_with_its_path(value: Any) -> None:
    with pytest.raises(InvalidSpec) as caught:
        from_tree("a", {"b": {"c": value}})
    assert caught.value.problems[0].path.startswith("a.b.c")
    assert ("quote it" in str(caught.value)) is (value is not None)


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
        {"{urn:x}b": "x"},
        {"@{urn:x}b": "x"},
        {"@xmlns:p": "urn:u", "@xmlns:q": "urn:u", "@p:x": "1", "@q:x": "2"},
        {"@xmlns:p": ""},
        {"@xmlns:": "u"},
        {"@xmlns:xml": "u"},
        {"@xmlns:a b": "u"},
        {"#comment": ["a--b"]},
        {"#pi": ["xml version"]},
        {"#text": ["a", {}]},
        {"#more": "x"},
        {"$more": "x"},
        {"$patch": "delete"},
        {"b": ["x", ["y"]]},
        {7: "x"},
    ],
)
def test_what_xml_cannot_hold_is_refused_with_its_path(tree: dict[Any, Any]) -> None:
    with pytest.raises(InvalidSpec) as caught:
        from_tree("a", tree)
    assert caught.value.problems[0].path.startswith("a")


@pytest.mark.parametrize(("order", "reason"), [("b", "not there"), ("c c", "more often"), (["c"], "no text")])
def test_order_that_says_what_is_not_is_refused(order: Any, reason: str) -> None:
    with pytest.raises(InvalidSpec, match=reason) as caught:
        from_tree("a", {"c": "", "$order": order})
    assert caught.value.problems[0].path == "a.$order"


def test_a_tree_beyond_the_limits_is_refused_before_it_grows() -> None:
    deep: Any = "x"
    for _ in range(limits.XML_MAX_DEPTH):
        deep = {"a": deep}
    with pytest.raises(InvalidSpec, match="deeper"):
        from_tree("a", deep)
    bomb: Any = ["x"] * 10
    for _ in range(8):
        bomb = [{"a": bomb}] * 10
    with pytest.raises(InvalidSpec, match="more than"):
        from_tree("a", {"a": bomb})


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


def test_a_namespace_that_is_a_relative_uri_has_a_canonical_form_too() -> None:
    text = "<a xmlns:p='u'>\n  <p:b/>\n</a>"
    assert canonical(parse_xml(text)) == canonical(parse_xml(through(text)))
    assert canonical(parse_xml(text)) != canonical(parse_xml(text.replace("'u'", "'v'")))
