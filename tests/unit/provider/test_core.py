"""A resource's steps against a node."""

from __future__ import annotations

import dataclasses

import pytest

from tests.unit.cli.live_node import LiveNode, eventually
from tests.unit.provider.conftest import STACK, inputs
from xvirt.client.blocking import NodeClient
from xvirt.client.target import Target
from xvirt.model.errors import Conflict, DeadlineExceeded, Unavailable
from xvirt.model.exchange import ApplyCall, Caller, ObjectRef, Token
from xvirt_provider import core

CLUSTER = "00000000-0000-4000-8000-000000000001"
"""Authority of an operator: the uid of kube-system."""
OPERATOR = Caller(name="xvirt-operator", authorities=(CLUSTER,), namespaces=("*",), profiles=("restricted",))
WEB = ObjectRef(kind="VirtualMachine", namespace="default", name="web")


def test_row_99_create_ends_with_a_running_machine_of_the_stack(client: NodeClient) -> None:
    outputs = core.create(client, inputs())
    found = client.get(WEB)
    assert found.ref.authority == STACK
    assert outputs["uuid"] == found.ref.uid == outputs["uid"]
    assert outputs["state"] == "Running"
    assert outputs["conditions"]["Ready"] == "True"
    assert outputs["warning"] == ""


def test_row_99_a_create_that_is_repeated_finds_the_same_machine(client: NodeClient) -> None:
    first = core.create(client, inputs())
    assert core.create(client, inputs())["uid"] == first["uid"]
    assert len(client.list_objects("VirtualMachine")) == 1


def test_row_99_nothing_differs_after_up_and_refresh(client: NodeClient) -> None:
    outputs = core.create(client, inputs())
    assert not core.compare(outputs, inputs()).is_changed
    found = core.read(client, outputs)
    assert found is not None
    assert found[1] == inputs()
    assert {key: found[0][key] for key in ("uid", "uuid", "spec", "metadata")} == {
        key: outputs[key] for key in ("uid", "uuid", "spec", "metadata")
    }
    assert not core.compare(found[0], inputs()).is_changed


def test_row_99_the_preview_says_what_it_costs(client: NodeClient) -> None:
    outputs = core.create(client, inputs())
    wished = inputs(spec={"memory": {"size": "96Mi", "max": "128Mi"}, "machine": "pc"})
    found = core.compare(outputs, wished)
    assert {change.path: change.mutability.value for change in found.changes} == {
        "spec.memory.size": "live",
        "spec.machine": "restart",
    }
    assert found.replaced == ()
    result = core.plan(client, wished)
    assert result is not None
    assert "define-domain" in [step.name for step in result.plan]


def test_row_99_only_what_never_changes_is_replaced() -> None:
    disk = {"kind": "VirtualDisk", "metadata": {"name": "d"}, "spec": {"size": "1Gi"}, "authority": STACK, "owner": "d"}
    assert core.compare(disk, {**disk, "spec": {"size": "2Gi"}}).replaced == ()
    assert core.compare(disk, {**disk, "spec": {"size": "1Gi", "format": "raw"}}).replaced == ("spec.format",)
    assert core.compare(disk, {**disk, "metadata": {"name": "e"}}).replaced == ("metadata.name",)
    assert not core.compare(disk, {**disk, "spec": {"size": "1024Mi"}}).is_changed


def test_row_99_update_is_one_apply(client: NodeClient, node: LiveNode) -> None:
    core.create(client, inputs())
    node.calls.clear()
    outputs = core.update(client, inputs(spec={"cpu": {"cores": 2, "max": 2}}))
    assert node.calls.count("Apply") == 1
    assert outputs["state"] == "Running"
    assert client.get(WEB).document["status"]["cpus"] == 2


def test_row_99_a_vanished_machine_is_gone_and_an_unreachable_node_is_an_error(
    client: NodeClient, node: LiveNode
) -> None:
    outputs = core.create(client, inputs())
    core.delete(client, outputs)
    assert core.read(client, outputs) is None
    core.delete(client, outputs)
    with NodeClient(Target("unix:///nowhere/node.sock")) as lost, pytest.raises(Unavailable):
        core.read(lost, outputs)


def test_two_resources_of_a_stack_never_share_an_object(client: NodeClient) -> None:
    core.create(client, inputs())
    with pytest.raises(Conflict, match="declared by resource web of this stack"):
        core.create(client, inputs(owner="other"))


def test_two_stacks_never_share_an_object(client: NodeClient) -> None:
    first = core.create(client, inputs())
    other = inputs(authority="organization/shop/prod")
    with pytest.raises(Conflict, match="organization/shop/dev"):
        core.create(client, other)
    core.delete(client, other)
    assert client.get(WEB).ref.uid == first["uid"]
    assert core.read(client, other) is None


def test_a_stack_and_a_custom_resource_never_share_an_object(
    client: NodeClient, node: LiveNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator speaks as the cluster: whoever comes second is refused in words, and nothing of the first one's changes."""
    served = dataclasses.replace(node.service._identity, authorities=(*node.service._identity.authorities, CLUSTER))
    monkeypatch.setattr(node.service, "_identity", served)
    document = {**core.document_of(inputs()), "spec": {"memory": {"size": "64Mi"}}}
    call = ApplyCall(document=document, token=Token(authority=CLUSTER, epoch=1, generation=1))
    uid = node.service.apply(OPERATOR, call).object.ref.uid
    with pytest.raises(
        Conflict, match=f"owned by authority {CLUSTER}, not {STACK}; delete it there or rename this one"
    ):
        core.create(client, inputs())
    core.delete(client, inputs())
    assert node.service.get(OPERATOR, ObjectRef(uid=uid)).ref.authority == CLUSTER
    node.service.delete(OPERATOR, ObjectRef(uid=uid), call.token, force=True)
    eventually(lambda: node.hypervisor.list_domains() == [] and node.store.find(uid) is None)
    made = core.create(client, inputs())
    with pytest.raises(Conflict, match=f"owned by authority {STACK}, not {CLUSTER}"):
        node.service.apply(OPERATOR, call)
    assert client.get(WEB).ref.uid == made["uid"]


def test_what_others_declared_is_refused_by_name(client: NodeClient) -> None:
    document = {**core.document_of(inputs())}
    client.apply(ApplyCall(document=document))
    with pytest.raises(Conflict, match="owned by authority local"):
        core.create(client, inputs())


def test_a_guest_that_is_late_is_a_warning_and_stays(client: NodeClient) -> None:
    wished = inputs(waitFor="address", timeouts={"create": 0.5})
    outputs = core.create(client, wished)
    assert "is not address after 0.5 s" in outputs["warning"]
    with pytest.raises(DeadlineExceeded, match="the next `pulumi up` goes on with it"):
        core.update(client, {**wished, "onTimeout": "fail", "timeouts": {"update": 0.5}})
    assert client.get(WEB).ref.uid == outputs["uid"]


def test_what_somebody_else_changed_comes_back_as_input(client: NodeClient) -> None:
    outputs = core.create(client, inputs())
    core.update(client, inputs(spec={"memory": {"size": "96Mi", "max": "128Mi"}}))
    found = core.read(client, outputs)
    assert found is not None
    assert found[1]["spec"]["memory"]["size"] == "96Mi"
    assert core.compare(found[0], inputs()).is_changed


def test_row_104_a_bad_argument_is_told_in_the_programs_words() -> None:
    problems = core.check(inputs(spec={"cpu": {"cores": 0}, "cloudInit": {"userData": {}}}))
    assert [item.path for item in problems] == ["cpu.cores"]
    problems = core.check(inputs(spec={"cloudInit": {"userData": {}}, "disks": [{"name": "a", "source": {}}]}))
    assert [item.path for item in problems] == ["cloud_init.user_data", "disks[0].source.size"]
    assert [item.path for item in core.check(inputs(waitFor="coffee"))] == ["options.wait_for"]


def test_secrets_reach_the_node_and_no_output_but_their_own(client: NodeClient) -> None:
    wished = inputs(
        spec={"cloudInit": {"userData": {"secret": "init", "key": "text"}}}, secrets={"init": {"text": "hunter2"}}
    )
    outputs = core.create(client, wished)
    assert "hunter2" not in str({key: value for key, value in outputs.items() if key != "secrets"})
    assert core.compare(outputs, {**wished, "secrets": {"init": {"text": "other"}}}).is_changed
