"""What of a machine's life becomes an Event."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from nodeplugin.plan.step import DomainStep
from tests.unit.operator.machines.scenes import condition, placed, running, starting
from xvirt.model.exchange import Verb
from xvirt.model.machine.status import PowerState
from xvirt.operator.machines.history import ENTRIES, find_news
from xvirt.operator.telling import PASSING


def power(state: str, **more: Any) -> dict[str, Any]:
    return running(powerState=state, **more)


def reasons(before: dict[str, Any], after: dict[str, Any], *, is_made: bool = False) -> list[str]:
    return [news.reason for news in find_news(before, after, is_made=is_made)]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("Stopped", "Running", ["Started"]),
        ("Saved", "Running", ["Started"]),
        ("Crashed", "Running", ["Started"]),
        ("NotDefined", "Running", ["Started"]),
        ("Paused", "Running", ["Resumed"]),
        ("Running", "Paused", ["Paused"]),
        ("Running", "Stopped", ["Stopped"]),
        ("Paused", "Stopped", ["Stopped"]),
        ("Stopping", "Stopped", ["Stopped"]),
        ("Running", "Saved", ["Saved"]),
        ("Running", "Crashed", ["Crashed"]),
        ("Running", "Running", []),
        ("Running", "Stopping", []),
        ("Stopped", "Stopped", []),
        ("Unknown", "Running", []),
        ("Running", "Unknown", []),
        ("Unknown", "Stopped", []),
    ],
)
def test_what_becomes_of_a_machine_is_told_once_and_what_nobody_knows_is_not(
    before: str, after: str, told: list[str]
) -> None:
    assert reasons(power(before), power(after)) == told


@pytest.mark.parametrize(
    ("known", "after", "told"),
    [
        (PowerState.RUNNING, "Stopped", ["Stopped"]),
        (PowerState.RUNNING, "Crashed", ["Crashed"]),
        (PowerState.STOPPED, "Running", ["Started"]),
        (PowerState.PAUSED, "Running", ["Resumed"]),
        (PowerState.RUNNING, "Running", []),
        (PowerState.STOPPED, "Stopped", []),
        (PowerState.RUNNING, "Unknown", []),
        (None, "Stopped", []),
    ],
)
def test_what_became_of_a_machine_while_nobody_knew_is_told_by_what_was_known_last(
    known: PowerState | None, after: str, told: list[str]
) -> None:
    found = find_news(power("Unknown"), power(after), is_made=False, last_power=known)
    assert [news.reason for news in found] == told


def test_a_machine_that_comes_to_run_has_one_event_with_its_host() -> None:
    way = [{}, dict(placed().status), starting(), running(), running()]
    is_made, told = True, []
    for before, after in itertools.pairwise(way):
        for news in find_news(before, after, is_made=is_made):
            told.append(news)
            is_made = is_made and news.reason not in ENTRIES
    assert told == [("Normal", "Started", "host node-a: created and started")]


def test_a_machine_that_is_to_be_off_is_told_once_it_is_there() -> None:
    assert reasons(dict(placed().status), starting(), is_made=True) == []
    assert reasons(starting(), power("Stopped"), is_made=True) == ["Created"]


def test_a_machine_that_ran_before_anybody_looked_is_not_told_to_have_started() -> None:
    assert reasons(dict(placed().status), running()) == []


def test_a_stop_and_a_crash_say_why() -> None:
    (stopped,) = find_news(running(), power("Stopped", powerReason="shutdown"), is_made=False)
    assert stopped == ("Normal", "Stopped", "host node-a: stopped (shutdown)")
    (crashed,) = find_news(running(), power("Crashed", powerReason="panicked"), is_made=False)
    assert crashed == ("Warning", "Crashed", "host node-a: the guest has crashed (panicked)")
    (ended,) = find_news(running(), power("Stopped", powerReason="crashed"), is_made=False)
    assert ended == ("Warning", "Crashed", "host node-a: the guest or its QEMU ended by a crash (crashed)")


def test_a_restart_that_is_required_is_told_again_only_when_other_fields_wait() -> None:
    def waiting(message: str) -> dict[str, Any]:
        return running(conditions=[condition("RestartRequired", "True", "FieldsWait", message)])

    assert reasons(running(), waiting("spec.cpu.model")) == ["RestartRequired"]
    assert reasons(waiting("spec.cpu.model"), waiting("spec.cpu.model")) == []
    assert reasons(waiting("spec.cpu.model"), waiting("spec.cpu.model, spec.firmware")) == ["RestartRequired"]
    assert reasons(waiting("spec.cpu.model"), running()) == []


def test_every_reason_that_is_retold_is_one_that_a_node_has() -> None:
    steps = {"".join(part.capitalize() for part in step.name.split("-")) for step in DomainStep.__subclasses__()}
    verbs = {verb.value.capitalize() for verb in Verb}
    assert set(PASSING) - steps - verbs == {"Restarting"}
