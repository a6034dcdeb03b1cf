"""A random life of a node: documents come, change and go, verbs are asked, people use virsh, calls fail, the plugin is killed, its store
is lost. After each act, once nothing moves any more, what must be true is looked up on the host.

Some lives are in every run, always the same ones; XVIRT_RANDOM_EXAMPLES=N plays N new ones (docs/testing.md).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from nodeplugin.hypervisor.port import DomainRecord, DomainState, Scope, XmlView
from tests.fakes.faults import Moment
from tests.unit.nodeplugin.world import World
from xvirt.domainxml.facts import read_domain
from xvirt.domainxml.tree import parse_xml
from xvirt.model.errors import Refused, RetryLater, Unavailable, XvirtError
from xvirt.model.exchange import ObjectRef, Verb

EXAMPLES = int(os.environ.get("XVIRT_RANDOM_EXAMPLES", "25"))
STEPS = 30
LONG_S = 400.0
"""Longer than any back-off."""
API = "xvirt.io/v1alpha1"
NETWORK: dict[str, Any] = {
    "apiVersion": API,
    "kind": "VirtualNetwork",
    "metadata": {"name": "lan"},
    "spec": {"mode": "Isolated"},
}
FOREIGN = """<domain type='qemu'><name>foreign</name><uuid>6b4c1d9e-0000-4000-8000-000000000001</uuid><memory unit='MiB'>16</memory>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices/></domain>"""

names = st.sampled_from(["a", "b"])
disks = st.dictionaries(st.sampled_from(["d0", "d1", "d2"]), st.sampled_from(["Retain", "Delete"]), max_size=3)
cards = st.sets(st.sampled_from(["n0", "n1"]))
strategies = st.sampled_from(["Always", "RerunOnFailure", "Once", "Manual", "Halted"])


@dataclasses.dataclass(frozen=True)
class Fault:
    """What goes wrong while an act is being carried out."""

    kill_at: int = 0
    moment: Moment = Moment.AFTER
    failing: str = ""
    error: type[XvirtError] = Unavailable
    loses_store: bool = False


_METHODS = [
    "define_domain",
    "start_domain",
    "attach_device",
    "detach_device",
    "create_volume",
    "delete_volume",
    "undefine_domain",
    "destroy_domain",
    "set_metadata",
    "start_network",
    "define_network",
]
faults = st.one_of(
    st.just(Fault()),
    st.builds(Fault, kill_at=st.integers(1, 6), moment=st.sampled_from(Moment)),
    st.builds(Fault, failing=st.sampled_from(_METHODS), error=st.sampled_from([Unavailable, Refused, RetryLater])),
    st.builds(Fault, loses_store=st.just(True)),
)


@dataclasses.dataclass
class Declared:
    """What was declared of one machine."""

    strategy: str
    disks: dict[str, str]
    cards: set[str]
    is_held: bool = False


class Life(RuleBasedStateMachine):
    """The acts, and what must be true after each."""

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory(prefix="xvirt-random-")
        self.world = World(Path(self._directory.name))
        self.declared: dict[str, Declared] = {}
        self.kept: set[str] = set()
        """Volumes that were once made with the promise to keep them."""

    def teardown(self) -> None:
        self.world.store.close()
        self._directory.cleanup()

    @initialize()
    def begin(self) -> None:
        self.world.hypervisor.define_domain(FOREIGN)
        self.foreign = self._foreign_xml()
        self.world.apply(NETWORK)
        self._settle(Fault())

    # acts

    @rule(name=names, disks=disks, cards=cards, strategy=strategies, fault=faults)
    def apply(self, name: str, disks: dict[str, str], cards: set[str], strategy: str, fault: Fault) -> None:
        spec = {
            "memory": {"size": "64Mi"},
            "runStrategy": strategy,
            "terminationGracePeriodSeconds": 1,
            "disks": [
                {"name": disk, "source": {"size": "8Mi"}, "deletionPolicy": disks[disk]} for disk in sorted(disks)
            ],
            "nics": [{"name": card, "network": "lan"} for card in sorted(cards)],
        }
        document = {"apiVersion": API, "kind": "VirtualMachine", "metadata": {"name": name}, "spec": spec}
        if self._try(lambda: self.world.apply(document), fault):
            old = self.declared.get(name)
            self.declared[name] = Declared(strategy, disks, cards, is_held=old.is_held if old else False)
            self.kept -= {self._path(name, disk) for disk, policy in disks.items() if policy == "Delete"}
        self._settle(fault)

    @precondition(lambda self: self.declared)
    @rule(data=st.data(), fault=faults)
    def delete(self, data: st.DataObject, fault: Fault) -> None:
        name = data.draw(st.sampled_from(sorted(self.declared)))
        if self._try(lambda: self.world.delete(_ref(name)), fault):
            del self.declared[name]
        self._settle(fault)

    @precondition(lambda self: self.declared)
    @rule(data=st.data(), verb=st.sampled_from([Verb.START, Verb.STOP, Verb.RESTART, Verb.SAVE]), fault=faults)
    def operate(self, data: st.DataObject, verb: Verb, fault: Fault) -> None:
        name = data.draw(st.sampled_from(sorted(self.declared)))
        if self._try(lambda: self.world.operate(_ref(name), verb), fault):
            self.declared[name].is_held = verb in (Verb.STOP, Verb.SAVE)
        self._settle(fault)

    @precondition(lambda self: self._ours())
    @rule(
        data=st.data(),
        act=st.sampled_from(["destroy_domain", "suspend_domain", "undefine_domain", "save_domain", "unplug"]),
        fault=faults,
    )
    def do_by_hand(self, data: st.DataObject, act: str, fault: Fault) -> None:
        record = data.draw(st.sampled_from(self._ours()))
        with contextlib.suppress(XvirtError):
            if act == "unplug":
                self._unplug(record)
            else:
                getattr(self.world.hypervisor, act)(record.uuid)
        if act == "save_domain":
            self.world.hypervisor.drop_managed_save(record.uuid)
        self._settle(fault)

    @rule(act=st.sampled_from(["stop_network", "undefine_network"]), fault=faults)
    def disturb_the_network(self, act: str, fault: Fault) -> None:
        for record in self.world.hypervisor.list_networks():
            with contextlib.suppress(XvirtError):
                getattr(self.world.hypervisor, act)(record.uuid)
        self._settle(fault)

    @rule(fault=faults)
    def time_goes_by(self, fault: Fault) -> None:
        self.world.clock.now += LONG_S
        self._settle(fault)

    # what must be true

    @invariant()
    def foreign_things_are_as_they_were(self) -> None:
        if hasattr(self, "foreign"):
            assert self._foreign_xml() == self.foreign

    @invariant()
    def what_was_to_be_kept_is_there(self) -> None:
        assert self.kept <= set(self.world.volumes.files), self.kept - set(self.world.volumes.files)

    def _check(self) -> None:
        records = {record.name: record for record in self.world.hypervisor.list_domains()}
        assert set(records) == {"foreign", *(f"default_{name}" for name in self.declared)}
        for name, declared in self.declared.items():
            self._check_machine(name, declared, records[f"default_{name}"])
        wanted = {self._path(name, disk) for name, machine in self.declared.items() for disk in machine.disks}
        self.kept |= {
            self._path(name, disk)
            for name, machine in self.declared.items()
            for disk, policy in machine.disks.items()
            if policy == "Retain"
        }
        assert wanted <= set(self.world.volumes.files)

    def _check_machine(self, name: str, declared: Declared, record: DomainRecord) -> None:
        stored = self.world.store.find_named("VirtualMachine", "default", name)
        assert stored is not None
        assert record.uuid == stored.uid
        facts = read_domain(parse_xml(self.world.hypervisor.domain_xml(record.uuid, XmlView.INACTIVE)))
        assert {disk.name for disk in facts.disks} == set(declared.disks)
        assert {nic.name for nic in facts.nics} == declared.cards
        is_off = declared.is_held or declared.strategy == "Halted"
        assert record.is_active or is_off or declared.strategy != "Always", stored.status
        assert not (record.is_active and is_off), stored.status
        if record.is_active:
            assert record.state is DomainState.RUNNING
            live = read_domain(parse_xml(self.world.hypervisor.domain_xml(record.uuid, XmlView.CURRENT)))
            assert {disk.name for disk in live.disks} == set(declared.disks)
            assert {nic.name for nic in live.nics} == declared.cards
        ready = {item["type"]: item["status"] for item in stored.status["conditions"]}["Ready"]
        assert ready == "True", stored.status

    # parts

    def _try(self, act: Callable[[], object], fault: Fault) -> bool:
        """Whether a request was taken. Calls that fail under it may refuse it."""
        if fault.failing:
            self.world.faults.fail_next(fault.failing, fault.error("planned"))
        try:
            act()
        except XvirtError:
            return False
        return True

    def _settle(self, fault: Fault) -> None:
        world = self.world
        if fault.kill_at:
            world.faults.crash_after(fault.kill_at, fault.moment)
        for _ in range(3):  # back-off and grace periods end
            world.settle()
            world.clock.now += LONG_S
        world.settle()
        world.faults.crash_after(0)
        if fault.loses_store:  # what was only acknowledged is lost with it; what stands on the host is not
            self._lose_store()
            world.settle()
        before = len(world.faults.mutations)
        world.settle()
        assert world.faults.names()[before:] == [], "a settled node does something"
        self._check()

    def _lose_store(self) -> None:
        self.world.store.close()
        for path in self.world.directory.glob("store.db*"):
            path.unlink()
        self.world.boot()

    def _ours(self) -> list[DomainRecord]:
        return [record for record in self.world.hypervisor.list_domains() if record.name != "foreign"]

    def _foreign_xml(self) -> str:
        record = self.world.hypervisor.find_domain_by_name("foreign")
        assert record is not None
        return self.world.hypervisor.domain_xml(record.uuid, XmlView.INACTIVE)

    def _unplug(self, record: DomainRecord) -> None:
        facts = read_domain(parse_xml(self.world.hypervisor.domain_xml(record.uuid, XmlView.CURRENT)))
        for nic in facts.nics:
            self.world.hypervisor.detach_device(record.uuid, nic.xml, Scope.LIVE)

    def _path(self, name: str, disk: str) -> str:
        return f"{self.world.directory}/pool/default_{name}_{disk}.qcow2"


def _ref(name: str) -> ObjectRef:
    return ObjectRef(kind="VirtualMachine", namespace="default", name=name)


def test_a_random_life_leaves_nothing_untrue() -> None:
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize="XVIRT_RANDOM_EXAMPLES" not in os.environ,
            suppress_health_check=list(HealthCheck),
            phases=[
                Phase.generate
            ],  # a life that fails is told step by step; making it shorter takes longer than reading it
        ),
    )
