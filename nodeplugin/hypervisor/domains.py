"""Domains, by libvirt."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import libvirt

from nodeplugin.hypervisor.connection import Connection
from nodeplugin.hypervisor.port import (
    BlockSize,
    ConsoleStream,
    DomainRecord,
    DomainState,
    InterfaceAddress,
    Persistence,
    Scope,
    ShutdownMode,
    XmlView,
)
from xvirt.model.errors import DeadlineExceeded, NotFound, XvirtError

DEFINE_TIMEOUT_S = 60.0
"""The first define probes QEMU's capabilities: seconds, or a minute on a host with the KVM cache trap."""
START_TIMEOUT_S = 120.0
DESTROY_TIMEOUT_S = 20.0
SAVE_TIMEOUT_S = 600.0
DEVICE_TIMEOUT_S = 20.0
AGENT_TIMEOUT_S = 3.0
AGENT_SHUTDOWN_TIMEOUT_S = 3.0

_STATES = {
    libvirt.VIR_DOMAIN_NOSTATE: DomainState.NO_STATE,
    libvirt.VIR_DOMAIN_RUNNING: DomainState.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: DomainState.BLOCKED,
    libvirt.VIR_DOMAIN_PAUSED: DomainState.PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: DomainState.SHUTDOWN,
    libvirt.VIR_DOMAIN_SHUTOFF: DomainState.SHUTOFF,
    libvirt.VIR_DOMAIN_CRASHED: DomainState.CRASHED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: DomainState.PM_SUSPENDED,
}
_REASON_PREFIXES = {
    libvirt.VIR_DOMAIN_RUNNING: "VIR_DOMAIN_RUNNING_",
    libvirt.VIR_DOMAIN_PAUSED: "VIR_DOMAIN_PAUSED_",
    libvirt.VIR_DOMAIN_SHUTDOWN: "VIR_DOMAIN_SHUTDOWN_",
    libvirt.VIR_DOMAIN_SHUTOFF: "VIR_DOMAIN_SHUTOFF_",
    libvirt.VIR_DOMAIN_CRASHED: "VIR_DOMAIN_CRASHED_",
}
_REASONS = {
    state: {
        getattr(libvirt, name): name.removeprefix(prefix).lower()
        for name in dir(libvirt)
        if name.startswith(prefix) and not name.endswith("_LAST")
    }
    for state, prefix in _REASON_PREFIXES.items()
}
_SCOPES = {
    Scope.LIVE: libvirt.VIR_DOMAIN_AFFECT_LIVE,
    Scope.CONFIG: libvirt.VIR_DOMAIN_AFFECT_CONFIG,
    Scope.BOTH: libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_AFFECT_CONFIG,
}


def _record(domain: libvirt.virDomain) -> DomainRecord:
    state, reason = domain.state()[:2]
    return DomainRecord(
        uuid=domain.UUIDString(),
        name=domain.name(),
        state=_STATES.get(state, DomainState.NO_STATE),
        reason=_REASONS.get(state, {}).get(reason, "unknown"),
        is_active=bool(domain.isActive()),
        persistence=Persistence.PERSISTENT if domain.isPersistent() else Persistence.TRANSIENT,
        is_autostarted=bool(domain.isPersistent() and domain.autostart()),
        has_managed_save=bool(domain.isPersistent() and domain.hasManagedSaveImage()),
        domain_id=domain.ID() if domain.isActive() else None,
    )


class LibvirtDomains:
    """Implements `nodeplugin.hypervisor.port.Domains`."""

    _link: Connection

    def _on_domain(self, action: str, uuid: str, work: Any, *, timeout_s: float = 10.0, monitor: bool = True) -> Any:
        """Look the domain up and work on it; `monitor` says that QEMU itself must answer."""
        lane = f"monitor {uuid}" if monitor else ""
        return self._link.call(
            f"{action} domain {uuid}",
            lambda connection: work(connection.lookupByUUIDString(uuid)),
            timeout_s=timeout_s,
            lane=lane,
        )

    def list_domains(self) -> list[DomainRecord]:
        def work(connection: libvirt.virConnect) -> list[DomainRecord]:
            found = []
            for domain in connection.listAllDomains():
                with contextlib.suppress(libvirt.libvirtError):  # gone between the two calls
                    found.append(_record(domain))
            return found

        return self._link.call("list domains", work)

    def find_domain(self, uuid: str) -> DomainRecord | None:
        try:
            found: DomainRecord = self._on_domain("look up", uuid, _record, monitor=False)
        except NotFound:
            return None
        return found

    def find_domain_by_name(self, name: str) -> DomainRecord | None:
        try:
            return self._link.call(f"look up domain {name}", lambda connection: _record(connection.lookupByName(name)))
        except NotFound:
            return None

    def domain_xml(self, uuid: str, view: XmlView) -> str:
        flags = libvirt.VIR_DOMAIN_XML_INACTIVE if view is XmlView.INACTIVE else 0
        text: str = self._on_domain("read", uuid, lambda domain: domain.XMLDesc(flags), monitor=False)
        return text

    def define_domain(self, xml: str) -> None:
        flags = libvirt.VIR_DOMAIN_DEFINE_VALIDATE
        self._link.call(
            "define domain", lambda connection: connection.defineXMLFlags(xml, flags), timeout_s=DEFINE_TIMEOUT_S
        )

    def undefine_domain(self, uuid: str) -> None:
        flags = (
            libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
            | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
            | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
            | libvirt.VIR_DOMAIN_UNDEFINE_TPM
        )
        self._on_domain("undefine", uuid, lambda domain: domain.undefineFlags(flags), monitor=False)

    def start_domain(self, uuid: str) -> None:
        self._on_domain("start", uuid, lambda domain: domain.create(), timeout_s=START_TIMEOUT_S)

    def shutdown_domain(self, uuid: str, mode: ShutdownMode) -> None:
        flags = {
            ShutdownMode.AGENT: libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT,
            ShutdownMode.ACPI: libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN,
            ShutdownMode.ANY: libvirt.VIR_DOMAIN_SHUTDOWN_DEFAULT,
        }[mode]
        if mode is not ShutdownMode.AGENT:
            self._on_domain("shut down", uuid, lambda domain: domain.shutdownFlags(flags))
            return
        try:
            self._link.call(
                f"shut down domain {uuid} by its agent",
                lambda connection: connection.lookupByUUIDString(uuid).shutdownFlags(flags),
                timeout_s=AGENT_SHUTDOWN_TIMEOUT_S,
                lane=f"agent {uuid}",
            )
        except XvirtError:
            # A guest that ignores its agent blocks that call; the power button is another way in.
            self.shutdown_domain(uuid, ShutdownMode.ACPI)

    def destroy_domain(self, uuid: str) -> None:
        try:
            self._link.call(
                f"power off domain {uuid}",
                lambda connection: connection.lookupByUUIDString(uuid).destroyFlags(
                    libvirt.VIR_DOMAIN_DESTROY_GRACEFUL
                ),
                timeout_s=DESTROY_TIMEOUT_S,
                lane=f"destroy {uuid}",
            )
        except NotFound:
            raise
        except XvirtError:
            self._link.call(
                f"kill domain {uuid}",
                lambda connection: connection.lookupByUUIDString(uuid).destroy(),
                timeout_s=DESTROY_TIMEOUT_S,
                lane=f"kill {uuid}",
            )

    def reset_domain(self, uuid: str) -> None:
        self._on_domain("reset", uuid, lambda domain: domain.reset(0))

    def suspend_domain(self, uuid: str) -> None:
        self._on_domain("pause", uuid, lambda domain: domain.suspend())

    def resume_domain(self, uuid: str) -> None:
        self._on_domain("resume", uuid, lambda domain: domain.resume())

    def save_domain(self, uuid: str) -> None:
        self._on_domain("save", uuid, lambda domain: domain.managedSave(0), timeout_s=SAVE_TIMEOUT_S)

    def save_progress_percent(self, uuid: str) -> int | None:
        stats = self._link.call(
            f"ask domain {uuid} for its job", lambda connection: connection.lookupByUUIDString(uuid).jobStats()
        )
        total = stats.get("memory_total") or stats.get("data_total")
        if not total:
            return None
        done = stats.get("memory_processed") or stats.get("data_processed") or 0
        return min(99, int(done * 100 / total))

    def drop_managed_save(self, uuid: str) -> None:
        self._on_domain("forget the saved state of", uuid, lambda domain: domain.managedSaveRemove(0), monitor=False)

    def set_vcpus(self, uuid: str, count: int, scope: Scope) -> None:
        self._on_domain(
            "set vCPUs of",
            uuid,
            lambda domain: domain.setVcpusFlags(count, _SCOPES[scope]),
            timeout_s=DEVICE_TIMEOUT_S,
        )

    def set_memory(self, uuid: str, size_bytes: int, scope: Scope) -> None:
        self._on_domain("set memory of", uuid, lambda domain: domain.setMemoryFlags(size_bytes // 1024, _SCOPES[scope]))

    def attach_device(self, uuid: str, xml: str, scope: Scope) -> None:
        self._on_domain(
            "attach to",
            uuid,
            lambda domain: domain.attachDeviceFlags(xml, _SCOPES[scope]),
            timeout_s=DEVICE_TIMEOUT_S,
        )

    def detach_device(self, uuid: str, xml: str, scope: Scope) -> None:
        self._on_domain(
            "detach from",
            uuid,
            lambda domain: domain.detachDeviceFlags(xml, _SCOPES[scope]),
            timeout_s=DEVICE_TIMEOUT_S,
        )

    def update_device(self, uuid: str, xml: str, scope: Scope) -> None:
        self._on_domain(
            "update a device of",
            uuid,
            lambda domain: domain.updateDeviceFlags(xml, _SCOPES[scope]),
            timeout_s=DEVICE_TIMEOUT_S,
        )

    def resize_block(self, uuid: str, target: str, size_bytes: int) -> None:
        flags = libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES
        self._on_domain(f"grow {target} of", uuid, lambda domain: domain.blockResize(target, size_bytes, flags))

    def block_size(self, uuid: str, target: str) -> BlockSize:
        capacity, allocation, _ = self._on_domain(f"read {target} of", uuid, lambda domain: domain.blockInfo(target))
        return BlockSize(capacity_bytes=capacity, allocation_bytes=allocation)

    def remove_metadata(self, uuid: str, namespace_uri: str) -> None:
        def work(domain: libvirt.virDomain) -> None:
            flags = libvirt.VIR_DOMAIN_AFFECT_CONFIG
            if domain.isActive():
                flags |= libvirt.VIR_DOMAIN_AFFECT_LIVE
            domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, None, "xvirt", namespace_uri, flags)

        with contextlib.suppress(NotFound):
            self._on_domain("take the mark off", uuid, work, monitor=False)

    def ping_monitor(self, uuid: str) -> None:
        self._on_domain(
            "ask the monitor of",
            uuid,
            lambda domain: domain.memoryStats(),  # one query-balloon; a raw monitor command would taint the domain
            timeout_s=5.0,
        )

    def guest_addresses(self, uuid: str) -> list[InterfaceAddress]:
        found: dict[tuple[str, str], InterfaceAddress] = {}
        sources = [
            (libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE, "lease"),
            (libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP, "arp"),
        ]
        if self.is_agent_connected(uuid):
            sources.insert(0, (libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT, "agent"))
        for source, name in sources:
            for item in self._addresses_from(uuid, source, name):
                found.setdefault((item.mac, item.address), item)
        return list(found.values())

    def _addresses_from(self, uuid: str, source: int, name: str) -> list[InterfaceAddress]:
        try:
            answer = self._link.call(
                f"ask for addresses of domain {uuid}",
                lambda connection: connection.lookupByUUIDString(uuid).interfaceAddresses(source, 0),
                timeout_s=AGENT_TIMEOUT_S,
                lane=f"agent {uuid}" if name == "agent" else "",
            )
        except XvirtError:
            return []
        found = []
        for device in answer.values():
            mac = (device.get("hwaddr") or "").lower()
            if mac in ("", "00:00:00:00:00:00"):
                continue
            found += [
                InterfaceAddress(mac=mac, address=item["addr"], prefix=item["prefix"], source=name)
                for item in device.get("addrs") or ()
            ]
        return found

    def is_agent_connected(self, uuid: str) -> bool:
        text = self.domain_xml(uuid, XmlView.CURRENT)
        return "name='org.qemu.guest_agent.0' state='connected'" in text

    def agent_facts(self, uuid: str) -> dict[str, object]:
        if not self.is_agent_connected(uuid):
            raise NotFound(f"domain {uuid}: the guest agent is not connected", reason="AgentNotConnected")
        answer: dict[str, object] = self._link.call(
            f"ask the agent of domain {uuid}",
            lambda connection: connection.lookupByUUIDString(uuid).guestInfo(0, 0),
            timeout_s=AGENT_TIMEOUT_S,
            lane=f"agent {uuid}",
        )
        return answer

    def domain_stats(self, uuid: str) -> dict[str, object]:
        flags = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT

        def work(connection: libvirt.virConnect) -> dict[str, object]:
            domain = connection.lookupByUUIDString(uuid)
            rows = connection.domainListGetStats([domain], 0, flags)
            return json.loads(json.dumps(rows[0][1], default=str)) if rows else {}

        return self._link.call(f"read statistics of domain {uuid}", work)

    def console_stream(self, uuid: str, *, force: bool) -> ConsoleStream:
        def work(connection: libvirt.virConnect) -> LibvirtConsole:
            stream = connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
            flags = libvirt.VIR_DOMAIN_CONSOLE_FORCE if force else libvirt.VIR_DOMAIN_CONSOLE_SAFE
            domain = connection.lookupByUUIDString(uuid)
            try:
                domain.openConsole(None, stream, flags)
            except libvirt.libvirtError as error:
                if "safe console handling" not in (error.get_error_message() or ""):
                    raise
                domain.openConsole(None, stream, 0 if not force else libvirt.VIR_DOMAIN_CONSOLE_FORCE)
            return LibvirtConsole(stream)

        return self._link.call(f"open console of domain {uuid}", work)


CONSOLE_POLL_S = 0.02


class LibvirtConsole:
    """A console's stream, polled: a stream callback would need the event thread for each byte."""

    def __init__(self, stream: libvirt.virStream) -> None:
        self._stream = stream
        self._is_closed = False

    def read(self, limit_bytes: int, timeout_s: float) -> bytes | None:
        deadline = time.monotonic() + timeout_s
        while not self._is_closed:
            try:
                data = self._stream.recv(limit_bytes)
            except libvirt.libvirtError:
                return None
            if data == b"":
                return None
            if isinstance(data, bytes):
                return data
            if time.monotonic() >= deadline:
                return b""
            time.sleep(CONSOLE_POLL_S)
        return None

    def write(self, data: bytes) -> None:
        deadline = time.monotonic() + 5.0
        while data and not self._is_closed:
            sent = self._stream.send(data)
            if sent > 0:
                data = data[sent:]
            elif time.monotonic() > deadline:
                raise DeadlineExceeded("the guest does not read its console")
            else:
                time.sleep(CONSOLE_POLL_S)

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            with contextlib.suppress(libvirt.libvirtError):
                self._stream.abort()
