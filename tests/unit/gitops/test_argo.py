"""What Argo CD is given beside health: actions, and quantities that are equal in other words."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.fakes.argo import CUSTOMIZATIONS, act, discover, health, read
from tools.gen.__main__ import ROOT
from tools.gen.argocd import argocd_config_map, quantity_fields
from xvirt.model.kinds import BY_NAME, KINDS
from xvirt.model.quantity import ByteSize

ACTIONS = CUSTOMIZATIONS / "xvirt.io" / "VirtualMachine" / "actions"
CONFIG = yaml.safe_load((ROOT / "deploy/argocd/argocd-cm.yaml").read_text())["data"]


@pytest.mark.parametrize("case", read(ACTIONS / "action_test.yaml")["actionTests"], ids=lambda case: case["action"])
def test_an_action_changes_the_run_strategy_and_nothing_else(case: Any) -> None:
    before, after = read(ACTIONS / case["inputPath"]), read(ACTIONS / case["expectedOutputPath"])
    script = (ACTIONS / case["action"] / "action.lua").read_text()
    assert act(script, before) == after
    assert {**before, "spec": {}} == {**after, "spec": {}}


@pytest.mark.parametrize(
    "case", read(ACTIONS / "action_test.yaml")["discoveryTests"], ids=lambda case: case["inputPath"]
)
def test_an_action_that_would_change_nothing_is_disabled(case: Any) -> None:
    script = (ACTIONS / "discovery.lua").read_text()
    expected = {item["name"]: item["disabled"] for item in case["result"]}
    assert discover(script, read(ACTIONS / case["inputPath"])) == expected


def test_the_config_map_holds_the_scripts_as_they_are() -> None:
    assert argocd_config_map(ROOT)["data"] == CONFIG
    script = (CUSTOMIZATIONS / "xvirt.io" / "_" / "health.lua").read_text()
    assert {CONFIG[f"resource.customizations.health.xvirt.io_{kind.name}"] for kind in KINDS} == {script}
    actions = yaml.safe_load(CONFIG["resource.customizations.actions.xvirt.io_VirtualMachine"])
    assert actions["discovery.lua"] == (ACTIONS / "discovery.lua").read_text()
    for item in actions["definitions"]:
        assert item["action.lua"] == (ACTIONS / item["name"] / "action.lua").read_text()


def test_every_quantity_of_a_spec_is_named_to_argo_cd() -> None:
    listed = yaml.safe_load(CONFIG["resource.customizations.knownTypeFields.xvirt.io_VirtualMachine"])
    assert {item["type"] for item in listed} == {"core/Quantity"}
    fields = [item["field"] for item in listed]
    assert fields == list(quantity_fields(BY_NAME["VirtualMachine"].spec, "spec"))
    assert {"spec.memory.size", "spec.memory.max", "spec.disks.source.size"} <= set(fields)
    assert ByteSize("2Gi") == ByteSize("2048Mi")


def test_a_script_sees_neither_files_nor_programs() -> None:
    for name in ("io", "os", "require", "dofile", "python"):
        found = health(f"return {{status = type({name}), message = ''}}", {"metadata": {}})
        assert found["status"] == "nil", name
