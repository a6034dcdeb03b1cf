"""What programs declare: names, the stack's defaults, text for guests, and the same documents for both targets."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pulumi
import pytest

from tests.unit.provider.programs import Registered, run_program
from xvirt.model.fields import attributes, element_type
from xvirt.model.machine.status import VirtualMachineStatus
from xvirt.model.meta import ConditionType
from xvirt.model.validation import validate
from xvirt_provider import (
    Options,
    StoragePool,
    Timeouts,
    VirtualDisk,
    VirtualImage,
    VirtualMachine,
    VirtualNetwork,
    XVirtNode,
    core,
)
from xvirt_provider.cluster import AWAITED
from xvirt_provider.first_boot import secret_name
from xvirt_provider.waits import CLOUD_INIT_PROBE

USER_DATA = "#cloud-config\npassword: hunter2\n"
SHA = "0" * 64


def machine(**more: Any) -> VirtualMachine:
    """A machine of a program."""
    return VirtualMachine("web", **{"memory": {"size": "64Mi"}, **more})


def only(found: list[Registered]) -> Registered:
    """The one resource."""
    assert len(found) == 1, found
    return found[0]


def run_machine(config: dict[str, str] | None = None, **more: Any) -> Registered:
    """What a program with one machine registers; functions among its arguments are called in the program."""
    return only(run_program(lambda: machine(**{key: _made(value) for key, value in more.items()}), config=config))


def _made(value: Any) -> Any:
    return value() if callable(value) else value


def later(value: Any) -> pulumi.Output[Any]:
    """What a program knows only while it runs."""
    return pulumi.Output.from_input(value)


# defaults of a stack


def test_row_99_a_stack_says_once_what_holds_for_all() -> None:
    config = {
        "namespace": "shop",
        "profile": "baseline",
        "waitFor": "address",
        "onTimeout": "fail",
        "timeouts": '{"create": 900, "delete": 30}',
    }
    found = run_machine(config)
    assert found.inputs["metadata"] == {"name": "web", "namespace": "shop"}
    assert found.inputs["profile"] == "baseline"
    assert found.inputs["waitFor"] == "address"
    assert found.inputs["onTimeout"] == "fail"
    assert found.inputs["timeouts"] == {"create": 900, "delete": 30}
    assert found.inputs["authority"] == "organization/shop/dev"
    own = run_machine(
        config,
        namespace="own",
        profile="restricted",
        options=Options(wait_for="agent", on_timeout="warn", timeouts=Timeouts(create=5)),
    )
    assert own.inputs["metadata"]["namespace"] == "own"
    assert own.inputs["profile"] == "restricted"
    assert own.inputs["waitFor"] == "agent"
    assert "onTimeout" not in own.inputs
    assert own.inputs["timeouts"] == {"create": 5, "delete": 30}


def test_row_99_a_default_wait_is_asked_of_what_can_reach_it() -> None:
    config = {"waitFor": "cloud-init", "namespace": "shop"}

    def program() -> None:
        StoragePool("pool", type="Dir", path="/srv/pool")
        VirtualDisk("data", size="1Gi")
        machine(run_strategy="Halted")
        VirtualMachine("bare", memory={"size": "64Mi"})
        VirtualMachine("db", memory={"size": "64Mi"}, cloud_init={})

    found = {item.name: item.inputs for item in run_program(program, config=config)}
    assert {name: inputs.get("waitFor") for name, inputs in found.items()} == {
        "pool": None,
        "data": None,
        "web": None,
        "bare": None,
        "db": "cloud-init",
    }
    assert "namespace" not in found["pool"]["metadata"]


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("waitFor", "coffee", "xvirt:waitFor is 'coffee'; use one of accepted, "),
        ("target", "moon", "xvirt:target is 'moon'; use one of node, cluster"),
        ("timeouts", '{"create": -1}', "xvirt:timeouts must hold seconds for create, update, delete"),
        ("timeouts", '{"coffee": 1}', "xvirt:timeouts must hold seconds"),
    ],
)
def test_row_104_a_default_that_is_none_is_told_by_its_key(key: str, value: str, told: str) -> None:
    with pytest.raises(pulumi.RunError, match=re.escape(told)):
        run_machine({key: value})


# names


def test_row_99_names_are_converted_within_what_is_known_later() -> None:
    found = run_machine(
        cloud_init=lambda: later({"network_data": {"inline": "version: 2"}}),
        disks=lambda: later([{"name": "root", "io_limits": {"read_iops": {"per_second": 9}}}]),
        nics=lambda: [later({"name": "lan", "link_state": "Down"})],
        devices=lambda: {"guest_agent": later(False)},
    )
    spec = found.inputs["spec"]
    assert spec["cloudInit"] == {"networkData": {"inline": "version: 2"}}
    assert spec["disks"] == [{"name": "root", "ioLimits": {"readIops": {"perSecond": 9}}}]
    assert spec["nics"] == [{"name": "lan", "linkState": "Down"}]
    assert spec["devices"] == {"guestAgent": False}


# text for guests


@pytest.mark.parametrize(
    "cloud_init",
    [
        lambda: {"user_data": {"inline": USER_DATA}},
        lambda: {"user_data": later({"inline": USER_DATA})},
        lambda: {"user_data": {"inline": later(USER_DATA)}},
        lambda: later({"user_data": {"inline": USER_DATA}}),
    ],
)
def test_row_99_user_data_is_a_secret_wherever_it_is_said(cloud_init: Any) -> None:
    found = run_machine(cloud_init=cloud_init)
    assert found.inputs["spec"]["cloudInit"] == {"userData": {"secret": "web-cloud-init", "key": "userData"}}
    assert found.inputs["secrets"] == {"web-cloud-init": {"userData": USER_DATA}}
    assert found.secrets == {"secrets"}
    assert "hunter2" not in str(found.document)
    assert not validate(found.document)


def test_row_99_user_data_stands_beside_secrets_of_the_program() -> None:
    found = run_machine(
        cloud_init={"user_data": {"inline": USER_DATA}, "ssh_authorized_keys_from": {"secret": "who", "key": "keys"}},
        secrets=lambda: {"who": {"keys": later("ssh-ed25519 AAAA")}},
    )
    assert found.inputs["secrets"] == {
        "who": {"keys": "ssh-ed25519 AAAA"},
        "web-cloud-init": {"userData": USER_DATA},
    }
    by_reference = run_machine(cloud_init={"user_data": {"secret": "own", "key": "text"}})
    assert by_reference.inputs["spec"]["cloudInit"] == {"userData": {"secret": "own", "key": "text"}}
    assert "secrets" not in by_reference.inputs


def test_row_99_the_secret_of_a_long_name_is_a_label_too() -> None:
    long = "x" * 63
    assert len(secret_name(long)) == 63
    assert secret_name(long) != secret_name("x" * 62 + "y")
    assert secret_name("web") == "web-cloud-init"


def test_row_99_an_object_named_later_has_its_secret_by_that_name() -> None:
    found = run_machine(name=lambda: later("shop"), cloud_init={"user_data": {"inline": USER_DATA}})
    assert found.inputs["secrets"] == {"shop-cloud-init": {"userData": USER_DATA}}
    assert found.inputs["spec"]["cloudInit"]["userData"]["secret"] == "shop-cloud-init"


# waiting for cloud-init


def test_row_99_who_waits_for_cloud_init_has_the_guest_asked() -> None:
    found = run_machine(cloud_init={"user_data": {"inline": USER_DATA}}, options=Options(wait_for="cloud-init"))
    assert found.inputs["spec"]["readinessProbe"] == CLOUD_INIT_PROBE
    assert found.inputs["waitFor"] == "cloud-init"
    assert not core.check(found.inputs)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, "needs cloud_init"),
        ({"cloud_init": {}, "run_strategy": "Halted"}, "never reached by a machine that is Halted"),
        ({"cloud_init": {}, "readiness_probe": {"tcp_socket": {"port": 22}}}, "this machine declares another one"),
        ({"cloud_init": {}, "devices": {"guest_agent": False}}, "asks the guest's agent"),
    ],
)
def test_row_104_waiting_in_vain_is_told_before_anything_is_done(more: dict[str, Any], told: str) -> None:
    found = run_machine(options=Options(wait_for="cloud-init"), **more)
    problems = core.check(found.inputs)
    assert [item for item in problems if told in item.message], problems


# the two targets


def _pool(**more: Any) -> None:
    StoragePool("fast", type="Dir", path="/srv/fast", hosts=["node-a"], labels={"tier": "fast"}, **more)


def _network(**more: Any) -> None:
    subnets: Any = [{"address": "10.7.0.1/24", "dhcp": {"ranges": [{"start": "10.7.0.10", "end": "10.7.0.99"}]}}]
    VirtualNetwork("lan", mode="Nat", subnets=subnets, **{"namespace": "shop", **more})


def _image(**more: Any) -> None:
    VirtualImage("debian", source={"url": "https://example.org/debian.qcow2"}, checksum=f"sha256:{SHA}", **more)


def _disk(**more: Any) -> None:
    VirtualDisk("data", size="1Gi", annotations={"note": later("kept")}, **more)


def _machine(**more: Any) -> None:
    VirtualMachine(
        "web",
        name="shop",
        memory={"size": "256Mi", "max": "1Gi"},
        cpu={"cores": 1, "max": 4},
        disks=[
            {"name": "root", "source": {"image": "debian", "size": "2Gi"}},
            {"name": "data", "source": {"disk": "data"}},
        ],
        nics=[{"name": "lan", "network": "lan"}],
        cloud_init={"hostname": "web", "user_data": {"inline": USER_DATA}},
        domain={"devices": {"sound": [{"@model": "ich9"}]}},
        **more,
    )


ALL = {"StoragePool": _pool, "VirtualNetwork": _network, "VirtualImage": _image, "VirtualDisk": _disk}
ALL["VirtualMachine"] = _machine


@pytest.mark.parametrize("kind", sorted(ALL))
def test_row_100_a_cluster_is_sent_the_document_that_a_node_is_sent(kind: str) -> None:
    declare: Callable[..., None] = ALL[kind]
    at_node = only(run_program(declare))
    in_cluster = next(
        item
        for item in run_program(lambda: declare(target="cluster"), outputs={"status": {}})
        if item.type != "kubernetes:core/v1:Secret"
    )
    assert in_cluster.type == f"kubernetes:xvirt.io/v1alpha1:{kind}"
    document = in_cluster.document
    assert document["metadata"]["annotations"].pop("pulumi.com/waitFor") == "condition=Ready"
    assert document == at_node.document
    assert not validate(document)


def test_row_100_it_is_the_custom_resource_that_pulumi_kubernetes_registers() -> None:
    from pulumi_kubernetes.apiextensions import CustomResource

    ours = run_program(lambda: _disk(target="cluster"), outputs={"status": {}})

    def theirs() -> None:
        document = ours[0].document
        CustomResource("data", document["apiVersion"], document["kind"], document["spec"], document["metadata"])

    assert run_program(theirs) == ours


def test_row_100_secrets_are_secrets_of_the_cluster_before_the_machine() -> None:
    found = run_program(lambda: _machine(target="cluster", namespace="shop"), outputs={"status": {}})
    assert [item.type for item in found] == ["kubernetes:core/v1:Secret", "kubernetes:xvirt.io/v1alpha1:VirtualMachine"]
    secret = found[0].inputs
    assert secret["metadata"] == {"name": "shop-cloud-init", "namespace": "shop"}
    assert secret["stringData"] == {"userData": USER_DATA}
    assert found[0].secrets == {"stringData"}
    assert "hunter2" not in str(found[1].inputs)


@pytest.mark.parametrize(
    ("wait_for", "annotation", "value"),
    [
        ("accepted", "pulumi.com/skipAwait", "true"),
        ("running", "pulumi.com/waitFor", "jsonpath={.status.powerState}=Running"),
        ("agent", "pulumi.com/waitFor", "condition=AgentConnected"),
        ("cloud-init", "pulumi.com/waitFor", "condition=Ready"),
        ("ready", "pulumi.com/waitFor", "condition=Ready"),
        (None, "pulumi.com/waitFor", "condition=Ready"),
    ],
)
def test_row_100_pulumi_waits_for_what_the_program_waits_for(wait_for: Any, annotation: str, value: str) -> None:
    found = run_program(lambda: _machine(target="cluster", options=Options(wait_for=wait_for)), outputs={"status": {}})
    annotations = found[-1].inputs["metadata"]["annotations"]
    assert {key: text for key, text in annotations.items() if key.startswith("pulumi.com/")} == {annotation: value}


def test_row_100_outputs_are_read_from_the_objects_status() -> None:
    told: dict[str, Any] = {}

    def program() -> pulumi.Output[Any]:
        web = machine(target="cluster")
        both = pulumi.Output.all(web.uuid, web.host, web.macs, web.addresses, web.address, web.state, web.conditions)
        return both.apply(lambda found: told.update(found=found))

    status = {
        "uuid": "u-1",
        "nodeName": "node-a",
        "printableStatus": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "interfaces": [{"name": "lan", "mac": "02:00:00:00:00:01", "addresses": [{"address": "10.7.0.10"}]}],
    }
    run_program(program, outputs={"status": status})
    assert told["found"] == [
        "u-1",
        "node-a",
        {"lan": "02:00:00:00:00:01"},
        {"lan": ["10.7.0.10"]},
        "10.7.0.10",
        "Running",
        {"Ready": "True"},
    ]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"node": XVirtNode(address="unix:///run/x.sock")}, "node is for target='node'"),
        ({"adopt": "old"}, "adopt is for target='node'; take an object of a cluster over with opts="),
        ({"profile": "baseline"}, "profile is for target='node'; in a cluster it is a label of the namespace"),
        ({"memory": {"size": "1"}}, "memory.size"),
    ],
)
def test_row_104_what_a_cluster_does_not_take_is_told(more: dict[str, Any], told: str) -> None:
    with pytest.raises(pulumi.RunError, match=re.escape(told)):
        run_machine({"target": "cluster"}, **more)


def test_row_100_what_pulumi_waits_for_are_fields_and_conditions_of_the_status() -> None:
    known = {item.value for item in ConditionType}
    for awaited in AWAITED.values():
        text = awaited.get("pulumi.com/waitFor", "[]")
        for expression in json.loads(text) if text.startswith("[") else [text]:
            head, _, rest = expression.partition("=")
            if head == "condition":
                assert rest in known
                continue
            cls: Any = VirtualMachineStatus
            for word in re.sub(r"\[0\]", "", rest.partition("}")[0].removeprefix("{.status.")).split("."):
                item = {entry.json_name: entry for entry in attributes(cls)}[word]
                cls = element_type(item.annotation) or item.annotation
