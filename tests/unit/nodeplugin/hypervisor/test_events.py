"""Events carry names that people know."""

from __future__ import annotations

import libvirt
import pytest

from nodeplugin.hypervisor.events import describe_lifecycle
from nodeplugin.hypervisor.port import DomainState
from nodeplugin.hypervisor.states import read_state


@pytest.mark.parametrize(
    ("event", "detail", "expected"),
    [
        (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED, "stopped/crashed"),
        (libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_BOOTED, "started/booted"),
        (libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_IOERROR, "suspended/ioerror"),
        (libvirt.VIR_DOMAIN_EVENT_SHUTDOWN, 77, "shutdown/77"),
        (77, 1, "77/1"),
    ],
)
def test_lifecycle_events_are_named(event: int, detail: int, expected: str) -> None:
    assert describe_lifecycle(event, detail) == expected


@pytest.mark.parametrize(
    ("state", "reason", "expected"),
    [
        (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_BOOTED, (DomainState.RUNNING, "booted")),
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR, (DomainState.PAUSED, "ioerror")),
        (libvirt.VIR_DOMAIN_SHUTDOWN, libvirt.VIR_DOMAIN_SHUTDOWN_USER, (DomainState.SHUTDOWN, "user")),
        (libvirt.VIR_DOMAIN_SHUTDOWN, 0, (DomainState.SHUTDOWN, "unknown")),
        (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED, (DomainState.SHUTOFF, "crashed")),
        (libvirt.VIR_DOMAIN_SHUTOFF, 99, (DomainState.SHUTOFF, "unknown")),
    ],
)
def test_states_and_reasons_are_named(state: int, reason: int, expected: tuple[DomainState, str]) -> None:
    assert read_state(state, reason) == expected
