"""What each field does: no field of a document is there for nothing.

Made from the model: a new field is tried here by itself, and fails as long as it changes nothing on the host, in its guests or in the
holder pod. Where a host has no part in it, `OF_OPERATOR` names it, and `test_field_delivery` shows what it does.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodeplugin.converge import observe
from tests.unit.model.specimens import Map, name_of
from tests.unit.model.variants import Variant, document, every_variant
from tests.unit.operator.field_lives import LIVES, Life
from xvirt.model.codec import normalise
from xvirt.model.kinds import KINDS, Kind
from xvirt.model.validation import validate

OF_OPERATOR = {
    "StoragePool-spec.hosts": "which hosts are told of it",
    "VirtualDisk-spec.host": "which host is told of it",
}
REFUSED = {"VirtualMachine-spec.livenessProbe.successThreshold": "it may say 1 alone, as in Kubernetes"}
"""What may not be set to anything but what absence means."""

VARIANTS = tuple(every_variant(KINDS))
EFFECTIVE = [each for each in VARIANTS if each.name not in (*OF_OPERATOR, *REFUSED)]


@pytest.fixture(scope="module", autouse=True)
def bridges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The host has the bridges that fields name, and they filter VLANs."""
    root = tmp_path_factory.mktemp("root")
    for name in ("br0", "br1"):
        bridge = root / f"sys/class/net/{name}/bridge"
        bridge.mkdir(parents=True)
        (bridge / "vlan_filtering").write_text("1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(observe, "Path", lambda text: root / text.lstrip("/"))
        yield


class Album:
    """Lives, each lived once and only as far as somebody looks."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lives: dict[str, tuple[list[Any], Iterator[Any]]] = {}

    def are_the_same(self, kind: Kind, one: Map, other: Map) -> bool:
        """Whether nothing tells the lives of two specs apart."""
        return all(
            before == after for before, after in itertools.zip_longest(self._see(kind, one), self._see(kind, other))
        )

    def _see(self, kind: Kind, spec: Map) -> Iterator[Any]:
        name = json.dumps([kind.name, spec], sort_keys=True)
        if name not in self._lives:
            life = Life(kind.name, spec, self._directory / str(len(self._lives)))
            self._lives[name] = ([], LIVES[kind.name](life))
        seen, rest = self._lives[name]
        for number in itertools.count():
            if number == len(seen):
                try:
                    seen.append(next(rest))
                except StopIteration:
                    return
            yield seen[number]


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Album:
    return Album(tmp_path_factory.mktemp("lives"))


@pytest.mark.parametrize("variant", EFFECTIVE, ids=lambda variant: variant.name)
def test_fault_15_a_field_that_is_set_or_changed_does_something(variant: Variant, album: Album) -> None:
    for spec in variant.specs:
        assert validate(document(variant.kind, spec)) == (), "give it its neighbours in COMPANIONS"
    if variant.value != variant.other:
        assert not album.are_the_same(variant.kind, variant.given, variant.changed)
    if variant.absent is not None:
        assert not album.are_the_same(variant.kind, variant.absent, variant.given)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_fault_15_defaults_that_are_written_out_do_nothing(kind: Kind, album: Album) -> None:
    """So what tells two lives apart is what fields do, and not that they stand there."""
    plain = next(each.absent for each in VARIANTS if each.kind is kind and each.absent is not None)
    whole = normalise(document(kind, plain))["spec"]
    assert whole != plain or kind.name == "VirtualHost"
    assert album.are_the_same(kind, plain, whole)


def test_fault_15_what_has_no_effect_of_its_own_is_refused_at_its_path() -> None:
    for variant in (each for each in VARIANTS if each.name in REFUSED):
        for spec in (variant.given, variant.changed):
            assert [problem.path for problem in validate(document(variant.kind, spec))] == [name_of(variant.path)]


def test_fault_15_every_field_is_tried_once() -> None:
    names = [variant.name for variant in VARIANTS]
    assert len(set(names)) == len(names)
    assert {*OF_OPERATOR, *REFUSED} <= set(names)
