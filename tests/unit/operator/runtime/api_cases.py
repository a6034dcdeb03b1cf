"""What an API server must do for the client and the fakes to be right: the same cases for the fake one and for a real one.

Each case is a coroutine of (client, namespace) that uses ConfigMaps, Pods that nobody schedules, and Things (`THINGS`, a custom kind with a status).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from xvirt.operator.runtime.api import ApiClient, Selection, WatchCall, WatchEvent
from xvirt.operator.runtime.errors import AlreadyExists, ApiError, Conflict, Gone, Invalid, NotFound
from xvirt.operator.runtime.resources import (
    CONFIG_MAPS,
    Key,
    Object,
    Resource,
    finalizers_of,
    is_deleting,
    key_of,
    uid_of,
    version_of,
)

THINGS = Resource("example.xvirt.io", "v1", "things", "Thing")
FINALIZER = "example.xvirt.io/kept"
Case = Callable[[ApiClient, str], Awaitable[None]]


def thing(namespace: str, name: str = "one", **more: Any) -> Object:
    return THINGS.object(Key(namespace, name), **{"spec": {"size": 1}, **more})


def config(namespace: str, name: str = "one", **data: str) -> Object:
    return CONFIG_MAPS.object(Key(namespace, name), data=data)


async def refusal_of(call: Awaitable[Any]) -> ApiError:
    """The error that a call ends with."""
    try:
        await call
    except ApiError as error:
        return error
    raise AssertionError("it was not refused")


async def an_object_has_uid_version_and_generation_and_only_a_changed_spec_raises_it(api: ApiClient, ns: str) -> None:
    made = await api.create(THINGS, thing(ns))
    assert uid_of(made)
    assert made["metadata"]["generation"] == 1
    made["spec"]["size"] = 2
    changed = await api.update(THINGS, made)
    assert changed["metadata"]["generation"] == 2
    assert version_of(changed) != version_of(made)
    same = await api.update(THINGS, changed)
    assert version_of(same) == version_of(changed)
    assert "managedFields" not in same["metadata"]
    assert (await api.get(THINGS, Key(ns, "one"))) == same


async def what_is_not_there_is_not_found_and_what_is_there_is_not_created_again(api: ApiClient, ns: str) -> None:
    assert isinstance(await refusal_of(api.get(THINGS, Key(ns, "none"))), NotFound)
    await api.create(THINGS, thing(ns))
    assert isinstance(await refusal_of(api.create(THINGS, thing(ns))), AlreadyExists)


async def a_stale_update_conflicts(api: ApiClient, ns: str) -> None:
    made = await api.create(THINGS, thing(ns))
    await api.update(THINGS, {**made, "spec": {"size": 2}})
    error = await refusal_of(api.update(THINGS, {**made, "spec": {"size": 3}}))
    assert isinstance(error, Conflict)
    assert error.audit_id
    assert error.audit_id in str(error)


async def an_apply_takes_back_what_it_lacks_now_and_leaves_others_fields_alone(api: ApiClient, ns: str) -> None:
    await api.apply(CONFIG_MAPS, config(ns, mine="1", gone="1"))
    theirs = {"metadata": {"annotations": {"theirs": "yes"}}, "data": {"theirs": "1"}}
    await api.merge_patch(CONFIG_MAPS, Key(ns, "one"), theirs)
    after = await api.apply(CONFIG_MAPS, config(ns, mine="2"))
    assert after["data"] == {"mine": "2", "theirs": "1"}
    assert after["metadata"]["annotations"] == {"theirs": "yes"}
    again = await api.apply(CONFIG_MAPS, config(ns, mine="2"))
    assert version_of(again) == version_of(after)


async def an_apply_without_force_conflicts_with_another_managers_field(api: ApiClient, ns: str) -> None:
    await api.create(CONFIG_MAPS, config(ns, shared="theirs"))
    other = _as(api, "another")
    error = await refusal_of(other.apply(CONFIG_MAPS, config(ns, shared="mine"), is_forced=False))
    assert isinstance(error, Conflict)
    assert "shared" in str(error)
    forced = await other.apply(CONFIG_MAPS, config(ns, shared="mine"))
    assert forced["data"] == {"shared": "mine"}


async def an_apply_with_a_dead_uid_brings_nothing_back(api: ApiClient, ns: str) -> None:
    made = await api.create(CONFIG_MAPS, config(ns))
    await api.delete(CONFIG_MAPS, made)
    late = config(ns, back="1")
    late["metadata"]["uid"] = uid_of(made)
    assert isinstance(await refusal_of(api.apply(CONFIG_MAPS, late)), Conflict)
    assert isinstance(await refusal_of(api.get(CONFIG_MAPS, Key(ns, "one"))), NotFound)


async def a_status_apply_changes_status_alone_and_needs_the_newest_version(api: ApiClient, ns: str) -> None:
    made = await api.create(THINGS, thing(ns))
    status: Object = {"phase": "Ready", "conditions": [{"type": "Ready", "status": "True"}]}
    wanted = thing(ns, status=status, spec={"size": 9})
    wanted["metadata"]["resourceVersion"] = version_of(made)
    after = await api.apply_status(THINGS, wanted)
    assert after["status"] == status
    assert after["spec"] == {"size": 1}
    assert after["metadata"]["generation"] == 1
    assert isinstance(await refusal_of(api.apply_status(THINGS, wanted)), Conflict)


async def a_status_apply_takes_back_conditions_that_it_lacks_now(api: ApiClient, ns: str) -> None:
    item = await api.create(THINGS, thing(ns))
    for kinds in (["Ready", "Stalled"], ["Ready"]):
        conditions = [{"type": kind, "status": "True"} for kind in kinds]
        wanted = thing(ns, status={"conditions": conditions})
        wanted["metadata"]["resourceVersion"] = version_of(item)
        item = await api.apply_status(THINGS, wanted)
        assert item["status"]["conditions"] == conditions


async def a_plain_write_of_the_object_leaves_its_status_alone(api: ApiClient, ns: str) -> None:
    made = await api.create(THINGS, thing(ns, status={"phase": "Made up"}))
    assert "status" not in made
    wanted = thing(ns, status={"phase": "Ready"})
    wanted["metadata"]["resourceVersion"] = version_of(made)
    after = await api.apply_status(THINGS, wanted)
    changed = await api.update(THINGS, {**after, "spec": {"size": 2}, "status": {"phase": "No"}})
    assert changed["status"] == {"phase": "Ready"}


async def a_finalizer_keeps_a_deleted_object_until_it_is_removed(api: ApiClient, ns: str) -> None:
    made = await api.create(THINGS, thing(ns))
    held = await api.add_finalizer(THINGS, made, FINALIZER)
    assert finalizers_of(held) == [FINALIZER]
    await api.delete(THINGS, held)
    dying = await api.get(THINGS, Key(ns, "one"))
    assert is_deleting(dying)
    await api.remove_finalizer(THINGS, dying, FINALIZER)
    assert isinstance(await refusal_of(api.get(THINGS, Key(ns, "one"))), NotFound)


async def a_finalizer_is_added_beside_others_and_only_to_the_version_that_was_seen(api: ApiClient, ns: str) -> None:
    made = await api.create(THINGS, thing(ns, metadata={"name": "one", "namespace": ns, "finalizers": ["other.io/x"]}))
    held = await api.add_finalizer(THINGS, made, FINALIZER)
    assert finalizers_of(held) == ["other.io/x", FINALIZER]
    assert isinstance(await refusal_of(api.add_finalizer(THINGS, made, "late.io/x")), Conflict)
    assert isinstance(
        await refusal_of(
            api.remove_finalizer(
                THINGS, {**made, "metadata": {**made["metadata"], "finalizers": [FINALIZER]}}, FINALIZER
            )
        ),
        Conflict,
    )
    freed = await api.remove_finalizer(THINGS, held, "other.io/x")
    assert finalizers_of(freed) == [FINALIZER]
    await api.remove_finalizer(THINGS, freed, FINALIZER)


async def a_finalizer_is_not_added_while_an_object_is_being_deleted(api: ApiClient, ns: str) -> None:
    made = await api.create(THINGS, thing(ns))
    held = await api.add_finalizer(THINGS, made, FINALIZER)
    await api.delete(THINGS, held)
    dying = await api.get(THINGS, Key(ns, "one"))
    error = await refusal_of(api.add_finalizer(THINGS, dying, "late.io/x"))
    assert isinstance(error, Invalid)
    await api.remove_finalizer(THINGS, dying, FINALIZER)


async def only_the_object_that_was_seen_is_deleted(api: ApiClient, ns: str) -> None:
    made = await api.create(CONFIG_MAPS, config(ns))
    await api.delete(CONFIG_MAPS, made)
    another = await api.create(CONFIG_MAPS, config(ns))
    assert isinstance(await refusal_of(api.delete(CONFIG_MAPS, made)), Conflict)
    newer = await api.merge_patch(CONFIG_MAPS, Key(ns, "one"), {"data": {"a": "1"}})
    assert isinstance(await refusal_of(api.delete(CONFIG_MAPS, another, is_version_kept=True)), Conflict)
    await api.delete(CONFIG_MAPS, newer, is_version_kept=True)
    assert isinstance(await refusal_of(api.delete(CONFIG_MAPS, newer)), NotFound)


async def a_json_patch_whose_test_fails_changes_nothing(api: ApiClient, ns: str) -> None:
    made = await api.create(CONFIG_MAPS, config(ns, a="1"))
    operations = [
        {"op": "test", "path": "/data/a", "value": "2"},
        {"op": "replace", "path": "/data/a", "value": "3"},
    ]
    error = await refusal_of(api.json_patch(CONFIG_MAPS, key_of(made), operations))
    assert isinstance(error, Conflict)
    assert (await api.get(CONFIG_MAPS, key_of(made)))["data"] == {"a": "1"}


async def a_merge_patch_with_an_old_version_conflicts(api: ApiClient, ns: str) -> None:
    made = await api.create(CONFIG_MAPS, config(ns, a="1"))
    patch: Object = {"metadata": {"resourceVersion": version_of(made)}, "data": {"a": None, "b": "1"}}
    after = await api.merge_patch(CONFIG_MAPS, key_of(made), patch)
    assert after["data"] == {"b": "1"}
    assert isinstance(await refusal_of(api.merge_patch(CONFIG_MAPS, key_of(made), patch)), Conflict)


async def a_list_selects_and_names_the_kind_of_its_items(api: ApiClient, ns: str) -> None:
    for number in range(3):
        item = config(ns, f"item-{number}")
        item["metadata"]["labels"] = {"parity": str(number % 2)}
        await api.create(CONFIG_MAPS, item)
    even = await api.list_objects(CONFIG_MAPS, Selection(namespace=ns, label="parity=0"))
    assert [item["metadata"]["name"] for item in even.items] == ["item-0", "item-2"]
    assert {(item["kind"], item["apiVersion"]) for item in even.items} == {("ConfigMap", "v1")}
    assert even.resource_version
    named = await api.list_objects(CONFIG_MAPS, Selection(namespace=ns, field="metadata.name=item-1"))
    assert [item["metadata"]["name"] for item in named.items] == ["item-1"]


async def a_watch_tells_what_enters_changes_and_leaves_its_selection(api: ApiClient, ns: str) -> None:
    selection = Selection(namespace=ns, label="seen=yes")
    listing = await api.list_objects(THINGS, selection)
    await api.create(THINGS, thing(ns, "unseen"))
    made = await api.create(THINGS, _labelled(ns))
    await api.update(THINGS, {**made, "spec": {"size": 2}})
    await api.merge_patch(THINGS, Key(ns, "one"), {"metadata": {"labels": {"seen": "no"}}})
    await api.merge_patch(THINGS, Key(ns, "one"), {"metadata": {"labels": {"seen": "yes"}}})
    await api.delete(THINGS, made)
    events = await _events(api, selection, WatchCall(listing.resource_version, timeout_s=30), 5)
    assert [event.type for event in events] == ["ADDED", "MODIFIED", "DELETED", "ADDED", "DELETED"]
    versions = [int(version_of(event.object)) for event in events]
    assert versions == sorted(set(versions))
    assert {event.object["metadata"]["name"] for event in events} == {"one"}


async def a_watch_with_initial_events_marks_their_end(api: ApiClient, ns: str) -> None:
    await api.create(THINGS, thing(ns, "a"))
    await api.create(THINGS, thing(ns, "b"))
    call = WatchCall(timeout_s=30, has_initial_events=True)
    events = await _events(api, Selection(namespace=ns), call, 3)
    assert sorted(event.object["metadata"]["name"] for event in events[:2]) == ["a", "b"]
    assert [event.type for event in events] == ["ADDED", "ADDED", "BOOKMARK"]
    assert events[2].object["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def a_watch_from_a_version_that_is_too_old_is_gone(api: ApiClient, ns: str) -> None:
    await api.create(THINGS, thing(ns))
    call = WatchCall("1", timeout_s=5)
    error = await refusal_of(_events(api, Selection(namespace=ns), call, 1))
    assert isinstance(error, Gone)


async def a_watch_ends_when_its_time_is_over(api: ApiClient, ns: str) -> None:
    listing = await api.list_objects(THINGS, Selection(namespace=ns))
    call = WatchCall(listing.resource_version, timeout_s=1)
    events = await _events(api, Selection(namespace=ns), call, 1000)
    assert {event.type for event in events} <= {"BOOKMARK"}


async def _events(api: ApiClient, selection: Selection, call: WatchCall, count: int) -> list[WatchEvent]:
    found: list[WatchEvent] = []
    async with asyncio.timeout(60), contextlib.aclosing(api.watch(THINGS, call, selection)) as events:
        async for event in events:
            found.append(event)
            if len(found) == count:
                break
    return found


def _labelled(ns: str) -> Object:
    item = thing(ns)
    item["metadata"]["labels"] = {"seen": "yes"}
    return item


def _as(api: ApiClient, manager: str) -> ApiClient:
    return ApiClient(api.transport, manager=manager, clock=api.clock)


CASES: tuple[Case, ...] = (
    an_object_has_uid_version_and_generation_and_only_a_changed_spec_raises_it,
    what_is_not_there_is_not_found_and_what_is_there_is_not_created_again,
    a_stale_update_conflicts,
    an_apply_takes_back_what_it_lacks_now_and_leaves_others_fields_alone,
    an_apply_without_force_conflicts_with_another_managers_field,
    an_apply_with_a_dead_uid_brings_nothing_back,
    a_status_apply_changes_status_alone_and_needs_the_newest_version,
    a_status_apply_takes_back_conditions_that_it_lacks_now,
    a_plain_write_of_the_object_leaves_its_status_alone,
    a_finalizer_keeps_a_deleted_object_until_it_is_removed,
    a_finalizer_is_added_beside_others_and_only_to_the_version_that_was_seen,
    a_finalizer_is_not_added_while_an_object_is_being_deleted,
    only_the_object_that_was_seen_is_deleted,
    a_json_patch_whose_test_fails_changes_nothing,
    a_merge_patch_with_an_old_version_conflicts,
    a_list_selects_and_names_the_kind_of_its_items,
    a_watch_tells_what_enters_changes_and_leaves_its_selection,
    a_watch_with_initial_events_marks_their_end,
    a_watch_from_a_version_that_is_too_old_is_gone,
    a_watch_ends_when_its_time_is_over,
)
