"""When what has failed is tried again, and how long words wait that nobody waits for."""

from __future__ import annotations

import pytest

from xvirt.model.errors import Conflict, Refused, RetryLater, XvirtError
from xvirt.operator.troubles import RETRY_MAX_S, Patience, Tries, current_trouble


def test_the_same_thing_waits_longer_each_time_up_to_a_bound_and_anew_after_a_success() -> None:
    tries = Tries()
    pauses = []
    for _ in range(40):
        tries.fail("one", "R", "no", 100.0)
        assert tries.trouble is not None
        pauses.append(tries.trouble.until_s - 100.0)
    assert pauses[:4] == [1.0, 2.0, 4.0, 8.0]
    assert pauses[-1] == RETRY_MAX_S
    tries.succeed()
    assert tries == Tries()


def test_what_is_tried_after_a_mended_mistake_begins_with_the_first_pause() -> None:
    tries = Tries()
    for _ in range(20):
        tries.fail("refused spec", "R", "no", 100.0)
    tries.fail("mended spec", "Unavailable", "the host is busy", 200.0)
    assert tries.trouble is not None
    assert tries.trouble.until_s == 201.0


def test_another_subject_and_a_time_that_has_come_are_no_trouble() -> None:
    tries = Tries()
    tries.fail("one", "R", "no", 100.0)
    assert current_trouble(tries.trouble, "one", 100.5) is tries.trouble
    assert current_trouble(tries.trouble, "two", 100.5) is None
    assert current_trouble(tries.trouble, "one", 101.0) is None
    assert current_trouble(None, "one", 100.5) is None


@pytest.mark.parametrize(
    ("error", "is_passing"),
    [(RetryLater("busy"), True), (Conflict("it goes", reason="Deleting"), True), (Refused("never"), False)],
)
def test_what_ends_by_itself_is_told_from_what_somebody_must_change(error: XvirtError, is_passing: bool) -> None:
    tries = Tries()
    tries.refuse("one", error, 0.0)
    assert tries.trouble is not None
    assert (tries.trouble.reason, tries.trouble.is_passing) == (error.reason, is_passing)


def test_words_that_nobody_waits_for_are_told_together_some_time_after_the_first() -> None:
    patience = Patience()
    assert patience.hold(10.0, 3.0, is_urgent=False) == 3.0
    assert patience.hold(12.0, 3.0, is_urgent=False) == 1.0
    assert patience.hold(13.0, 3.0, is_urgent=False) is None
    assert patience.hold(14.0, 3.0, is_urgent=False) == 3.0


def test_what_somebody_waits_for_is_told_at_once_and_takes_the_rest_along() -> None:
    patience = Patience()
    patience.hold(10.0, 3.0, is_urgent=False)
    assert patience.hold(11.0, 3.0, is_urgent=True) is None
    assert patience.since_s is None


def test_where_there_is_nothing_to_tell_any_more_the_next_word_waits_its_whole_time() -> None:
    patience = Patience()
    patience.hold(10.0, 3.0, is_urgent=False)
    patience.end()
    assert patience.hold(12.0, 3.0, is_urgent=False) == 3.0
