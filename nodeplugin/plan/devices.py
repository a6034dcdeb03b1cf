"""Disks and NICs of a running machine: plugged in, pulled out, changed in place, or waiting for a restart.

Devices are told apart by user alias (`ua-disk-<name>`), so a change of order or target is none.
"""

from __future__ import annotations

import dataclasses

from lxml import etree

from nodeplugin.plan.disk_settings import plan_io_threads, plan_limits, plan_medium
from nodeplugin.plan.intent import Intent, MachineDesired
from nodeplugin.plan.observation import MachineObservation
from nodeplugin.plan.step import AttachDevice, DetachDevice, ResizeDisk, Step, UpdateDevice
from xvirt.domainxml.disks import SEED_ALIAS, render_disk
from xvirt.domainxml.elements import alias_of, attribute
from xvirt.domainxml.facts import DiskFacts, DomainFacts
from xvirt.domainxml.nics import changed_nic, has_other_vlan, plugged_again
from xvirt.domainxml.tree import parse_xml, to_text
from xvirt.model.identity import device_alias
from xvirt.model.machine.disk import Disk, DiskBus, DiskDevice

DETACH_REPEAT_S = 20.0
"""A guest is asked again after this long (OpenStack nova asks 8 times, 20 s apart)."""
DETACH_ATTEMPTS = 8


@dataclasses.dataclass
class DeviceChanges:
    """Collects what is found; lives only while one plan is made."""

    steps: list[Step] = dataclasses.field(default_factory=list)
    restart_required: list[str] = dataclasses.field(default_factory=list)
    drift: list[str] = dataclasses.field(default_factory=list)
    media: list[Step] = dataclasses.field(default_factory=list)
    """Last of all steps: a guest that has locked its tray keeps nothing else waiting."""
    free_ports: int = 0

    def attach(self, step: AttachDevice, path: str, *, needs_port: bool) -> None:
        """Plug in where there is a port left; else it waits for a restart."""
        if needs_port and self.free_ports <= 0:
            self.restart_required.append(path)
            return
        self.free_ports -= int(needs_port)
        self.steps.append(step)


def plan_devices(desired: MachineDesired, observed: MachineObservation, intent: Intent) -> DeviceChanges:
    """What is to be done to the devices of a running domain."""
    live = observed.live
    changes = DeviceChanges()
    if live is None:
        return changes
    changes.free_ports = live.facts.free_pcie_ports
    starts, ends, waits = plan_io_threads(desired, intent, live.facts)
    changes.steps += starts
    changes.restart_required += waits
    _plan_disks(desired, observed, intent, live.facts, changes)
    _plan_nics(desired, observed, intent, changes)
    changes.steps += [*ends, *changes.media]
    return changes


def _plan_disks(
    desired: MachineDesired, observed: MachineObservation, intent: Intent, live: DomainFacts, changes: DeviceChanges
) -> None:
    present = {disk.alias: disk for disk in live.disks}
    wanted = {device_alias("disk", disk.name): disk for disk in desired.spec.disks}
    overlaid = _overlaid(intent, "disk", "target", "dev")
    for alias, facts in present.items():
        if alias not in wanted and alias != SEED_ALIAS and not {alias, facts.target} & overlaid:
            _drop_disk(desired, facts, changes)
    for alias, disk in wanted.items():
        found = present.get(alias)
        if found is None:
            _add_disk(desired, intent, disk, live, changes)
        else:
            _change_disk(desired, observed, intent, (disk, found), changes)


def _drop_disk(desired: MachineDesired, facts: DiskFacts, changes: DeviceChanges) -> None:
    if not is_declared(facts.alias):
        changes.drift.append(f"disk {facts.target} ({facts.path}) was attached by hand")
    if facts.bus in ("virtio", "scsi", "usb") and facts.device == "disk":
        what = f"disk {facts.name or facts.target}"
        step = DetachDevice(uuid=desired.stored.uid, what=what, alias=facts.alias, xml=facts.xml)
        changes.steps.append(step)
    else:
        changes.restart_required.append(f"spec.disks[{facts.name or facts.target}]")


def _overlaid(intent: Intent, tag: str, place: str, name: str) -> set[str]:
    """Aliases, and targets or MACs, of the devices of the definition: what an overlay declares stays plugged in, too."""
    devices = _definition(intent).findall(f"devices/{tag}")
    return {alias_of(item) for item in devices} | {attribute(item, place, name).lower() for item in devices} - {""}


def is_declared(alias: str) -> bool:
    """User aliases are ours alone: what was plugged in by hand has libvirt's own (`virtio-disk1`)."""
    return alias.startswith("ua-")


def _add_disk(desired: MachineDesired, intent: Intent, disk: Disk, live: DomainFacts, changes: DeviceChanges) -> None:
    path = f"spec.disks[{disk.name}]"
    has_scsi = any(item.bus == "scsi" for item in live.disks)
    is_pluggable = (disk.device is DiskDevice.DISK and not disk.adopted) and (
        disk.bus is DiskBus.VIRTIO or (disk.bus is DiskBus.SCSI and has_scsi)
    )
    if not is_pluggable:
        changes.restart_required.append(path)
        return
    xml = to_text(render_disk(desired.resource, disk, intent.disks[disk.name]))
    alias = device_alias("disk", disk.name)
    step = AttachDevice(uuid=desired.stored.uid, what=f"disk {disk.name}", alias=alias, xml=xml)
    changes.attach(step, path, needs_port=disk.bus is DiskBus.VIRTIO)


def _change_disk(
    desired: MachineDesired,
    observed: MachineObservation,
    intent: Intent,
    pair: tuple[Disk, DiskFacts],
    changes: DeviceChanges,
) -> None:
    disk, facts = pair
    backing = intent.disks.get(disk.name)
    wanted_path = backing.path if backing else ""
    if disk.device is DiskDevice.CDROM:
        media, drift = plan_medium(desired, observed, intent, pair)
        changes.media += media
        changes.drift += drift
    elif wanted_path != (facts.path or ""):
        changes.restart_required.append(f"spec.disks[{disk.name}].source")
        return
    tunes, drift = plan_limits(desired, observed, intent, pair)
    changes.steps += tunes
    changes.drift += drift
    grow_to = intent.volumes[disk.name].grow_to_bytes
    current = observed.block_capacities.get(disk.name)
    if grow_to is not None and (current is None or grow_to > current):
        step = ResizeDisk(
            uuid=desired.stored.uid, what=f"disk {disk.name}", target=facts.target, capacity_bytes=grow_to
        )
        changes.steps.append(step)


def _plan_nics(desired: MachineDesired, observed: MachineObservation, intent: Intent, changes: DeviceChanges) -> None:
    present = {nic.alias: nic for nic in observed.live.facts.nics} if observed.live else {}
    wanted = {device_alias("nic", nic.name): nic for nic in desired.spec.nics}
    overlaid = _overlaid(intent, "interface", "mac", "address")
    for alias, facts in present.items():
        if alias not in wanted and not {alias, facts.mac} & overlaid:
            if not is_declared(alias):
                changes.drift.append(f"NIC {facts.mac} was attached by hand")
            what = f"NIC {facts.name or facts.mac}"
            changes.steps.append(DetachDevice(uuid=desired.stored.uid, what=what, alias=alias, xml=facts.xml))
    defined = {_nic_key(element): element for element in _definition(intent).iterfind("devices/interface")}
    for alias, nic in wanted.items():
        found, element = present.get(alias), defined[nic.mac if nic.adopted and nic.mac else alias]
        if found is None and nic.adopted:
            changes.restart_required.append(f"spec.nics[{nic.name}]")
            continue
        if found is None:
            step = AttachDevice(uuid=desired.stored.uid, what=f"NIC {nic.name}", alias=alias, xml=to_text(element))
            changes.attach(step, f"spec.nics[{nic.name}]", needs_port=True)
            continue
        if has_other_vlan(parse_xml(found.xml), element):
            changes.restart_required.append(f"spec.nics[{nic.name}].network")
            continue
        is_unplugged = alias in observed.unplugged and bool(found.bridge)
        for changed in _changed_nics(parse_xml(found.xml), element, is_unplugged=is_unplugged):
            update = UpdateDevice(uuid=desired.stored.uid, what=f"NIC {nic.name}", xml=to_text(changed))
            changes.steps.append(update)


def _nic_key(element: etree._Element) -> str:
    """The alias, or the MAC of a card that has none."""
    return alias_of(element) or attribute(element, "mac", "address").lower()


def _changed_nics(live: etree._Element, wanted: etree._Element, *, is_unplugged: bool) -> tuple[etree._Element, ...]:
    if is_unplugged:
        return plugged_again(live, wanted)
    changed = changed_nic(live, wanted)
    return () if changed is None else (changed,)


def _definition(intent: Intent) -> etree._Element:
    assert intent.root is not None, "devices of a running domain are planned where nothing is in the way"
    return intent.root
