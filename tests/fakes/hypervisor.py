"""A hypervisor in memory.

hypervisor = FakeHypervisor(volumes=volumes, faults=faults)
hypervisor.crash(uuid)            # QEMU killed from outside
hypervisor.guest_poweroff(uuid)   # the guest shut itself down
hypervisor.hang(uuid)             # its monitor answers no more
hypervisor.domain(uuid).ignores_shutdown = True
"""

from __future__ import annotations

from nodeplugin.hypervisor.port import (
    DomainState,
    EventKind,
    EventListener,
    HostFacts,
    InterfaceAddress,
)
from tests.fakes.domain import FakeDomain, refused
from tests.fakes.domains import FakeDomains
from tests.fakes.faults import Faults, reading
from tests.fakes.networks import FakeNetworks, FakePools
from tests.fakes.volumes import FakeVolumes

DEFAULT_FACTS = HostFacts(
    host_uuid="5f0e4a3c-0000-4000-8000-000000000001",
    hostname="fake",
    libvirt_version="9.0.0",
    qemu_version="7.2.0",
    architecture="x86_64",
    cpus=8,
    memory_bytes=32 << 30,
    offers_kvm=False,
    probe_seconds=0.0,
)


class FakeHypervisor(FakeDomains, FakeNetworks, FakePools):
    """All ports. One lock for all calls; events go to listeners after each call, in the caller's thread."""

    def __init__(
        self, *, volumes: FakeVolumes | None = None, faults: Faults | None = None, facts: HostFacts = DEFAULT_FACTS
    ) -> None:
        super().__init__(volumes, faults)
        self._facts = facts
        self.is_event_thread_alive = True

    # the port

    @reading
    def facts(self) -> HostFacts:
        return self._facts

    def subscribe(self, listener: EventListener) -> None:
        self._listeners.append(listener)

    def is_connected(self) -> bool:
        return self._is_connected

    def is_delivering(self) -> bool:
        return self.is_event_thread_alive

    def lost_threads(self) -> int:
        return 0

    def close(self) -> None:
        self._is_connected = False

    # what tests do behind the node's back

    def domain(self, uuid: str) -> FakeDomain:
        """The domain itself, to look into or to set its guest's manners."""
        return self._domains[uuid]

    def crash(self, uuid: str) -> None:
        """QEMU is killed."""
        self.behind(lambda: self._stop(self._domains[uuid], "crashed", "stopped/failed"))

    def rename_by_hand(self, uuid: str, name: str) -> None:
        """`virsh domrename`. Raises Refused where it runs or has a saved state."""
        domain = self._domains[uuid]
        if domain.is_active or domain.has_managed_save or domain.config is None:
            raise refused(uuid, "cannot rename a domain that is active or saved")

        def work() -> None:
            assert domain.config is not None
            element = domain.config.find("name")
            assert element is not None
            domain.name = element.text = name
            self.tell(EventKind.LIFECYCLE, uuid, "defined/renamed")

        self.behind(work)

    def guest_poweroff(self, uuid: str) -> None:
        """The guest powers off by itself."""
        self.behind(lambda: self._stop(self._domains[uuid], "shutdown", "stopped/shutdown"))

    def hang(self, uuid: str, *, is_hung: bool = True) -> None:
        """The monitor answers no more (or again): the first call that needs it misses its deadline, later ones are Busy."""
        domain = self._domains[uuid]
        domain.is_hung, domain.has_missed_deadline = is_hung, False

    def connect_agent(self, uuid: str, facts: dict[str, object] | None = None) -> None:
        """The guest's agent opens its channel."""

        def work() -> None:
            domain = self._domains[uuid]
            domain.is_agent_connected, domain.agent.facts = True, facts or {}
            domain.show_agent()
            self.tell(EventKind.AGENT, uuid, "1/2")

        self.behind(work)

    def fire_watchdog(self, uuid: str, action: str) -> None:
        """The guest's watchdog expires; QEMU does what it was told for that."""

        def work() -> None:
            domain = self._domains[uuid]
            self.tell(EventKind.WATCHDOG, uuid, action)
            if action == "poweroff":
                self._stop(domain, "shutdown", "stopped/shutdown")
            elif action == "pause":
                domain.state, domain.reason = DomainState.PAUSED, "watchdog"
                self.tell(EventKind.LIFECYCLE, uuid, "suspended/watchdog")

        self.behind(work)

    def disconnect_agent(self, uuid: str) -> None:
        """The guest's agent ends."""

        def work() -> None:
            domain = self._domains[uuid]
            domain.is_agent_connected = False
            domain.show_agent()
            self.tell(EventKind.AGENT, uuid, "2/2")

        self.behind(work)

    def set_addresses(self, uuid: str, addresses: list[InterfaceAddress]) -> None:
        """What the guest's addresses are."""
        self._domains[uuid].addresses = list(addresses)

    def lose_connection(self) -> None:
        """libvirtd goes away; domains run on."""

        def work() -> None:
            self._is_connected = False
            self.tell(EventKind.DISCONNECTED, "", "")

        self.behind(work)

    def restore_connection(self) -> None:
        """libvirtd is there again."""

        def work() -> None:
            self._is_connected = True
            self.tell(EventKind.CONNECTED, "", "")

        self.behind(work)

    def reboot_host(self) -> None:
        """All QEMUs are gone; what is set to autostart is started by libvirt."""
        for domain in list(self._domains.values()):
            if domain.is_active:
                domain.stop("unknown")
            if domain.config is None:
                del self._domains[domain.uuid]
            elif domain.is_autostarted:
                domain.start(next(self._ids))
        self._restart_networks()
        self._restart_pools()

    def pause_by_host(self, uuid: str, reason: str = "ioerror") -> None:
        """QEMU stops its vCPUs by itself, as for a full disk."""
        domain = self._domains[uuid]

        def work() -> None:
            domain.state, domain.reason = DomainState.PAUSED, reason
            self.tell(EventKind.LIFECYCLE, uuid, f"suspended/{reason}")

        self.behind(work)
