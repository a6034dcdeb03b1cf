"""Each thing that people do with virsh, to a machine in each state: what xVirt makes of it, corrected or reported. One table; the same
acts are tried on real libvirt, for a sample, in tests/lab/test_by_hand.py."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nodeplugin.hypervisor.port import DomainRecord, DomainState, Scope, XmlView
from tests.unit.nodeplugin.world import World
from xvirt.domainxml.facts import read_domain
from xvirt.domainxml.tree import parse_xml, to_text
from xvirt.model.errors import XvirtError
from xvirt.model.exchange import ObjectRef, Verb
from xvirt.model.identity import MARK_NAMESPACE

API = "xvirt.io/v1alpha1"
WEB = ObjectRef(kind="VirtualMachine", namespace="default", name="web")
LONG_S = 1000.0
STATES = ("running", "paused", "stopped", "saved", "deleting")
CARD = "<interface type='network'><mac address='52:54:00:00:00:77'/><source network='default_lan'/></interface>"


def _documents(drift: str) -> list[dict[str, Any]]:
    disk = {"name": "root", "source": {"size": "8Mi"}, "deletionPolicy": "Delete"}
    spec = {
        "memory": {"size": "64Mi", "max": "128Mi"},
        "cpu": {"cores": 1, "max": 2},
        "disks": [disk],
        "nics": [{"name": "lan", "network": "lan"}],
        "driftPolicy": drift,
        "terminationGracePeriodSeconds": 30,
    }
    return [
        {"apiVersion": API, "kind": "VirtualNetwork", "metadata": {"name": "lan"}, "spec": {"mode": "Isolated"}},
        {"apiVersion": API, "kind": "VirtualMachine", "metadata": {"name": "web"}, "spec": spec},
    ]


class Scene:
    """A node with one machine in a state, to which somebody does something."""

    def __init__(self, directory: Path, state: str, drift: str = "Correct") -> None:
        self.world = World(directory)
        self.state = state
        for document in _documents(drift):
            self.world.apply(document)
        self.world.settle()
        domain = self.world.hypervisor.find_domain_by_name("default_web")
        assert domain is not None
        self.uid = domain.uuid
        verb = {"paused": Verb.PAUSE, "stopped": Verb.STOP, "saved": Verb.SAVE}.get(state)
        if verb is not None:
            self.world.operate(WEB, verb)
        if state == "deleting":
            self.world.hypervisor.domain(self.uid).ignores_shutdown = True
            self.world.delete(WEB)
            self.world.host.index.clear()
            self.world.converger.work(self.uid)
        else:
            self.world.settle()
        self.before = self.picture() if state != "deleting" else {}

    def record(self) -> DomainRecord:
        found = self.world.hypervisor.find_domain(self.uid)
        assert found is not None
        return found

    def picture(self) -> dict[str, Any]:
        """The host and what is said of it, without what counts events."""
        status = self.status()
        definition = self.definition()
        facts = read_domain(parse_xml(definition))
        return {
            **self.world.end_state(),
            "uuid": self.record().uuid,
            "definition": (
                facts.vcpus,
                facts.memory_bytes,
                [disk.path for disk in facts.disks],
                [nic.mac for nic in facts.nics],
            ),
            "title": "by hand" in definition,
            "drift": status.get("drift"),
            "power": status.get("powerState"),
            "marked": facts.mark is not None,
            "pools": sorted((item.name, item.is_active) for item in self.world.hypervisor.list_pools()),
        }

    def status(self) -> dict[str, Any]:
        stored = self.world.store.find(self.uid)
        return dict(stored.status) if stored is not None else {}

    def definition(self) -> str:
        return self.world.hypervisor.domain_xml(self.uid, XmlView.INACTIVE)

    def settle(self) -> None:
        """Until all is over, grace periods and back-off included."""
        for _ in range(4):
            self.world.settle()
            self.world.clock.now += LONG_S
        self.world.settle()


def _edit(scene: Scene) -> None:
    root = parse_xml(scene.definition())
    title = root.makeelement("title", {})
    title.text = "by hand"
    root.insert(2, title)
    for nic in root.findall("devices/interface"):
        nic.getparent().remove(nic)  # type: ignore[union-attr]
    scene.world.hypervisor.define_domain(to_text(root))


def _unplug(scene: Scene) -> None:
    facts = read_domain(parse_xml(scene.world.hypervisor.domain_xml(scene.uid, XmlView.CURRENT)))
    scene.world.hypervisor.detach_device(scene.uid, facts.nics[0].xml, Scope.LIVE)


def _each(kind: str, *acts: str) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        hypervisor = scene.world.hypervisor
        for record in hypervisor.list_networks() if kind == "network" else hypervisor.list_pools():
            for name in acts:
                getattr(hypervisor, name)(record.uuid)

    return act


ACTS: dict[str, Callable[[Scene], None]] = {
    "virsh edit": _edit,
    "virsh attach-device": lambda scene: scene.world.hypervisor.attach_device(scene.uid, CARD, Scope.LIVE),
    "virsh attach-device --config": lambda scene: scene.world.hypervisor.attach_device(scene.uid, CARD, Scope.CONFIG),
    "virsh detach-device": _unplug,
    "virsh setvcpus --live": lambda scene: scene.world.hypervisor.set_vcpus(scene.uid, 2, Scope.LIVE),
    "virsh setmem": lambda scene: scene.world.hypervisor.set_memory(scene.uid, 32 << 20, Scope.LIVE),
    "virsh undefine": lambda scene: scene.world.hypervisor.undefine_domain(scene.uid),
    "virsh destroy": lambda scene: scene.world.hypervisor.destroy_domain(scene.uid),
    "virsh suspend": lambda scene: scene.world.hypervisor.suspend_domain(scene.uid),
    "virsh resume": lambda scene: scene.world.hypervisor.resume_domain(scene.uid),
    "virsh start": lambda scene: scene.world.hypervisor.start_domain(scene.uid),
    "virsh managedsave": lambda scene: scene.world.hypervisor.save_domain(scene.uid),
    "virsh managedsave-remove": lambda scene: scene.world.hypervisor.drop_managed_save(scene.uid),
    "virsh metadata --remove": lambda scene: scene.world.hypervisor.remove_metadata(scene.uid, MARK_NAMESPACE),
    "virsh domrename": lambda scene: scene.world.hypervisor.rename_by_hand(scene.uid, "other"),
    "virsh net-destroy": _each("network", "stop_network"),
    "virsh net-undefine": _each("network", "undefine_network"),
    "virsh net-destroy, net-undefine": _each("network", "stop_network", "undefine_network"),
    "virsh pool-destroy": _each("pool", "stop_pool"),
    "virsh pool-destroy, pool-undefine": _each("pool", "stop_pool", "undefine_pool"),
}


def _outcome(scene: Scene, act: str) -> dict[str, Any] | None:
    """What is there in the end; None where libvirt itself does not do it in this state."""
    try:
        ACTS[act](scene)
    except XvirtError:
        return None
    scene.settle()
    return scene.picture()


@pytest.mark.parametrize("act", list(ACTS))
@pytest.mark.parametrize("state", STATES[:4])
def test_row_61_what_is_done_by_hand_in_any_state_is_corrected(tmp_path: Path, state: str, act: str) -> None:
    scene = Scene(tmp_path, state)
    found = _outcome(scene, act)
    if found is None:
        assert (state, act) in NOT_DONE
        return
    assert (state, act) not in NOT_DONE
    words = OTHER_ENDS.get((state, act))
    if words is None:
        assert found == scene.before
        return
    status, power, message = words
    assert (scene.status()["printableStatus"], found["power"]) == (status, power)
    assert message in str(scene.status()["conditions"])
    for part in ("uuid", "volumes", "networks", "pools", "marked"):
        assert found[part] == scene.before[part], part


OTHER_ENDS = {
    # A pause ends with the QEMU that was paused; its machine is started as its strategy says.
    ("paused", "virsh destroy"): ("Running", "Running", ""),
    ("paused", "virsh managedsave"): ("Running", "Running", ""),
    # Saved memory that somebody has thrown away, or let run, is gone; the machine stays off as it was asked to.
    ("saved", "virsh managedsave-remove"): ("Stopped", "Stopped", ""),
    ("saved", "virsh undefine"): ("Stopped", "Stopped", ""),
    ("saved", "virsh start"): ("Stopped", "Stopped", ""),
    # libvirt defines nothing over another name: this waits for whoever did it.
    ("stopped", "virsh domrename"): ("Renamed", "Stopped", "virsh domrename other default_web"),
}
"""What is not as it was before: STATUS, power, and what the conditions say."""


NOT_DONE = {
    *(("paused", act) for act in ("virsh start",)),
    *(("running", act) for act in ("virsh start", "virsh resume")),
    *(
        (state, act)
        for state in ("stopped", "saved")
        for act in (
            "virsh attach-device",
            "virsh detach-device",
            "virsh setvcpus --live",
            "virsh setmem",
            "virsh destroy",
            "virsh suspend",
            "virsh resume",
            "virsh managedsave",
        )
    ),
    *((state, "virsh domrename") for state in ("running", "paused", "saved")),
}
"""Pairs that libvirt refuses."""


@pytest.mark.parametrize("act", list(ACTS))
def test_row_61_a_machine_that_is_being_deleted_goes_whatever_is_done_to_it_meanwhile(tmp_path: Path, act: str) -> None:
    scene = Scene(tmp_path, "deleting")
    try:
        ACTS[act](scene)
    except XvirtError:
        assert act in ("virsh start", "virsh resume", "virsh domrename")
    scene.settle()
    assert scene.world.hypervisor.list_domains() == []
    assert scene.world.store.find(scene.uid) is None
    assert scene.world.volumes.files == {}, "its disk was to go with it"


REPORTED = {
    "virsh edit": "/domain/title was added by hand",
    "virsh setvcpus --live": "the running machine has 2 vCPUs, set by hand",
    "virsh attach-device": "NIC 52:54:00:00:00:77 was attached by hand",
    "virsh attach-device --config": "/domain/devices/interface[2] was added by hand",
    "virsh suspend": "the machine was paused by hand",
}


@pytest.mark.parametrize("act", list(REPORTED))
def test_row_61_where_the_policy_is_report_it_is_said_and_left(tmp_path: Path, act: str) -> None:
    scene = Scene(tmp_path, "running", "Report")
    ACTS[act](scene)
    changed = scene.picture()
    scene.settle()
    after = scene.picture()
    assert REPORTED[act] in after["drift"]
    for part in ("domains", "live", "definition", "title", "uuid"):
        assert after[part] == changed[part], part
    assert scene.record().state in (DomainState.RUNNING, DomainState.PAUSED)


@pytest.mark.parametrize("how", ["the store was lost", "the process ended between a define and its record"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_row_18_61_what_is_changed_by_hand_is_seen_by_a_node_that_forgot_what_it_had_defined(
    tmp_path: Path, how: str, when: str
) -> None:
    scene = Scene(tmp_path, "running")
    if when == "before":
        _edit(scene)
    if how == "the store was lost":
        scene.world.store.close()
        for path in tmp_path.glob("store.db*"):
            path.unlink()
        scene.world.boot()
    else:
        scene.world.store.update_run(scene.uid, lambda run: dataclasses.replace(run, defined_hash=""))
    if when == "after":
        scene.world.settle()
        _edit(scene)
    scene.settle()
    assert scene.picture() == scene.before
