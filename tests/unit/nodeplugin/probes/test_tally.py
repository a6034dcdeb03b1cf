"""Answers in a row make a verdict."""

from __future__ import annotations

import pytest

from nodeplugin.plan.probe import Answer, Health, ProbeKind, Tally, count
from xvirt.model.machine.probe import GuestAgentPing, Probe

WORDS = {
    "+": Answer(is_good=True),
    "-": Answer(is_good=False, message="no"),
    "0": Answer(is_good=False, message="nobody", was_there=False),
}
SIGNS = {Health.UNKNOWN: "?", Health.PASSING: "P", Health.FAILING: "F"}


def course(answers: str, kind: ProbeKind = ProbeKind.READINESS, success: int = 1, failure: int = 3) -> str:
    probe = Probe(guest_agent_ping=GuestAgentPing(), success_threshold=success, failure_threshold=failure)
    tally, said = Tally(), ""
    for answer in answers:
        tally = count(tally, WORDS[answer], probe, kind)
        said += SIGNS[tally.health]
    return said


@pytest.mark.parametrize(
    ("answers", "success", "failure", "verdicts"),
    [
        ("+--+---+", 1, 3, "PPPPPPFP"),
        ("---", 1, 3, "??F"),
        ("++-++", 2, 1, "?PFFP"),
        ("+-+-++", 2, 2, "?????P"),
        ("000", 1, 3, "??F"),
    ],
)
def test_a_verdict_turns_after_so_many_answers_in_a_row(
    answers: str, success: int, failure: int, verdicts: str
) -> None:
    assert course(answers, ProbeKind.READINESS, success, failure) == verdicts


@pytest.mark.parametrize(
    ("answers", "verdicts"),
    [("000000", "??????"), ("0000---", "??????F"), ("00+000", "??PPPF"), ("-00", "??F")],
)
def test_liveness_counts_no_failure_before_the_guest_was_once_there(answers: str, verdicts: str) -> None:
    assert course(answers, ProbeKind.LIVENESS) == verdicts


def test_a_verdict_says_why() -> None:
    probe = Probe(guest_agent_ping=GuestAgentPing(), failure_threshold=1)
    failed = count(Tally(), WORDS["-"], probe, ProbeKind.READINESS)
    assert failed.message == "no"
    assert count(failed, WORDS["+"], probe, ProbeKind.READINESS).message == ""
