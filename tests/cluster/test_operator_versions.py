"""Objects that another release's kinds allowed and another release's operator wrote, before this operator on the real API server."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.operators import Machines, OperatorProcess, where
from tools.cluster.api import Api, ApiRefused, Json, collection_path
from tools.cluster.fakehosts import FakeHosts
from tools.cluster.install import crd_documents
from tools.cluster.services import wait_for

pytestmark = pytest.mark.usefixtures("operator")

MANAGER = "xvirt-operator"
ANYTHING: Json = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
PATIENCE_S = 60.0
COLLECTION = {"api_version": "xvirt.io/v1alpha1", "kind": "VirtualMachine", "namespace": ""}


@contextlib.contextmanager
def other_kind(api: Api, probe: Json, change: Callable[[Json], None]) -> Iterator[None]:
    """VirtualMachines as another release declares them, until the block is left. `probe`: a document that tells it is served: this
    release's kind does not take it."""
    ours = next(item for item in crd_documents() if item["spec"]["names"]["kind"] == "VirtualMachine")
    theirs = copy.deepcopy(ours)
    change(theirs["spec"]["versions"][0])

    def is_taken() -> bool:
        try:
            api.create(probe, dryRun="All", fieldValidation="Strict")
        except ApiRefused:
            return False
        return True

    api.replace({**theirs, "metadata": api.read(ours)["metadata"]})
    try:
        wait_for(is_taken, PATIENCE_S, "the other kind to be served")
        yield
    finally:
        api.replace({**ours, "metadata": api.read(ours)["metadata"]})
        wait_for(lambda: not is_taken(), PATIENCE_S, "our kind to be served again")
        wait_for(lambda: api.answers(collection_path(**COLLECTION)), PATIENCE_S, "lists of it to be answered")


def put_status(api: Api, document: Json, status: Any) -> None:
    api.call("PUT", f"{api.path_of(document)}/status", {**api.read(document), "status": status})


def be_lax(version: Json) -> None:
    """Take anything for a spec, and for a status."""
    properties = version["schema"]["openAPIV3Schema"]["properties"]
    properties["spec"] = properties["status"] = ANYTHING
    del version["selectableFields"]


STRANGE_SPEC: Json = {
    "memory": ["much"],
    "cpu": "some",
    "placement": "there",
    "disks": {"root": 1},
    "cloudInit": {"userData": ["x"]},
}
STRANGE_STATUSES: dict[str, Json] = {
    "conditions": {"conditions": "fine", "observedGeneration": 1},
    "host": {"nodeName": ["host-a"], "uuid": 7, "observedGeneration": "one"},
    "parts": {"conditions": [{"type": "Ready"}, {"status": "True", "type": "Reconciling"}], "disks": "none"},
}


def test_fault_12_what_a_laxer_kind_let_in_leaves_others_alone_and_recovers_when_it_is_mended(
    machines: Machines, hosts: FakeHosts, operator: OperatorProcess
) -> None:
    api = machines.api
    poison = machines.document("poison")
    with other_kind(api, {**poison, "spec": STRANGE_SPEC}, be_lax):
        api.create({**poison, "spec": STRANGE_SPEC})
        for name, status in STRANGE_STATUSES.items():
            machines.create(f"strange-{name}")
            put_status_at_last(machines, f"strange-{name}", status)
    operator.stop()
    operator.start()
    machines.create("well")
    machines.wait_running("well")
    machines.change("well", runStrategy="Halted")
    machines.until(lambda: machines.status("well").get("powerState") == "Stopped", "the others to be worked on")
    mended = machines.document("poison")["spec"]
    api.replace({**api.read(poison), "spec": mended})
    machines.wait_running("poison")
    for name in STRANGE_STATUSES:
        put_status_at_last(machines, f"strange-{name}", None)
    machines.wait_running(*(f"strange-{name}" for name in STRANGE_STATUSES))
    for name in machines.names():
        uid = machines.read(name)["metadata"]["uid"]
        assert where(hosts, uid) == ([] if name == "well" else [machines.host_of(name)])


def put_status_at_last(machines: Machines, name: str, status: Any) -> None:
    """The operator writes, too: whoever was first is repeated."""

    def is_put() -> bool:
        try:
            put_status(machines.api, machines.document(name), status)
        except ApiRefused as error:
            if error.code != 409:
                raise
            return False
        return True

    machines.until(is_put, f"the status of {name} to be written")


def be_later(version: Json) -> None:
    """A field of the spec, two of the status, and a condition that this release does not know."""
    properties = version["schema"]["openAPIV3Schema"]["properties"]
    properties["spec"]["properties"]["turbo"] = {"type": "boolean"}
    status = properties["status"]["properties"]
    status["fencing"] = status["audit"] = ANYTHING
    status["conditions"]["items"]["properties"]["type"]["enum"].append("Fenced")


FENCING: Json = {"armed": True, "devices": ["ipmi"]}
FENCED: Json = {
    "type": "Fenced",
    "status": "False",
    "reason": "Armed",
    "message": "",
    "observedGeneration": 1,
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}


def write_as_a_later_operator(machines: Machines, name: str) -> None:
    """Under the operator's own name, and all that it has to say, as an apply must; another part of that release has a name of its own."""
    api = machines.api
    document = machines.document(name)
    del document["spec"]
    annotated = {**document, "metadata": {**document["metadata"], "annotations": {"xvirt.io/later": "kept"}}}
    api.apply(annotated, manager=MANAGER)
    status = machines.status(name)
    whole = {**status, "fencing": FENCING, "conditions": [*status["conditions"], FENCED]}
    api.apply_status({**document, "status": whole}, manager=MANAGER)
    api.apply_status({**document, "status": {"audit": {"by": "later"}}}, manager="xvirt-later")


def assert_kept(machines: Machines, name: str) -> None:
    item = machines.read(name)
    assert item["status"]["fencing"] == FENCING
    assert item["status"]["audit"] == {"by": "later"}
    assert FENCED in item["status"]["conditions"]
    assert item["metadata"]["annotations"]["xvirt.io/later"] == "kept"
    assert item["metadata"]["finalizers"] == ["xvirt.io/operator"]


def test_fault_23_what_a_later_release_has_written_stays_and_what_nobody_knows_yet_is_refused(
    machines: Machines, hosts: FakeHosts, operator: OperatorProcess
) -> None:
    api = machines.api
    uid = machines.create("web")
    machines.wait_running("web")
    host = machines.host_of("web")
    holders = [pod["metadata"]["uid"] for pod in machines.holders("web")]
    probe = machines.document("probe", turbo=True)
    with other_kind(api, probe, be_later):
        # A watch that began before a kind was changed shows objects as that kind was: who comes after a later release has none.
        operator.stop()
        write_as_a_later_operator(machines, "web")
        operator.start()
        for strategy, state in (("Halted", "Stopped"), ("Always", "Running")):
            machines.change("web", runStrategy=strategy)
            machines.until(lambda state=state: machines.status("web").get("powerState") == state, f"web: {state}")  # type: ignore[misc]
            assert_kept(machines, "web")
        machines.change("web", turbo=True)
        machines.until(lambda: machines.condition("web", "Stalled").get("status") == "True", "the field to be refused")
        assert "spec.turbo" in machines.condition("web", "Stalled")["message"]
        assert machines.read("web")["spec"]["turbo"] is True
        assert where(hosts, uid) == [host]
        machines.change("web", turbo=None)
        machines.until(lambda: machines.condition("web", "Stalled").get("status") == "False", "the field to be gone")
        machines.wait_running("web")
        assert_kept(machines, "web")
    machines.change("web", terminationGracePeriodSeconds=7)
    generation = machines.read("web")["metadata"]["generation"]
    machines.until(lambda: machines.status("web").get("observedGeneration") == generation, "the change to be told")
    assert machines.is_ready("web")
    assert not {"fencing", "audit"} & set(machines.status("web"))
    assert where(hosts, uid) == [host]
    assert [pod["metadata"]["uid"] for pod in machines.holders("web")] == holders
