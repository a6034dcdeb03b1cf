"""The holder pod's document."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.operator.machines.scenes import UID, holder, machine
from xvirt.model.errors import InvalidSpec
from xvirt.operator.machines.holder import HolderSettings, find_needs, holder_digest, holder_document, holder_name
from xvirt.operator.machines.records import read_holder
from xvirt.operator.names import FINALIZER, VM_NAME_LABEL, VM_UID_LABEL

GIB = 1 << 30
MIB = 1 << 20
SETTINGS = HolderSettings()


def document(given: Any = None, **more: Any) -> dict[str, Any]:
    return holder_document(machine() if given is None else given, SETTINGS, **more)


def affinity(pod: dict[str, Any]) -> dict[str, Any]:
    wanted = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (term,) = wanted["nodeSelectorTerms"]
    return dict(term)


def test_it_belongs_to_its_machine_and_is_kept_by_the_operator() -> None:
    metadata = document()["metadata"]
    (owner,) = metadata["ownerReferences"]
    assert owner == {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "VirtualMachine",
        "name": "web",
        "uid": UID,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    assert metadata["finalizers"] == [FINALIZER]
    assert metadata["labels"] == {VM_UID_LABEL: UID, VM_NAME_LABEL: "web"}
    assert metadata["namespace"] == "default"


def test_row_06_it_asks_for_what_the_machine_takes() -> None:
    resources = document()["spec"]["containers"][0]["resources"]
    assert resources["requests"] == {
        "cpu": "2000m",
        "memory": str(GIB + 128 * MIB + 2 * 8 * MIB + GIB // 512),
        "xvirt.io/vm-slots": "1",
        "xvirt.io/open": "1",
        "xvirt.io/vcpus": "2",
        "xvirt.io/vm-memory-mib": "1024",
    }
    assert resources["limits"] == {name: value for name, value in resources["requests"].items() if "/" in name}


@pytest.mark.parametrize(
    ("ratio", "cores", "wanted"), [(1, 1, 1000), (1, 3, 3000), (10, 1, 100), (3, 1, 334), (3, 2, 667), (100, 512, 5120)]
)
def test_row_62_cpu_overcommit_divides_what_is_asked_for(ratio: int, cores: int, wanted: int) -> None:
    needs = find_needs({"cpu": {"cores": cores}, "memory": {"size": "1Gi"}}, HolderSettings(cpu_allocation_ratio=ratio))
    assert (needs.cpu_milli, needs.vcpus) == (wanted, cores)


def test_row_62_memory_overcommit_spares_the_overhead() -> None:
    needs = find_needs({"memory": {"size": "4Gi"}}, HolderSettings(memory_overcommit_percent=200, overhead_bytes=0))
    assert needs.memory_bytes == 2 * GIB + 8 * MIB + 8 * MIB
    assert needs.guest_mib == 4096


def test_one_vcpu_is_what_a_machine_has_that_says_nothing() -> None:
    assert find_needs({"memory": {"size": "64Mi"}}, SETTINGS).vcpus == 1


@pytest.mark.parametrize(
    "memory",
    [None, {}, {"size": None}, {"size": "what"}, {"size": "1.0001"}, {"size": []}, {"size": {"a": 1}}, [], "1Gi"],
)
def test_a_size_that_is_none_is_told_with_its_place(memory: Any) -> None:
    with pytest.raises(InvalidSpec) as error:
        find_needs({"memory": memory}, SETTINGS)
    assert error.value.problems[0].path == "spec.memory.size"


@pytest.mark.parametrize("cpu", [[], "2", 7, None, {"cores": None}])
def test_odd_cpus_ask_for_one(cpu: Any) -> None:
    assert find_needs({"memory": {"size": "1Gi"}, "cpu": cpu}, SETTINGS).vcpus == 1


# its name


def test_the_same_machine_gets_the_same_name_every_time() -> None:
    assert holder_name(machine()) == holder_name(machine(version="99", generation=7)) == document()["metadata"]["name"]


def test_another_machine_of_the_same_name_gets_another() -> None:
    assert holder_name(machine()) != holder_name(machine(uid="other"))


def test_a_successor_gets_another_name_and_always_the_same() -> None:
    one, two = holder(uid="a"), holder(uid="b")
    names = {holder_name(machine()), holder_name(machine(), (one,)), holder_name(machine(), (two,))}
    assert len(names) == 3
    assert holder_name(machine(), (one, two)) == holder_name(machine(), (two, one))


@pytest.mark.parametrize("name", ["a", "a" * 63, "a" * 51 + "-" * 1 + "b" * 11, "x-" * 31 + "x"])
def test_a_name_is_a_label_whatever_the_machines(name: str) -> None:
    made = holder_name(machine(name=name))
    assert len(made) <= 63
    assert made[0].isalnum()
    assert made[-1].isalnum()
    assert "--" not in made.rsplit("-", 1)[0][-2:]


# where it may come


def test_it_comes_to_hosts_alone() -> None:
    assert affinity(document()) == {
        "matchExpressions": [
            {"key": "xvirt.io/host", "operator": "Exists"},
            {"key": "xvirt.io/host", "operator": "NotIn", "values": ["false"]},
        ]
    }


def test_it_comes_to_the_one_host_that_the_machine_names_where_that_takes_any() -> None:
    pod = document(machine(spec={**machine().spec, "placement": {"host": "node-b"}}))
    assert affinity(pod)["matchFields"] == [{"key": "metadata.name", "operator": "In", "values": ["node-b"]}]
    assert {"operator": "Exists"} not in pod["spec"]["tolerations"]
    assert read_holder(pod).pinned_to == ""


def test_a_machines_wishes_are_the_pods() -> None:
    toleration = {"key": "gpu", "operator": "Exists", "value": "", "effect": "NoSchedule"}
    placement = {"nodeSelector": {"zone": "a"}, "tolerations": [toleration], "priorityClassName": "high"}
    spec = document(machine(spec={**machine().spec, "placement": placement}))["spec"]
    assert spec["nodeSelector"] == {"zone": "a"}
    assert spec["tolerations"][0] == {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}
    assert spec["priorityClassName"] == "high"


def test_a_machine_that_has_its_host_asks_for_room_there_and_for_nothing_else() -> None:
    placement = {"nodeSelector": {"zone": "b"}, "host": "node-b"}
    pod = document(machine(spec={**machine().spec, "placement": placement}), pin="node-a")
    assert affinity(pod) == {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-a"]}]}
    assert pod["spec"]["tolerations"] == [{"operator": "Exists"}]
    assert "nodeSelector" not in pod["spec"]
    requests = pod["spec"]["containers"][0]["resources"]["requests"]
    assert "xvirt.io/open" not in requests, "it may come to a host that takes nothing new"
    assert requests["xvirt.io/vm-slots"] == "1"
    assert read_holder(pod).pinned_to == "node-a"


def test_it_is_not_evicted_because_its_node_is_not_heard() -> None:
    stays = {(item["key"], item["effect"], item.get("tolerationSeconds")) for item in document()["spec"]["tolerations"]}
    assert stays == {
        ("node.kubernetes.io/not-ready", "NoExecute", None),
        ("node.kubernetes.io/unreachable", "NoExecute", None),
    }


def test_row_05_affinity_is_the_pods_and_every_alternative_is_on_a_host() -> None:
    term = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
    other = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["b"]}]}
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    preferred = "preferredDuringSchedulingIgnoredDuringExecution"
    near = {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "kubernetes.io/hostname"}
    wished: dict[str, Any] = {
        "nodeAffinity": {
            required: {"nodeSelectorTerms": [term, other]},
            preferred: [{"weight": 1, "preference": term}],
        },
        "podAffinity": {required: [near]},
        "podAntiAffinity": {preferred: [{"weight": 5, "podAffinityTerm": near}]},
    }
    spread = [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]
    placement = {"affinity": wished, "topologySpreadConstraints": spread}
    given = machine(spec={**machine().spec, "placement": placement})
    spec = document(given)["spec"]
    terms = spec["affinity"]["nodeAffinity"][required]["nodeSelectorTerms"]
    assert [item["matchExpressions"][0]["values"] for item in terms] == [["a"], ["b"]]
    assert all({"key": "xvirt.io/host", "operator": "Exists"} in item["matchExpressions"] for item in terms)
    assert spec["affinity"]["nodeAffinity"][preferred] == wished["nodeAffinity"][preferred]
    assert spec["affinity"]["podAffinity"] == wished["podAffinity"]
    assert spec["affinity"]["podAntiAffinity"] == wished["podAntiAffinity"]
    assert spec["topologySpreadConstraints"] == spread
    pinned = document(given, pin="node-a")["spec"]
    assert set(pinned["affinity"]) == {"nodeAffinity"}
    assert "topologySpreadConstraints" not in pinned


@pytest.mark.parametrize(
    "change",
    [
        {"memory": {"size": "2Gi"}},
        {"cpu": {"cores": 1}},
        {"placement": {"nodeSelector": {"a": "b"}}},
        {"placement": {"host": "node-a"}},
    ],
)
def test_a_holder_says_what_it_was_made_for(change: dict[str, Any]) -> None:
    one, other = read_holder(document()), read_holder(document(machine(spec={**machine().spec, **change})))
    assert one.digest == holder_digest(machine(), SETTINGS, pin="")
    assert one.digest != other.digest
    assert one.holds == "2 vCPUs, 1024 MiB"
    assert (one.holds == other.holds) is ("placement" in change)
    assert read_holder(document(pin="node-a")).digest == holder_digest(machine(), SETTINGS, pin="node-a")


# what it is


def test_it_has_no_rights_at_all() -> None:
    spec = document()["spec"]
    (container,) = spec["containers"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["command"] == ["/xvirt-holder"]
    assert not {"hostNetwork", "hostPID", "volumes"} & set(spec)


def test_it_outlives_a_deletion_for_days() -> None:
    spec = document()["spec"]
    assert spec["terminationGracePeriodSeconds"] >= 24 * 3600
    assert spec["restartPolicy"] == "Always"


def test_no_priority_class_is_named_where_the_administrator_wants_none() -> None:
    assert "priorityClassName" not in holder_document(machine(), HolderSettings(priority_class=""))["spec"]


def test_a_machines_labels_are_its_holders_and_ours_cannot_be_taken() -> None:
    labels = {"app": "web", VM_UID_LABEL: "stolen", "xvirt.io/other": "x", "app.kubernetes.io/managed-by": "Helm"}
    assert document(machine(labels=labels))["metadata"]["labels"] == {
        "app": "web",
        VM_UID_LABEL: UID,
        VM_NAME_LABEL: "web",
    }


# reading it


def test_a_pod_is_read_as_a_holder() -> None:
    pod = {
        "metadata": {
            "name": "web-1",
            "namespace": "default",
            "uid": "p",
            "resourceVersion": "5",
            "deletionTimestamp": "2026-01-01T00:00:00Z",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "finalizers": [FINALIZER],
        },
        "spec": {"nodeName": "node-a"},
        "status": {"phase": "Running", "conditions": [{"type": "PodScheduled", "status": "True", "message": "no"}]},
    }
    found = read_holder(pod)
    assert (found.host, found.phase, found.is_deleting, found.has_finalizer) == ("node-a", "Running", True, True)
    assert (found.obstacle, found.is_spent, found.is_ended) == ("", True, False)


def test_a_pod_that_nobody_has_looked_at_is_a_pending_holder() -> None:
    found = read_holder({"metadata": {"name": "web-1"}})
    assert (found.host, found.phase, found.is_spent, found.has_finalizer) == ("", "Pending", False, False)


def test_the_schedulers_words_are_read() -> None:
    told = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes"}
    assert read_holder({"metadata": {"name": "w"}, "status": {"conditions": [told]}}).obstacle == "0/3 nodes"
