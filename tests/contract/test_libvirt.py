"""What only the real libvirt can show: threads, lost connections, many domains."""

from __future__ import annotations

import signal
import threading

import libvirt
import pytest

from nodeplugin.hypervisor.connection import HypervisorOptions
from nodeplugin.hypervisor.driver import LibvirtHypervisor
from nodeplugin.hypervisor.port import ShutdownMode, XmlView
from tests.contract.conftest import QUICK, WAIT_S, RealSubject
from tests.contract.documents import DomainDraft
from tools.lab.processes import wait_until
from xvirt.model.errors import Busy, DeadlineExceeded, Unavailable, XvirtError

THREADS = 4
ROUNDS = 20


def test_a_hung_qemu_costs_one_thread_and_the_others_go_on(real: RealSubject) -> None:
    hypervisor = real.host.hypervisor
    hung, healthy = real.running(), real.running()
    real.hang(hung)
    refusals: list[XvirtError] = []

    def ask() -> None:
        try:
            hypervisor.ping_monitor(hung)
        except XvirtError as error:
            refusals.append(error)

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert sorted(type(error).__name__ for error in refusals) == ["Busy"] * 4 + ["DeadlineExceeded"]
    assert hypervisor.lost_threads() == 1
    for _ in range(ROUNDS):
        hypervisor.ping_monitor(healthy)
        assert len(hypervisor.list_domains()) == 2
        hypervisor.domain_xml(hung, XmlView.CURRENT)
    hypervisor.suspend_domain(healthy)
    assert hypervisor.lost_threads() == 1
    real.host.hypervisor.destroy_domain(hung)
    wait_until(lambda: hypervisor.lost_threads() == 0, WAIT_S, "the lost thread to come back")


def test_a_thawed_qemu_is_asked_again(real: RealSubject) -> None:
    identity = real.running()
    real.hang(identity)
    with pytest.raises(DeadlineExceeded):
        real.hypervisor.ping_monitor(identity)
    real._signal(identity, signal.SIGCONT)
    wait_until(lambda: real.host.hypervisor.lost_threads() == 0, WAIT_S, "the late answer")
    real.hypervisor.ping_monitor(identity)


def test_threads_call_at_once_without_disturbing_each_other(real: RealSubject) -> None:
    drafts = [DomainDraft() for _ in range(THREADS)]
    failures: list[BaseException] = []

    def work(draft: DomainDraft) -> None:
        try:
            for _ in range(ROUNDS):
                real.define(draft)
                assert real.hypervisor.find_domain(draft.uuid) is not None
                assert draft.uuid in real.hypervisor.domain_xml(draft.uuid, XmlView.INACTIVE)
                assert draft.uuid in {record.uuid for record in real.hypervisor.list_domains()}
            real.hypervisor.undefine_domain(draft.uuid)
        except BaseException as error:  # noqa: BLE001 - told by the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(draft,)) for draft in drafts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert failures == []


def test_a_hung_libvirtd_is_noticed_and_the_connection_comes_back(real: RealSubject) -> None:
    options = HypervisorOptions(call_timeout_s=2.0, read_timeout_s=2.0, keepalive_interval_s=1, keepalive_count=2)
    hypervisor = LibvirtHypervisor(real.host.node.libvirt_uri, options=options)
    try:
        real.host.node.kill_libvirtd(signal.SIGSTOP)
        with pytest.raises((DeadlineExceeded, Unavailable)):
            hypervisor.list_domains()
        with pytest.raises((Busy, Unavailable)):
            hypervisor.list_domains()
        wait_until(lambda: not hypervisor.is_connected(), WAIT_S, "the keepalive to give up")
        with pytest.raises(Unavailable):
            hypervisor.facts()
        real.host.node.kill_libvirtd(signal.SIGCONT)
        wait_until(hypervisor.is_connected, WAIT_S, "the connection to be back")
        assert hypervisor.list_domains() == []
        wait_until(lambda: hypervisor.lost_threads() == 0, WAIT_S, "the lost threads to come back")
    finally:
        real.host.node.kill_libvirtd(signal.SIGCONT)
        hypervisor.close()
        wait_until(real.hypervisor.is_connected, WAIT_S, "the shared connection to be back")


def test_a_hypervisor_waits_for_a_libvirtd_that_is_not_there_yet(real: RealSubject) -> None:
    real.lose_connection()
    hypervisor = LibvirtHypervisor(real.host.node.libvirt_uri, options=QUICK)
    try:
        assert not hypervisor.is_connected()
        with pytest.raises(Unavailable):
            hypervisor.list_networks()
        real.restore_connection()
        wait_until(hypervisor.is_connected, WAIT_S, "the first connection")
        assert hypervisor.list_domains() == []
    finally:
        hypervisor.close()
    with pytest.raises(Unavailable):
        hypervisor.list_domains()


def test_many_domains_are_listed_by_the_same_few_calls(real: RealSubject, monkeypatch: pytest.MonkeyPatch) -> None:
    drafts = [DomainDraft() for _ in range(50)]
    for draft in drafts:
        real.define(draft)
    records = real.hypervisor.list_domains()
    assert {record.uuid for record in records} == {draft.uuid for draft in drafts}
    # One by one would ask libvirtd for each domain's state.
    monkeypatch.setattr(libvirt.virDomain, "state", None)
    assert real.hypervisor.list_domains() == records


def test_an_agent_that_is_not_there_leaves_the_power_button(real: RealSubject) -> None:
    identity = real.running()
    real.hypervisor.shutdown_domain(identity, ShutdownMode.AGENT)
    real.hypervisor.shutdown_domain(identity, ShutdownMode.ANY)
    record = real.hypervisor.find_domain(identity)
    assert record is not None
    assert record.is_active


def test_facts_are_those_of_the_node(real: RealSubject) -> None:
    facts = real.hypervisor.facts()
    assert facts.hostname == real.host.node.name
    assert facts.cpus >= 1
    assert facts.memory_bytes > 1 << 28
    assert facts.libvirt_version.count(".") == 2
