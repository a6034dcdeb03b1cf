"""Flux's own kustomize-controller over our kinds: it waits for what is not ready, and nothing that it does loses a disk."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.deployment import disk, machine
from tests.gitops.flux import TIMEOUT_S, Flux, Repository
from tools.cluster.api import Api, Json
from tools.cluster.services import wait_for

PROTECTION = "xvirt.io/deletion-protection"
Make = Callable[..., Repository]


@pytest.fixture
def repository(flux: Flux, namespace: str) -> Iterator[Make]:
    made: list[Repository] = []

    def make(**options: Any) -> Repository:
        made.append(Repository(flux, namespace, **options))
        return made[-1]

    yield make
    for item in made:
        item.stop()


def protected(document: Json, value: str = "true") -> Json:
    changed = copy.deepcopy(document)
    changed["metadata"].setdefault("annotations", {})[PROTECTION] = value
    return changed


def say(api: Api, document: Json, **conditions: str) -> None:
    """Write a status as the operator does, for the newest generation."""
    generation = api.read(document)["metadata"]["generation"]
    items = [
        {"type": kind, "status": value, "reason": "Said", "message": f"{kind} is {value}"}
        | {"lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": generation}
        for kind, value in conditions.items()
    ]
    body = {key: document[key] for key in ("apiVersion", "kind", "metadata")}
    status = {"observedGeneration": generation, "conditions": items}
    api.apply_status({**body, "status": status}, manager="xvirt-operator")


def uid(api: Api, document: Json) -> str:
    return str(api.read(document)["metadata"]["uid"])


def test_row_101_flux_waits_for_a_fresh_machine_until_it_is_ready(api: Api, namespace: str, repository: Make) -> None:
    """kstatus takes an object without a status for ready; ours say from the first moment that nobody has seen them."""
    vm = machine(namespace)
    infra = repository(wait=True)
    revision = infra.push({"vm": vm})
    assert "InProgress" in infra.refused(revision, "timeout waiting for")
    say(api, vm, Ready="False", Reconciling="True", Stalled="False")
    infra.refused(revision, "InProgress")
    say(api, vm, Ready="True", Reconciling="False", Stalled="False")
    infra.applied(revision)


def test_row_101_a_stalled_machine_ends_the_wait_early(api: Api, namespace: str, repository: Make) -> None:
    vm = machine(namespace)
    infra = repository(wait=True, timeout="30s")
    revision = infra.push({"vm": vm})
    wait_for(lambda: api.find(vm) is not None, TIMEOUT_S, "the machine to be applied")
    say(api, vm, Ready="False", Reconciling="False", Stalled="True")
    assert "stalled" in infra.refused(revision, "Failed")


def test_row_101_a_change_is_waited_for_though_the_older_generation_was_ready(
    api: Api, namespace: str, repository: Make
) -> None:
    vm = machine(namespace)
    infra = repository(wait=True)
    first = infra.push({"vm": vm})
    wait_for(lambda: api.find(vm) is not None, TIMEOUT_S, "the machine to be applied")
    say(api, vm, Ready="True", Reconciling="False", Stalled="False")
    infra.applied(first)
    second = infra.push({"vm": machine(namespace, runStrategy="Halted")})
    infra.refused(second, "InProgress")
    say(api, vm, Ready="True", Reconciling="False", Stalled="False")
    infra.applied(second)


def test_row_101_an_edit_by_hand_is_taken_back_and_git_is_all_that_stands_in_the_spec(
    api: Api, namespace: str, repository: Make
) -> None:
    vm = machine(namespace)
    infra = repository()
    infra.applied(infra.push({"vm": vm}))
    before = api.read(vm)
    api.apply({**vm, "spec": {"runStrategy": "Halted"}}, manager="kubectl", force=True)
    infra.sync()
    wait_for(lambda: api.read(vm)["spec"] == before["spec"], TIMEOUT_S, "the edit to be taken back")
    assert uid(api, vm) == before["metadata"]["uid"]


def test_row_101_what_git_has_no_more_is_pruned_and_what_is_protected_stays(
    api: Api, namespace: str, repository: Make
) -> None:
    kept, gone = protected(disk(namespace, "kept")), disk(namespace, "gone")
    infra = repository()
    infra.applied(infra.push({"kept": kept, "gone": gone, "vm": machine(namespace)}))
    before = uid(api, kept)
    revision = infra.push({"vm": machine(namespace)})
    said = infra.refused(revision, PROTECTION)
    assert f"kubectl annotate virtualdisks.xvirt.io -n {namespace} kept {PROTECTION}-" in said
    assert api.find(gone) is None
    assert uid(api, kept) == before
    infra.applied(revision)  # Flux says it once, and lets go of what it could not delete
    assert uid(api, kept) == before
    api.merge(kept, {"metadata": {"annotations": {PROTECTION: None}}})
    api.delete(kept)


FIXED_CHANGE = {"pool": "fast"}
"""Of a field that never changes, so that the API server calls the object Invalid."""


def test_row_101_force_deletes_and_creates_what_it_cannot_change_but_never_what_is_protected(
    api: Api, namespace: str, repository: Make
) -> None:
    kept, plain = protected(disk(namespace, "kept")), disk(namespace, "plain")
    infra = repository(force=True)
    infra.applied(infra.push({"kept": kept, "plain": plain}))
    before = {name: uid(api, document) for name, document in (("kept", kept), ("plain", plain))}
    moved = copy.deepcopy(plain)
    moved["spec"] |= FIXED_CHANGE
    infra.applied(infra.push({"kept": kept, "plain": moved}))
    assert uid(api, plain) != before["plain"]
    moved = copy.deepcopy(kept)
    moved["spec"] |= FIXED_CHANGE
    infra.refused(infra.push({"kept": moved, "plain": plain}), PROTECTION)
    assert uid(api, kept) == before["kept"]
    api.merge(kept, {"metadata": {"annotations": {PROTECTION: None}}})


def test_row_101_a_policy_does_not_make_force_delete_a_machine(api: Api, namespace: str, repository: Make) -> None:
    """Force takes what is Invalid for an immutable field; a policy's refusal is Forbidden."""
    vm = machine(namespace)
    infra = repository(force=True)
    infra.applied(infra.push({"vm": vm}))
    before = uid(api, vm)
    infra.refused(
        infra.push({"vm": machine(namespace, {"devices": {"emulator": "/bin/sh"}})}), "policy profile restricted"
    )
    assert uid(api, vm) == before


def test_row_101_the_operators_finalizer_and_status_are_no_drift(api: Api, namespace: str, repository: Make) -> None:
    vm = machine(namespace)
    infra = repository(wait=True)
    revision = infra.push({"vm": vm})
    wait_for(lambda: api.find(vm) is not None, TIMEOUT_S, "the machine to be applied")
    api.merge(vm, {"metadata": {"finalizers": ["xvirt.io/operator"]}})
    say(api, vm, Ready="True", Reconciling="False", Stalled="False")
    infra.applied(revision)
    before = api.read(vm)["metadata"]
    infra.sync()
    after = api.read(vm)["metadata"]
    assert (after["generation"], after["resourceVersion"]) == (before["generation"], before["resourceVersion"])
    api.merge(vm, {"metadata": {"finalizers": []}})
