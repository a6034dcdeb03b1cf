"""Differences between specs: named by path, with what each costs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.model.specimens import at, fields, full
from xvirt.model.changes import FieldDifference, field_changes
from xvirt.model.fields import Mutability, is_spec_class
from xvirt.model.kinds import KINDS, Kind

LIVE, RESTART, FIXED = Mutability.LIVE, Mutability.RESTART, Mutability.FIXED


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[FieldDifference]:
    memory = {"memory": {"size": "1Gi"}}
    return list(field_changes("VirtualMachine", memory | old, memory | new))


def disk(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "source": {"size": "1Gi"}, **more}


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        ({}, {"cpu": {"cores": 2}}, ("spec.cpu.cores", 1, 2, LIVE)),
        ({}, {"cpu": {"max": 2}}, ("spec.cpu.max", None, 2, RESTART)),
        ({}, {"memory": {"size": "2Gi"}}, ("spec.memory.size", "1Gi", "2Gi", LIVE)),
        ({}, {"machine": "pc"}, ("spec.machine", "q35", "pc", RESTART)),
        ({}, {"domain": {"a": "b"}}, ("spec.domain", None, {"a": "b"}, RESTART)),
        ({"disks": [disk("a")]}, {"disks": []}, ("spec.disks[a]", disk("a"), None, LIVE)),
        ({"disks": [disk("a", pool="x")]}, {"disks": [disk("a")]}, ("spec.disks[a].pool", "x", "default", FIXED)),
        (
            {"disks": [disk("a"), disk("b")]},
            {"disks": [disk("a"), disk("b", source={"size": "2Gi"})]},
            ("spec.disks[b].source.size", "1Gi", "2Gi", LIVE),
        ),
        (
            {"disks": [disk("a"), disk("b")]},
            {"disks": [disk("b"), disk("a")]},
            ("spec.disks", ["a", "b"], ["b", "a"], RESTART),
        ),
        ({"disks": [disk("a")]}, {"disks": [disk("b"), disk("a")]}, ("spec.disks[b]", None, disk("b"), LIVE)),
        (
            {"nics": [{"name": "n", "network": "a"}]},
            {"nics": [{"name": "n", "network": "b"}]},
            ("spec.nics[n].network", "a", "b", LIVE),
        ),
        (
            {"cloudInit": {"userData": {"inline": "a"}}},
            {"cloudInit": {"userData": {"secret": "s"}, "hostname": "h"}},
            ("spec.cloudInit.hostname", None, "h", RESTART),
        ),
    ],
)
def test_a_difference_is_named_with_its_cost(old: Any, new: Any, difference: Any) -> None:
    assert FieldDifference(*difference) in changes(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, {"cpu": {"cores": 1}, "disks": [], "runStrategy": "Always", "domain": None}),
        ({"memory": {"size": "1024Mi"}}, {"memory": {"size": 1 << 30}}),
        ({"nics": [{"name": n, "network": "x"} for n in "ab"]}, {"nics": [{"name": n, "network": "x"} for n in "ba"]}),
        ({"disks": [disk("a")]}, {"disks": [disk("a", bus="virtio", pool="default")]}),
        ({"placement": {"tolerations": [{}]}}, {"placement": {"tolerations": [{"operator": "Equal"}]}}),
    ],
)
def test_another_spelling_is_no_difference(old: Any, new: Any) -> None:
    assert changes(old, new) == []


def test_a_reordering_with_an_addition_gives_both() -> None:
    old = {"disks": [disk("a"), disk("b")]}
    new = {"disks": [disk("c"), disk("b"), disk("a")]}
    assert [item.path for item in changes(old, new)] == ["spec.disks", "spec.disks[c]"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_field_that_appears_is_told(kind: Kind) -> None:
    wanted = full(kind.spec)
    found = field_changes(kind.name, None, wanted)
    paths = {item.path for item in found}
    for path, item in fields(kind.spec, ("spec",)):
        if len(path) == 2 and not is_spec_class(item.annotation) and at(wanted, path[1:]) != item.default:
            assert any(name == f"spec.{path[1]}" or name.startswith(f"spec.{path[1]}[") for name in paths) or (
                at(wanted, path[1:]) == getattr(item.default, "value", None)
            )
    assert field_changes(kind.name, wanted, wanted) == ()
