"""What is packed comes back, and is the same bytes where it is the same value."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xvirt.operator.packing import pack, unpack

_LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8"))
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=3), inner),
    max_leaves=20,
)


@given(_VALUES)
def test_a_value_comes_back(value: object) -> None:
    assert unpack(pack(value)) == value


def test_the_order_of_names_is_no_difference() -> None:
    assert pack({"a": 1, "b": 2}) == pack({"b": 2, "a": 1})


def test_a_status_takes_less_room_than_its_text() -> None:
    condition = {"type": "Ready", "status": "True", "reason": "Running", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    status = {"conditions": [condition | {"type": name} for name in ("Ready", "Reconciling", "Stalled")]}
    assert len(pack(status)) < len(str(status)) / 2
