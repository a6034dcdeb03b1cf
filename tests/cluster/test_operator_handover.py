"""Operators that die, freeze and follow each other, as processes over a real API server: one machine is one domain, always."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.cluster.forks import Fork
from tests.cluster.operators import (
    LEASE,
    Machines,
    OperatorProcess,
    OperatorSpec,
    forget_lease,
    kubeconfig_of_operator,
    run_program,
    where,
)
from tools.cluster.controlplane import ControlPlane
from tools.cluster.fakehosts import FakeHosts
from xvirt.operator.runtime.lease import LeaseOptions

HANDOVERS = 100
PRODUCTION = LeaseOptions("", "", "")
"""A lease as every installation has it: the config says nothing of its times."""


@pytest.fixture
def replicas(
    request: pytest.FixtureRequest, installed: ControlPlane, hosts: FakeHosts, tmp_path: Path
) -> Iterator[list[OperatorProcess]]:
    """Two, not started. `FORKED`: they are not loaded anew each time."""
    made = []
    launch = getattr(request, "param", run_program)
    for name in ("one", "two"):
        spec = OperatorSpec(directory=tmp_path, kubeconfig=kubeconfig_of_operator(installed), pki=hosts.pki, name=name)
        made.append(OperatorProcess(spec, launch))
    yield made
    for process in made:
        if process.is_alive():
            process.thaw()
            process.kill()
        print(f"--- {process.spec.name}\n{process.text()[-3000:]}")


FORKED = pytest.mark.parametrize("replicas", [Fork], ids=["forked"], indirect=True)


@pytest.fixture
def leaderless(replicas: list[OperatorProcess], machines: Machines) -> Iterator[Machines]:
    """Machines that somebody takes away at the end, whoever leads then."""
    yield machines
    if not any(process.is_alive() for process in replicas):
        forget_lease(machines.api)
        replicas[0].start()
    machines.empty()


def epoch(machines: Machines) -> int:
    return int((machines.api.find(LEASE) or {}).get("spec", {}).get("leaseTransitions") or 0)


@FORKED
def test_row_74_a_hundred_hand_overs_in_the_middle_of_the_work_leave_exactly_one_domain_each(
    replicas: list[OperatorProcess], leaderless: Machines, hosts: FakeHosts
) -> None:
    machines, chance = leaderless, random.Random(74)
    process = replicas[0]
    torn = unready = 0
    uids: dict[str, str] = {}
    for number in range(HANDOVERS):
        forget_lease(machines.api)
        process.start()
        wanted = epoch(machines)
        machines.until(partial(is_beyond, machines, wanted), "the next one to lead", 30.0)
        names = [f"web-{number}-{one}" for one in range(1 + number % 2)]
        uids |= {name: machines.create(name) for name in names}
        if number % 2:  # the first of them is between its assignment and its definition
            machines.until(partial(has_any_host, machines, names), "a machine to be assigned")
            time.sleep(chance.uniform(0.0, 0.05))
        else:
            time.sleep(chance.uniform(0.0, 0.4))
        process.kill()
        unready += any(not machines.is_ready(name) for name in names)
        torn += any(machines.host_of(name) and not where(hosts, uids[name]) for name in names)
        assert [name for name, uid in uids.items() if len(where(hosts, uid)) > 1] == []
    forget_lease(machines.api)
    process.start()
    machines.wait_running(*uids)
    for name, uid in uids.items():
        assert where(hosts, uid) == [machines.host_of(name)], name
        assert len(machines.holders(name)) == 1
    assert unready > HANDOVERS / 5, "most died after their work was done: nothing was tried"
    assert torn > 0, "none died between assignment and definition"
    print(f"{unready} died at work, {torn} between assignment and definition")


def test_fault_13_a_leader_that_was_frozen_beyond_its_lease_does_nothing_when_it_wakes(
    replicas: list[OperatorProcess], leaderless: Machines, hosts: FakeHosts
) -> None:
    machines = leaderless
    first, second = replicas
    forget_lease(machines.api)
    before = epoch(machines)
    first.start()
    machines.until(lambda: epoch(machines) > before, "the first to lead")
    assert machines.api.read(LEASE)["spec"]["leaseDurationSeconds"] == PRODUCTION.duration_s
    machines.create("before")
    machines.wait_running("before")
    second.start()
    old_epoch = epoch(machines)
    first.freeze()
    # What it would have done next is waiting for it.
    for number in range(10):
        machines.create(f"web-{number}")
    machines.change("before", runStrategy="Halted")
    machines.until(lambda: epoch(machines) > old_epoch, "the second to lead", 60.0)
    machines.wait_running(*(f"web-{number}" for number in range(10)))
    counts = {name: len(hosts[name].faults.asked) for name in hosts}
    first.thaw()
    assert first.wait() == 2
    assert "ending at once" in first.text()
    for name in hosts:
        late = hosts[name].faults.asked[counts[name] :]
        assert all(call.token.epoch > old_epoch for call in late), late
    for number in range(10):
        (holder,) = machines.holders(f"web-{number}")
        assert holder["spec"]["nodeName"] == machines.host_of(f"web-{number}")


@FORKED
def test_fault_01_an_operator_that_is_killed_while_machines_go_leaves_nothing(
    replicas: list[OperatorProcess], leaderless: Machines, hosts: FakeHosts
) -> None:
    machines, chance = leaderless, random.Random(1)
    process = replicas[0]
    forget_lease(machines.api)
    process.start()
    uids = [machines.create(f"web-{number}") for number in range(12)]
    machines.wait_running(*(f"web-{number}" for number in range(12)))
    for number in range(12):
        machines.delete(f"web-{number}")
        time.sleep(chance.uniform(0.0, 0.2))
        process.kill()
        forget_lease(machines.api)
        process.start()
    machines.wait_gone(*(f"web-{number}" for number in range(12)))
    assert [where(hosts, uid) for uid in uids] == [[]] * 12


def test_row_75_an_operator_that_is_asked_to_end_lets_the_next_one_lead_at_once(
    replicas: list[OperatorProcess], leaderless: Machines
) -> None:
    machines = leaderless
    first, second = replicas
    forget_lease(machines.api)
    before = epoch(machines)
    first.start()
    machines.until(lambda: epoch(machines) > before, "the first to lead")
    second.start()
    machines.create("web")
    machines.wait_running("web")
    between = epoch(machines)
    assert first.stop() == 0
    machines.until(partial(is_beyond, machines, between), "the second to lead", 10.0)
    assert machines.is_ready("web")


def is_beyond(machines: Machines, number: int) -> bool:
    return epoch(machines) > number


def has_any_host(machines: Machines, names: list[str]) -> bool:
    return any(machines.host_of(name) for name in names)
