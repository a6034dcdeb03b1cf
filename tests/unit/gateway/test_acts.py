"""Acts upon machines, from the API server's request to the node and back."""

from __future__ import annotations

import asyncio
import socket
from functools import partial

import pytest

from tests.unit.cli.live_node import eventually
from tests.unit.gateway.cluster import EPOCH, HOST, LEASE, LiveCluster
from xvirt.client.schedule import Patience
from xvirt.gateway import nodes
from xvirt.model.exchange import ObjectRef, Verb
from xvirt.operator.kinds import VIRTUAL_HOSTS, VIRTUAL_MACHINES
from xvirt.operator.runtime.resources import LEASES, Key

ACTS = [verb.value for verb in Verb]
WALK = [
    ("pause", "Paused"),
    ("resume", "Running"),
    ("restart", "Running"),
    ("reset", "Running"),
    ("save", "Saved"),
    ("restore", "Running"),
    ("stop", "Stopped"),
    ("start", "Running"),
]


@pytest.fixture(autouse=True)
def _rights(cluster: LiveCluster) -> None:
    cluster.grant("ann", *ACTS)


def test_row_24_each_verb_once_reaches_the_host_and_answers_its_operation(cluster: LiveCluster) -> None:
    uid = cluster.declare()
    eventually(lambda: cluster.node.state(uid) == "Running")
    for number, (verb, state) in enumerate(WALK):
        reply = cluster.act(verb, body={"operationId": f"act-{number}"})
        assert reply.code == 200, reply.body
        assert reply.json["kind"] == "Operation"
        assert reply.json["metadata"] == {"name": f"act-{number}", "namespace": "default"}
        assert reply.json["spec"] == {"verb": verb, "virtualMachine": "web", "uid": uid}
        assert reply.json["status"]["state"] in ("Pending", "Running", "Succeeded")
        ended = eventually(partial(ended_at, cluster, verb, f"act-{number}"))
        assert ended.endswith("Z")
        assert cluster.act(verb, body={"operationId": f"act-{number}"}).json["status"]["state"] == "Succeeded"
        eventually(partial(has_state, cluster, uid, state))


def ended_at(cluster: LiveCluster, verb: str, name: str) -> str:
    """When an act has ended; empty before."""
    return str(cluster.act(verb, body={"operationId": name}).json["status"].get("completionTime", ""))


def has_state(cluster: LiveCluster, uid: str, state: str) -> bool:
    return cluster.node.state(uid) == state


def test_an_act_asked_for_twice_by_its_own_name_is_done_once(cluster: LiveCluster) -> None:
    uid = cluster.declare()
    first, second = (cluster.act("reset", body={"operationId": "mine"}) for _ in range(2))
    assert (first.code, second.code) == (200, 200)
    assert first.json["metadata"] == second.json["metadata"]
    operations = cluster.node.service.describe(cluster.node.caller, ObjectRef(uid=uid)).operations
    assert [item.id for item in operations] == ["mine"]


def test_without_a_name_of_its_own_an_act_gets_one_and_post_does_as_put(cluster: LiveCluster) -> None:
    cluster.declare()
    cluster.grant("ann", "pause", verb="create")
    reply = cluster.act("pause", method="POST")
    assert reply.code == 200
    assert len(reply.json["metadata"]["name"]) == 36


def test_a_machine_that_is_not_there_is_not_found(cluster: LiveCluster) -> None:
    reply = cluster.act("start", "ghost")
    assert (reply.code, reply.json["reason"]) == (404, "NotFound")
    assert reply.json["message"] == "VirtualMachine default/ghost is not there"
    assert reply.json["details"]["name"] == "ghost"


def test_a_machine_without_a_place_is_a_conflict_that_says_why(cluster: LiveCluster) -> None:
    cluster.declare("early", host="", is_on_node=False)
    reply = cluster.act("start", "early")
    assert (reply.code, reply.json["reason"]) == (409, "NotPlaced")
    assert reply.json["message"] == "VirtualMachine default/early is on no host yet; wait until it is placed"
    found = cluster.api.find(VIRTUAL_MACHINES, Key("default", "early"))
    assert found is not None
    waiting = {"type": "Ready", "status": "False", "message": "0/3 nodes are available"}
    cluster.api.write(VIRTUAL_MACHINES, {**found, "status": {"conditions": [waiting]}}, "status")
    assert cluster.act("start", "early").json["message"].endswith("is on no host yet: 0/3 nodes are available")


def test_a_machine_that_its_host_does_not_have_yet_is_a_conflict(cluster: LiveCluster) -> None:
    cluster.declare("soon", is_on_node=False)
    reply = cluster.act("start", "soon")
    assert (reply.code, reply.json["reason"]) == (409, "NotOnHostYet")
    assert f"host {HOST}" in reply.json["message"]


def test_what_the_host_refuses_is_a_conflict_in_its_words(cluster: LiveCluster) -> None:
    cluster.declare("off", runStrategy="Halted")
    reply = cluster.act("start", "off")
    assert (reply.code, reply.json["reason"]) == (409, "Halted")
    assert reply.json["message"] == ("VirtualMachine default/off has runStrategy Halted; change that to start it")
    assert reply.json["details"]["causes"][0]["reason"] == "xvirt.io/Refused"


def test_row_24_a_host_that_is_down_is_unavailable_with_a_remedy_and_back_again_by_itself(cluster: LiveCluster) -> None:
    cluster.declare()
    cluster.node.server.stop(0.0)
    reply = cluster.act("pause")
    assert (reply.code, reply.json["reason"]) == (503, "HostUnreachable")
    assert "kubectl get virtualhost node-a" in reply.json["message"]
    assert "retry-after" not in reply.headers
    cluster.node._serve()
    assert cluster.act("pause").code == 200


def test_a_host_that_says_nothing_is_told_in_time(cluster: LiveCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.declare()
    monkeypatch.setattr(nodes, "PATIENCE", Patience(call_s=0.5, repeat_within_s=0.1))
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        cluster.declare_host(address=f"127.0.0.1:{deaf.getsockname()[1]}")
        reply = cluster.act("pause")
    assert (reply.code, reply.json["reason"]) == (504, "HostSilent")
    assert "repeating it under the same operationId is safe" in reply.json["message"]


def test_connections_that_nobody_uses_are_given_up_the_oldest_first() -> None:
    closed = []

    class Client:
        def __init__(self, host: str) -> None:
            self.host = host

        async def close(self) -> None:
            closed.append(self.host)

    async def scenario() -> None:
        clients = nodes.NodeClients(lambda host, _: Client(host), idle_max=2)  # type: ignore[arg-type, return-value]
        async with clients.borrow("used", ""):
            for host in ("a", "b", "c", "a"):
                async with clients.borrow(host, ""):
                    pass
        await clients.close()

    asyncio.run(scenario())
    assert closed[0] == "a"
    assert sorted(closed) == ["a", "a", "b", "c", "used"]


def test_a_host_that_has_moved_is_called_at_its_new_address(cluster: LiveCluster) -> None:
    cluster.declare()
    cluster.declare_host(address="127.0.0.1:1")
    assert cluster.act("pause").code == 503
    cluster.declare_host()
    assert cluster.act("pause").code == 200


def test_a_host_is_called_where_the_operator_found_it_unless_it_is_declared_elsewhere(cluster: LiveCluster) -> None:
    cluster.declare()
    cluster.api.remove(VIRTUAL_HOSTS, Key("", HOST))
    made = cluster.api.write(VIRTUAL_HOSTS, {"metadata": {"name": HOST}, "spec": {}})
    reply = cluster.act("pause")
    assert (reply.code, reply.json["reason"]) == (503, "HostUnknown")
    assert "give it spec.address" in reply.json["message"]
    found = {"address": f"127.0.0.1:{cluster.node.port}"}
    cluster.api.write(VIRTUAL_HOSTS, {**made, "status": found}, "status")
    assert cluster.act("pause").code == 200
    cluster.declare_host(address="127.0.0.1:1")
    assert cluster.act("pause").code == 503


def test_without_a_lease_nobody_has_ever_led(cluster: LiveCluster) -> None:
    cluster.declare()
    cluster.api.remove(LEASES, LEASE)
    reply = cluster.act("pause")
    assert (reply.code, reply.json["reason"]) == (503, "NoOperator")
    assert "xvirt-operator" in reply.json["message"]


def test_a_token_of_a_former_leader_is_refused_by_the_host(cluster: LiveCluster) -> None:
    uid = cluster.declare()
    found = cluster.api.find(VIRTUAL_MACHINES, Key("default", "web"))
    assert found is not None
    found["metadata"]["generation"] = 2
    cluster.node.take(found, EPOCH + 1)
    reply = cluster.act("pause")
    assert (reply.code, reply.json["reason"]) == (409, "StaleToken")
    lease = cluster.api.find(LEASES, LEASE)
    assert lease is not None
    cluster.api.write(LEASES, {**lease, "spec": {**lease["spec"], "leaseTransitions": EPOCH + 1}})
    assert cluster.act("pause").code == 200
    eventually(lambda: cluster.node.state(uid) == "Paused")


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"forced": True}, "forced", "is not a known field (did you mean force?); remove it"),
        ({"gracePeriodSeconds": -1}, "gracePeriodSeconds", "-1 is below the least, 0"),
        ({"operationId": ""}, "operationId", "must have 1 to 128 characters; use a UUID, or leave it out"),
        (
            {"metadata": {"name": "db"}},
            "metadata.name",
            "is not that of the path, web; leave it out, or write the path's",
        ),
        ({"kind": "StopOptions"}, "kind", "must be OperateOptions; write kind: OperateOptions, or leave it out"),
        (b"[1]", "", "is no map; send a map, or nothing"),
        (b"{", "", "is not JSON"),
    ],
)
def test_options_that_are_off_are_told_by_their_path(
    cluster: LiveCluster, body: object, field: str, message: str
) -> None:
    cluster.declare(is_on_node=False)
    reply = cluster.act("stop", body=body)
    assert (reply.code, reply.json["reason"]) == (422, "Invalid")
    causes = {item.get("field"): item["message"] for item in reply.json["details"]["causes"]}
    assert causes[field].startswith(message)


def test_force_means_nothing_to_an_act_that_ends_nothing(cluster: LiveCluster) -> None:
    reply = cluster.act("pause", body={"force": True})
    assert reply.code == 422
    assert "means nothing to pause" in reply.json["message"]


def test_a_body_that_is_too_large_is_refused(cluster: LiveCluster) -> None:
    reply = cluster.act("stop", body=b" " * (65 << 10))
    assert reply.code == 422
    assert "has more than 65536 bytes" in reply.json["message"]


def test_what_a_dry_run_would_be_is_refused_rather_than_done(cluster: LiveCluster) -> None:
    cluster.declare()
    reply = cluster.act("pause?dryRun=All&timeout=5s")
    assert (reply.code, reply.json["reason"]) == (400, "BadRequest")
    assert reply.json["message"] == "parameter dryRun means nothing to pause"
    assert cluster.act("pause?timeout=5s&fieldManager=xvirt").code == 200


def test_the_description_of_a_machine_is_its_hosts(cluster: LiveCluster) -> None:
    uid = cluster.declare()
    cluster.grant("ann", "description", verb="get")
    cluster.act("reset", body={"operationId": "mine"})
    reply = cluster.act("description", method="GET")
    assert reply.code == 200
    found = reply.json
    assert (found["kind"], found["host"], found["metadata"]["uid"]) == ("VirtualMachineDescription", HOST, uid)
    assert [item["metadata"]["name"] for item in found["operations"]] == ["mine"]
    assert {item["name"] for item in found["parts"]} >= {"statistics", "domain-xml"}
    assert "Reset" in {item["reason"] for item in found["events"]}


def test_requests_are_counted_by_what_was_asked_for(cluster: LiveCluster) -> None:
    cluster.act("start", "ghost")
    cluster.ask("GET", "/nothing/../here")

    def count(subresource: str, code: str) -> float | None:
        labels = {"subresource": subresource, "code": code}
        return cluster.registry.get_sample_value("xvirt_gateway_requests_total", labels)

    eventually(lambda: count("start", "404") == 1 and count("other", "404") == 1)
