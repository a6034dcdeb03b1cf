"""Statistics of all domains at once, by libvirt."""

from __future__ import annotations

import libvirt

from nodeplugin.hypervisor.access import LibvirtAccess
from nodeplugin.hypervisor.calls import Lane, LaneKind
from nodeplugin.hypervisor.port import DomainStats
from xvirt.model.errors import Busy, DeadlineExceeded

_NOWAIT = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
_WITHOUT_QEMU = libvirt.VIR_DOMAIN_STATS_STATE | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL | libvirt.VIR_DOMAIN_STATS_INTERFACE
_LANES = 3
"""NOWAIT passes by a monitor that somebody waits for, not one that hangs and is asked first by this very call: that call is lost
until its QEMU answers or ends, and the next one passes by. More QEMUs that began to hang between two calls than this: no monitor is
asked."""


class LibvirtStatistics(LibvirtAccess):
    """Implements the bulk call of `nodeplugin.hypervisor.port.Domains`."""

    def all_domain_stats(self) -> list[DomainStats]:
        action, timeout_s = "read statistics of all domains", self._options.statistics_timeout_s
        for number in range(_LANES):
            lane = Lane(LaneKind.STATISTICS, f"all {number}")
            try:
                return self._link.call(action, lambda connection: _read(connection, 0), lane, timeout_s=timeout_s)
            except (Busy, DeadlineExceeded):
                continue
        lane = Lane(LaneKind.STATISTICS, "without monitors")
        return self._link.call(action, lambda connection: _read(connection, _WITHOUT_QEMU), lane, timeout_s=timeout_s)


def _read(connection: libvirt.virConnect, groups: int) -> list[DomainStats]:
    return [
        DomainStats(uuid=domain.UUIDString(), name=domain.name(), values=_true_values(domain, values))
        for domain, values in connection.getAllDomainStats(groups, _NOWAIT)
    ]


def _true_values(domain: libvirt.virDomain, values: dict[str, object]) -> dict[str, object]:
    """Without cgroups libvirt (seen with 9.0) gives a domain that is off libvirtd's own CPU time."""
    if domain.ID() >= 0:
        return values
    return {key: value for key, value in values.items() if not key.startswith("cpu.")}
