"""Documents that are made to hurt: judged in bounded work, and never with anything but InvalidSpec."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.model.specimens import Path, full_document, with_value
from xvirt.model import limits
from xvirt.model.codec import parse
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.kinds import KINDS
from xvirt.model.validation import validate

MEMORY = {"memory": {"size": "1Gi"}}
JUNK: list[Any] = [
    *(None, True, 0, -1, 1.5, "", "x", "\0", "\ud800", b"x", frozenset(), 10**50, float("nan"), float("inf")),
    *([], {}, [1], [[]], [None], [{}], {"a": 1}, {"": {}}, {1: 2}, {(1, 2): 3}, {None: None}, ()),
]


def machine(spec: Any) -> dict[str, Any]:
    return {"apiVersion": "xvirt.io/v1alpha1", "kind": "VirtualMachine", "metadata": {"name": "web"}, "spec": spec}


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        (MEMORY | {f"x{n}": 1 for n in range(20_000)}, 20_000),
        (MEMORY | {"nics": [{"x": 1}] * 9_000}, 18_001),
        (MEMORY | {"domain": {f"a{n}": 1 for n in range(40_000)}}, 40_000),
    ],
    ids=["fields", "entries", "tree"],
)
def test_of_thousands_of_problems_the_first_are_told_and_the_rest_counted(spec: Any, count: int) -> None:
    problems = validate(machine(spec))
    assert len(problems) == limits.PROBLEMS_MAX + 1
    assert Problem("spec", f"and {count - limits.PROBLEMS_MAX} more problems") in problems


def test_a_document_is_bounded_in_depth_values_and_bytes() -> None:
    deep: Any = "x"
    for _ in range(5_000):
        deep = {"a": deep}
    assert validate(machine(MEMORY | {"domain": deep})) == (Problem("", "nested deeper than 64 levels"),)
    wide = {f"a{n}": ["x"] * 10 for n in range(5_000)}
    assert validate(machine(MEMORY | {"domain": wide})) == (Problem("", "has more than 50000 values"),)
    for text in ("x" * (1 << 20), "\u20ac" * (400 << 10), '"' * (600 << 10)):
        assert "bytes as JSON" in validate(machine(MEMORY | {"domain": {"a": text}}))[0].message


def test_values_that_share_their_parts_cost_no_more_than_they_may() -> None:
    shared: Any = ["x"] * 10
    for _ in range(40):
        shared = [shared] * 10
    assert validate(machine(MEMORY | {"domain": {"a": shared}})) == (Problem("", "has more than 50000 values"),)


@pytest.mark.parametrize("document", [*JUNK, {"kind": []}, {"kind": {}}, {"metadata": []}, {"spec": 1}])
def test_what_is_no_document_is_refused(document: Any) -> None:
    with pytest.raises(InvalidSpec):
        parse(document)


@pytest.mark.parametrize("key", [None, 1, True, 1.5, ("a",), b"a"])
def test_keys_that_are_no_text_are_refused_by_place(key: Any) -> None:
    problems = validate(machine(MEMORY | {"disks": [{"name": "a", key: "x", "source": {key: "y"}}]}))
    assert [problem.path for problem in problems] == ["spec.disks[0]", "spec.disks[0].source"]
    assert all("which is no text; quote it" in str(problem) for problem in problems)


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield from places(entry, (*path, key))


@pytest.mark.parametrize("seed", range(20))
def test_a_document_with_junk_anywhere_is_valid_or_refused_with_words(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(50):
        document = full_document(chance.choice(KINDS))
        for _ in range(chance.randint(1, 3)):
            document = with_value(document, chance.choice(list(places(document))), chance.choice(JUNK))
        words = refusal(document)
        assert all(word.isprintable() for word in words)


def refusal(document: dict[str, Any]) -> list[str]:
    try:
        parse(document)
    except InvalidSpec as error:
        return [str(problem) for problem in error.problems]
    return []
