"""What a preview tells: each property with what it costs and why, over the plugin process that the engine starts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import struct_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc
from pulumi.runtime.rpc import UNKNOWN

from tests.unit.cli.live_node import LiveNode
from tests.unit.provider.conftest import inputs
from tests.unit.provider.test_plugin import properties


class Plugin:
    """The plugin process, and what it tells its user."""

    def __init__(self, process: subprocess.Popen[str], stub: Any) -> None:
        self._process, self.stub = process, stub

    def create(self, wished: dict[str, Any]) -> Any:
        """Check and create."""
        checked = self.stub.Check(provider_pb2.CheckRequest(olds=properties({}), news=properties(wished)))
        assert not checked.failures, checked.failures
        return self.stub.Create(provider_pb2.CreateRequest(properties=checked.inputs))

    def diff(self, made: Any, wished: dict[str, Any]) -> Any:
        """What an `up` would do."""
        return self.stub.Diff(provider_pb2.DiffRequest(id=made.id, olds=made.properties, news=properties(wished)))

    def check(self, wished: dict[str, Any]) -> list[str]:
        """Paths of what is wrong."""
        answer = self.stub.Check(provider_pb2.CheckRequest(olds=properties({}), news=properties(wished)))
        return [item.reason.partition(": ")[0] for item in answer.failures]

    def told(self) -> list[str]:
        """All that it has printed; it ends with it."""
        self._process.kill()
        return self._process.communicate()[1].splitlines()


@pytest.fixture
def plugin(node: LiveNode) -> Iterator[Plugin]:
    """A plugin whose stack's configuration names the node."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "pulumi.dynamic", "127.0.0.1:1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    port = int(process.stdout.readline())
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = provider_pb2_grpc.ResourceProviderStub(channel)
        args = struct_pb2.Struct()
        args.update({"xvirt:node": node.address})
        stub.Configure(provider_pb2.ConfigureRequest(args=args))
        try:
            yield Plugin(process, stub)
        finally:
            process.kill()
            process.communicate()


def test_row_99_each_property_is_told_with_what_it_costs(plugin: Plugin) -> None:
    made = plugin.create(inputs())
    wished = inputs(spec={"memory": {"size": "96Mi", "max": "128Mi"}, "machine": "pc"})
    answer = plugin.diff(made, wished)
    assert answer.changes == provider_pb2.DiffResponse.DIFF_SOME
    assert not answer.replaces
    told = plugin.told()
    assert "VirtualMachine default/web: spec.memory.size 64Mi -> 96Mi [live]" in told
    assert "VirtualMachine default/web: spec.machine q35 -> pc [at the next start]" in told
    assert any("update memory to 96Mi live [live]" in line for line in told), told


def test_row_99_what_comes_and_goes_is_told_by_its_name(plugin: Plugin) -> None:
    lan = {**inputs("lan"), "kind": "VirtualNetwork"}
    hosts = {"hosts": [{"ip": "192.0.2.7", "hostnames": ["a"]}]}
    spec = {"mode": "Isolated", "subnets": [{"address": "192.0.2.1/24"}]}
    made = plugin.create({**lan, "spec": {**spec, "dns": hosts}})
    other = {"hosts": [{"ip": "192.0.2.8", "hostnames": ["b"]}]}
    plugin.diff(made, {**lan, "spec": {**spec, "dns": other}})
    told = plugin.told()
    assert "VirtualNetwork default/lan: spec.dns.hosts[192.0.2.7] is taken out [live]" in told
    assert "VirtualNetwork default/lan: spec.dns.hosts[192.0.2.8] is added [live]" in told


def test_row_99_what_may_hold_secrets_is_named_and_not_shown(plugin: Plugin) -> None:
    made = plugin.create(inputs(spec={"cloudInit": {"networkData": {"inline": "password: one"}}}))
    wished = inputs(
        spec={
            "cloudInit": {"networkData": {"inline": "password: hunter2"}},
            "domain": {"sysinfo": {"@type": "smbios", "oemStrings": {"entry": "hunter2"}}},
            "readinessProbe": {"httpGet": {"port": 80, "httpHeaders": [{"name": "Authorization", "value": "hunter2"}]}},
        }
    )
    plugin.diff(made, wished)
    told = plugin.told()
    assert "VirtualMachine default/web: spec.cloudInit.networkData.inline changes [at the next start]" in told
    assert "VirtualMachine default/web: spec.readinessProbe changes [live]" in told
    assert any(line.startswith("VirtualMachine default/web: spec.domain changes") for line in told)
    assert "hunter2" not in "\n".join(told)


def test_row_99_what_is_not_known_yet_is_told_and_the_rest_is_compared(plugin: Plugin) -> None:
    made = plugin.create(inputs(spec={"nics": [{"name": "lan", "network": "lan"}]}, waitFor="accepted"))
    wished = inputs(spec={"nics": [{"name": "lan", "network": UNKNOWN}], "memory": {"size": "96Mi", "max": "128Mi"}})
    answer = plugin.diff(made, wished)
    assert answer.changes == provider_pb2.DiffResponse.DIFF_SOME
    assert not answer.replaces
    assert plugin.told() == [
        "VirtualMachine default/web: spec.memory.size 64Mi -> 96Mi [live]",
        "VirtualMachine default/web: spec.nics[lan].network is not known yet [live, if it changes]",
        "VirtualMachine default/web: the node is asked for its plan once all is known",
    ]


def test_row_104_what_is_known_is_judged_beside_what_is_not(plugin: Plugin) -> None:
    wished = inputs(spec={"nics": [{"name": "lan", "network": UNKNOWN}], "cpu": {"cores": 0}})
    assert plugin.check(wished) == ["cpu.cores"]
    assert plugin.check(inputs(spec={"memory": UNKNOWN})) == []
    assert plugin.check({**inputs(), "metadata": {"name": "web", "annotations": UNKNOWN}}) == []


def test_row_99_only_what_never_changes_is_replaced_and_told_why(plugin: Plugin) -> None:
    disk = {**inputs("data"), "kind": "VirtualDisk", "spec": {"size": "64Mi", "format": "raw"}}
    made = plugin.create(disk)
    grown = plugin.diff(made, {**disk, "spec": {"size": "128Mi", "format": "raw"}})
    assert not grown.replaces
    other = plugin.diff(made, {**disk, "spec": {"size": "128Mi", "format": "qcow2"}})
    assert (list(other.replaces), other.deleteBeforeReplace) == (["spec"], True)
    renamed = plugin.diff(made, {**disk, "metadata": {"name": "more"}})
    assert (list(renamed.replaces), renamed.deleteBeforeReplace) == (["metadata"], False)
    unknown = plugin.diff(made, {**disk, "spec": {"size": UNKNOWN, "format": "qcow2"}})
    assert list(unknown.replaces) == ["spec"]
    told = plugin.told()
    assert "VirtualDisk default/data: spec.size 64Mi -> 128Mi [live]" in told
    assert (
        "VirtualDisk default/data: spec.format never changes: a new object takes its place, and this one is deleted"
        " first, since both would have the name data"
    ) in told
    assert (
        "VirtualDisk default/data: metadata.name never changes: a new object takes its place, and this one is deleted"
        " once the new one is there"
    ) in told


def test_row_99_a_move_to_another_node_says_that_data_stays(plugin: Plugin) -> None:
    made = plugin.create(inputs())
    answer = plugin.diff(made, inputs(node={"node": "unix:///elsewhere.sock", "nodeName": "node-z"}))
    assert list(answer.replaces) == ["node"]
    assert not answer.deleteBeforeReplace
    assert (
        "VirtualMachine default/web: its data does not move: what is on its disks stays on the node that it leaves"
        in (plugin.told())
    )
