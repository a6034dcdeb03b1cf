"""Text to documents: what YAML means here, and what it is not let do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from xvirt.model import limits
from xvirt.model.codec import from_json
from xvirt.model.documents import load_documents
from xvirt.model.errors import InvalidSpec


def load(text: str) -> list[dict[str, Any]]:
    return [item.document for item in load_documents(text, "file.yaml")]


def refusal(text: str) -> str:
    with pytest.raises(InvalidSpec) as caught:
        load_documents(text, "file.yaml")
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 300
    return caught.value.message


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("0744", "0744"),
        ("52:54:00:00:00:00", "52:54:00:00:00:00"),
        ("12:30:45", "12:30:45"),
        ("yes", "yes"),
        ("off", "off"),
        ("2024-01-31", "2024-01-31"),
        ("2024-01-31T12:00:00Z", "2024-01-31T12:00:00Z"),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"),
        (".inf", ".inf"),
        ("=", "="),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-3", -3),
        ("1.5", 1.5),
        ("1.0e+3", 1000.0),
        ("1e3", "1e3"),
        ("None", "None"),
        ('"12"', "12"),
    ],
)
def test_a_scalar_means_what_it_says(written: str, meant: Any) -> None:
    found = load(f"value: {written}")[0]["value"]
    assert found == meant
    assert type(found) is type(meant)


def test_several_documents_know_their_lines_and_empty_ones_are_passed_over() -> None:
    found = load_documents("# head\n---\na: 1\n---\n---\n# nothing\n---\nb: 2\n...\n", "x.yaml")
    assert [(item.document, item.source, item.line) for item in found] == [
        ({"a": 1}, "x.yaml", 3),
        ({"b": 2}, "x.yaml", 8),
    ]


def test_a_list_of_documents_is_taken_apart() -> None:
    text = "kind: List\napiVersion: v1\nitems:\n- {a: 1}\n- kind: List\n  items: [{b: 2}]\n"
    assert load(text) == [{"a": 1}, {"b": 2}]


def test_json_is_read_with_its_own_escapes() -> None:
    assert load(json.dumps({"a": "\U0001f600"})) == [{"a": "\U0001f600"}]


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("a: 1\nb:\n  c: 1\n  c: 2\n", 4, "key 'c' is given twice"),
        ('{"a": 1,\n"a": 2}', 2, "key 'a' is given twice"),
        ("a: 1\nb: {c\n", 3, "did not find expected"),
        ("a: 1\n\tb: 2\n", 2, ""),
        ("a: !!binary aGk=", 1, "is not read"),
        ("a: !!python/object/apply:os.system [id]", 1, "is not read"),
        ("a: !!set {b}", 1, "is not read"),
        ("a: !!timestamp 2024-01-31", 1, "is not read"),
        ("a: !!int 017", 1, "is not an integer"),
        ("a: !!float .nan", 1, "is not a finite number"),
        ("a: 1.0e+999", 1, "is not a finite number"),
        ("a: &x [*x]", 1, "recursive"),
        ("a: *nowhere", 1, "undefined alias"),
        ("a: 1\n<<: {b: 2}", 2, "merge keys"),
        ("? [a]\n: 1", 1, "a key must be a string"),
        ("- a\n- b", 1, "must be a map"),
        ("text", 1, "must be a map"),
        ("kind: List\nitems: [1]", 1, "must be a map"),
        ('a: "\\ud800"', 1, ""),
    ],
)
def test_what_is_wrong_is_told_with_source_and_line(text: str, line: int, word: str) -> None:
    message = refusal(text)
    assert message.startswith(f"file.yaml:{line}: ")
    assert word in message


@pytest.mark.parametrize("text", ["a: \0", "a: \x1b[31m", "a: \ud800", "a: \ufffe"])
def test_characters_that_are_no_text_are_refused(text: str) -> None:
    assert refusal(text).startswith("file.yaml: ")


def test_an_alias_bomb_is_refused_before_it_grows() -> None:
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 30)]
    assert f"more than {limits.YAML_MAX_ALIASES} aliases" in refusal("\n".join(["l0: &l0 [x, x]", *levels]))


def test_aliases_within_the_bound_are_copies_of_what_they_name() -> None:
    assert load("a: &a {b: 1}\nc: *a\n---\na: &a 1\nb: *a") == [{"a": {"b": 1}, "c": {"b": 1}}, {"a": 1, "b": 1}]


def test_a_stream_of_ten_megabytes_is_refused_unread() -> None:
    assert f"larger than {limits.STREAM_MAX_BYTES} bytes" in refusal("a: " + "x" * (10 << 20))
    assert f"larger than {limits.STREAM_MAX_BYTES} bytes" in refusal("a: " + "\u20ac" * (3 << 20))


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", '{"a":'])
def test_bottomless_nesting_is_refused(opening: str) -> None:
    assert "nested deeper" in refusal("a: " * (opening != '{"a":') + opening * 100_000) or opening == "- "


def test_too_many_documents_are_refused() -> None:
    assert "documents" in refusal("a: 1\n---\n" * (limits.STREAM_MAX_DOCUMENTS + 1))


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"{", "not JSON"),
        (b"[]", "must be a map"),
        (b'{"a": 1, "a": 2}', "given twice"),
        (b'{"a": NaN}', "not JSON"),
        (b'{"a": 1e999}', "not a finite number"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"a": "\xff"}', "not JSON"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "nested deeper"),
        (b'{"a": [' + b"1," * 60_000 + b"1]}", "values"),
        (b'{"a": "' + b"x" * limits.DOCUMENT_MAX_BYTES + b'"}', "bytes"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
    ],
)
def test_json_from_the_wire_is_judged_as_strictly(data: bytes, word: str) -> None:
    with pytest.raises(InvalidSpec, match=word):
        from_json(data)
