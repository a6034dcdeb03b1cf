"""What domains use, asked for by many workers at once."""

from __future__ import annotations

import collections
import threading

import pytest

from nodeplugin.converge.host import HostIndex
from nodeplugin.hypervisor.port import DomainRecord, XmlView
from tests.contract.documents import DomainDraft, disk_xml, new_uuid
from tests.fakes.hypervisor import FakeHypervisor
from tests.fakes.volumes import FakeVolumes
from xvirt.model.errors import Unavailable

WORKERS = 8
DOMAINS = 20


class CountingHypervisor(FakeHypervisor):
    """Counts what is read; the first list waits until every worker has asked."""

    def __init__(self) -> None:
        super().__init__()
        self.lists = 0
        self.reads: collections.Counter[str] = collections.Counter()
        self.gate = threading.Event()
        self.gate.set()

    def list_domains(self) -> list[DomainRecord]:
        self.lists += 1
        assert self.gate.wait(30)
        return super().list_domains()

    def domain_xml(self, uuid: str, view: XmlView) -> str:
        self.reads[uuid] += 1
        return super().domain_xml(uuid, view)


def make(count: int) -> tuple[CountingHypervisor, HostIndex]:
    """A host with domains that are off."""
    hypervisor = CountingHypervisor()
    for number in range(count):
        hypervisor.define_domain(DomainDraft(name=f"d{number}", devices=disk_xml(f"/pool/{number}")).xml())
    return hypervisor, HostIndex(hypervisor, FakeVolumes())


def test_workers_that_ask_at_once_read_each_definition_once_and_share_lists() -> None:
    hypervisor, index = make(DOMAINS)
    hypervisor.gate.clear()
    asked = threading.Semaphore(0)

    def ask() -> None:
        asked.release()
        assert len(index.use_by_others(new_uuid()).paths) == DOMAINS

    threads = [threading.Thread(target=ask) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert asked.acquire(timeout=30)
    hypervisor.gate.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert set(hypervisor.reads.values()) == {1}
    assert len(hypervisor.reads) == DOMAINS
    assert hypervisor.lists <= WORKERS


def test_a_list_that_began_before_the_question_is_no_answer_to_it() -> None:
    hypervisor, index = make(1)
    assert len(index.use_by_others(new_uuid()).paths) == 1
    late = DomainDraft(name="late", devices=disk_xml("/pool/late"))
    hypervisor.define_domain(late.xml())
    assert "/pool/late" in index.use_by_others(new_uuid()).paths
    hypervisor.undefine_domain(late.uuid)
    assert "/pool/late" not in index.use_by_others(new_uuid()).paths


def test_a_list_that_failed_is_asked_for_again() -> None:
    hypervisor, index = make(1)
    hypervisor.lose_connection()
    with pytest.raises(Unavailable):
        index.use_by_others(new_uuid())
    hypervisor.restore_connection()
    assert len(index.use_by_others(new_uuid()).paths) == 1


def test_a_workers_own_definition_is_not_read_for_it() -> None:
    hypervisor, index = make(2)
    [own, other] = [record.uuid for record in hypervisor.list_domains()]
    assert index.use_by_others(own).paths == {"/pool/1": ("d1",)}
    assert hypervisor.reads == {other: 1}
    assert index.users_of_path("/pool/0") == ("d0",)
