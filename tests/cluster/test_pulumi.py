"""What Pulumi programs declare with target="cluster": a real API server takes it as it is, and xVirt's operator makes it so."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.operators import Machines, OperatorProcess, OperatorSpec, kubeconfig_of_operator, running
from tests.unit.provider.programs import Registered, run_program
from tests.unit.provider.test_programs import ALL
from tools.cluster.api import Api, Json
from tools.cluster.controlplane import ControlPlane
from tools.cluster.fakehosts import FakeHosts
from xvirt.model.codec import normalise
from xvirt_provider import Options, VirtualMachine

MANAGER = "pulumi-kubernetes"


def documents(program: Callable[[], None], namespace: str) -> list[Json]:
    """All that a program would have pulumi-kubernetes send, in its order."""
    found = run_program(program, config={"target": "cluster", "namespace": namespace}, outputs={"status": {}})
    return [_document(item) for item in found]


def _document(item: Registered) -> Json:
    if item.inputs["kind"] == "Secret":
        return item.inputs
    return item.document


@pytest.mark.parametrize("kind", sorted(ALL))
def test_row_100_the_api_server_takes_each_kind_as_a_program_declares_it(api: Api, namespace: str, kind: str) -> None:
    declare: Any = ALL[kind]
    sent = documents(lambda: declare(**({"namespace": namespace} if kind == "VirtualNetwork" else {})), namespace)
    try:
        stored = [api.apply(document, manager=MANAGER, fieldValidation="Strict") for document in sent]
        made, asked = stored[-1], sent[-1]
        assert normalise({**made, "metadata": asked["metadata"]}) == normalise(asked)
        assert made["metadata"]["annotations"] == asked["metadata"]["annotations"]
        again = [api.apply(document, manager=MANAGER, fieldValidation="Strict") for document in sent]
        assert [_content(item) for item in again] == [_content(item) for item in stored]
    finally:
        api.delete(sent[-1])


def _content(item: Json) -> Json:
    """What an object says, and how often that has changed."""
    told = {key: value for key, value in item.items() if key != "metadata"}
    return {**told, "generation": item["metadata"].get("generation"), "uid": item["metadata"]["uid"]}


@pytest.fixture(scope="module")
def operator(
    installed: ControlPlane, hosts: FakeHosts, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    spec = OperatorSpec(
        directory=tmp_path_factory.mktemp("operator"), kubeconfig=kubeconfig_of_operator(installed), pki=hosts.pki
    )
    with running(spec) as process:
        yield process


@pytest.mark.usefixtures("operator")
def test_row_100_the_machine_of_a_program_runs_and_what_pulumi_waits_for_comes(machines: Machines) -> None:
    def program(wait_for: Any = None) -> None:
        VirtualMachine(
            "web",
            memory={"size": "64Mi"},
            cloud_init={"user_data": {"inline": "#cloud-config\n"}},
            options=Options(wait_for=wait_for),
        )

    for document in documents(program, machines.namespace):
        machines.api.apply(document, manager=MANAGER, fieldValidation="Strict")
    for wait_for in ("ready", "running", "defined"):
        annotations = documents(functools.partial(program, wait_for), machines.namespace)[-1]["metadata"]
        for expression in _expressions(annotations["annotations"]["pulumi.com/waitFor"]):
            machines.kubectl("wait", f"--for={expression}", "vm/web", "--timeout=60s")
    machines.delete("web")
    machines.wait_gone("web")


def _expressions(annotation: str) -> list[str]:
    """kubectl wait has the same words, one at a time."""
    return list(json.loads(annotation)) if annotation.startswith("[") else [annotation]
