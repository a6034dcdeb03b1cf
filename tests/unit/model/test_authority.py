"""Who an authority is, and whom a pattern covers."""

from __future__ import annotations

import pytest

from xvirt.model.authority import is_served, only_one


@pytest.mark.parametrize(
    ("pattern", "authority", "is_covered"),
    [
        ("local", "local", True),
        ("local", "locale", False),
        ("*/*/*", "acme/shop/dev", True),
        ("*/*/*", "local", False),
        ("acme/*/*", "acme/shop/dev", True),
        ("acme/*/*", "other/shop/dev", False),
        ("acme/shop/*", "acme/*/*", False),
        ("*/*/*", "acme/*/*", True),
        ("*/*/*", "acme//dev", False),
        ("*", "local", True),
        ("*/*/*", "a/b/c/d", False),
        ("*/*/*", "", False),
    ],
)
def test_a_pattern_covers_part_by_part(pattern: str, authority: str, is_covered: bool) -> None:
    assert is_served((pattern,), authority) is is_covered


def test_a_caller_who_names_none_means_the_only_one_that_is_no_pattern() -> None:
    assert only_one(("local", "*/*/*")) == "local"
    assert only_one(("*/*/*",)) == ""
    assert only_one(("a", "b")) == ""
