"""The lease on the real API server, with real processes that are stopped, cut off and told to go."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.lease_writer import LEASE, LOST, TARGET
from tools.cluster.api import Api, Json
from tools.cluster.controlplane import ControlPlane
from tools.cluster.services import wait_for
from tools.controlplane import Part

ROOT = Path(__file__).resolve().parents[2]
_WAIT_S = 30.0
_ROUNDS = 3

Start = Callable[[str], subprocess.Popen[bytes]]


@pytest.fixture
def start(control_plane: ControlPlane, namespace: str, api: Api) -> Iterator[Start]:
    """Starts a writer; all end with the test."""
    started: list[subprocess.Popen[bytes]] = []
    api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": TARGET, "namespace": namespace}})

    def begin(identity: str) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", "tests.cluster.lease_writer", str(control_plane.kubeconfig), namespace, identity]
        started.append(subprocess.Popen(argv, cwd=ROOT))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait(_WAIT_S)


def _target(namespace: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": TARGET, "namespace": namespace}}


def _writer(api: Api, namespace: str) -> str:
    return str((api.read(_target(namespace)).get("data") or {}).get("writer", ""))


def _wait_for_writer(api: Api, namespace: str, identity: str) -> None:
    wait_for(lambda: _writer(api, namespace) == identity, _WAIT_S, f"{identity} to write")


def _writes_since(api: Api, namespace: str, version: str) -> list[Json]:
    """Each version of the target after one, by a watch that ends by itself."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    text = api.text(f"{path}?watch=1&timeoutSeconds=1&resourceVersion={version}&fieldSelector=metadata.name={TARGET}")
    return [json.loads(line)["object"]["data"] for line in text.splitlines()]


def test_fault_13_a_leader_stopped_past_its_lease_writes_nothing_after_waking(
    api: Api, namespace: str, start: Start
) -> None:
    leader = start("writer-0")
    _wait_for_writer(api, namespace, "writer-0")
    for number in range(1, _ROUNDS + 1):
        following = start(f"writer-{number}")
        leader.send_signal(signal.SIGSTOP)
        _wait_for_writer(api, namespace, f"writer-{number}")
        version = api.read(_target(namespace))["metadata"]["resourceVersion"]
        leader.send_signal(signal.SIGCONT)
        assert leader.wait(_WAIT_S) == LOST
        writes = _writes_since(api, namespace, version)
        # One thread writes: where it is stopped right between the guard and the socket, that one request leaves when it wakes. Nothing
        # before an API server can tell it from a timely one; a leader that did not look would write dozens.
        late = [data for data in writes if data["writer"] != f"writer-{number}"]
        assert len(late) <= 1
        assert len(writes) > 5
        assert {data["epoch"] for data in writes if data not in late} == {str(number + 1)}
        leader = following


def test_fault_13_a_leader_that_gets_no_answer_ends_by_its_deadline(
    control_plane: ControlPlane, api: Api, namespace: str, start: Start
) -> None:
    leader = start("writer-0")
    _wait_for_writer(api, namespace, "writer-0")
    control_plane.services.freeze(Part.API_SERVER)
    try:
        assert leader.wait(4.0) == LOST
    finally:
        control_plane.services.thaw(Part.API_SERVER)


def test_a_leader_that_is_told_to_go_lets_another_begin_at_once(api: Api, namespace: str, start: Start) -> None:
    leader = start("writer-0")
    _wait_for_writer(api, namespace, "writer-0")
    leader.send_signal(signal.SIGTERM)
    assert leader.wait(_WAIT_S) == 0
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": LEASE, "namespace": namespace},
    }
    assert not api.read(lease)["spec"].get("holderIdentity")
    start("writer-1")
    _wait_for_writer(api, namespace, "writer-1")
    assert api.read(lease)["spec"]["leaseTransitions"] == 2
