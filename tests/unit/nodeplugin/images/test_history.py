"""When a transfer that failed is tried again."""

from __future__ import annotations

import dataclasses

import pytest

from nodeplugin.images.history import History
from nodeplugin.images.limits import DEFAULT_LIMITS
from nodeplugin.images.port import TransferFacts, TransferState
from xvirt.model.errors import Refused, RetryLater

LIMITS = dataclasses.replace(DEFAULT_LIMITS, refused_retry_s=100.0, refused_retry_max_s=300.0)


class Clock:
    now = 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    held = Clock()
    monkeypatch.setattr("nodeplugin.images.history.time.monotonic", lambda: held.now)
    return held


def _failed(error: Exception) -> TransferFacts:
    return TransferFacts(state=TransferState.FAILED, error=error)  # type: ignore[arg-type]


def _is_open(history: History) -> bool:
    try:
        history.check("one", "/tmp/x")
    except Refused:
        return False
    history.clear("one")
    return True


def test_what_may_help_is_told_once_and_tried_again(clock: Clock) -> None:
    history = History(LIMITS)
    history.note("one", _failed(RetryLater("broken")))
    with pytest.raises(RetryLater):
        history.check("one", "/tmp/x")
    history.check("one", "/tmp/x")


def test_what_was_refused_waits_longer_each_time_and_at_most_a_bound(clock: Clock) -> None:
    history = History(LIMITS)
    for pause_s in (100.0, 200.0, 300.0, 300.0):
        history.note("one", _failed(Refused("wrong content")))
        clock.now += pause_s - 1
        assert not _is_open(history)
        clock.now += 1
        assert _is_open(history)


@pytest.mark.parametrize("end", ["deleted", "done"])
def test_success_and_deletion_begin_anew(clock: Clock, end: str) -> None:
    history = History(LIMITS)
    for _ in range(3):
        history.note("one", _failed(Refused("wrong content")))
    if end == "deleted":
        history.forget("one")
    else:
        history.note("one", TransferFacts(state=TransferState.DONE))
    history.note("one", _failed(Refused("wrong content")))
    clock.now += 100.0
    assert _is_open(history)
