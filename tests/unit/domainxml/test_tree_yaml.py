"""Trees as YAML and JSON: what is written is read back as the same text by every reader, and what people write is never changed."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xvirt.domainxml.tree_documents import Form, document_element, document_tree, read_document, write_document
from xvirt.domainxml.tree_yaml import write_yaml
from xvirt.domainxml.xmltext import canonical_document, parse_xml
from xvirt.model.documents import load_documents, load_tree
from xvirt.model.errors import InvalidSpec

CHARACTERS = st.characters(codec="utf-8", exclude_characters="\ufffe\uffff")
TRICKY = st.sampled_from(
    [
        "yes",
        "No",
        "on",
        "OFF",
        "y",
        "n",
        "true",
        "null",
        "~",
        "0x10",
        "0o17",
        "0744",
        "1e3",
        "1_000",
        "190:20:30",
        "52:54:00:00:00:00",
        "2011-05-31T16:11:22",
        ".inf",
        "-",
        ".nan",
        "=",
        "<<",
        "1.10",
        "+1",
        "-.5",
        "?",
        ":",
        "|",
        ">",
        "%",
        "@a",
        "`a",
        "&a",
        "*a",
        "!a",
        "#a",
        "[",
        "]",
        "{",
        "}",
        ",",
        "a:",
        "a:b",
        "'a",
        "#b'",
    ]
)
TEXTS = st.one_of(TRICKY, st.text(CHARACTERS, max_size=30), st.text(st.sampled_from("a \n\t#:'-|\""), max_size=12))
TREES = st.dictionaries(
    st.one_of(st.sampled_from(["@type", "#text", "$order", "name", "qemu:arg", "yes", "1"]), TEXTS),
    st.recursive(
        TEXTS,
        lambda below: st.one_of(
            st.lists(below, max_size=3).map(lambda items: [x for x in items if not isinstance(x, list)]),
            st.dictionaries(TEXTS, below, max_size=3),
        ),
        max_leaves=12,
    ),
    max_size=4,
)
CORE_1_2 = re.compile(
    r"null|Null|NULL|~|true|True|TRUE|false|False|FALSE|[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"
    r"|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)|"
)
"""What YAML 1.2's core schema types (https://yaml.org/spec/1.2.2/#103-core-schema)."""


@settings(deadline=None, max_examples=400)
@given(TREES)
@example({"a": "x\n"})
@example({"a": ["x\n\ny", "\n", " x\ny", "x \ny", "x\n\n"]})
@example({"a": "\x85\u2028\ufeff\x7f\t"})
def test_every_reader_reads_back_the_text_that_was_written(tree: dict[str, Any]) -> None:
    text = write_yaml(tree)
    assert yaml.load(text, yaml.SafeLoader) == tree
    assert yaml.load(text, yaml.CSafeLoader) == tree
    if "<<" not in str(tree):
        assert load_tree(text) == tree
    for token in yaml.scan(text):
        if isinstance(token, yaml.ScalarToken) and token.plain:
            assert not CORE_1_2.fullmatch(token.value)


@pytest.mark.parametrize(
    "word",
    [
        "yes",
        "on",
        "true",
        "0x10",
        "0744",
        "0o17",
        "1e3",
        "1.10",
        "4",
        "52:54:00:00:00:00",
        "2011-05-31",
        "-1",
        ".inf",
        "1_0",
    ],
)
def test_what_a_person_writes_without_quotes_stays_what_it_is(word: str) -> None:
    assert load_tree(f"domain: {{name: {word}}}") == {"domain": {"name": word}}
    root = read_document(f"domain:\n  name: {word}\n".encode(), Form.YAML)
    assert root.findtext("name") == word
    manifest = f"{{kind: VirtualMachine, spec: {{cpu: {{cores: 2}}, domain: {{vcpu: {word}}}}}}}"
    for text in (manifest, f"kind: List\nitems: [{manifest}]\n"):
        spec = load_documents(text, "f")[0].document["spec"]
        assert spec == {"cpu": {"cores": 2}, "domain": {"vcpu": word}}


@pytest.mark.parametrize("word", ["~", "null", "NULL", ""])
def test_nothing_is_refused_with_its_path(word: str) -> None:
    with pytest.raises(InvalidSpec, match=r"^domain\.devices\.disk\[0\]\.serial: null is no text; write '' or {}"):
        read_document(f"domain: {{devices: {{disk: [{{serial: {word} }}]}}}}".encode(), Form.YAML)


@pytest.mark.parametrize(
    ("value", "shown"), [("1", "1"), ("true", "True"), ("1.5", "1.5"), ("null", "null"), ("[[]]", r"\[\]")]
)
def test_a_json_value_that_is_no_text_is_refused_with_its_path(value: str, shown: str) -> None:
    with pytest.raises(InvalidSpec, match=rf"^domain\.vcpu(\[0\])?: {shown} is no text"):
        read_document(f'{{"domain": {{"vcpu": {value}}}}}'.encode(), Form.JSON)


def test_an_alias_does_not_make_text_of_a_typed_field() -> None:
    text = "kind: VirtualMachine\nspec:\n  cpu: {cores: &n 2}\n  domain: {vcpu: *n}\n"
    assert load_documents(text, "f")[0].document["spec"] == {"cpu": {"cores": 2}, "domain": {"vcpu": "2"}}


BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(11)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("domain: {name: a, name: b}", "^line 1: key 'name' is given twice"),
        ("domain:\n  name: a\n  name: b\n", "^line 3: key 'name' is given twice"),
        ('{"domain": {"name": "a", "name": "b"}}', "'name' is given twice"),
        ("domain: {name: [a", "^line"),
        ("domain: {name: !!python/object:os.system x}", "^line 1: tag"),
        ("domain: {<<: {a: b}}", "merge keys"),
        (BOMB, "^line 12: has more than 100 aliases|holds one element"),
        ("domain: &a [x, *a]", "stands for nothing"),
        ("domain: " + "[" * 2000 + "]" * 2000, "nested|no text"),
        ("domain: {name: a}\n---\ndomain: {name: b}\n", "^line 2: is another document"),
        ("", "is no document"),
        ("[domain]", "is no document"),
        ("domain: {}\nnetwork: {}\n", "holds one element, its root; here stands domain, network"),
        ("domain: [{}, {}]", "holds one element"),
        ("'@type': kvm", "holds one element"),
        ("apiVersion: xvirt.io/v1alpha1\nkind: VirtualMachine\n", "a manifest is applied, not converted"),
        ("domain: {name: 'a\x00'}", "is not text|control"),
        ('domain: {name: "\\0"}', r"^domain\.name: .*control"),
        ('domain: {name: "\\ud800"}', "surrogate|invalid Unicode"),
        ("domain: {a b: x}", r"^domain\.a b: Invalid tag name"),
    ],
)
def test_what_is_no_tree_is_refused_with_line_or_path(text: str, message: str) -> None:
    with pytest.raises(InvalidSpec, match=message):
        read_document(text.encode(errors="surrogatepass"), Form.YAML)


def test_bytes_that_are_no_text_are_refused_with_their_place() -> None:
    with pytest.raises(InvalidSpec, match=r"not UTF-8 text: .* at byte 8"):
        read_document(b"domain: \xff", Form.YAML)


@pytest.mark.parametrize(
    "text",
    [
        "<!-- a --><?b c?><domain/><!-- d -->",
        "<domain><name>x</name></domain><!-- after -->",
        "<name>web</name>",
        "<?xml version='1.0' encoding='UTF-8'?>\n<!--\n  several\n  lines\n-->\n<q:x xmlns:q='urn:q'/>",
    ],
)
@pytest.mark.parametrize("form", [Form.YAML, Form.JSON])
def test_what_stands_before_and_after_the_root_is_kept(text: str, form: Form) -> None:
    root = parse_xml(text)
    written = write_document(root, form)
    assert canonical_document(read_document(written.encode(), form)) == canonical_document(root)
    tree = json.loads(json.dumps(document_tree(root), sort_keys=True))
    assert canonical_document(document_element(tree)) == canonical_document(root)


def test_row_65_a_document_of_300_kib_is_converted_like_a_short_one() -> None:
    disks = "".join(f"<disk type='file'><target dev='sd{n}'/></disk>" for n in range(7000))
    root = parse_xml(f"<domain><name>big</name><devices>{disks}</devices></domain>")
    written = write_document(root, Form.YAML)
    assert len(written) > 300 << 10
    assert canonical_document(read_document(written.encode(), Form.YAML)) == canonical_document(root)


HOSTILE = (
    "$(reboot)",
    "`id`",
    "; rm -rf /",
    "| cat",
    "&amp;",
    "<x/>",
    "]]>",
    "a\nb",
    "' or '1",
    '"',
    "\\",
    "%s",
    "${x}",
    "-x",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_row_67_text_never_becomes_anything_else(text: str) -> None:
    root = document_element(
        {"domain": {"name": text, "@type": text, "#comment": [text], "a": {"@b": text, "#text": text}}}
    )
    for form in Form:
        back = read_document(write_document(root, form).encode(), form)
        assert [item.tag for item in back.iter("*")] == ["domain", "name", "a"]
        assert (back.findtext("name"), back.get("type"), back.findtext("a")) == (text, text, text)


@pytest.mark.parametrize(
    "text", ["<a>\n<p:b/></a>", "<a>\n<b p:c=''/></a>", "<a>\n<b p:c=''><c xml:space='odd'/></b></a>"]
)
def test_a_prefix_that_nobody_declared_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(InvalidSpec, match=r"^not XML: Namespace prefix p .* is not defined, line 2, column \d+"):
        read_document(text.encode(), Form.XML)


@pytest.mark.parametrize("length", [100, 118, 1000, 5000])
def test_names_of_any_length_are_written_so_that_they_are_read(length: int) -> None:
    name = "n" * length
    tree = {name: {name: [{name: {}}, {name: "x"}], "@a": "b", f"@{name}": "c"}}
    assert load_tree(write_yaml(tree)) == tree
    assert yaml.safe_load(write_yaml(tree)) == tree


@pytest.mark.parametrize(
    "tree",
    [{"a": {"#pi": ["b  \tc "]}}, {"a": {"xml:b": "c"}}, {"a": {"@xmlns": "n"}}, {"xml:a": {"@xml:space": "odd"}}],
)
def test_odd_trees_that_the_fuzzer_found_come_back_the_same(tree: dict[str, Any]) -> None:
    root = document_element(tree)
    for form in Form:
        assert canonical_document(read_document(write_document(root, form).encode(), form)) == canonical_document(root)
