"""Fake hosts over the wire, as the operator meets them, and each fault that a test can ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.cluster.fakehosts.faults import Asked, Loss
from tools.cluster.fakehosts.group import OPERATOR, FakeHost, FakeHosts, HostOptions
from tools.cluster.services import wait_for
from xvirt import API_VERSION
from xvirt.client.blocking import NodeClient
from xvirt.client.schedule import Patience
from xvirt.client.target import Target
from xvirt.model.errors import DeadlineExceeded, Exhausted, Forbidden, Unavailable, XvirtError
from xvirt.model.exchange import ApplyCall, ObjectRef, Token, WatchType
from xvirt.wire.certificates import TlsFiles

CLUSTER = "11111111-1111-4111-8111-111111111111"
UID = "22222222-2222-4222-8222-222222222222"
WEB = ObjectRef(uid=UID)
HURRIED = Patience(call_s=1.5, silence_s=2.0)
_WAIT_S = 15.0


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[FakeHosts]:
    with FakeHosts(["one", "two"], tmp_path / "pki", HostOptions(authority=CLUSTER)) as made:
        yield made


@pytest.fixture
def host(hosts: FakeHosts) -> FakeHost:
    return hosts["one"]


@pytest.fixture
def client(hosts: FakeHosts, host: FakeHost) -> Iterator[NodeClient]:
    with open_client(hosts, host) as made:
        yield made


def open_client(hosts: FakeHosts, host: FakeHost, name: str = OPERATOR, at: str = "") -> NodeClient:
    files = TlsFiles(hosts.pki / "ca.crt", hosts.pki / f"{name}.crt", hosts.pki / f"{name}.key")
    return NodeClient(Target(f"tcp://127.0.0.1:{host.port}", at or host.name, files), HURRIED)


def call(generation: int = 1, **spec: Any) -> ApplyCall:
    document = {
        "apiVersion": API_VERSION,
        "kind": "VirtualMachine",
        "metadata": {"name": "web", "namespace": "default", "uid": UID},
        "spec": {"memory": {"size": "64Mi"}, **spec},
    }
    return ApplyCall(document=document, token=Token(authority=CLUSTER, epoch=1, generation=generation))


def word(client: NodeClient) -> str:
    return str(client.get(WEB).document["status"]["printableStatus"])


def test_a_machine_runs_on_the_host_that_was_asked_and_on_no_other(hosts: FakeHosts, client: NodeClient) -> None:
    client.apply(call())
    assert word(client) == "Running"
    assert hosts["one"].running == {UID}
    assert hosts["two"].running == set()
    assert client.node_info().document["metadata"]["name"] == "one"
    client.delete(WEB, Token(authority=CLUSTER, epoch=1))
    assert hosts["one"].running == set()


def test_only_the_operators_certificate_is_served_and_only_under_the_hosts_name(
    hosts: FakeHosts, host: FakeHost
) -> None:
    with open_client(hosts, host, "two") as stranger, pytest.raises(XvirtError) as caught:
        stranger.get(WEB)
    assert isinstance(caught.value, Forbidden | Unavailable)  # a server's certificate is none of a client
    with open_client(hosts, host, at="two") as misled, pytest.raises(Unavailable):
        misled.get(WEB)


def test_a_watch_follows_from_snapshot_to_deletion(client: NodeClient) -> None:
    client.apply(call())
    with client.watch() as events:
        first = [next(events) for _ in range(2)]
        assert [event.type for event in first] == [WatchType.OBJECT, WatchType.SYNCED]
        client.delete(WEB, Token(authority=CLUSTER, epoch=1))
        types = [next(events).type for _ in range(2)]
        assert types == [WatchType.OBJECT, WatchType.DELETED]


def test_mutating_calls_are_counted_with_their_tokens_and_outcomes(host: FakeHost, client: NodeClient) -> None:
    client.apply(call(generation=2))
    with pytest.raises(XvirtError):
        client.apply(call(generation=1))
    client.get(WEB)
    token = Token(authority=CLUSTER, epoch=1, generation=2)
    assert host.faults.asked_of(UID)[0] == Asked("Apply", UID, token)
    assert [(asked.method, asked.outcome) for asked in host.faults.asked] == [("Apply", ""), ("Apply", "Conflict")]


def test_a_refused_call_has_no_effect_and_the_next_one_has(host: FakeHost, client: NodeClient) -> None:
    host.faults.refuse("Apply", Forbidden("not now", reason="Tried"))
    with pytest.raises(Forbidden, match="not now"):
        client.apply(call())
    assert host.running == set()
    client.apply(call())
    assert host.running == {UID}


@pytest.mark.parametrize(("loss", "effects"), [(Loss.BEFORE, 1), (Loss.AFTER, 2)])
def test_a_call_whose_answer_is_lost_took_effect_or_not(
    host: FakeHost, client: NodeClient, loss: Loss, effects: int
) -> None:
    host.faults.lose("Apply", loss)
    client.apply(call())  # repeated by the client, as it may
    assert len(host.faults.asked_of(UID)) == effects
    assert host.running == {UID}


def test_a_watch_can_be_cut_and_begins_anew(host: FakeHost, client: NodeClient) -> None:
    client.apply(call())
    with client.watch() as events:
        assert [next(events).type for _ in range(2)] == [WatchType.OBJECT, WatchType.SYNCED]
        host.drop_streams()
        with pytest.raises(Unavailable):
            next(events)
    with client.watch() as events:
        assert next(events).type is WatchType.OBJECT


def test_a_host_that_is_down_is_unavailable_and_comes_back_with_what_it_had(host: FakeHost, client: NodeClient) -> None:
    client.apply(call())
    before = client.node_info().document["status"]["bootId"]
    host.down()
    with pytest.raises(Unavailable):
        client.get(WEB)
    host.up()
    assert word(client) == "Running"
    assert client.node_info().document["status"]["bootId"] != before


def test_a_frozen_host_answers_nothing_until_it_thaws(host: FakeHost, client: NodeClient) -> None:
    client.apply(call())
    host.faults.is_frozen = True
    with pytest.raises((DeadlineExceeded, Unavailable)):
        client.get(WEB)
    host.faults.is_frozen = False
    assert word(client) == "Running"


def test_a_slow_start_is_told_as_one(host: FakeHost, client: NodeClient) -> None:
    host.faults.start_delay_s = 0.3
    client.apply(call())
    assert word(client) == "Starting"
    wait_for(lambda: word(client) == "Running", _WAIT_S, "the machine to run")


def test_a_held_deletion_waits_until_it_is_released(host: FakeHost, client: NodeClient) -> None:
    host.faults.does_hold_deletions = True
    client.apply(call())
    client.delete(WEB, Token(authority=CLUSTER, epoch=1))
    assert word(client) == "Terminating"
    assert host.running == {UID}
    host.act(lambda node: node.release(UID))
    assert host.running == set()


def test_a_guest_that_ends_by_itself_is_started_again_or_not(host: FakeHost, client: NodeClient) -> None:
    client.apply(call())
    host.act(lambda node: node.guest_poweroff(UID))
    assert word(client) == "Running"
    client.apply(call(generation=2, runStrategy="Once"))
    host.act(lambda node: node.guest_poweroff(UID))
    assert word(client) == "Stopped"


def test_machines_run_again_after_a_reboot_of_the_host(host: FakeHost, client: NodeClient) -> None:
    client.apply(call())
    host.act(lambda node: node.reboot())
    assert word(client) == "Running"


def test_a_busy_host_is_asked_again(host: FakeHost, client: NodeClient) -> None:
    host.faults.refuse("Apply", Exhausted("too much to do", reason="TooManyCalls"), times=2)
    client.apply(call())
    assert host.running == {UID}
