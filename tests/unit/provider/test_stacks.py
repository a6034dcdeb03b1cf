"""The stacks and the example, run by Pulumi's SDK: what each of them would declare."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from tests.unit.provider.programs import Registered, run_program
from xvirt.model.validation import validate
from xvirt_provider import core
from xvirt_provider.fleet import FLEET

ROOT = Path(__file__).resolve().parents[3]
STACKS, EXAMPLE = ROOT / "stacks", ROOT / "examples" / "10-pulumi"
IMAGE = {"image": "/var/lib/xvirt/images/guest.qcow2"}
STATUS = {"status": {}, "address": "192.0.2.7", "host": "node-a"}
find_program = runpy.run_path(str(STACKS / "__main__.py"))["find_program"]


def run_stack(name: str, config: dict[str, str], own: dict[str, str] | None = None) -> list[Registered]:
    """What a stack's program registers."""
    program = find_program(name)
    return run_program(lambda: _run(program), config=own, project_config=config, outputs=STATUS)


def _run(program: Path) -> None:
    runpy.run_path(str(program), run_name="__main__")


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The example's program, whose own module can be imported."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    yield EXAMPLE / "__main__.py"
    sys.modules.pop("web_tier", None)


def documents(found: list[Registered]) -> list[dict[str, Any]]:
    """Of all that are declared, each valid."""
    made = [item.document for item in found if "xvirt" in item.type and not item.type.startswith("examples:")]
    for document in made:
        assert not validate(document), validate(document)
    return made


def test_row_99_the_example_is_whole_and_as_large_as_it_is_told(example: Path) -> None:
    for replicas in (1, 2, 5):
        config = {**IMAGE, "replicas": str(replicas)}
        found = run_program(lambda: _run(example), project_config=config, outputs=STATUS)
        made = documents(found)
        machines = [item for item in made if item["kind"] == "VirtualMachine"]
        network = next(item for item in made if item["kind"] == "VirtualNetwork")
        assert len(machines) == replicas + 1
        assert len(network["spec"]["dns"]["hosts"]) == replicas
        macs = {lease["mac"] for lease in network["spec"]["subnets"][0]["dhcp"]["hosts"]}
        assert macs == {item["spec"]["nics"][0]["mac"] for item in machines}
        assert len(macs) == replicas + 1
        assert "httpd" not in json.dumps(made)


def test_row_99_a_server_more_leaves_the_others_of_the_example_as_they_are(example: Path) -> None:
    runs = [
        {
            item.name: item.inputs
            for item in run_program(lambda: _run(example), project_config={**IMAGE, **more}, outputs=STATUS)
        }
        for more in ({"replicas": "2"}, {"replicas": "3"})
    ]
    kept = runs[0].keys() & runs[1].keys()
    changed = {
        name for name in kept if runs[0][name].get("kind") and core.compare(runs[0][name], runs[1][name]).is_changed
    }
    assert changed == {"shop"}


def test_row_99_the_stack_of_one_host_is_valid() -> None:
    made = documents(run_stack("single-host", {**IMAGE, "machines": "3"}))
    # The order in which independent resources are registered is the event loop's own.
    assert sorted(item["metadata"]["name"] for item in made) == ["guest", "lan", "vm-1", "vm-2", "vm-3"]


def test_row_99_the_fleets_stack_gives_each_host_what_it_needs_and_spreads_machines() -> None:
    nodes = [{"address": f"tcp://10.0.0.{number}:7443", "nodeName": f"node-{number}"} for number in (1, 2)]
    found = run_stack("fleet.prod", {**IMAGE, "machines": "3"}, {"nodes": json.dumps(nodes)})
    assert len(documents(found)) == 2 * 2 + 3 * 2
    placed = {item.name: item.inputs["node"] for item in found if item.inputs.get("node")}
    assert placed["lan@node-2"]["nodeName"] == "node-2"
    assert placed["vm-2"] == placed["vm-2-data"]
    assert len(placed["vm-2"][FLEET]) == 2
    assert placed["vm-2"]["group"] == "vm-2"


def test_row_100_the_clusters_stack_declares_custom_resources_and_secrets() -> None:
    found = run_stack("cluster", {"image": "https://example.org/debian.qcow2", "namespace": "shop"})
    assert sorted(item.type for item in found) == [
        "kubernetes:core/v1:Secret",
        "kubernetes:xvirt.io/v1alpha1:VirtualImage",
        "kubernetes:xvirt.io/v1alpha1:VirtualMachine",
        "kubernetes:xvirt.io/v1alpha1:VirtualNetwork",
    ]
    made = documents(found)
    assert {item["metadata"]["namespace"] for item in made} == {"shop"}
    (machine,) = (item for item in made if item["kind"] == "VirtualMachine")
    assert machine["spec"]["cloudInit"]["userData"] == {"secret": "vm-1-cloud-init", "key": "userData"}


def test_row_74_the_install_stack_sends_what_deploy_holds() -> None:
    found = run_stack("install", {})
    assert [(item.type, item.name) for item in found] == [("kubernetes:kustomize/v2:Directory", "default")]
    assert (Path(found[0].inputs["directory"]) / "kustomization.yaml").is_file()
    with pytest.raises(pulumi.RunError, match="parts: coffee is none of deploy/kustomize; use base, default"):
        run_stack("install", {"parts": '["coffee"]'})


def test_a_stack_is_named_after_its_program() -> None:
    assert find_program("single-host.test") == STACKS / "single-host" / "single_host.py"
    with pytest.raises(
        pulumi.RunError, match="no program is called dev; name the stack cluster, fleet, install, single-host"
    ):
        find_program("dev")


def test_each_stack_says_what_to_do_and_what_is_seen() -> None:
    project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    assert (ROOT / project["main"] / "__main__.py").is_file()
    for program in (path for path in STACKS.iterdir() if path.is_dir() and path.name != "__pycache__"):
        text = (program / "README.md").read_text()
        assert f"pulumi stack init {program.name}" in text, program
        assert text.startswith("# ")
