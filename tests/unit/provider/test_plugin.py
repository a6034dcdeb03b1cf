"""The plugin process that Pulumi's engine starts, with the engine's own messages."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import grpc
import pulumi.runtime.rpc as pulumi_rpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.dynamic.dynamic import serialize_provider
from pulumi.runtime._serialization import _serialize
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from tests.unit.cli.live_node import LiveNode, eventually
from tests.unit.provider.conftest import inputs
from xvirt_provider.provider import Provider

FROZEN = "gASVKwAAAAAAAACMF3h2aXJ0X3Byb3ZpZGVyLnByb3ZpZGVylIwIUHJvdmlkZXKUk5QpgZQu"
"""What stands in every state that was ever written. If this test fails, those states can no longer be read."""
PICKLED, _HAS_SECRETS = _serialize(False, serialize_provider, Provider())


def properties(value: dict[str, Any]) -> struct_pb2.Struct:
    """As the engine sends them: numbers as doubles, nulls dropped."""
    found = struct_pb2.Struct()
    found.update({**value, "__provider": PICKLED})
    return found


@pytest.fixture
def plugin(node: LiveNode) -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    """A plugin whose stack's configuration names the node."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "pulumi.dynamic", "127.0.0.1:1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    port = int(process.stdout.readline())
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = provider_pb2_grpc.ResourceProviderStub(channel)
        args = struct_pb2.Struct()
        args.update({"xvirt:node": node.address})
        stub.Configure(provider_pb2.ConfigureRequest(args=args))
        try:
            yield stub
        finally:
            process.kill()
            process.communicate()


def test_row_99_the_class_stands_in_a_state_by_its_path_alone() -> None:
    assert PICKLED == FROZEN
    assert not _HAS_SECRETS


def test_row_99_a_machine_is_created_changed_read_and_deleted(plugin: Any, node: LiveNode) -> None:
    checked = plugin.Check(provider_pb2.CheckRequest(olds=properties({}), news=properties(inputs())))
    assert not checked.failures
    created = plugin.Create(provider_pb2.CreateRequest(properties=checked.inputs))
    outputs = pulumi_rpc.deserialize_properties(created.properties)
    assert outputs["state"] == "Running"
    same = plugin.Diff(provider_pb2.DiffRequest(id=created.id, olds=created.properties, news=properties(inputs())))
    assert same.changes == provider_pb2.DiffResponse.DIFF_NONE
    wished = properties(inputs(spec={"cpu": {"cores": 2, "max": 2}}))
    found = plugin.Diff(provider_pb2.DiffRequest(id=created.id, olds=created.properties, news=wished))
    assert found.changes == provider_pb2.DiffResponse.DIFF_SOME
    assert not found.replaces
    updated = plugin.Update(provider_pb2.UpdateRequest(id=created.id, olds=created.properties, news=wished))
    read = plugin.Read(provider_pb2.ReadRequest(id=created.id, properties=updated.properties))
    assert read.id == created.id
    assert pulumi_rpc.deserialize_properties(read.inputs)["spec"]["cpu"] == {"cores": 2, "max": 2}
    plugin.Delete(provider_pb2.DeleteRequest(id=created.id, properties=read.properties))
    gone = plugin.Read(provider_pb2.ReadRequest(id=created.id, properties=read.properties))
    assert gone.id == ""


def test_row_104_check_fails_property_by_property(plugin: Any) -> None:
    bad = properties(inputs(spec={"cpu": {"cores": 0}, "memory": {"size": "1"}}))
    answer = plugin.Check(provider_pb2.CheckRequest(olds=properties({}), news=bad))
    assert [item.property for item in answer.failures] == ["", ""]
    assert sorted(item.reason.partition(": ")[0] for item in answer.failures) == ["cpu.cores", "memory.size"]


def test_an_error_is_one_sentence(plugin: Any, node: LiveNode) -> None:
    node.declare(
        """
        apiVersion: xvirt.io/v1alpha1
        kind: VirtualMachine
        metadata: {name: web}
        spec: {memory: {size: 64Mi}}
        """
    )
    with pytest.raises(grpc.RpcError) as caught:
        plugin.Create(provider_pb2.CreateRequest(properties=properties(inputs())))
    text = caught.value.details() or ""
    assert text.startswith("Failed: VirtualMachine default/web is owned by authority local, not organization/shop/dev")
    assert "\n" not in text.strip()


def test_more_than_four_steps_run_at_once(plugin: Any, node: LiveNode) -> None:
    wished = [inputs(f"vm-{number}", waitFor="address", timeouts={"create": 600.0}) for number in range(12)]
    plugin.Check(provider_pb2.CheckRequest(olds=properties({}), news=properties(wished[0])))  # as the engine begins
    calls = [plugin.Create.future(provider_pb2.CreateRequest(properties=properties(item))) for item in wished]
    # Each waits for an address that never comes, so twelve can be there only where twelve calls are served.
    eventually(lambda: len(node.store.list_objects("VirtualMachine", "")) == 12)
    assert not any(call.done() for call in calls)
    for call in calls:
        call.cancel()


def test_cancelling_ends_the_waits_of_a_plugin_and_forgets_nothing(plugin: Any, node: LiveNode) -> None:
    wished = properties(inputs(waitFor="address", timeouts={"create": 3600.0}))
    plugin.Check(provider_pb2.CheckRequest(olds=properties({}), news=wished))
    call = plugin.Create.future(provider_pb2.CreateRequest(properties=wished))
    eventually(lambda: node.store.list_objects("VirtualMachine", ""))
    assert not call.done()
    plugin.Cancel(empty_pb2.Empty())
    outputs = pulumi_rpc.deserialize_properties(call.result(60).properties)
    assert outputs["uid"] == node.uid()
    assert "was not waited for any longer" in outputs["warning"]
