"""Where a machine may be because of its VirtualDisks, and of the StoragePools of all that is made for it. Pure.

A machine that has no host yet waits for disks and images that are not there, and is stalled by disks or pools that no host has together. Its holder asks
for the hosts that are left; one that was bound elsewhere meanwhile is replaced. A machine that has a host stays there, whatever it is given.
"""

from __future__ import annotations

from xvirt.operator.conditions import Verdict, stalled
from xvirt.operator.dependents.references import RequiredHosts


def find_obstacle(required: RequiredHosts, wished_host: str) -> Verdict | None:
    """Why a machine without a host can have none yet; `wished_host` is the one that its spec names."""
    if required.is_torn:
        return stalled("DisksApart", required.torn_message)
    if required.missing:
        names = ", ".join(required.missing)
        message = f"VirtualDisk {names} is not there, so nobody knows on which host it will be; apply it"
        return Verdict(reason="DiskNotFound", message=message)
    if required.missing_images:
        names = ", ".join(required.missing_images)
        message = f"VirtualImage {names} is not there, and not every host has every StoragePool; apply it"
        return Verdict(reason="ImageNotFound", message=message)
    host = required.host or wished_host
    if required.host and wished_host and required.host != wished_host:
        names = ", ".join(required.by_host[required.host])
        message = (
            f"spec.placement.host is {wished_host}, and VirtualDisk {names} is on host {required.host}; a disk never moves: declare"
            " the machine anew without that host, or use another disk"
        )
        return stalled("DiskElsewhere", message)
    if required.allowed is not None and (not required.allowed or (host and host not in required.allowed)):
        return stalled("PoolElsewhere", _pool_message(required, host))
    return None


def _pool_message(required: RequiredHosts, host: str) -> str:
    there = ", ".join(sorted(required.allowed or ())) or "none"
    where = f"the machine is to be on host {host}, which" if host else "no host"
    verb = "lacks a StoragePool" if host else "has every StoragePool"
    return (
        f"{where} {verb} that its disks, VirtualDisks and images name; hosts that have all of them: {there}; change a pool's spec.hosts,"
        " or the pool that one of them names"
    )


def find_hosts(required: RequiredHosts) -> tuple[str, ...]:
    """The only hosts that may have the machine, sorted; empty where all may."""
    if required.host:
        return (required.host,)
    return tuple(sorted(required.allowed)) if required.allowed is not None else ()
