"""Domains, by libvirt: definitions, power, devices."""

from __future__ import annotations

import libvirt
from lxml import etree

from nodeplugin.hypervisor.access import LibvirtAccess
from nodeplugin.hypervisor.calls import Lane, LaneKind
from nodeplugin.hypervisor.port import DomainLook, DomainRecord, Scope, ShutdownMode
from nodeplugin.hypervisor.states import read_all_records, read_look, read_record
from xvirt.domainxml.hidden import carry_secure
from xvirt.model.errors import Busy, DeadlineExceeded, NotFound, Refused, Unavailable

_SCOPES = {
    Scope.LIVE: libvirt.VIR_DOMAIN_AFFECT_LIVE,
    Scope.CONFIG: libvirt.VIR_DOMAIN_AFFECT_CONFIG,
    Scope.BOTH: libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_AFFECT_CONFIG,
}
_UNDEFINE = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)
_TPM_SINCE = 8_009_000
"""libvirt 8.9.0: VIR_DOMAIN_UNDEFINE_TPM. Older daemons refuse the flag, and remove TPM state unasked."""
_METADATA_PREFIX = "xvirt"


class LibvirtDomains(LibvirtAccess):
    """Implements `nodeplugin.hypervisor.port.Domains`, with `disks.LibvirtDisks` and `guests.LibvirtGuests`."""

    # lists and definitions

    def list_domains(self) -> list[DomainRecord]:
        return self._link.call("list domains", read_all_records, Lane(LaneKind.READ, "domains"))

    def find_domain(self, uuid: str) -> DomainRecord | None:
        try:
            return self._on_domain("look up", uuid, read_record, kind=LaneKind.READ)
        except NotFound:
            return None

    def look_at_domain(self, uuid: str) -> DomainLook | None:
        try:
            return self._on_domain("look at", uuid, read_look, kind=LaneKind.READ)
        except NotFound:
            return None

    def find_domain_by_name(self, name: str) -> DomainRecord | None:
        try:
            return self._link.call(
                f"look up domain {name}",
                lambda connection: read_record(connection.lookupByName(name)),
                Lane(LaneKind.READ, f"name {name}"),
            )
        except NotFound:
            return None

    def define_domain(self, xml: str) -> None:
        uuid = definition_uuid(xml)

        def work(connection: libvirt.virConnect) -> None:
            connection.defineXMLFlags(_with_secure(connection, uuid, xml), libvirt.VIR_DOMAIN_DEFINE_VALIDATE)

        self._link.call(
            f"define domain {uuid}",
            work,
            Lane(LaneKind.HOST, uuid),
            timeout_s=self._options.define_timeout_s,
        )

    def undefine_domain(self, uuid: str) -> None:
        def work(connection: libvirt.virConnect) -> None:
            has_tpm_flag = connection.getLibVersion() >= _TPM_SINCE
            flags = _UNDEFINE | (getattr(libvirt, "VIR_DOMAIN_UNDEFINE_TPM", 0) if has_tpm_flag else 0)
            connection.lookupByUUIDString(uuid).undefineFlags(flags)

        self._link.call(f"undefine domain {uuid}", work, Lane(LaneKind.MONITOR, uuid))

    def set_metadata(self, uuid: str, xml: str, scope: Scope) -> None:
        text, uri = _bare_element(xml)
        kind, flags = libvirt.VIR_DOMAIN_METADATA_ELEMENT, _SCOPES[scope]
        self._on_domain("mark", uuid, lambda domain: domain.setMetadata(kind, text, _METADATA_PREFIX, uri, flags))

    def remove_metadata(self, uuid: str, namespace_uri: str) -> None:
        def work(domain: libvirt.virDomain) -> None:
            flags = libvirt.VIR_DOMAIN_AFFECT_CONFIG if domain.isPersistent() else 0
            flags |= libvirt.VIR_DOMAIN_AFFECT_LIVE if domain.isActive() else 0
            domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, None, _METADATA_PREFIX, namespace_uri, flags)

        try:
            self._on_domain("take the mark off", uuid, work)
        except NotFound as error:
            if error.libvirt_code != libvirt.VIR_ERR_NO_DOMAIN_METADATA:
                raise

    # power

    def start_domain(self, uuid: str) -> None:
        timeout_s = self._options.start_timeout_s
        self._on_domain("start", uuid, lambda domain: domain.create(), kind=LaneKind.JOB, timeout_s=timeout_s)

    def shutdown_domain(self, uuid: str, mode: ShutdownMode) -> None:
        if mode is not ShutdownMode.ACPI and self._ask_agent_to_power_off(uuid):
            return
        try:
            flags = libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN
            self._on_domain("press the power button of", uuid, lambda domain: domain.shutdownFlags(flags))
        except Refused:
            if mode is ShutdownMode.ACPI or self._is_active(uuid):
                raise  # else it obeyed its agent meanwhile

    def _ask_agent_to_power_off(self, uuid: str) -> bool:
        """True where the agent took it. libvirt waits up to 60 s for a guest that says nothing: only the agent's lane is held so long."""
        flags = libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT
        timeout_s = self._options.agent_shutdown_timeout_s
        try:
            self._on_domain(
                "shut down by its agent",
                uuid,
                lambda domain: domain.shutdownFlags(flags),
                kind=LaneKind.AGENT,
                timeout_s=timeout_s,
            )
        except (Busy, DeadlineExceeded, Refused):
            return False
        except Unavailable as error:
            if error.reason == "AgentNotResponding":
                return False
            raise
        return True

    def destroy_domain(self, uuid: str) -> None:
        if self._link.is_late(Lane(LaneKind.MONITOR, uuid)):
            self._kill(uuid)  # a QEMU that hangs does not obey SIGTERM either
            return
        graceful, timeout_s = libvirt.VIR_DOMAIN_DESTROY_GRACEFUL, self._options.graceful_destroy_timeout_s
        try:
            self._on_domain(
                "power off",
                uuid,
                lambda domain: domain.destroyFlags(graceful),
                kind=LaneKind.DESTROY,
                timeout_s=timeout_s,
            )
        except (Busy, DeadlineExceeded):
            self._kill(uuid)
        except Refused:
            # Either it is off, or QEMU ignores SIGTERM: stopped, or in uninterruptible I/O.
            if not self._is_active(uuid):
                raise
            self._kill(uuid)

    def _kill(self, uuid: str) -> None:
        timeout_s = self._options.destroy_timeout_s
        try:
            self._on_domain("kill", uuid, lambda domain: domain.destroy(), kind=LaneKind.KILL, timeout_s=timeout_s)
        except Refused:
            if self._is_active(uuid):
                raise  # else SIGTERM had its effect meanwhile

    def _is_active(self, uuid: str) -> bool:
        record = self.find_domain(uuid)
        return record is not None and record.is_active

    def reset_domain(self, uuid: str) -> None:
        self._on_domain("reset", uuid, lambda domain: domain.reset(0))

    def suspend_domain(self, uuid: str) -> None:
        self._on_domain("pause", uuid, lambda domain: domain.suspend())

    def resume_domain(self, uuid: str) -> None:
        self._on_domain("resume", uuid, lambda domain: domain.resume())

    def save_domain(self, uuid: str) -> None:
        timeout_s = self._options.save_timeout_s
        self._on_domain("save", uuid, lambda domain: domain.managedSave(0), kind=LaneKind.JOB, timeout_s=timeout_s)

    def save_progress_percent(self, uuid: str) -> int | None:
        def work(domain: libvirt.virDomain) -> int | None:
            stats = domain.jobStats() if domain.isActive() else {}
            total = stats.get("memory_total") or stats.get("data_total")
            if not total or stats.get("type") == libvirt.VIR_DOMAIN_JOB_NONE:
                return None
            done = stats.get("memory_processed") or stats.get("data_processed") or 0
            return min(99, int(done * 100 / total))

        return self._on_domain("read the job of", uuid, work, kind=LaneKind.PROGRESS)

    def drop_managed_save(self, uuid: str) -> None:
        self._on_domain("forget the saved state of", uuid, lambda domain: domain.managedSaveRemove(0))

    # size and devices

    def set_vcpus(self, uuid: str, count: int, scope: Scope) -> None:
        timeout_s = self._options.device_timeout_s
        flags = _SCOPES[scope]
        self._on_domain("set vCPUs of", uuid, lambda domain: domain.setVcpusFlags(count, flags), timeout_s=timeout_s)

    def set_memory(self, uuid: str, size_bytes: int, scope: Scope) -> None:
        kib = size_bytes // 1024
        self._on_domain("set memory of", uuid, lambda domain: domain.setMemoryFlags(kib, _SCOPES[scope]))

    def attach_device(self, uuid: str, xml: str, scope: Scope) -> None:
        timeout_s = self._options.device_timeout_s
        flags = _SCOPES[scope]
        self._on_domain("attach to", uuid, lambda domain: domain.attachDeviceFlags(xml, flags), timeout_s=timeout_s)

    def detach_device(self, uuid: str, xml: str, scope: Scope) -> None:
        timeout_s = self._options.device_timeout_s
        flags = _SCOPES[scope]
        self._on_domain("detach from", uuid, lambda domain: domain.detachDeviceFlags(xml, flags), timeout_s=timeout_s)

    def update_device(self, uuid: str, xml: str, scope: Scope) -> None:
        timeout_s = self._options.device_timeout_s
        flags = _SCOPES[scope]
        self._on_domain(
            "update a device of", uuid, lambda domain: domain.updateDeviceFlags(xml, flags), timeout_s=timeout_s
        )


def _with_secure(connection: libvirt.virConnect, uuid: str, xml: str) -> str:
    """With the secure fields of the definition that is there; they do not leave this call."""
    if not uuid:  # broken, which libvirt tells best
        return xml
    try:
        domain = connection.lookupByUUIDString(uuid)
        current = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return xml
        raise
    return carry_secure(xml, current)


def _bare_element(xml: str) -> tuple[str, str]:
    """An element without its namespace, and that namespace's URI: libvirt declares it itself, and fails where it is there already."""
    root = etree.fromstring(xml, etree.XMLParser(resolve_entities=False, no_network=True))
    uri = etree.QName(root).namespace or ""
    for element in root.iter(f"{{{uri}}}*"):
        element.tag = etree.QName(element).localname
    etree.cleanup_namespaces(root)
    return etree.tostring(root, encoding="unicode"), uri


def definition_uuid(xml: str) -> str:
    """The UUID in a domain's, network's or pool's XML; empty where it has none. Malformed XML is for libvirt to refuse."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, recover=True)
    try:
        root = etree.fromstring(xml.encode(), parser)
    except etree.XMLSyntaxError:
        return ""
    return (root.findtext("uuid") or "").strip() if root is not None else ""
