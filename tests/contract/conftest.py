"""Each contract test runs twice: over the fake, and over the real thing it stands for. What both pass, plans may rely on."""

from __future__ import annotations

import abc
import dataclasses
import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from nodeplugin.hypervisor.connection import HypervisorOptions
from nodeplugin.hypervisor.driver import LibvirtHypervisor
from nodeplugin.hypervisor.port import Hypervisor, HypervisorEvent, Volumes
from nodeplugin.hypervisor.volumes import QemuImgVolumes
from tests.contract.documents import DomainDraft
from tests.fakes.hypervisor import FakeHypervisor
from tests.fakes.volumes import FakeVolumes
from tools.lab import Lab, LabSpec, Node, Services
from tools.lab.processes import wait_until

QUICK = HypervisorOptions(ping_timeout_s=2.0, graceful_destroy_timeout_s=2.0)
WAIT_S = 60.0


class Subject(abc.ABC):
    """A hypervisor with volumes, and what happens to it behind the node's back."""

    hypervisor: Hypervisor
    volumes: Volumes
    directory: str

    def __init__(self) -> None:
        self.events: list[HypervisorEvent] = []

    @abc.abstractmethod
    def hang(self, identity: str) -> None:
        """Its QEMU answers no more."""

    @abc.abstractmethod
    def kill(self, identity: str) -> None:
        """Its QEMU is killed."""

    @abc.abstractmethod
    def ignore_unplug(self, identity: str) -> None:
        """Its guest does not react to unplugging."""

    @abc.abstractmethod
    def lose_connection(self) -> None:
        """libvirtd ends."""

    @abc.abstractmethod
    def restore_connection(self) -> None:
        """libvirtd is there again."""

    @abc.abstractmethod
    def secure_xml(self, identity: str) -> str:
        """Its definition with what libvirt tells to root alone."""

    def define(self, draft: DomainDraft) -> str:
        """Define a domain; returns its UUID."""
        self.hypervisor.define_domain(draft.xml())
        return draft.uuid

    def running(self, draft: DomainDraft | None = None) -> str:
        """Define a domain and start it."""
        identity = self.define(draft or DomainDraft())
        self.hypervisor.start_domain(identity)
        return identity

    def wait_event(self, kind: str, subject: str, detail: str = "") -> None:
        """Until an event came."""

        def has_come() -> bool:
            return any(
                (event.kind.value, event.subject) == (kind, subject) and detail in event.detail for event in self.events
            )

        wait_until(has_come, WAIT_S, f"event {kind} {detail} of {subject or 'the connection'}")

    def clear(self) -> None:
        """Leave nothing for the next test."""
        for record in self.hypervisor.list_domains():
            if record.is_active:
                self.hypervisor.destroy_domain(record.uuid)
        for record in self.hypervisor.list_domains():
            self.hypervisor.undefine_domain(record.uuid)
        for network in self.hypervisor.list_networks():
            if network.is_active:
                self.hypervisor.stop_network(network.uuid)
            self.hypervisor.undefine_network(network.uuid)
        for pool in self.hypervisor.list_pools():
            if pool.is_active:
                self.hypervisor.stop_pool(pool.uuid)
            self.hypervisor.undefine_pool(pool.uuid)


class FakeSubject(Subject):
    """All in memory."""

    def __init__(self) -> None:
        super().__init__()
        self._files = FakeVolumes()
        self._fake = FakeHypervisor(volumes=self._files)
        self.hypervisor = self._fake
        self.volumes = self._files
        self.directory = "/pool"
        self._fake.subscribe(self.events.append)

    def hang(self, identity: str) -> None:
        self._fake.hang(identity)

    def kill(self, identity: str) -> None:
        self._fake.crash(identity)

    def secure_xml(self, identity: str) -> str:
        config = self._fake.domain(identity).config
        assert config is not None
        return etree.tostring(config, encoding="unicode")

    def ignore_unplug(self, identity: str) -> None:
        self._fake.domain(identity).ignores_unplug = True

    def lose_connection(self) -> None:
        self._fake.lose_connection()

    def restore_connection(self) -> None:
        self._fake.restore_connection()


@dataclasses.dataclass
class RealHost:
    """A lab's node, with a connection that all tests of a run share."""

    node: Node
    directory: Path
    hypervisor: LibvirtHypervisor


class RealSubject(Subject):
    """libvirtd and QEMU."""

    def __init__(self, host: RealHost) -> None:
        super().__init__()
        self.host = host
        self.hypervisor = host.hypervisor
        self.volumes = QemuImgVolumes()
        directory = host.directory / uuid.uuid4().hex[:8]
        directory.mkdir()
        self.directory = str(directory)
        host.hypervisor.subscribe(self.events.append)

    def hang(self, identity: str) -> None:
        self._signal(identity, signal.SIGSTOP)

    def kill(self, identity: str) -> None:
        self._signal(identity, signal.SIGKILL)

    def secure_xml(self, identity: str) -> str:
        return self.host.node.virsh("dumpxml", "--inactive", "--security-info", identity)

    def ignore_unplug(self, identity: str) -> None:
        """Without an operating system no guest reacts."""

    def lose_connection(self) -> None:
        self.host.node.kill_libvirtd()
        wait_until(lambda: not self.hypervisor.is_connected(), WAIT_S, "the connection to be lost")

    def restore_connection(self) -> None:
        self.host.node.start_libvirtd()
        wait_until(self.hypervisor.is_connected, WAIT_S, "the connection to be back")

    def _signal(self, identity: str, number: signal.Signals) -> None:
        record = self.hypervisor.find_domain(identity)
        assert record is not None
        pid = (self.host.node.paths.run_libvirt / "qemu" / f"{record.name}.pid").read_text().strip()
        self.host.node.run(["kill", f"-{number.value}", pid])


@pytest.fixture(scope="session")
def real_host() -> Iterator[RealHost]:
    """One node with libvirtd alone."""
    with Lab.up(LabSpec(f"test-{os.getpid()}-contract", services=Services.LIBVIRT)) as lab:
        node = lab.nodes["node-a"]
        hypervisor = LibvirtHypervisor(node.libvirt_uri, options=QUICK)
        yield RealHost(node, lab.shared, hypervisor)
        hypervisor.close()


@pytest.fixture(params=["fake", "libvirt"])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """The fake, then the real one."""
    found: Subject = FakeSubject() if request.param == "fake" else RealSubject(request.getfixturevalue("real_host"))
    yield found
    found.clear()


@pytest.fixture
def real(real_host: RealHost) -> Iterator[RealSubject]:
    """The real one alone."""
    found = RealSubject(real_host)
    yield found
    found.clear()
