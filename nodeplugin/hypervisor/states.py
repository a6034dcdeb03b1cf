"""libvirt's domain states and their reasons, by name; rows of the bulk list."""

from __future__ import annotations

import libvirt

from nodeplugin.hypervisor.port import DomainLook, DomainRecord, DomainState, Persistence

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


def _reasons(prefix: str) -> dict[int, str]:
    names = [name for name in dir(libvirt) if name.startswith(prefix) and not name.endswith("_LAST")]
    return {getattr(libvirt, name): name.removeprefix(prefix).lower() for name in names}


_REASONS = {
    libvirt.VIR_DOMAIN_RUNNING: _reasons("VIR_DOMAIN_RUNNING_"),
    libvirt.VIR_DOMAIN_PAUSED: _reasons("VIR_DOMAIN_PAUSED_"),
    # The flags of virDomainShutdown share its prefix.
    libvirt.VIR_DOMAIN_SHUTDOWN: {libvirt.VIR_DOMAIN_SHUTDOWN_USER: "user"},
    libvirt.VIR_DOMAIN_SHUTOFF: _reasons("VIR_DOMAIN_SHUTOFF_"),
    libvirt.VIR_DOMAIN_CRASHED: _reasons("VIR_DOMAIN_CRASHED_"),
}


def read_state(state: int, reason: int) -> tuple[DomainState, str]:
    """State and reason by their numbers."""
    return _STATES.get(state, DomainState.NO_STATE), _REASONS.get(state, {}).get(reason, "unknown")


def read_record(domain: libvirt.virDomain) -> DomainRecord:
    """One domain: a handful of calls to libvirtd, none to QEMU."""
    state, reason = read_state(*domain.state()[:2])
    is_persistent = bool(domain.isPersistent())
    number = domain.ID()
    return DomainRecord(
        uuid=domain.UUIDString(),
        name=domain.name(),
        state=state,
        reason=reason,
        is_active=number >= 0,
        persistence=Persistence.PERSISTENT if is_persistent else Persistence.TRANSIENT,
        is_autostarted=is_persistent and bool(domain.autostart()),
        has_managed_save=is_persistent and bool(domain.hasManagedSaveImage()),
        domain_id=number if number >= 0 else None,
    )


def read_look(domain: libvirt.virDomain) -> DomainLook:
    """One domain with its definitions: some ten calls to libvirtd, none to QEMU."""
    record = read_record(domain)
    is_persistent = record.persistence is Persistence.PERSISTENT
    live_xml = domain.XMLDesc(0) if record.is_active else None
    return DomainLook(
        record=record,
        live_xml=live_xml,
        config_xml=domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE) if is_persistent else None,
    )


def read_all_records(connection: libvirt.virConnect) -> list[DomainRecord]:
    """All domains in four calls, however many there are; STATE is the one group of statistics that asks no QEMU."""
    flags = (
        libvirt.VIR_CONNECT_LIST_DOMAINS_PERSISTENT,
        libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART,
        libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE,
    )
    persistent, autostarted, saved = (
        {domain.UUIDString() for domain in connection.listAllDomains(flag)} for flag in flags
    )
    records = []
    for domain, stats in connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0):
        uuid, number = domain.UUIDString(), domain.ID()
        state, reason = read_state(stats["state.state"], stats["state.reason"])
        records.append(
            DomainRecord(
                uuid=uuid,
                name=domain.name(),
                state=state,
                reason=reason,
                is_active=number >= 0,
                persistence=Persistence.PERSISTENT if uuid in persistent else Persistence.TRANSIENT,
                is_autostarted=uuid in autostarted,
                has_managed_save=uuid in saved,
                domain_id=number if number >= 0 else None,
            )
        )
    return records
