"""libvirt's events, as `HypervisorEvent`s. Callbacks run on the event thread and call nothing that blocks."""

from __future__ import annotations

from typing import Any

import libvirt

from nodeplugin.hypervisor.connection import Connection
from nodeplugin.hypervisor.port import EventKind


def register_events(connection: Connection) -> None:
    """Have every new connection tell its events."""
    connection.on_open(lambda opened: _register(opened, connection))


def _register(opened: libvirt.virConnect, connection: Connection) -> None:
    def tell(kind: EventKind) -> Any:
        def callback(conn: libvirt.virConnect, subject: Any, *rest: Any) -> None:
            detail = "/".join(str(item) for item in rest[:-1])
            connection.emit(kind, subject.UUIDString(), detail)

        return callback

    domain_events = {
        libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE: EventKind.LIFECYCLE,
        libvirt.VIR_DOMAIN_EVENT_ID_REBOOT: EventKind.LIFECYCLE,
        libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED: EventKind.DEVICE_REMOVED,
        libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED: EventKind.DEVICE_REMOVAL_FAILED,
        libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED: EventKind.DEVICE_ADDED,
        libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE: EventKind.AGENT,
        libvirt.VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE: EventKind.OTHER,
        libvirt.VIR_DOMAIN_EVENT_ID_MEMORY_DEVICE_SIZE_CHANGE: EventKind.OTHER,
        libvirt.VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON: EventKind.OTHER,
        libvirt.VIR_DOMAIN_EVENT_ID_WATCHDOG: EventKind.OTHER,
        libvirt.VIR_DOMAIN_EVENT_ID_CONTROL_ERROR: EventKind.OTHER,
        libvirt.VIR_DOMAIN_EVENT_ID_TRAY_CHANGE: EventKind.OTHER,
        libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE: EventKind.OTHER,
        libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2: EventKind.OTHER,
        libvirt.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED: EventKind.OTHER,
    }
    for event_id, kind in domain_events.items():
        opened.domainEventRegisterAny(None, event_id, tell(kind), None)
    opened.networkEventRegisterAny(None, libvirt.VIR_NETWORK_EVENT_ID_LIFECYCLE, tell(EventKind.NETWORK), None)
    opened.storagePoolEventRegisterAny(None, libvirt.VIR_STORAGE_POOL_EVENT_ID_LIFECYCLE, tell(EventKind.POOL), None)
