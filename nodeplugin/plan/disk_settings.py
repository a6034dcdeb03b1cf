"""What changes of a running machine's disks in place: media of CD drives, limits, I/O threads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lxml import etree

from nodeplugin.plan.intent import Intent, MachineDesired
from nodeplugin.plan.observation import MachineObservation
from nodeplugin.plan.running import started_document
from nodeplugin.plan.step import AddIoThread, ChangeMedium, RemoveIoThread, Step, TuneDisk
from xvirt.domainxml.disks import render_disk
from xvirt.domainxml.elements import alias_of, attribute
from xvirt.domainxml.facts import DiskFacts, DomainFacts, read_io_threads
from xvirt.domainxml.iotune import GROUP, DiskTune, read_tune
from xvirt.domainxml.tree import to_text
from xvirt.model.identity import device_alias
from xvirt.model.machine.disk import Disk
from xvirt.model.virtualmachine import DriftPolicy


def plan_medium(
    desired: MachineDesired, observed: MachineObservation, intent: Intent, pair: tuple[Disk, DiskFacts]
) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """(steps, drift): put into the drive what the document says. It was changed by hand where the document says nothing else than when
    the domain was last brought up to it."""
    disk, facts = pair
    backing = intent.disks.get(disk.name)
    if (backing.path if backing else "") == (facts.path or ""):
        return (), ()
    drift: tuple[str, ...] = ()
    if not _is_own_change(desired, observed, disk, "source"):
        drift = (f"the medium of Cdrom {disk.name} was changed by hand",)
        if desired.spec.drift_policy is DriftPolicy.REPORT:
            return (), drift
    element = render_disk(desired.resource, disk, backing, target=facts.target)
    for alias in element.findall("alias") if disk.adopted else ():
        element.remove(alias)
    step = ChangeMedium(
        uuid=desired.stored.uid,
        what=f"Cdrom {disk.name}",
        path=backing.path if backing else None,
        xml=to_text(element),
        force=disk.force_eject,
    )
    return (step,), drift


def plan_limits(
    desired: MachineDesired, observed: MachineObservation, intent: Intent, pair: tuple[Disk, DiskFacts]
) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """(steps, drift): the limits of the definition, which `spec.domain` may have added to. They were changed by hand where neither the
    disk's limits nor that tree are others than those that the domain was last brought up to."""
    disk, facts = pair
    wanted = _defined_tune(intent, disk, facts.target)
    if facts.tune == wanted:
        return (), ()
    drift: tuple[str, ...] = ()
    if not _is_own_change(desired, observed, disk, "ioLimits"):
        drift = (f"the limits of disk {disk.name} were changed by hand",)
        if desired.spec.drift_policy is DriftPolicy.REPORT:
            return (), drift
    group = facts.tune.get(GROUP)
    step = TuneDisk(
        uuid=desired.stored.uid,
        what=f"disk {disk.name}",
        target=facts.target,
        tune=wanted,
        leaves_group=group is not None and wanted.get(GROUP) is None,
    )
    return (step,), drift


def _defined_tune(intent: Intent, disk: Disk, target: str) -> DiskTune:
    alias = device_alias("disk", disk.name)
    for element in _definition(intent).iterfind("devices/disk"):
        if alias_of(element) == alias or attribute(element, "target", "dev") == target:
            return read_tune(element)
    return {}


def _definition(intent: Intent) -> etree._Element:
    assert intent.root is not None, "devices of a running domain are planned where nothing is in the way"
    return intent.root


def _is_own_change(desired: MachineDesired, observed: MachineObservation, disk: Disk, field: str) -> bool:
    started = started_document(observed)
    if started is None:
        return True
    before, now = started["spec"], desired.stored.document["spec"]
    return (before.get("domain"), _setting(before, disk, field)) != (now.get("domain"), _setting(now, disk, field))


def _setting(spec: Mapping[str, Any], disk: Disk, field: str) -> Any:
    return next((item.get(field) for item in spec.get("disks", ()) if item["name"] == disk.name), None)


def plan_io_threads(
    desired: MachineDesired, intent: Intent, live: DomainFacts
) -> tuple[list[Step], list[Step], list[str]]:
    """(threads to start before disks come, threads to end after disks have gone, what waits for a restart)."""
    uuid = desired.stored.uid
    wanted = read_io_threads(_definition(intent))
    used = {disk.io_thread for disk in live.disks}
    declared = {device_alias("disk", disk.name) for disk in desired.spec.disks}
    held = {disk.io_thread for disk in live.disks if disk.alias in declared}
    surplus = sorted(live.io_threads - wanted)
    starts: list[Step] = [AddIoThread(uuid=uuid, number=number) for number in sorted(wanted - live.io_threads)]
    ends: list[Step] = [RemoveIoThread(uuid=uuid, number=number) for number in surplus if number not in used]
    return starts, ends, ["spec.ioThreads"] if any(number in held for number in surplus) else []
