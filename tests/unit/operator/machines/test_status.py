"""What stands in a machine's status."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.operator.machines.scenes import NOW, condition, conditions, machine, placed, running, starting
from xvirt.operator.conditions import MESSAGE_MAX_LENGTH, Verdict, stalled, terminating, unknown
from xvirt.operator.machines.status import is_urgent, node_status, own_status

EARLIER, LATER = "2026-01-01T09:00:00Z", "2026-01-01T11:30:00Z"


def times(status: dict[str, Any]) -> dict[str, str]:
    return {item["type"]: item["lastTransitionTime"] for item in status["conditions"]}


def test_a_nodes_first_word_is_taken_with_its_times() -> None:
    assert node_status(placed(), running(), "node-a", NOW) == running()


def test_a_condition_that_stays_keeps_its_time_whatever_the_node_says() -> None:
    known = placed(status=running())
    said = running()
    said["conditions"] = [condition("Ready", "True", "Running", at=LATER)]
    assert times(node_status(known, said, "node-a", NOW)) == {"Ready": "2026-01-01T10:00:00Z"}


@pytest.mark.parametrize(("at", "wanted"), [(LATER, LATER), (EARLIER, NOW), ("", NOW)])
def test_a_condition_that_changes_gets_the_nodes_time_where_that_is_later(at: str, wanted: str) -> None:
    known = placed(status=running())
    said = running()
    said["conditions"] = [condition("Ready", "False", "Progressing", at=at)]
    assert times(node_status(known, said, "node-a", NOW)) == {"Ready": wanted}


def test_an_operators_word_is_told_at_the_moment() -> None:
    made = own_status(machine(), Verdict(reason="Unschedulable", message="no room"), NOW)
    assert set(times(made).values()) == {NOW}


def test_the_operators_word_stands_over_the_nodes_and_leaves_the_rest() -> None:
    made = own_status(placed(status=running(), generation=3), stalled("PolicyRefused", "no"), NOW, said=running())
    assert conditions(made) == {
        "Ready": "False",
        "Reconciling": "False",
        "Stalled": "True",
        "RestartRequired": "False",
    }
    assert (made["observedGeneration"], made["powerState"], made["printableStatus"]) == (3, "Running", "Failed")


def test_of_an_unknown_machine_nothing_newer_is_claimed_to_be_seen() -> None:
    made = own_status(placed(status=running(), generation=3), unknown("HostUnreachable", "gone quiet"), NOW)
    assert (made["observedGeneration"], made["powerState"]) == (1, "Unknown")
    assert conditions(made)["Reconciling"] == "True"
    assert own_status(machine(), unknown("X", ""), NOW)["observedGeneration"] == -1


def test_a_long_message_is_cut() -> None:
    made = own_status(machine(), stalled("X", "m" * 9000), NOW)
    assert all(len(item["message"]) <= MESSAGE_MAX_LENGTH for item in made["conditions"])


def test_only_what_holds_has_a_message() -> None:
    made = own_status(machine(), terminating("going"), NOW)
    assert {item["type"]: item["message"] for item in made["conditions"]} == {
        "Ready": "going",
        "Reconciling": "going",
        "Stalled": "",
    }


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ({}, running(), True),
        (starting(), running(), True),
        (running(), starting(), False),
        (running(), running(cpus=4), False),
        (running(), running("node-b"), True),
        (running(), {**running(), "conditions": [condition("Ready", "Unknown")]}, True),
        (
            {**running(), "conditions": [condition("Ready", "Unknown")]},
            {**running(), "conditions": [condition("Ready", "Unknown"), condition("Reconciling", "True")]},
            False,
        ),
        (
            starting(),
            {**starting(), "conditions": [condition("Stalled", "True"), condition("Reconciling", "False")]},
            True,
        ),
    ],
)
def test_people_wait_for_good_and_bad_ends_and_not_for_progress(
    old: dict[str, Any], new: dict[str, Any], wanted: bool
) -> None:
    assert is_urgent(old, new) is wanted
