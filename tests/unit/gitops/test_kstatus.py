"""The rules by which phases are judged, one by one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.kstatus import Kstatus, judge


def document(status: Any = None, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web", "generation": 2, **metadata}} | ({} if status is None else {"status": status})


def conditions(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {"observedGeneration": 2, "conditions": [{"type": kind, "status": value} for kind, value in pairs]}


def test_what_nobody_has_said_anything_of_counts_as_current() -> None:
    assert judge(document())[0] is Kstatus.CURRENT


def test_the_default_status_of_our_kinds_is_in_progress() -> None:
    assert judge(document({"observedGeneration": -1}))[0] is Kstatus.IN_PROGRESS


def test_a_deleted_object_is_terminating_whatever_its_status_says() -> None:
    gone = document(conditions(("Ready", "True")), deletionTimestamp="2026-01-01T00:00:00Z")
    assert judge(gone)[0] is Kstatus.TERMINATING


def test_an_older_generations_ready_says_nothing() -> None:
    assert judge(document(conditions(("Ready", "True")) | {"observedGeneration": 1}))[0] is Kstatus.IN_PROGRESS


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("Ready", "True")], Kstatus.CURRENT),
        ([("Ready", "False")], Kstatus.IN_PROGRESS),
        ([("Ready", "Unknown")], Kstatus.IN_PROGRESS),
        ([("Ready", "True"), ("Reconciling", "True")], Kstatus.IN_PROGRESS),
        ([("Ready", "False"), ("Reconciling", "False"), ("Stalled", "True")], Kstatus.FAILED),
        ([("Reconciling", "True"), ("Stalled", "True")], Kstatus.IN_PROGRESS),
        ([("Stalled", "True"), ("Reconciling", "True")], Kstatus.FAILED),
        ([("Ready", "True"), ("Reconciling", "False"), ("Stalled", "False")], Kstatus.CURRENT),
        ([("RestartRequired", "True"), ("Ready", "True")], Kstatus.CURRENT),
    ],
)
def test_conditions_are_read_in_their_order(pairs: list[tuple[str, str]], expected: Kstatus) -> None:
    assert judge(document(conditions(*pairs)))[0] is expected
