"""Every field of every kind, as the model lists it, against what nobody should write into it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.unit.model.specimens import Map, Path, at, enums, fields, full_document, name_of, scalars, with_value
from xvirt.model.captions import choices
from xvirt.model.checks import find_problems
from xvirt.model.errors import Problem
from xvirt.model.fields import Attribute, Format, element_type, is_string_map, is_tree
from xvirt.model.kinds import KINDS, Kind
from xvirt.model.meta import ObjectMeta
from xvirt.model.names import PATTERNS, has_path_escape, is_clean_text
from xvirt.model.quantity import ByteSize
from xvirt.model.validation import own_metadata
from xvirt.model.values import decode, encode

INJECTIONS = {
    "xml": "<a b='c'>&amp;\"]]>",
    "shell": ";$(reboot)`id`|&",
    "newline": "a\nb",
    "escape": "../../etc/passwd",
    "slash": "a/b",
    "unicode": "größe-日本",
    "bidi": "a\u202eb",
    "nul": "a\0b",
    "terminal": "\x1b[31mred",
    "surrogate": "\ud800",
    "non-character": "a\ufffe",
    "long": "x" * 100_000,
}
FREE_FORMATS = (Format.TEXT, Format.DNS_TEXT, Format.PRINTABLE)
"""What is text, and is put nowhere where its characters mean something."""

ABSURD_NUMBERS: list[Any] = [-1, -(10**100), 10**100, 1 << 63, 1.5, "1", "", True, [], {}]
ABSURD_SIZES: list[Any] = [
    -1,
    10**100,
    "-1Gi",
    "1GiB",
    "1e3",
    "1.5",
    "1m",
    "Gi",
    "",
    " 1Gi",
    "9" * 40,
    True,
    1.5,
    [],
    {},
]


def field_problems(kind: Kind, document: Map) -> list[Problem]:
    """Problems of single fields; a document with all fields set breaks rules across them."""
    metadata = find_problems(ObjectMeta, own_metadata(document["metadata"]), "metadata")
    return [*metadata, *find_problems(kind.spec, document["spec"], "spec")]


def cases(wanted: Any) -> list[Any]:
    return [
        pytest.param(kind, path, item, id=f"{kind.name}-{name_of(path)}")
        for kind in KINDS
        for path, item in (enums(kind) if wanted == "enum" else scalars(kind, wanted))
    ]


def is_refused(kind: Kind, path: Path, value: Any) -> bool:
    """True where exactly this field is refused; False where the document is valid."""
    document = with_value(full_document(kind), path, value)
    problems = field_problems(kind, document)
    assert {problem.path for problem in problems} <= {name_of(path)}
    assert all(len(str(problem)) < 500 and str(problem).isascii() for problem in problems)
    return bool(problems)


def kept(kind: Kind, path: Path, value: Any) -> Any:
    """What a value has become after typing and writing again."""
    document = with_value(full_document(kind), path, value)
    cls = ObjectMeta if path[0] == "metadata" else kind.spec
    return at(encode(decode(cls, document[str(path[0])])), path[1:])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_document_with_every_field_set_is_valid_field_by_field(kind: Kind) -> None:
    assert field_problems(kind, full_document(kind)) == []


@pytest.mark.parametrize("injection", INJECTIONS.values(), ids=INJECTIONS)
@pytest.mark.parametrize(("kind", "path", "item"), cases(str))
def test_a_string_is_refused_or_kept_to_the_letter(kind: Kind, path: Path, item: Attribute, injection: str) -> None:
    if is_refused(kind, path, injection):
        return
    assert is_clean_text(injection)
    assert len(injection) <= item.spec.max_length
    assert item.spec.format in FREE_FORMATS
    assert kept(kind, path, injection) == injection


@pytest.mark.parametrize("injection", INJECTIONS.values(), ids=INJECTIONS)
@pytest.mark.parametrize(("kind", "path", "item"), cases(str))
def test_a_string_with_a_tail_is_refused_or_of_its_grammar(
    kind: Kind, path: Path, item: Attribute, injection: str
) -> None:
    value = at(full_document(kind), path) + injection
    if is_refused(kind, path, value):
        return
    assert is_clean_text(value)
    assert kept(kind, path, value) == value
    if item.spec.format in PATTERNS:
        assert re.fullmatch(PATTERNS[item.spec.format], value, re.ASCII)
    if item.spec.format is Format.HOST_PATH:
        assert not has_path_escape(value)
    elif item.spec.format not in (*FREE_FORMATS, Format.URL, Format.URL_PATH, Format.SSH_KEY):
        assert re.fullmatch(r"[A-Za-z0-9._+:/-]*", value)


@pytest.mark.parametrize("value", [None, 1, 1.5, True, [], {}, ["a"]], ids=repr)
@pytest.mark.parametrize(("kind", "path", "item"), cases(str))
def test_a_string_takes_nothing_but_strings(kind: Kind, path: Path, item: Attribute, value: Any) -> None:
    may_be_absent = value is None and not item.is_required and not isinstance(path[-1], int)
    assert is_refused(kind, path, value) is not may_be_absent


@pytest.mark.parametrize(("kind", "path", "item"), cases(int))
def test_an_absurd_number_is_refused(kind: Kind, path: Path, item: Attribute) -> None:
    for value in ABSURD_NUMBERS:
        assert is_refused(kind, path, value), value


@pytest.mark.parametrize(("kind", "path", "item"), cases(int))
def test_a_number_is_held_by_both_its_bounds(kind: Kind, path: Path, item: Attribute) -> None:
    low, high = item.spec.minimum, item.spec.maximum
    assert low is not None
    assert high is not None
    assert [is_refused(kind, path, value) for value in (low - 1, low, high, high + 1)] == [True, False, False, True]


@pytest.mark.parametrize(("kind", "path", "item"), cases(ByteSize))
def test_an_absurd_size_is_refused(kind: Kind, path: Path, item: Attribute) -> None:
    for value in ABSURD_SIZES:
        assert is_refused(kind, path, value), value


@pytest.mark.parametrize(("kind", "path", "item"), cases(ByteSize))
def test_a_size_is_held_by_both_its_bounds(kind: Kind, path: Path, item: Attribute) -> None:
    low, high = item.spec.minimum, item.spec.maximum
    assert low is not None
    assert high is not None
    values = (low - 1, low, str(ByteSize(low)), high, str(ByteSize(high)), high + 1)
    assert [is_refused(kind, path, value) for value in values] == [True, False, False, False, False, True]


@pytest.mark.parametrize(("kind", "path", "item"), cases("enum"))
def test_an_enumeration_takes_its_values_and_no_others(kind: Kind, path: Path, item: Attribute) -> None:
    place = (*path, 0) if element_type(item.annotation) else path
    assert not any(is_refused(kind, place, value) for value in choices(item))
    wrong: list[Any] = [choices(item)[0].swapcase(), choices(item)[0] + " ", "", "<x>", 1, True, []]
    for value in wrong:
        assert is_refused(kind, place, value)
    document = with_value(full_document(kind), place, "nonsense")
    assert ", ".join(choices(item)) in field_problems(kind, document)[0].message


@pytest.mark.parametrize(("kind", "path", "item"), cases(bool))
def test_a_boolean_takes_true_and_false_only(kind: Kind, path: Path, item: Attribute) -> None:
    assert not is_refused(kind, path, True)
    assert not is_refused(kind, path, False)
    wrong: list[Any] = [0, 1, "true", "yes", [], {}]
    for value in wrong:
        assert is_refused(kind, path, value)


def containers() -> list[Any]:
    return [
        pytest.param(kind, path, item, id=f"{kind.name}-{name_of(path)}")
        for kind in KINDS
        for path, item in [*fields(ObjectMeta, ("metadata",)), *fields(kind.spec, ("spec",))]
        if element_type(item.annotation) or is_string_map(item.annotation)
    ]


@pytest.mark.parametrize(("kind", "path", "item"), containers())
def test_a_list_or_map_has_a_bound_on_its_entries(kind: Kind, path: Path, item: Attribute) -> None:
    sample = at(full_document(kind), path)
    count = item.spec.max_items + 1
    many = sample * count if isinstance(sample, list) else {f"k{n}": "v" for n in range(count)}
    problems = field_problems(kind, with_value(full_document(kind), path, many))
    wanted = Problem(name_of(path), f"has {count} entries, at most {item.spec.max_items} are allowed")
    assert wanted in problems


@pytest.mark.parametrize(("kind", "path", "item"), [case for case in containers() if case.values[2].spec.list_key])
def test_entries_of_a_keyed_list_are_told_apart(kind: Kind, path: Path, item: Attribute) -> None:
    sample = at(full_document(kind), path)
    problems = field_problems(kind, with_value(full_document(kind), path, sample * 2))
    assert [problem.path for problem in problems] == [f"{name_of(path)}[1].{item.spec.list_key}"]
    assert "is given twice" in problems[0].message


@pytest.mark.parametrize("injection", INJECTIONS.values(), ids=INJECTIONS)
@pytest.mark.parametrize(
    ("kind", "path", "item"), [case for case in containers() if is_string_map(case.values[2].annotation)]
)
def test_a_key_of_a_string_map_is_a_label_key(kind: Kind, path: Path, item: Attribute, injection: str) -> None:
    refused = is_refused_within(kind, path, {injection: "value"})
    assert refused is (injection != "a/b")


def is_refused_within(kind: Kind, path: Path, value: Any) -> bool:
    problems = field_problems(kind, with_value(full_document(kind), path, value))
    assert all(problem.path.startswith(name_of(path)) for problem in problems)
    return bool(problems)


def trees() -> list[Any]:
    return [
        pytest.param(kind, path, id=f"{kind.name}-{name_of(path)}")
        for kind in KINDS
        for path, item in fields(kind.spec, ("spec",))
        if is_tree(item.annotation)
    ]


@pytest.mark.parametrize(("kind", "path"), trees())
def test_a_tree_holds_maps_lists_and_clean_strings(kind: Kind, path: Path) -> None:
    for value in (1, 1.5, True, None, "a\0b", "\ud800", "\x1b["):
        for tree, below in (({"a": value}, ".a"), ({"a": {"@b": ["x", value]}}, ".a.@b[1]")):
            problems = field_problems(kind, with_value(full_document(kind), path, tree))
            assert [problem.path for problem in problems] == [name_of(path) + below]
    good = {"a": {"@b": ";$(x) <&>", "#text": "größe\n", "ns:c": [{"$order": "d e"}, ""]}}
    assert not is_refused_within(kind, path, good)
    assert kept(kind, path, good) == good


@pytest.mark.parametrize(
    "key", ["", " ", "a b", "<a>", "a&b", "a\nb", "a\0", "1a", "@", "x" * 300, "a/b", "../a", ";x"]
)
@pytest.mark.parametrize(("kind", "path"), trees())
def test_a_tree_refuses_keys_that_no_element_has(kind: Kind, path: Path, key: str) -> None:
    assert is_refused_within(kind, path, {"devices": {key: "x"}})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_an_unknown_field_is_refused_everywhere_with_its_path(kind: Kind) -> None:
    document = full_document(kind)
    places: list[Path] = [("metadata",), ("spec",)]
    places += [path for path, item in fields(kind.spec, ("spec",)) if isinstance(at(document, path), dict)]
    places += [(*path, 0) for path, _ in fields(kind.spec, ("spec",)) if _is_list_of_maps(at(document, path))]
    for place in places:
        if is_open(kind, place):
            continue
        problems = field_problems(kind, with_value(document, (*place, "nonsense"), 1))
        assert [problem.path for problem in problems] == [f"{name_of(place)}.nonsense"]


def _is_list_of_maps(value: Any) -> bool:
    return isinstance(value, list) and isinstance(value[0], dict)


def is_open(kind: Kind, place: tuple[str | int, ...]) -> bool:
    found = [item for path, item in fields(kind.spec, ("spec",)) if path == place]
    return bool(found) and (is_tree(found[0].annotation) or is_string_map(found[0].annotation))
