"""libvirt's events, as `HypervisorEvent`s. Callbacks run on the event thread and call nothing that blocks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import libvirt

from nodeplugin.hypervisor.connection import Connection
from nodeplugin.hypervisor.port import EventKind

_KINDS = {
    "LIFECYCLE": EventKind.LIFECYCLE,
    "REBOOT": EventKind.REBOOT,
    "DEVICE_REMOVED": EventKind.DEVICE_REMOVED,
    "DEVICE_REMOVAL_FAILED": EventKind.DEVICE_REMOVAL_FAILED,
    "DEVICE_ADDED": EventKind.DEVICE_ADDED,
    "AGENT_LIFECYCLE": EventKind.AGENT,
    "BALLOON_CHANGE": EventKind.OTHER,
    "MEMORY_DEVICE_SIZE_CHANGE": EventKind.OTHER,
    "IO_ERROR_REASON": EventKind.OTHER,
    "WATCHDOG": EventKind.WATCHDOG,
    "CONTROL_ERROR": EventKind.OTHER,
    "TRAY_CHANGE": EventKind.OTHER,
    "TUNABLE": EventKind.OTHER,
    "METADATA_CHANGE": EventKind.OTHER,
    "BLOCK_JOB_2": EventKind.OTHER,
    "JOB_COMPLETED": EventKind.OTHER,
}


def _numbers(prefix: str) -> dict[int, str]:
    """Names of an enumeration of the binding, lower case, by number."""
    names = [name for name in dir(libvirt) if name.startswith(prefix) and not name.endswith("_LAST")]
    return {getattr(libvirt, name): name.removeprefix(prefix).lower() for name in names}


_LIFECYCLE_PREFIX = "VIR_DOMAIN_EVENT_"
_LIFECYCLE = {
    number: _numbers(f"{_LIFECYCLE_PREFIX}{name}_") | {-1: name.lower()}
    for name in [
        "DEFINED",
        "UNDEFINED",
        "STARTED",
        "SUSPENDED",
        "RESUMED",
        "STOPPED",
        "SHUTDOWN",
        "PMSUSPENDED",
        "CRASHED",
    ]
    for number in [getattr(libvirt, f"{_LIFECYCLE_PREFIX}{name}")]
}


def describe_lifecycle(event: int, detail: int) -> str:
    """`stopped/crashed`, `started/booted`, ...; numbers where a newer libvirt says something new."""
    names = _LIFECYCLE.get(event, {})
    return f"{names.get(-1, str(event))}/{names.get(detail, str(detail))}"


_WATCHDOG = _numbers("VIR_DOMAIN_EVENT_WATCHDOG_")


def describe_watchdog(action: int) -> str:
    """`reset`, `poweroff`, ...; the number of one that a newer libvirt has."""
    return _WATCHDOG.get(action, str(action))


def register_events(link: Connection) -> None:
    """Have every new connection tell its events."""
    link.on_open(lambda opened: _register(opened, link))


def _register(opened: libvirt.virConnect, link: Connection) -> Callable[[], None]:
    takings_back: list[Callable[[], Any]] = []
    for name, kind in _KINDS.items():
        event_id = getattr(libvirt, f"VIR_DOMAIN_EVENT_ID_{name}", None)
        if event_id is not None:
            register = functools.partial(
                opened.domainEventRegisterAny, None, event_id, _callback(link, kind, name), None
            )
            takings_back += _try(register, opened.domainEventDeregisterAny)
    others = (
        (opened.networkEventRegisterAny, libvirt.VIR_NETWORK_EVENT_ID_LIFECYCLE, EventKind.NETWORK),
        (opened.storagePoolEventRegisterAny, libvirt.VIR_STORAGE_POOL_EVENT_ID_LIFECYCLE, EventKind.POOL),
    )
    deregisters = (opened.networkEventDeregisterAny, opened.storagePoolEventDeregisterAny)
    for (register_any, event_id, kind), deregister in zip(others, deregisters, strict=True):
        takings_back += _try(
            functools.partial(register_any, None, event_id, _callback(link, kind, ""), None), deregister
        )
    return lambda: _run_all(takings_back)


def _try(register: Callable[[], int], deregister: Callable[[int], Any]) -> list[Callable[[], Any]]:
    """Register; nothing where this libvirt has no such event."""
    try:
        number = register()
    except libvirt.libvirtError as error:
        if error.get_error_code() in (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_INVALID_ARG):
            return []
        raise
    return [lambda: deregister(number)]


def _run_all(actions: list[Callable[[], Any]]) -> None:
    """Each of them, also after one that failed; then the first failure."""
    first: libvirt.libvirtError | None = None
    for action in actions:
        try:
            action()
        except libvirt.libvirtError as error:
            first = first or error
    if first is not None:
        raise first


def _callback(link: Connection, kind: EventKind, name: str) -> Callable[..., None]:
    def tell(connection: libvirt.virConnect, subject: Any, *rest: Any) -> None:
        values = rest[:-1]  # the last is the opaque value of the registration
        link.emit(kind, subject.UUIDString(), _describe(name, values))

    return tell


def _describe(name: str, values: tuple[Any, ...]) -> str:
    if name == "LIFECYCLE" and len(values) == 2:
        return describe_lifecycle(*values)
    if name == "WATCHDOG" and len(values) == 1:
        return describe_watchdog(*values)
    return "/".join(str(value) for value in values)
