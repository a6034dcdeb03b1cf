"""Each run strategy against each end of a machine, on real QEMU. The guest is a boot sector that powers off when a key is pressed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import pytest

from tests.lab.declared import Declared, Document, empty_machine, image, is_ready, reason, vm
from tools.lab import Lab, LabSpec, Node
from xvirt.model.exchange import ObjectRef, OperationState, Verb

STRATEGIES = ("Always", "RerunOnFailure", "Once", "Manual", "Halted")
RUNNING = STRATEGIES[:4]

_KEY_THEN_POWER_OFF = bytes.fromhex(
    "b400 cd16"  # mov ah, 0; int 16h: wait for a key
    "ba0406 b80020 ef"  # mov dx, 0x604; mov ax, 0x2000; out dx, ax: PM1a_CNT of a q35 that SeaBIOS set up, SLP_EN with S5
    "f4 ebfd"  # hlt for ever
)


def _image_bytes() -> bytes:
    return _KEY_THEN_POWER_OFF.ljust(510, b"\0") + b"\x55\xaa" + bytes((1 << 20) - 512)


def _name(strategy: str) -> str:
    return strategy.lower()


class Machines:
    """One machine for each strategy."""

    def __init__(self, declared: Declared) -> None:
        self.declared = declared
        self.node = declared.node

    def domain_id(self, strategy: str) -> str:
        """libvirt's id of the run; `-` while off."""
        return self.node.virsh("domid", f"default_{_name(strategy)}").strip()

    def ids(self) -> dict[str, str]:
        return {strategy: self.domain_id(strategy) for strategy in STRATEGIES}

    def wait_power(self, strategy: str, state: str) -> Document:
        return self.declared.wait(
            vm(_name(strategy)),
            lambda seen: is_ready(seen) and seen["status"]["powerState"] == state,
            f"{state} and Ready",
        )

    def expect(self, before: dict[str, str], restarted: tuple[str, ...]) -> None:
        """Those that ran were ended: some run anew, the others stay off."""
        for strategy in RUNNING:
            if strategy in restarted:
                wanted = functools.partial(self._runs_anew, strategy, before)
                self.declared.wait(vm(_name(strategy)), wanted, "running anew")
                self.wait_power(strategy, "Running")
            else:
                self.wait_power(strategy, "Stopped")
                assert self.domain_id(strategy) == "-"
        assert self.domain_id("Halted") == "-"

    def _runs_anew(self, strategy: str, before: dict[str, str], seen: Document) -> bool:
        return self.domain_id(strategy) not in ("-", before[strategy])

    def start_stopped(self) -> None:
        for strategy in RUNNING:
            if self.domain_id(strategy) == "-":
                done = self.declared.operate(vm(_name(strategy)), Verb.START)
                assert done.state is OperationState.SUCCEEDED, done.message
            self.wait_power(strategy, "Running")

    def kill_qemu(self, strategy: str) -> None:
        """SIGKILL; nothing where it does not run at this moment."""
        file = f"/run/libvirt/qemu/default_{_name(strategy)}.pid"
        pid = self.node.run(["cat", file], check=False).stdout.strip()
        if pid:
            self.node.run(["kill", "-9", pid], check=False)


@pytest.fixture(scope="module")
def machines(lab_prefix: str) -> Iterator[Machines]:
    with Lab.up(LabSpec(f"{lab_prefix}-strategy")) as lab:
        path = lab.shared / "key.raw"
        path.write_bytes(_image_bytes())
        declared = Declared(lab.nodes["node-a"])
        source = image(path, "key")
        source["spec"]["format"] = "raw"
        declared.apply(source)
        for strategy in STRATEGIES:
            disks = [{"name": "root", "source": {"image": "key"}, "deletionPolicy": "Delete"}]
            declared.apply(empty_machine(_name(strategy), runStrategy=strategy, disks=disks))
        machines = Machines(declared)
        for strategy in RUNNING[:3]:
            machines.wait_power(strategy, "Running")
        for strategy in ("Manual", "Halted"):
            machines.wait_power(strategy, "Stopped")
        machines.start_stopped()
        yield machines


def _press_key(machines: Machines, strategy: str) -> None:
    machines.node.virsh("send-key", f"default_{_name(strategy)}", "KEY_ENTER", check=False)  # it may end meanwhile


@pytest.mark.parametrize(
    "disturb",
    [lambda node: (node.kill_plugin(), node.start_plugin()), lambda node: node.restart_libvirtd()],
    ids=["plugin", "libvirtd"],
)
def test_row_26_75_84_a_restart_of_what_is_above_qemu_changes_nothing(
    machines: Machines, disturb: Callable[[Node], object]
) -> None:
    before = machines.ids()
    disturb(machines.node)
    for strategy in RUNNING:
        machines.wait_power(strategy, "Running")
    machines.wait_power("Halted", "Stopped")
    assert machines.ids() == before


def test_row_26_84_a_guest_that_powers_off(machines: Machines) -> None:
    before = machines.ids()
    for strategy in RUNNING:

        def has_ended(seen: Document, strategy: str = strategy) -> bool:
            if machines.domain_id(strategy) != before[strategy]:
                return True
            _press_key(machines, strategy)  # SeaBIOS forgets keys that are pressed before it is up
            return False

        machines.declared.wait(vm(_name(strategy)), has_ended, "powered off")
    machines.expect(before, restarted=("Always",))
    machines.start_stopped()


def test_row_26_84_a_qemu_that_is_killed(machines: Machines) -> None:
    before = machines.ids()
    for strategy in RUNNING:
        machines.kill_qemu(strategy)
    machines.expect(before, restarted=("Always", "RerunOnFailure"))
    machines.start_stopped()


def test_row_26_84_a_host_that_is_rebooted(machines: Machines) -> None:
    machines.node.reboot()
    machines.expect(dict.fromkeys(STRATEGIES, "none"), restarted=("Always", "RerunOnFailure"))


def test_row_26_a_machine_that_is_killed_again_and_again_is_restarted_ever_more_seldom(machines: Machines) -> None:
    declared, crashing = machines.declared, vm("crashing")
    declared.apply(empty_machine("crashing"))
    declared.wait_ready(crashing)

    def is_backing_off(seen: Document) -> bool:
        if reason(seen) == "CrashLoopBackOff":
            return True
        if is_ready(seen):
            machines.kill_qemu("crashing")
        return False

    document = declared.wait(crashing, is_backing_off, "backing off")
    assert document["status"]["restartCount"] == 1
    assert "next start in" in str(document["status"]["conditions"])
    assert declared.wait_ready(crashing)["status"]["restartCount"] == 2
    declared.delete(crashing)


def test_row_24_save_holds_a_machine_of_any_strategy_and_restore_goes_on(machines: Machines) -> None:
    ref: ObjectRef = vm("always")
    assert machines.declared.operate(ref, Verb.SAVE).state is OperationState.SUCCEEDED
    assert machines.domain_id("Always") == "-"
    assert "managed save: yes" in " ".join(machines.node.virsh("dominfo", "default_always").lower().split())
    assert machines.declared.operate(ref, Verb.RESTORE).state is OperationState.SUCCEEDED
    machines.wait_power("Always", "Running")
