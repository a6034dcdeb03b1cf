"""Domains in memory: the port's calls."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Sequence

from lxml import etree

from nodeplugin.hypervisor.port import (
    AgentAnswer,
    ConsoleStream,
    DomainLook,
    DomainRecord,
    DomainState,
    DomainStats,
    EventKind,
    InterfaceAddress,
    Scope,
    ShutdownMode,
    XmlView,
)
from tests.fakes import domain as xml_work
from tests.fakes.agent import FakeAgent
from tests.fakes.console import FakeConsole
from tests.fakes.disks import FakeDisks, source_path
from tests.fakes.domain import FakeDomain, refused
from tests.fakes.faults import mutating, reading
from xvirt.domainxml.hidden import carry_secure
from xvirt.model.errors import Busy, Conflict, NotFound, Unavailable


class FakeDomains(FakeDisks):
    """Implements `nodeplugin.hypervisor.port.Domains`, with `disks.FakeDisks`."""

    # lists and definitions

    @reading
    def list_domains(self) -> list[DomainRecord]:
        return [domain.record() for domain in self._domains.values()]

    @reading
    def find_domain(self, uuid: str) -> DomainRecord | None:
        domain = self._domains.get(uuid)
        return domain.record() if domain is not None else None

    @reading
    def look_at_domain(self, uuid: str) -> DomainLook | None:
        domain = self._domains.get(uuid)
        if domain is None:
            return None
        live, config = domain.live, domain.config
        return DomainLook(
            record=domain.record(),
            live_xml=xml_work.to_text(live) if live is not None else None,
            config_xml=xml_work.to_text(config) if config is not None else None,
        )

    @reading
    def find_domain_by_name(self, name: str) -> DomainRecord | None:
        return next((domain.record() for domain in self._domains.values() if domain.name == name), None)

    @reading
    def domain_xml(self, uuid: str, view: XmlView) -> str:
        domain = self._get(uuid)
        root = domain.live if view is XmlView.CURRENT and domain.live is not None else domain.config
        return xml_work.to_text(root if root is not None else domain.live)  # type: ignore[arg-type]

    @mutating
    def define_domain(self, xml: str) -> None:
        root = xml_work.parse(xml, "domain", "define domain")
        xml_work.check_definition(root)
        uuid = (root.findtext("uuid") or str(uuids.uuid4())).strip().lower()
        name = root.findtext("name") or ""
        self._check_names(uuid, name)
        if uuid in self._domains and (before := self._domains[uuid].config) is not None:
            root = xml_work.parse(
                carry_secure(xml, etree.tostring(before, encoding="unicode")), "domain", "define domain"
            )
        _fill_in(root, uuid)
        domain = self._domains.get(uuid)
        if domain is None:
            self._domains[uuid] = FakeDomain(uuid, name, root)
            self.tell(EventKind.LIFECYCLE, uuid, "defined/added")
        else:
            domain.config = root
            self.tell(EventKind.LIFECYCLE, uuid, "defined/updated")

    def _check_names(self, uuid: str, name: str) -> None:
        for other in self._domains.values():
            if (other.name == name) != (other.uuid == uuid):
                message = f"define domain {uuid}: libvirt says: domain '{other.name}' is already defined with uuid {other.uuid}"
                raise Conflict(message, reason="NameTaken")

    @mutating
    def undefine_domain(self, uuid: str) -> None:
        domain = self._get(uuid)
        if domain.config is None:
            raise refused(uuid, "cannot undefine transient domain")
        domain.config, domain.has_managed_save, domain.is_autostarted = None, False, False
        if not domain.is_active:
            del self._domains[uuid]
        self.tell(EventKind.LIFECYCLE, uuid, "undefined/removed")

    @mutating
    def set_metadata(self, uuid: str, xml: str, scope: Scope) -> None:
        element = etree.fromstring(xml)
        for root in self._trees(uuid, scope):
            xml_work.set_metadata(root, element)
        self.tell(EventKind.OTHER, uuid, f"1/{etree.QName(element).namespace}")

    @mutating
    def remove_metadata(self, uuid: str, namespace_uri: str) -> None:
        domain = self._get(uuid)
        for root in (domain.config, domain.live):
            for element in root.findall("metadata/*") if root is not None else []:
                if etree.QName(element).namespace == namespace_uri:
                    element.getparent().remove(element)  # type: ignore[union-attr]
        self.tell(EventKind.OTHER, uuid, f"1/{namespace_uri}")

    # power

    @mutating
    def start_domain(self, uuid: str) -> None:
        domain = self._get(uuid)
        if domain.is_active:
            raise refused(uuid, "domain is already running")
        assert domain.config is not None
        self._check_networks(domain)
        self._check_disks(domain)
        domain.start(next(self._ids))
        for nic in domain.live.iterfind("devices/interface") if domain.live is not None else ():
            self.plug_in(nic)
        self.tell(EventKind.LIFECYCLE, uuid, f"started/{domain.reason}")

    def _check_networks(self, domain: FakeDomain) -> None:
        assert domain.config is not None
        active = {network.name for network in self._networks.values() if network.is_active}
        known = {network.name for network in self._networks.values()}
        for source in domain.config.iterfind("devices/interface/source[@network]"):
            name = source.get("network", "")
            if name not in known:
                raise NotFound(f"start domain {domain.uuid}: libvirt says: no network with matching name '{name}'")
            if name not in active:
                raise refused(domain.uuid, f"network '{name}' is not active")

    def _check_disks(self, domain: FakeDomain) -> None:
        assert domain.config is not None
        taken = {
            path
            for other in self._domains.values()
            if other.live is not None and other is not domain
            for path in _writable_paths(other.live)
        }
        for path in _writable_paths(domain.config):
            if path in taken:
                message = f'start domain {domain.uuid}: libvirt says: {path}: Failed to get "write" lock'
                raise Busy(message, reason="ImageInUse")
        for disk in domain.config.iterfind("devices/disk"):
            self._open(domain, disk)

    def _open(self, domain: FakeDomain, disk: etree._Element) -> None:
        """QEMU opens a disk: it knows a device's size from then on, and learns of another when it is told."""
        path, target = source_path(disk), str(disk.xpath("string(target/@dev)"))
        if path and disk.get("type") == "file":
            self._check_file(domain.uuid, path)
        elif self._volumes is not None and path in self._volumes.files:
            domain.sizes[target] = self._volumes.files[path].capacity_bytes

    @mutating
    def shutdown_domain(self, uuid: str, mode: ShutdownMode) -> None:
        domain = self._running(uuid)
        if domain.ignores_shutdown or domain.state is DomainState.PAUSED:
            return
        self._stop(domain, "shutdown", "stopped/shutdown")

    @mutating
    def destroy_domain(self, uuid: str) -> None:
        domain = self._get(uuid)
        if not domain.is_active:
            raise refused(uuid, "domain is not running")
        self._stop(domain, "destroyed", "stopped/destroyed")

    @mutating
    def reset_domain(self, uuid: str) -> None:
        self._running(uuid)
        self.tell(EventKind.REBOOT, uuid, "")

    @mutating
    def suspend_domain(self, uuid: str) -> None:
        domain = self._running(uuid)
        domain.state, domain.reason = DomainState.PAUSED, "user"
        self.tell(EventKind.LIFECYCLE, uuid, "suspended/paused")

    @mutating
    def resume_domain(self, uuid: str) -> None:
        domain = self._running(uuid)
        if domain.state is DomainState.RUNNING:
            raise refused(uuid, "domain is already running")
        domain.state, domain.reason = DomainState.RUNNING, "unpaused"
        self.tell(EventKind.LIFECYCLE, uuid, "resumed/unpaused")

    @mutating
    def save_domain(self, uuid: str) -> None:
        domain = self._running(uuid)
        if domain.config is None:
            raise refused(uuid, "cannot do managed save for transient domain")
        domain.saved, domain.has_managed_save = domain.live, True
        self._stop(domain, "saved", "stopped/saved")

    @reading
    def save_progress_percent(self, uuid: str) -> int | None:
        self._get(uuid)
        return None

    @mutating
    def drop_managed_save(self, uuid: str) -> None:
        domain = self._get(uuid)
        domain.has_managed_save, domain.saved = False, None

    # size and devices

    @mutating
    def set_vcpus(self, uuid: str, count: int, scope: Scope) -> None:
        for root in self._trees(uuid, scope):
            xml_work.set_vcpus(root, count, uuid)

    @mutating
    def set_memory(self, uuid: str, size_bytes: int, scope: Scope) -> None:
        for root in self._trees(uuid, scope):
            xml_work.set_memory(root, size_bytes, uuid)

    @mutating
    def attach_device(self, uuid: str, xml: str, scope: Scope) -> None:
        device = xml_work.parse_device(xml)
        trees = self._trees(uuid, scope)
        if scope is not Scope.CONFIG and device.tag == "disk":
            self._open(self._domains[uuid], device)
        for root in trees:
            xml_work.attach(root, device, uuid)
            self._plug_in_live(uuid, root, device)
        if scope is not Scope.CONFIG:
            self.tell(EventKind.DEVICE_ADDED, uuid, str(device.xpath("string(alias/@name)")))

    @mutating
    def detach_device(self, uuid: str, xml: str, scope: Scope) -> None:
        device = xml_work.parse_device(xml)
        domain = self._get(uuid)
        for root in self._trees(uuid, scope):
            if root is domain.live and domain.ignores_unplug:
                if xml_work.find_device(root, device) is None:
                    raise NotFound(f"detach from domain {uuid}: libvirt says: device not found")
                continue
            alias = xml_work.detach(root, device, uuid)
            if root is domain.live:
                self.tell(EventKind.DEVICE_REMOVED, uuid, alias)

    @mutating
    def update_device(self, uuid: str, xml: str, scope: Scope) -> None:
        device = xml_work.parse_device(xml)
        for root in self._trees(uuid, scope):
            xml_work.update(root, device, uuid)
            self._plug_in_live(uuid, root, device)

    def _plug_in_live(self, uuid: str, root: etree._Element, device: etree._Element) -> None:
        found = xml_work.find_device(root, device)
        if found is not None and device.tag == "interface" and root is self._domains[uuid].live:
            self.plug_in(found)

    # guests

    @reading
    def ping_monitor(self, uuid: str) -> None:
        self._running(uuid)

    @reading
    def guest_addresses(self, uuid: str) -> list[InterfaceAddress]:
        return list(self._get(uuid).addresses)

    @reading
    def is_agent_connected(self, uuid: str) -> bool:
        return self._get(uuid).is_agent_connected

    @reading
    def ask_agent(self, uuid: str) -> AgentAnswer:
        agent = self._agent(uuid)
        return AgentAnswer(facts=dict(agent.facts), addresses=tuple(agent.addresses))

    @reading
    def ping_agent(self, uuid: str) -> None:
        self._agent(uuid)

    @reading
    def agent_version(self, uuid: str) -> str:
        return self._agent(uuid).version

    @reading
    def start_in_guest(self, uuid: str, argv: Sequence[str]) -> int:
        return self._agent(uuid).start(argv)

    @reading
    def exit_code_in_guest(self, uuid: str, process: int) -> int | None:
        return self._agent(uuid).exit_code(process)

    def _agent(self, uuid: str) -> FakeAgent:
        domain = self._get(uuid)
        if not domain.is_agent_connected:
            raise NotFound(f"domain {uuid}: the guest agent is not connected", reason="AgentNotConnected")
        if domain.agent.is_frozen:
            raise Unavailable(f"domain {uuid}: Guest agent is not responding", reason="AgentNotResponding")
        return domain.agent

    @reading
    def domain_stats(self, uuid: str) -> dict[str, object]:
        domain = self._get(uuid)
        return {"state.state": 1 if domain.is_active else 5}

    @reading
    def all_domain_stats(self) -> list[DomainStats]:
        return [DomainStats(uuid=item.uuid, name=item.name, values=item.stats()) for item in self._domains.values()]

    @reading
    def console_stream(self, uuid: str, *, force: bool) -> ConsoleStream:
        domain = self._running(uuid)
        return FakeConsole.open(domain, force=force)

    # shared

    def _stop(self, domain: FakeDomain, reason: str, detail: str) -> None:
        domain.stop(reason)
        if domain.config is None:
            del self._domains[domain.uuid]
        self.tell(EventKind.LIFECYCLE, domain.uuid, detail)

    def _trees(self, uuid: str, scope: Scope) -> list[etree._Element]:
        domain = self._get(uuid) if scope is Scope.CONFIG else self._running(uuid)
        return domain.trees(is_live=scope is not Scope.CONFIG, is_config=scope is not Scope.LIVE)


def _writable_paths(root: etree._Element) -> set[str]:
    return {
        source_path(disk)
        for disk in root.iterfind("devices/disk")
        if disk.find("readonly") is None and disk.find("shareable") is None and disk.get("device") != "cdrom"
    } - {""}


def _fill_in(root: etree._Element, uuid: str) -> None:
    """What libvirt adds that the node looks at."""
    element = root.find("uuid")
    if element is None:
        element = etree.Element("uuid")
        root.insert(1, element)
    element.text = uuid
    for number, nic in enumerate(root.iterfind("devices/interface")):
        if nic.find("mac") is None:
            nic.insert(0, etree.Element("mac", address=f"52:54:00:{uuid[0:2]}:{uuid[2:4]}:{number:02x}"))
    if root.find("devices") is None:
        etree.SubElement(root, "devices")
