"""Our kinds, as the API server and kubectl see them."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.documents import MACHINE_IN_20_LINES, STRICT, declare, is_namespaced
from tests.cluster.kubectl import Kubectl
from tests.unit.model.specimens import fields
from tools.cluster.api import Api, Json
from tools.cluster.services import wait_for
from xvirt.model.kinds import KINDS, Kind

EVERY_KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
SPECS: dict[str, Any] = {
    "StoragePool": {"path": "/var/lib/pool"},
    "VirtualNetwork": {"mode": "Isolated"},
    "VirtualImage": {"source": {"path": "/images/a.qcow2"}},
    "VirtualDisk": {"size": "1Gi"},
    "VirtualMachine": {"memory": {"size": "1Gi"}},
    "VirtualHost": {},
}


@pytest.fixture
def made(api: Api, namespace: str) -> Iterator[dict[str, Json]]:
    """One object of each kind, as it was read back."""
    documents = {kind: declare(kind, f"fresh-{namespace}", namespace, spec) for kind, spec in SPECS.items()}
    yield {kind: api.create(document, **STRICT) for kind, document in documents.items()}
    for kind, document in documents.items():
        if not is_namespaced(kind):
            api.delete(document)


@EVERY_KIND
def test_row_03_a_kind_is_established_under_all_its_names(api: Api, kind: Kind) -> None:
    served = {item["name"]: item for item in api.call("GET", "/apis/xvirt.io/v1alpha1")["resources"]}
    assert served[kind.plural]["kind"] == kind.name
    assert served[kind.plural]["shortNames"] == list(kind.short_names)
    assert served[kind.plural]["categories"] == ["xvirt"]
    assert f"{kind.plural}/status" in served


def test_row_03_what_kubectl_explain_shows_has_a_text_for_every_field(api: Api) -> None:
    published = "/openapi/v3/apis/xvirt.io/v1alpha1"
    wait_for(lambda: api.answers(published), 30, "the schemas to be published")
    schemas = api.call("GET", published)["components"]["schemas"]
    for kind in KINDS:
        whole = schemas[f"io.xvirt.v1alpha1.{kind.name}"]
        for section, cls in (("spec", kind.spec), ("status", kind.status)):
            assert whole["properties"][section]["description"]
            for path, item in fields(cls, (section,)):
                schema = whole
                for part in path:
                    schema = schema["items"] if isinstance(part, int) else schema["properties"][part]
                assert item.spec.doc in schema["description"], (kind.name, path)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("vm.spec", "runStrategy"),
        ("vm.spec.memory.size", "REQUIRED"),
        ("vm.spec.disks.source.image", "VirtualImage"),
        ("vnet.spec.subnets.dhcp", "DHCP service"),
        ("vhost.status", "libvirtVersion"),
    ],
)
def test_row_03_kubectl_explain_tells_a_field(kubectl: Kubectl, words: str, text: str) -> None:
    assert text.lower() in kubectl("explain", words).stdout.lower()


def test_row_03_a_machine_in_20_lines_is_accepted_and_listed_with_its_columns(kubectl: Kubectl) -> None:
    assert len(MACHINE_IN_20_LINES.splitlines()) == 20
    kubectl("apply", "-f", "-", stdin=MACHINE_IN_20_LINES)
    heading, row = kubectl("get", "vm").stdout.splitlines()
    assert heading.split() == ["NAME", "STATUS", "CPUS", "MEMORY", "ADDRESS", "AGE"]
    assert row.split()[0] == "web"
    assert kubectl("get", "xvirt", "-o", "name").stdout.split() == ["virtualmachine.xvirt.io/web"]


def test_a_fresh_object_says_that_nobody_has_looked_at_it(made: dict[str, Json]) -> None:
    for kind, document in made.items():
        assert document["status"] == {"observedGeneration": -1}, kind
        assert document["metadata"]["generation"] == 1


def test_row_03_defaults_are_the_ones_of_the_reference(made: dict[str, Json]) -> None:
    spec = made["VirtualMachine"]["spec"]
    assert spec["runStrategy"] == "Always"
    assert spec["terminationGracePeriodSeconds"] == 180
    assert spec["memory"]["size"] == "1Gi"
    assert "max" not in spec["memory"]
    assert "domain" not in spec


def test_a_status_is_written_through_its_subresource_alone(api: Api, made: dict[str, Json]) -> None:
    for kind, document in made.items():
        status: Json = {"observedGeneration": 1}
        change: Json = {"status": status, "metadata": {"labels": {"touched": "yes"}}}
        api.merge(document, change)
        assert api.read(document)["status"]["observedGeneration"] == -1, kind
        named = {key: document[key] for key in ("apiVersion", "kind")}
        named["metadata"] = {key: value for key, value in document["metadata"].items() if key in ("name", "namespace")}
        answer: Json = {**named, "status": status}
        written = api.apply_status(answer)
        assert written["status"]["observedGeneration"] == 1
        assert written["metadata"]["generation"] == 1


def test_kubectl_waits_for_a_condition(kubectl: Kubectl, api: Api, namespace: str) -> None:
    machine = declare("VirtualMachine", "web", namespace, SPECS["VirtualMachine"])
    api.create(machine)
    condition: Json = {"type": "Ready", "status": "True", "reason": "Running", "message": ""}
    condition |= {"lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1}
    assert kubectl("wait", "--for=condition=Ready", "vm/web", "--timeout=0s", check=False).returncode != 0
    without_spec = {key: value for key, value in machine.items() if key != "spec"}
    api.apply_status(without_spec | {"status": {"observedGeneration": 1, "conditions": [condition]}})
    assert "condition met" in kubectl("wait", "--for=condition=Ready", "vm/web", "--timeout=5s").stdout


def test_kubectl_lists_by_the_fields_that_a_kind_names(kubectl: Kubectl, api: Api, namespace: str) -> None:
    def named(*selectors: str) -> list[str]:
        listed = kubectl("get", "vm", "-o", "name", "--field-selector", ",".join(selectors)).stdout.split()
        return [name.rpartition("/")[2] for name in listed]

    for name, host, strategy in (("a", "host-a", "Always"), ("b", "host-b", "Always"), ("c", "host-a", "Halted")):
        machine = declare("VirtualMachine", name, namespace, {**SPECS["VirtualMachine"], "runStrategy": strategy})
        api.create(machine)
        status = {"observedGeneration": 1, "nodeName": host, "printableStatus": "Running"}
        api.apply_status({key: value for key, value in machine.items() if key != "spec"} | {"status": status})
    assert named("status.nodeName=host-a") == ["a", "c"]
    assert named("status.nodeName=host-a", "spec.runStrategy=Always") == ["a"]
    assert named("status.printableStatus!=Running") == []
    refused = kubectl("get", "vm", "--field-selector", "spec.machine=q35", check=False)
    assert "field label not supported: spec.machine" in refused.stderr


@EVERY_KIND
def test_a_kind_is_listed_by_each_field_that_it_names(api: Api, kind: Kind) -> None:
    for path in kind.selectable:
        assert api.list("xvirt.io/v1alpha1", kind.name, fieldSelector=f"{path}=nowhere") == []


def test_row_102_server_side_apply_owns_fields_and_tells_of_conflicts(kubectl: Kubectl) -> None:
    kubectl("apply", "--server-side", "-f", "-", stdin=MACHINE_IN_20_LINES)
    again = kubectl("apply", "--server-side", "-f", "-", stdin=MACHINE_IN_20_LINES)
    assert "serverside-applied" in again.stdout
    more = MACHINE_IN_20_LINES.replace("size: 2Gi", "size: 4Gi")
    other = kubectl("apply", "--server-side", "--field-manager=gitops", "-f", "-", stdin=more, check=False)
    assert other.returncode != 0
    assert ".spec.memory.size" in other.stderr
    assert 'conflict with "kubectl"' in other.stderr


def test_row_102_two_managers_each_own_entries_of_a_list_by_name(kubectl: Kubectl, api: Api, namespace: str) -> None:
    def with_nic(name: str) -> Json:
        return declare("VirtualMachine", "web", namespace, {"nics": [{"name": name, "network": "lan"}]})

    base = declare("VirtualMachine", "web", namespace, SPECS["VirtualMachine"])
    api.apply(base, manager="base")
    api.apply(with_nic("one"), manager="first")
    api.apply(with_nic("two"), manager="second")
    assert [nic["name"] for nic in api.read(base)["spec"]["nics"]] == ["one", "two"]
    api.apply(declare("VirtualMachine", "web", namespace, {}), manager="first")
    assert [nic["name"] for nic in api.read(base)["spec"]["nics"]] == ["two"]


def test_row_102_diff_shows_what_a_change_would_be_and_nothing_for_none(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=MACHINE_IN_20_LINES)
    assert kubectl("diff", "-f", "-", stdin=MACHINE_IN_20_LINES).stdout == ""
    more = MACHINE_IN_20_LINES.replace("size: 2Gi", "size: 4Gi")
    changed = kubectl("diff", "-f", "-", stdin=more, check=False)
    assert changed.returncode == 1
    lines = [line for line in changed.stdout.splitlines() if re.match(r"[-+] ", line) and "generation" not in line]
    assert lines == ["-    size: 2Gi", "+    size: 4Gi"]


def test_row_03_a_misspelled_field_is_refused_by_kubectl_apply_with_its_path(kubectl: Kubectl) -> None:
    wrong = MACHINE_IN_20_LINES.replace("cores: 2", "core: 2")
    refused = kubectl("apply", "-f", "-", stdin=wrong, check=False)
    assert refused.returncode != 0
    assert 'unknown field "spec.cpu.core"' in refused.stderr
