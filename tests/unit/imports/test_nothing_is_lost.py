"""Whatever stands in a document comes over or is told by its path."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xvirt.imports.documents import System, find_system, read_documents
from xvirt.imports.source import Ledger
from xvirt.model.documents import load_documents
from xvirt.model.errors import InvalidSpec
from xvirt.model.wording import join

FOLDER = Path(__file__).resolve().parents[2] / "golden" / "imports"
DOCUMENTS = [
    item.document for path in sorted(FOLDER.glob("*.in.*")) for item in load_documents(path.read_text(), path.name)
]
ALIEN = "alienKey"
OPAQUE = re.compile(
    r"^(status|metadata|lineage|outputs|spec\.template\.metadata|spec\.dataVolumeTemplates\[\d+\]\.metadata|stringData)"
    r"|(nodeSelector|labels|annotations)$"
)
"""What is copied whole, or is no part of what was declared."""
SAID = re.compile(r"(rng|tpm|blank|upload|apic|acpi|masquerade|bridge|sriov|guestAgentPing|tolerationSeconds)$")
"""Maps that hold nothing in their own system: that they are there is what they say."""


def maps(value: Any, path: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Every map of a document with its path, itself included."""
    if isinstance(value, dict):
        return [(path, value), *(found for key, item in value.items() for found in maps(item, join(path, key)))]
    if isinstance(value, list):
        return [found for number, item in enumerate(value) for found in maps(item, join(path, number))]
    return []


def told(documents: list[dict[str, Any]]) -> list[str]:
    """Paths that are told as not taken over, or with another meaning."""
    imported = read_documents(documents, ())
    return [problem.path for report in imported.reports for problem in (*report.unmapped, *report.notes)]


@pytest.mark.parametrize("number", range(len(DOCUMENTS)))
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_key_that_nobody_knows_is_told_wherever_it_stands(number: int, data: st.DataObject) -> None:
    document = copy.deepcopy(DOCUMENTS[number])
    if find_system(document) in (None, System.TERRAFORM):
        return
    places = [item for item in maps(document) if not OPAQUE.search(item[0]) and not SAID.search(item[0])]
    path, place = data.draw(st.sampled_from(places))
    place[ALIEN] = {"deep": 1}
    paths = told([document])
    assert "kind" in paths or any(join(path, ALIEN).startswith(found) for found in paths), (path, paths)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_an_attribute_of_a_state_that_nobody_knows_is_told(data: st.DataObject) -> None:
    state = copy.deepcopy(next(item for item in DOCUMENTS if find_system(item) is System.TERRAFORM))
    resources = [
        item for item in state["resources"] if item["type"] in ("libvirt_domain", "libvirt_volume", "libvirt_network")
    ]
    attributes = data.draw(st.sampled_from(resources))["instances"][0]["attributes"]
    place = data.draw(
        st.sampled_from([item for path, item in maps(attributes) if not re.search(r"console|nvram", path)])
    )
    place[ALIEN] = "x"
    assert any(path.endswith(ALIEN) or path == "xml" for path in told([state]))


def test_the_same_map_entered_twice_is_read_once() -> None:
    ledger = Ledger("x")
    source = ledger.open({"a": {"b": 1, "c": 2, "d": None}, "e": 3})
    assert source.enter("a") is source.enter("a")
    source.enter("a").take("b")
    ledger.close()
    assert [problem.path for problem in ledger.unmapped] == ["a.c", "e"]


@pytest.mark.parametrize(
    "document",
    [
        {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": "x"}, "spec": {"template": 7}},
        {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": "x"}, "spec": {"template": {"spec": {"volumes": {}}}}},
        {"apiVersion": "doslab.io/v1", "kind": "VirtualMachineDisk", "metadata": {"name": "x"}, "spec": {"lifecycle": {"createDisk": {"capacity": "ten"}}}},
        {"apiVersion": "doslab.io/v1", "kind": "VirtualMachineDisk", "metadata": {"name": "x"}, "spec": {"lifecycle": [1]}},
        {"version": 3, "terraform_version": "0.11", "resources": []},
        {"apiVersion": "apps/v1", "kind": "Deployment"},
    ],
    ids=["template", "volumes", "capacity", "lifecycle", "state", "strange"],
)  # fmt: skip
def test_what_is_of_the_wrong_form_is_refused_with_its_path(document: dict[str, Any]) -> None:
    with pytest.raises(InvalidSpec) as caught:
        read_documents([document], ())
    assert caught.value.problems[0].path


def test_what_comes_out_is_valid_or_nothing_comes_out() -> None:
    machine = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": "x"},
        "spec": {"template": {"spec": {"domain": {"memory": {"guest": "1Ki"}}}}},
    }
    with pytest.raises(InvalidSpec, match="as it would be declared"):
        read_documents([machine], ())
