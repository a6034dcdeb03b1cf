"""What a step waits for, how long, and what becomes of a guest that is late."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.unit.cli.live_node import LiveNode, eventually
from tests.unit.cli.test_adopt import FIRST, define
from tests.unit.provider.conftest import inputs
from xvirt.client.blocking import NodeClient
from xvirt.model.errors import Conflict, DeadlineExceeded, Refused
from xvirt.model.exchange import ObjectRef
from xvirt_provider import core
from xvirt_provider.waits import CLOUD_INIT_PROBE

WEB = ObjectRef(kind="VirtualMachine", namespace="default", name="web")
CLOUD_INIT = {"cloudInit": {"hostname": "web"}, "readinessProbe": {**CLOUD_INIT_PROBE, "periodSeconds": 1}}


@pytest.fixture
def aside() -> Iterator[Callable[..., concurrent.futures.Future[Any]]]:
    """Runs a step beside the test."""
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        yield executor.submit


def guest(node: LiveNode, exit_code: int) -> None:
    """The guest runs, with an agent in which cloud-init's probe ends so."""
    record = eventually(lambda: next((item for item in node.hypervisor.list_domains() if item.is_active), None))
    node.hypervisor.domain(record.uuid).agent.run = lambda argv: exit_code
    node.hypervisor.connect_agent(record.uuid)


def test_row_99_the_end_of_cloud_init_is_waited_for(client: NodeClient, node: LiveNode, aside: Any) -> None:
    wished = inputs(spec=CLOUD_INIT, waitFor="cloud-init", timeouts={"create": 60.0})
    step = aside(core.create, client, wished)
    guest(node, exit_code=2)
    agent = node.hypervisor.domain(client.get(WEB).ref.uid).agent
    eventually(lambda: len(agent.started) > 1)
    assert not step.done()
    assert agent.started[0] == ("grep", "-q", r'"errors": \[\]', "/run/cloud-init/result.json")
    guest(node, exit_code=0)
    outputs = step.result(60)
    assert outputs["warning"] == ""
    assert outputs["conditions"]["Ready"] == "True"


def test_row_99_errors_of_cloud_init_end_the_wait_at_once(client: NodeClient, node: LiveNode, aside: Any) -> None:
    wished = inputs(spec=CLOUD_INIT, waitFor="cloud-init", timeouts={"create": 3600.0})
    step = aside(core.create, client, wished)
    guest(node, exit_code=1)
    outputs = step.result(60)
    assert outputs["warning"].startswith("VirtualMachine default/web: cloud-init ended with errors; read /var/log/")
    assert client.get(WEB).ref.uid == outputs["uid"]


@pytest.mark.parametrize("wait_for", ["address", "agent", "cloud-init"])
def test_row_99_a_late_guest_is_a_warning_or_a_failure_and_never_lost(
    client: NodeClient, node: LiveNode, wait_for: str
) -> None:
    spec = CLOUD_INIT if wait_for == "cloud-init" else {}
    wished = inputs(spec=spec, waitFor=wait_for, timeouts={"create": 0.3, "update": 0.3})
    outputs = core.create(client, wished)
    assert f"is not {wait_for} after 0.3 s" in outputs["warning"]
    assert outputs["uid"]
    with pytest.raises(DeadlineExceeded, match="stays as it is, and the next `pulumi up` goes on with it"):
        core.create(client, {**wished, "onTimeout": "fail"})
    again = core.create(client, {**wished, "waitFor": "accepted", "onTimeout": "fail"})
    assert again["uid"] == outputs["uid"]
    assert len(node.hypervisor.list_domains()) == 1


def test_row_99_a_delete_that_takes_too_long_is_told_and_can_be_repeated(client: NodeClient, node: LiveNode) -> None:
    outputs = core.create(client, inputs(spec={"terminationGracePeriodSeconds": 600}))
    node.hypervisor.domain(outputs["uid"]).ignores_shutdown = True
    with pytest.raises(DeadlineExceeded, match="is still being deleted"):
        core.delete(client, {**outputs, "timeouts": {"delete": 0.3}})
    assert client.get(WEB).is_deleting
    assert core.read(client, outputs) is None


def test_row_104_a_wait_that_no_disk_can_reach_is_told() -> None:
    disk = {**inputs("data"), "kind": "VirtualDisk", "spec": {"size": "1Gi"}, "waitFor": "address"}
    assert [str(item) for item in core.check(disk)] == [
        "options.wait_for: 'address' is for machines; use accepted, defined or ready"
    ]


def test_row_99_what_somebody_must_change_first_ends_the_wait(
    client: NodeClient, node: LiveNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "STALLED_S", 0.3)
    define(node, "default_web", FIRST)
    outputs = core.create(client, inputs(timeouts={"create": 3600.0}))
    assert outputs["warning"].startswith("VirtualMachine default/web is not as declared: "), outputs["warning"]
    assert outputs["conditions"]["Stalled"] == "True"
    with pytest.raises(DeadlineExceeded, match=r"default_web.*it stays as it is"):
        core.create(client, inputs(timeouts={"create": 3600.0}, onTimeout="fail"))
    node.hypervisor.destroy_domain(FIRST)
    node.hypervisor.undefine_domain(FIRST)
    assert core.create(client, inputs(timeouts={"create": 60.0}, onTimeout="fail"))["warning"] == ""


def test_row_99_a_machine_that_runs_is_waited_for_until_it_is_as_declared(
    client: NodeClient, node: LiveNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "STALLED_S", 0.3)
    core.create(client, inputs())
    node.faults.fail_next("set_vcpus", Refused("the guest refuses", reason="GuestRefuses"), times=1000)
    wished = inputs(spec={"cpu": {"cores": 2, "max": 2}}, timeouts={"update": 60.0})
    outputs = core.update(client, wished)
    assert outputs["warning"] == "VirtualMachine default/web is not as declared: Failed: the guest refuses"
    node.faults.clear()
    assert core.update(client, wished)["warning"] == ""
    assert client.get(WEB).document["status"]["cpus"] == 2


def test_row_99_a_cancelled_step_waits_no_longer_and_is_no_failure(
    client: NodeClient, aside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled = threading.Event()
    monkeypatch.setattr(core, "cancelled", cancelled)
    wished = inputs(waitFor="address", timeouts={"create": 3600.0}, onTimeout="fail")
    step = aside(core.create, client, wished)
    eventually(lambda: client.list_objects("VirtualMachine"))
    assert not step.done()
    cancelled.set()
    assert step.result(60)["warning"].startswith("VirtualMachine default/web was not waited for any longer")


def test_row_99_what_was_changed_by_hand_is_an_output_and_the_next_update_puts_it_back(
    client: NodeClient, node: LiveNode
) -> None:
    wished = inputs(spec={"driftPolicy": "Report"})
    created = core.create(client, wished)
    node.hypervisor.suspend_domain(created["uid"])
    told = ["the machine was paused by hand"]
    eventually(lambda: client.get(WEB).document["status"]["drift"] == told)
    found = core.read(client, created)
    assert found is not None
    outputs, now = found
    assert now == wished
    assert outputs["drift"] == told
    difference = core.compare(outputs, wished)
    assert (difference.is_changed, difference.drift) == (True, tuple(told))
    updated = core.update(client, wished, outputs["drift"])
    assert updated["drift"] == []
    assert not core.compare(updated, wished).is_changed
    assert client.get(WEB).document["spec"]["driftPolicy"] == "Report"
    assert client.get(WEB).document["status"]["powerState"] == "Running"


def test_row_99_nobody_waits_for_an_image_that_a_kept_disk_is_based_on(
    client: NodeClient, node: LiveNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "KEPT_S", 0.3)
    image = _image(node)
    core.create(client, image)
    disk = {"name": "root", "source": {"image": "guest"}}
    machine = core.create(client, inputs(spec={"disks": [disk]}))
    core.delete(client, machine)
    warning = core.delete(client, image)
    assert warning.startswith("VirtualImage default/guest is still there: Terminating: volume")
    assert "is used by default_web_root.qcow2" in warning
    with pytest.raises(
        Conflict, match=r"apply again once it is gone: Terminating: .* is used by default_web_root.qcow2"
    ):
        core.create(client, image)


def _image(node: LiveNode) -> dict[str, Any]:
    return {**inputs("guest"), "kind": "VirtualImage", "spec": {"source": {"path": "/images/guest.qcow2"}}}
