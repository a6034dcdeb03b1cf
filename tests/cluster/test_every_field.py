"""Every field of every kind on the real API server: taken and kept as it was written, or refused at its path.

Made from the model, as `tests/unit/operator/test_field_effects.py`, which shows that what is kept has an effect.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.documents import STRICT, declare, is_namespaced, judge
from tests.cluster.test_admission import is_near, paths_of
from tests.unit.model.specimens import Map, name_of
from tests.unit.model.variants import Variant, every_variant, variants
from tests.unit.operator.test_field_effects import REFUSED
from tools.cluster.api import Api, ApiRefused, Json
from xvirt.model.changes import field_changes
from xvirt.model.codec import normalise
from xvirt.model.fields import Mutability, element_type, is_string_map
from xvirt.model.kinds import KINDS, Kind

EVERY_KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def tried(kind: Kind) -> list[Variant]:
    return [each for each in variants(kind) if each.name not in REFUSED]


@pytest.fixture
def removed(api: Api) -> Iterator[list[Json]]:
    """What is to go at the end: objects that belong to no namespace."""
    made: list[Json] = []
    yield made
    for document in made:
        api.delete(document)


def holds(stored: Any, sent: Any) -> bool:
    """Whether everything that was sent is there, unchanged; defaults may stand beside it."""
    if isinstance(sent, dict):
        return isinstance(stored, dict) and all(key in stored and holds(stored[key], sent[key]) for key in sent)
    if isinstance(sent, list):
        return isinstance(stored, list) and len(stored) == len(sent) and all(map(holds, stored, sent))
    return bool(stored == sent)


def is_fixed(kind: Kind, old: Map, new: Map) -> bool:
    """Whether the model refuses the change."""
    before, after = (normalise(declare(kind.name, "a", "default", spec))["spec"] for spec in (old, new))
    return any(item.mutability is Mutability.FIXED for item in field_changes(kind.name, before, after))


@EVERY_KIND
def test_fault_15_a_field_is_kept_when_it_is_set_changed_and_unset(
    api: Api, namespace: str, kind: Kind, removed: list[Json]
) -> None:
    for number, variant in enumerate(tried(kind)):
        document = declare(kind.name, f"{namespace}-{number}", namespace, variant.given)
        stored = api.create(document, **STRICT)
        if not is_namespaced(kind.name):
            removed.append(document)
        assert holds(stored["spec"], variant.given), variant.name
        for spec in (variant.changed, variant.absent):
            if spec is None:
                continue
            before = stored["spec"]
            if is_fixed(kind, before, spec):
                with pytest.raises(ApiRefused, match="cannot be changed once set"):
                    api.replace({**stored, "spec": spec}, **STRICT)
                continue
            stored = api.replace({**stored, "spec": spec}, **STRICT)
            assert holds(stored["spec"], spec), variant.name
            fresh = normalise(declare(kind.name, "a", "default", stored["spec"]))["spec"]
            assert fresh == normalise(declare(kind.name, "a", "default", spec))["spec"], variant.name


def wrong_value(variant: Variant) -> Any:
    """What no value of the field's type is."""
    if element_type(variant.item.annotation) is not None:
        return [{"nonsense": []}]
    if is_string_map(variant.item.annotation):
        return {"key": ["nonsense"]}
    return ["nonsense"]


@EVERY_KIND
def test_fault_15_a_value_of_another_type_is_refused_at_its_field(api: Api, namespace: str, kind: Kind) -> None:
    for variant in variants(kind):
        document = declare(kind.name, "wrong", namespace, variant.given)
        place: Any = document
        for part in variant.path[:-1]:
            place = place[part]
        place[variant.path[-1]] = wrong_value(variant)
        error = judge(api, kind.name, document, namespace)
        assert error is not None, variant.name
        assert any(is_near(path, name_of(variant.path)) for path in paths_of(error)), (variant.name, str(error))


def test_fault_15_what_has_no_effect_is_refused_at_its_path(api: Api, namespace: str) -> None:
    for variant in (each for each in every_variant(KINDS) if each.name in REFUSED):
        error = judge(api, variant.kind.name, declare(variant.kind.name, "a", namespace, variant.given), namespace)
        assert error is not None
        assert name_of(variant.path) in paths_of(error)
