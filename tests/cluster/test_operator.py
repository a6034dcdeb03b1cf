"""The operator as a process, with its own account and rights, over a real API server and scheduler, and hosts in memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import pytest

from tests.cluster.operators import (
    Machines,
    OperatorProcess,
    OperatorSpec,
    kubeconfig_of_operator,
    running,
    where,
)
from tools.cluster.controlplane import ControlPlane
from tools.cluster.fakehosts import FakeHosts
from tools.cluster.spec import choose_ports
from xvirt.model.errors import Refused

PROFILE = "xvirt.io/policy-profile"


@pytest.fixture(scope="module", autouse=True)
def operator(
    installed: ControlPlane, hosts: FakeHosts, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    spec = OperatorSpec(
        directory=tmp_path_factory.mktemp("operator"),
        kubeconfig=kubeconfig_of_operator(installed),
        pki=hosts.pki,
        listen=f"127.0.0.1:{choose_ports().etcd}",
    )
    with running(spec) as process:
        yield process
        print(process.text()[-6000:])


def test_row_02_a_machine_runs_on_the_host_that_the_scheduler_chose_and_goes_without_a_trace(
    machines: Machines, hosts: FakeHosts
) -> None:
    uid = machines.create("web")
    machines.wait_running("web")
    (holder,) = machines.holders("web")
    assert where(hosts, uid) == [machines.host_of("web")] == [holder["spec"]["nodeName"]]
    assert all(
        call.token.authority == machines.plane.uid for name in hosts for call in hosts[name].faults.asked_of(uid)
    )
    machines.delete("web")
    machines.wait_gone("web")
    assert where(hosts, uid) == []


def test_kubectl_shows_what_has_happened_to_a_machine(machines: Machines) -> None:
    machines.create("web", cpu={"cores": 1, "max": 4})
    machines.create("other")
    machines.wait_running("web", "other")
    machines.until(partial(has_events, machines, "web", ["Started"]), "the start to be told")
    assert f"host {machines.host_of('web')}: created and started" in machines.kubectl("describe", "vm", "web").stdout
    machines.change("web", cpu={"cores": 2, "max": 4})
    machines.until(partial(has_events, machines, "web", ["ChangedLive", "Started"]), "the change to be told")
    machines.change("web", cpu={"cores": 2, "max": 8})
    told = ["ChangedLive", "RestartRequired", "Started"]
    machines.until(partial(has_events, machines, "web", told), "the restart to be told")
    machines.change("web", runStrategy="Halted")
    machines.until(partial(has_events, machines, "web", [*told, "Stopped"]), "the stop to be told")
    assert has_events(machines, "other", ["Started"])


def has_events(machines: Machines, name: str, reasons: list[str]) -> bool:
    """Whether kubectl shows just these of a machine, in any order."""
    _, *rows = machines.kubectl("events", "--for", f"vm/{name}", check=False).stdout.splitlines() or [""]
    return sorted(row.split()[2] for row in rows) == reasons


def test_row_02_a_machine_is_asked_of_one_host_alone(machines: Machines, hosts: FakeHosts) -> None:
    uid = machines.create("web", placement={"host": "host-b"})
    machines.wait_running("web")
    asked = {name for name in hosts if hosts[name].faults.asked_of(uid)}
    assert asked == {"host-b"} == {machines.host_of("web")}


def test_row_84_kubectl_waits_for_ready_and_shows_the_columns(machines: Machines) -> None:
    machines.kubectl("apply", "-f", "-", stdin=[machines.document("web")])
    machines.kubectl("wait", "--for=condition=Ready", "vm/web", "--timeout=60s")
    head, row = machines.kubectl("get", "vm", "-o", "wide").stdout.splitlines()
    assert head.split()[:2] == ["NAME", "STATUS"]
    assert row.split()[:2] == ["web", "Running"]
    assert machines.host_of("web") in row


def test_row_84_the_spec_stays_as_it_was_written(machines: Machines) -> None:
    machines.kubectl("apply", "--server-side", "-f", "-", stdin=[machines.document("web")])
    machines.wait_running("web")
    item = machines.read("web")
    owners = {entry["manager"]: entry["fieldsV1"] for entry in item["metadata"]["managedFields"]}
    assert "f:spec" not in owners["xvirt-operator"]
    assert "f:spec" in owners["kubectl"]
    assert machines.kubectl("diff", "--server-side", "-f", "-", stdin=[machines.document("web")]).stdout == ""


def test_row_81_a_machine_that_is_to_be_off_keeps_its_room_and_comes_back_as_itself(
    machines: Machines, hosts: FakeHosts
) -> None:
    uid = machines.create("web", runStrategy="Halted")
    machines.until(lambda: machines.status("web").get("powerState") == "Stopped", "web to be defined")
    assert machines.is_ready("web")
    place, (holder,) = machines.host_of("web"), machines.holders("web")
    machines.change("web", runStrategy="Always")
    machines.until(lambda: machines.status("web").get("powerState") == "Running", "web to run")
    assert where(hosts, uid) == [place]
    assert [pod["metadata"]["uid"] for pod in machines.holders("web")] == [holder["metadata"]["uid"]]


def test_row_73_a_namespaces_label_decides_what_its_machines_may(machines: Machines) -> None:
    disk = {"name": "data", "source": {"path": "/srv/data.qcow2"}}
    refused = machines.kubectl("apply", "-f", "-", stdin=[machines.document("web", disks=[disk])], check=False)
    assert "spec.disks" in refused.stderr
    machines.label(**{PROFILE: "privileged"})
    machines.until(
        lambda: (
            machines.kubectl("apply", "-f", "-", stdin=[machines.document("web", disks=[disk])], check=False).returncode
            == 0
        ),
        "the label to count",
    )
    machines.wait_running("web")


def test_secrets_reach_the_node_and_neither_status_nor_events(machines: Machines) -> None:
    machines.create("web", cloudInit={"userData": {"secret": "init", "key": "userData"}})
    machines.until(lambda: "init" in str(machines.status("web").get("conditions")), "the machine to miss its Secret")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "init", "namespace": machines.namespace}}
    machines.api.create({**secret, "stringData": {"userData": "hunter2-hunter2"}})
    machines.wait_running("web")
    told = str([machines.read("web"), machines.holders(), machines.events("MissingSecret")])
    assert "hunter2" not in told


def test_fault_16_what_a_host_refuses_is_stalled_in_its_words_and_recovers_by_itself(
    machines: Machines, hosts: FakeHosts
) -> None:
    refusal = Refused("spec.disks[0].source.size: cannot shrink", reason="FieldImmutable")
    hosts["host-b"].faults.refuse("Apply", refusal, times=4)
    machines.create("web", placement={"host": "host-b"})
    machines.until(lambda: machines.condition("web", "Stalled").get("status") == "True", "web to be stalled")
    told = machines.condition("web", "Stalled")
    assert (told["reason"], told["message"]) == ("FieldImmutable", "spec.disks[0].source.size: cannot shrink")
    machines.wait_running("web")
    assert machines.condition("web", "Stalled")["status"] == "False"


def test_fault_18_a_namespace_that_is_deleted_while_machines_are_made_leaves_nothing(
    installed: ControlPlane, hosts: FakeHosts
) -> None:
    api = installed.api
    document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "short-lived"}}
    api.create(document)
    machines = Machines(installed, "short-lived")
    uids = [machines.create(f"web-{number}") for number in range(20)]
    api.delete(document)
    machines.until(lambda: api.find(document) is None, "the namespace to be gone")
    assert [where(hosts, uid) for uid in uids] == [[]] * 20


@pytest.mark.parametrize("propagation", ["Foreground", "Background", "Orphan"])
def test_fault_18_however_it_is_deleted_nothing_of_a_machine_stays(
    machines: Machines, hosts: FakeHosts, propagation: str
) -> None:
    uid = machines.create("web")
    machines.wait_running("web")
    machines.delete("web", propagationPolicy=propagation)
    machines.wait_gone("web")
    assert where(hosts, uid) == []


def test_fault_04_a_machine_that_is_deleted_and_made_anew_is_another_one(machines: Machines, hosts: FakeHosts) -> None:
    uids = set()
    for _ in range(3):
        uid = machines.create("web")
        machines.wait_running("web")
        assert len(where(hosts, uid)) == 1
        uids.add(uid)
        machines.delete("web")
        machines.wait_gone("web")
        assert where(hosts, uid) == []
    assert len(uids) == 3


def test_row_15_a_host_shows_what_it_is_has_may_promise_and_has_promised(machines: Machines) -> None:
    machines.create("web", placement={"host": "host-c"}, cpu={"cores": 3}, memory={"size": "1Gi"})
    machines.wait_running("web")
    machines.until(
        lambda: machines.host("host-c").get("allocated", {}).get("vcpus", 0) >= 3,
        "the host to tell of its machine",
        90.0,
    )
    status = machines.host("host-c")
    assert status["capacity"]["vcpus"] == status["allocatable"]["vcpus"] == status["cpus"]
    assert status["heartbeat"] == "Current"
    assert status["pools"]
    assert status["libvirtVersion"]
    assert status["qemuVersion"]
    node = machines.api.read({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "host-c"}})
    assert node["status"]["allocatable"]["xvirt.io/vcpus"] == str(status["allocatable"]["vcpus"])
    head, *rows = machines.kubectl("get", "vhost").stdout.splitlines()
    assert {"CPUS", "MEMORY", "VMS", "ACCELERATOR", "HEARTBEAT"} <= set(head.split())
    assert any("host-c" in row and "Current" in row for row in rows)


def test_row_14_a_lost_hosts_machines_are_unknown_and_others_do_not_notice(
    machines: Machines, hosts: FakeHosts
) -> None:
    lost = machines.create("lost", placement={"host": "host-a"})
    machines.create("other", placement={"host": "host-b"})
    machines.wait_running("lost", "other")
    hosts["host-a"].faults.is_frozen = True
    hosts["host-a"].drop_streams()
    try:
        for strategy, state in (("Halted", "Stopped"), ("Always", "Running"), ("Halted", "Stopped")):
            machines.change("other", runStrategy=strategy)
            machines.until(partial(has_state, machines, "other", state), "the other host to go on", 10.0)
        machines.until(
            lambda: machines.condition("lost", "Ready").get("status") == "Unknown", "the machine to be unknown", 120.0
        )
        machines.until(lambda: machines.host("host-a").get("heartbeat") == "Lost", "the host to be lost")
        assert machines.host("host-a")["unschedulable"] is True
        assert where(hosts, lost) == ["host-a"]
    finally:
        hosts["host-a"].faults.is_frozen = False
    machines.wait_running("lost", timeout_s=90.0)
    assert where(hosts, lost) == ["host-a"]


def test_row_17_fault_17_a_forced_deletion_tells_what_it_leaves_on_a_host_that_is_down(
    machines: Machines, hosts: FakeHosts
) -> None:
    uid = machines.create("web", placement={"host": "host-a"})
    machines.wait_running("web")
    hosts["host-a"].down()
    try:
        machines.delete("web")
        machines.until(
            lambda: machines.condition("web", "Ready").get("reason") == "HostUnreachable", "the deletion to wait", 120.0
        )
        machines.kubectl("annotate", "vm/web", "xvirt.io/force-delete=true")
        machines.wait_gone("web")
        machines.until(lambda: machines.events("LeftBehind"), "the event")
        (event,) = machines.events("LeftBehind")
        assert uid in event["note"]
    finally:
        hosts["host-a"].up()
    machines.until(
        lambda: any(machines.namespace in name for name in machines.host("host-a").get("undeclared", ())),
        "the host to tell what it holds",
        90.0,
    )
    assert where(hosts, uid) == ["host-a"]


def test_what_is_served_tells_whether_it_is_ready_and_what_it_does(
    machines: Machines, operator: OperatorProcess
) -> None:
    machines.create("web")
    machines.wait_running("web")
    assert operator.page("/livez")[0] == operator.page("/readyz")[0] == 200
    code, text = operator.page("/metrics")
    assert code == 200
    for name in ("xvirt_operator_api_writes_total", "xvirt_operator_queue_depth", "xvirt_operator_is_leader 1.0"):
        assert name in text


def test_fault_10_a_cluster_in_which_nothing_happens_is_written_to_by_nobody(
    machines: Machines, operator: OperatorProcess
) -> None:
    for number in range(10):
        machines.create(f"web-{number}")
    machines.wait_running(*(f"web-{number}" for number in range(10)))
    last, since_s = writes(operator), time.monotonic()

    def is_at_rest() -> bool:
        nonlocal last, since_s
        assert len(machines.names()) == 10
        now = writes(operator)
        if now != last:
            last, since_s = now, time.monotonic()
        return time.monotonic() - since_s > 30.0

    machines.until(is_at_rest, "a whole half minute without a write", 120.0)


def has_state(machines: Machines, name: str, state: str) -> bool:
    return bool(machines.status(name).get("powerState") == state)


def writes(operator: OperatorProcess) -> dict[str, float]:
    """Counters of writes, but for the lease."""
    lines = operator.page("/metrics")[1].splitlines()
    found = [line.rsplit(" ", 1) for line in lines if line.startswith("xvirt_operator_api_writes_total")]
    return {name: float(value) for name, value in found if "leases" not in name}
