"""Every phase that the operator writes, before kstatus and Argo CD."""

from __future__ import annotations

import pytest
import yaml

from tests.fakes.argo import health, read
from tests.fakes.kstatus import Kstatus, judge
from tests.unit.gitops.phases import FOLDER, PHASES, file_of, record

EVERY_PHASE = pytest.mark.parametrize("name", PHASES)
SCRIPT = (FOLDER / "health.lua").read_text()
SAME = {
    "Healthy": {Kstatus.CURRENT},
    "Degraded": {Kstatus.FAILED},
    "Progressing": {Kstatus.IN_PROGRESS, Kstatus.TERMINATING},
    "Unknown": {Kstatus.IN_PROGRESS},
}
"""What Argo CD's words are in kstatus's: Unknown holds a sync up as Progressing does."""


@EVERY_PHASE
def test_row_101_the_operator_still_writes_what_was_recorded(name: str) -> None:
    recorded = read(file_of(name))
    assert record(PHASES[name]) == recorded, "record the phases anew: python -m tests.unit.gitops.phases"


@EVERY_PHASE
def test_row_101_kstatus_is_right_in_each_phase(name: str) -> None:
    assert judge(read(file_of(name)))[0] is PHASES[name].kstatus


@EVERY_PHASE
def test_row_101_argo_cds_health_is_right_in_each_phase_and_agrees_with_kstatus(name: str) -> None:
    found = health(SCRIPT, read(file_of(name)))
    assert found["status"] == PHASES[name].argo
    assert PHASES[name].kstatus in SAME[found["status"]]
    assert found["message"]


def test_argo_cds_own_list_of_tests_is_of_the_same_phases_and_passes() -> None:
    tests = yaml.safe_load((FOLDER / "health_test.yaml").read_text())["tests"]
    assert {item["inputPath"] for item in tests} == {f"testdata/{name}.yaml" for name in PHASES}
    for item in tests:
        assert health(SCRIPT, read(FOLDER / item["inputPath"])) == item["healthStatus"]


def test_nothing_is_recorded_that_is_no_phase() -> None:
    assert {path.stem for path in (FOLDER / "testdata").iterdir()} == set(PHASES)


@EVERY_PHASE
def test_row_101_every_condition_says_of_which_generation_it_is(name: str) -> None:
    status = read(file_of(name))["status"]
    generations = {item["observedGeneration"] for item in status.get("conditions", ())}
    assert len(generations) <= 1
    assert name in ("machine_fresh", "machine_not_seen_yet") or generations == {
        read(file_of(name))["metadata"]["generation"]
    }


def test_row_101_nothing_of_a_phase_is_written_into_the_spec() -> None:
    for name, phase in PHASES.items():
        if name.startswith("machine") and phase.kstatus is not Kstatus.TERMINATING:
            document = read(file_of(name))
            assert set(document["metadata"]) <= {
                *("name", "namespace", "uid", "generation", "creationTimestamp", "finalizers")
            }
            assert set(document["spec"]) <= {
                *("cpu", "memory", "runStrategy", "machine", "disks", "readinessProbe", "domain")
            }
