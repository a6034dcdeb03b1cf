"""What was seen last, told truly: old news, one's own writes, snapshots, indexes."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.unit.operator.runtime.api_cases import THINGS
from xvirt.operator.runtime.cache import TOMBSTONES_MAX, Cache
from xvirt.operator.runtime.resources import LAST_APPLIED, Key, Object, uid_of, version_of

ONE = Key("ns", "one")
Told = list[tuple[str, str]]


def _thing(version: int, uid: str = "a", name: str = "one", node: str = "") -> Object:
    metadata = {"namespace": "ns", "name": name, "uid": uid, "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {"node": node}}


def _cache() -> tuple[Cache, Told]:
    cache = Cache(THINGS)
    told: Told = []
    cache.subscribe(lambda old, new: told.append((_short(old), _short(new))))
    return cache, told


def _short(item: Object | None) -> str:
    return f"{uid_of(item)}{version_of(item)}" if item else ""


def test_events_are_told_with_what_was_there_before() -> None:
    cache, told = _cache()
    cache.put(_thing(1))
    cache.put(_thing(2))
    cache.delete(_thing(3))
    assert told == [("", "a1"), ("a1", "a2"), ("a2", "")]
    assert cache.get(ONE) is None


def test_an_older_version_and_the_same_one_change_nothing() -> None:
    cache, told = _cache()
    cache.put(_thing(10))
    cache.put(_thing(9))
    cache.put(_thing(10))
    assert told == [("", "a10")]


def test_versions_are_compared_as_numbers_of_any_length() -> None:
    cache, told = _cache()
    cache.put(_thing(99999999999999999999))
    cache.put(_thing(100000000000000000000))
    assert told[-1] == ("a99999999999999999999", "a100000000000000000000")


def test_another_object_of_the_same_name_is_a_deletion_and_an_addition() -> None:
    cache, told = _cache()
    cache.put(_thing(1, "a"))
    cache.put(_thing(5, "b"))
    assert told == [("", "a1"), ("a1", ""), ("", "b5")]
    cache.delete(_thing(4, "a"))
    assert cache.by_uid("b") is not None, "the former one's deletion is not this one's"
    cache.put(_thing(3, "a"))
    assert cache.by_uid("a") is None, "what is gone stays gone"


def test_ones_own_write_is_seen_before_its_event_and_the_event_is_no_news() -> None:
    cache, told = _cache()
    cache.put(_thing(1))
    cache.learn(_thing(5))
    assert version_of(cache.get(ONE) or {"metadata": {}}) == "5"
    cache.put(_thing(4))
    cache.put(_thing(5))
    assert told == [("", "a1"), ("a1", "a5")]


def test_ones_own_creation_is_seen_at_once() -> None:
    cache, told = _cache()
    cache.learn(_thing(5))
    assert told == [("", "a5")]


def test_an_answer_that_comes_after_the_deletion_brings_nothing_back() -> None:
    cache, told = _cache()
    cache.put(_thing(1))
    cache.delete(_thing(7))
    cache.learn(_thing(5))
    assert told == [("", "a1"), ("a1", "")]


def test_what_left_the_selection_and_entered_it_again_is_learned_of_as_ever() -> None:
    cache, told = _cache()
    cache.put(_thing(1))
    cache.delete(_thing(2))
    cache.put(_thing(3))
    cache.learn(_thing(4))
    assert told[-1] == ("a3", "a4")


def test_uids_of_deleted_objects_are_remembered_up_to_a_limit() -> None:
    cache, _ = _cache()
    for number in range(TOMBSTONES_MAX + 10):
        cache.put(_thing(1, f"uid-{number}"))
        cache.delete(_thing(2, f"uid-{number}"))
    assert len(cache._gone) == TOMBSTONES_MAX
    cache.learn(_thing(1, f"uid-{TOMBSTONES_MAX + 9}"))
    assert len(cache) == 0


def test_a_snapshot_deletes_what_it_lacks_and_leaves_alone_what_is_the_same() -> None:
    cache, told = _cache()
    for uid, name in (("a", "same"), ("b", "changed"), ("c", "gone"), ("d", "other")):
        cache.put(_thing(1, uid, name))
    told.clear()
    cache.replace(
        [_thing(1, "a", "same"), _thing(2, "b", "changed"), _thing(3, "e", "other"), _thing(4, "f", "new")], "9"
    )
    assert sorted(told) == sorted([("b1", "b2"), ("c1", ""), ("d1", ""), ("", "e3"), ("", "f4")])
    assert [uid_of(item) for item in sorted(cache, key=uid_of)] == ["a", "b", "e", "f"]


def test_a_snapshot_takes_a_restored_servers_older_versions() -> None:
    cache, told = _cache()
    cache.put(_thing(1000))
    cache.replace([_thing(7)], "8")
    assert told[-1] == ("a1000", "a7")


def test_what_was_written_while_a_snapshot_was_on_its_way_is_kept() -> None:
    cache, told = _cache()
    cache.put(_thing(1, "a", "one"))
    cache.expect_snapshot()
    cache.learn(_thing(12, "a", "one"))
    cache.learn(_thing(13, "b", "two"))
    cache.replace([_thing(1, "a", "one")], "10")
    assert told == [("", "a1"), ("a1", "a12"), ("", "b13")]
    cache.replace([_thing(12, "a", "one")], "20")
    assert told[-1] == ("b13", ""), "the next snapshot decides again"


def test_a_snapshot_keeps_the_very_object_that_has_not_changed() -> None:
    cache, _ = _cache()
    cache.put(cache.shape(_thing(1)))
    known = cache.get(ONE)
    assert cache.shape(_thing(1)) is known
    assert cache.shape(_thing(2)) is not known
    assert cache.shape(_thing(1, "b")) is not known


def test_indexes_follow_every_change() -> None:
    cache, _ = _cache()
    cache.put(_thing(1, "a", "one", "n1"))
    cache.add_index("node", lambda item: (item["spec"]["node"],))
    cache.put(_thing(2, "b", "two", "n1"))
    assert [uid_of(item) for item in cache.by_index("node", "n1")] == ["a", "b"]
    cache.put(_thing(3, "a", "one", "n2"))
    assert [uid_of(item) for item in cache.by_index("node", "n2")] == ["a"]
    cache.delete(_thing(4, "b", "two", "n1"))
    assert cache.by_index("node", "n1") == []
    assert cache.by_uid("b") is None
    assert cache._indexes["node"][1].keys() == {"n2"}, "nothing is left of values that nobody has"


def test_who_subscribes_late_is_told_what_is_there() -> None:
    cache, _ = _cache()
    cache.put(_thing(1))
    told: list[str] = []
    cache.subscribe(lambda _, new: told.append(_short(new)))
    assert told == ["a1"]


def test_a_handler_an_index_and_a_shape_that_fail_keep_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: object) -> Any:
        raise RuntimeError("odd object")

    cache = Cache(THINGS, shape=fail)
    told: list[str] = []
    cache.add_index("odd", fail)
    cache.subscribe(fail)
    cache.subscribe(lambda _, new: told.append(_short(new)))
    cache.put(cache.shape(_thing(1)))
    assert told == ["a1"]
    assert caplog.text.count("RuntimeError: odd object") == 3
    assert "things ns/one" in caplog.text


def test_a_shape_cuts_down_what_is_kept_and_kubectls_copy_never_is() -> None:
    cache = Cache(THINGS, shape=lambda item: {"metadata": item["metadata"]})
    item = _thing(1)
    item["metadata"]["annotations"] = {LAST_APPLIED: "long", "kept": "yes"}
    cache.put(cache.shape(copy.deepcopy(item)))
    kept = cache.get(ONE)
    assert kept is not None
    assert "spec" not in kept
    assert kept["metadata"]["annotations"] == {"kept": "yes"}
