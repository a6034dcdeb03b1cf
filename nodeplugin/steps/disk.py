"""Media, limits and threads of a running machine's disks."""

from __future__ import annotations

from nodeplugin.converge.host import Host
from nodeplugin.hypervisor.port import XmlView
from nodeplugin.plan.step import AddIoThread, ChangeMedium, RemoveIoThread, ResizeDisk, TuneDisk
from xvirt.domainxml.facts import read_domain
from xvirt.domainxml.tree import parse_xml
from xvirt.model.errors import Busy, Refused


def change_medium(step: ChangeMedium, host: Host) -> str:
    """Change it. A tray that the guest has locked is waited for: the step is tried again, and says what would force it."""
    try:
        host.hypervisor.change_medium(step.uuid, step.xml, force=step.force)
    except Refused as error:
        if error.reason != "TrayLocked":
            raise
        raise Busy(
            f"the guest has locked the tray of {step.what}, and the medium stays as it is: eject it in the guest, or force it with"
            " forceEject: true on this disk; a restart takes the new medium too",
            reason="TrayLocked",
        ) from error
    finally:
        host.index.drop(step.uuid)
    return ""


def tune(step: TuneDisk, host: Host) -> str:
    """Set the limits. libvirt lets a disk out of its group only together with all of its limits."""
    if step.leaves_group and step.tune:
        host.hypervisor.tune_disk(step.uuid, step.target, {})
    host.hypervisor.tune_disk(step.uuid, step.target, step.tune)
    return ""


def add_io_thread(step: AddIoThread, host: Host) -> str:
    """Start it, unless it runs."""
    if step.number not in _io_threads(step.uuid, host):
        host.hypervisor.add_io_thread(step.uuid, step.number)
    return ""


def remove_io_thread(step: RemoveIoThread, host: Host) -> str:
    """End it, unless it has ended."""
    if step.number in _io_threads(step.uuid, host):
        host.hypervisor.remove_io_thread(step.uuid, step.number)
    return ""


def _io_threads(uuid: str, host: Host) -> frozenset[int]:
    return read_domain(parse_xml(host.hypervisor.domain_xml(uuid, XmlView.CURRENT))).io_threads


def resize(step: ResizeDisk, host: Host) -> str:
    """Grow an attached disk."""
    host.hypervisor.resize_block(step.uuid, step.target, step.capacity_bytes)
    return ""
