"""Definition and power of a domain."""

from __future__ import annotations

import contextlib

from nodeplugin.converge.host import Host
from nodeplugin.hypervisor.port import Scope, XmlView
from nodeplugin.plan.step import (
    AttachDevice,
    DefineDomain,
    DestroyDomain,
    DetachDevice,
    MarkDomain,
    NoteRunning,
    ReleaseDomain,
    ResumeDomain,
    SaveDomain,
    SetBalloon,
    SetVcpus,
    ShutdownDomain,
    StartDomain,
    SuspendDomain,
    UndefineDomain,
    UpdateDevice,
)
from xvirt.domainxml.compare import lost
from xvirt.domainxml.drift import pack
from xvirt.domainxml.tree import parse_xml, to_text
from xvirt.model.errors import NotFound, Refused, RetryLater, XvirtError
from xvirt.model.identity import MARK_NAMESPACE


def define(step: DefineDomain, host: Host) -> str:
    """Define, read back, compare; what libvirt dropped puts the previous definition back. Returns the definition, packed."""
    before = _inactive_xml(step.uuid, host)
    host.hypervisor.define_domain(step.xml)
    host.index.drop(step.uuid)
    dumped = parse_xml(host.hypervisor.domain_xml(step.uuid, XmlView.INACTIVE))
    missing = lost(parse_xml(step.xml), dumped)
    if not missing:
        return pack(dumped)
    if before is None:
        host.hypervisor.undefine_domain(step.uuid)
    else:
        host.hypervisor.define_domain(before)
    host.index.drop(step.uuid)
    raise Refused(
        f"libvirt dropped {', '.join(missing[:5])} from the definition of {step.domain_name}; this libvirt does not know it,"
        " or spec.domain names it wrongly. The previous definition stands",
        reason="LostInDefinition",
    )


def _inactive_xml(uuid: str, host: Host) -> str | None:
    try:
        return host.hypervisor.domain_xml(uuid, XmlView.INACTIVE)
    except NotFound:
        return None


def start(step: StartDomain, host: Host) -> str:
    """Start, unless it runs."""
    record = host.hypervisor.find_domain(step.uuid)
    if record is None or not record.is_active:
        host.hypervisor.start_domain(step.uuid)
    host.index.drop(step.uuid)
    return ""


def shutdown(step: ShutdownDomain, host: Host) -> str:
    """Ask; a guest that cannot be asked this way is asked by the power button."""
    try:
        host.hypervisor.shutdown_domain(step.uuid, step.mode)
    except XvirtError as error:
        record = host.hypervisor.find_domain(step.uuid)
        if record is None or not record.is_active:
            return ""
        if not isinstance(error, RetryLater | Refused):
            raise
    return ""


def destroy(step: DestroyDomain, host: Host) -> str:
    """Power off, unless it is off."""
    record = host.hypervisor.find_domain(step.uuid)
    if record is not None and record.is_active:
        host.hypervisor.destroy_domain(step.uuid)
    host.index.drop(step.uuid)
    return ""


def suspend(step: SuspendDomain, host: Host) -> str:
    host.hypervisor.suspend_domain(step.uuid)
    return ""


def resume(step: ResumeDomain, host: Host) -> str:
    host.hypervisor.resume_domain(step.uuid)
    return ""


def save(step: SaveDomain, host: Host) -> str:
    record = host.hypervisor.find_domain(step.uuid)
    if record is not None and record.is_active:
        host.hypervisor.save_domain(step.uuid)
    return ""


def undefine(step: UndefineDomain, host: Host) -> str:
    with contextlib.suppress(NotFound):
        host.hypervisor.undefine_domain(step.uuid)
    host.index.drop(step.uuid)
    return ""


def release(step: ReleaseDomain, host: Host) -> str:
    host.hypervisor.remove_metadata(step.uuid, MARK_NAMESPACE)
    host.index.drop(step.uuid)
    return ""


def mark(step: MarkDomain, host: Host) -> str:
    """Write the mark, now and for each start to come. Returns the definition, packed."""
    record = host.hypervisor.find_domain(step.uuid)
    if record is None:
        raise NotFound(f"domain {step.domain_name} is gone")
    host.hypervisor.set_metadata(step.uuid, step.xml, Scope.BOTH if record.is_active else Scope.CONFIG)
    host.index.drop(step.uuid)
    return pack(parse_xml(host.hypervisor.domain_xml(step.uuid, XmlView.INACTIVE)))


def set_vcpus(step: SetVcpus, host: Host) -> str:
    host.hypervisor.set_vcpus(step.uuid, step.count, Scope.LIVE)
    return ""


def set_balloon(step: SetBalloon, host: Host) -> str:
    host.hypervisor.set_memory(step.uuid, step.size_bytes, Scope.LIVE)
    return ""


def update_device(step: UpdateDevice, host: Host) -> str:
    host.hypervisor.update_device(step.uuid, step.xml, Scope.LIVE)
    host.index.drop(step.uuid)
    return ""


def note_running(step: NoteRunning, host: Host) -> str:
    host.hypervisor.set_metadata(step.uuid, step.xml, Scope.LIVE)
    return ""


def attach(step: AttachDevice, host: Host) -> str:
    """Plug in as the definition has it, address included, so that the device stays where it is over a restart; where the running
    machine has given that address to another, libvirt chooses one."""
    look = host.hypervisor.look_at_domain(step.uuid)
    if look is None:
        raise NotFound(f"attach {step.what}: domain {step.uuid} is gone")
    if _device_in(look.live_xml, step.alias) is not None:
        return ""
    defined = _device_in(look.config_xml, step.alias)
    candidates = [step.xml] if defined is None else [defined, step.xml]
    for number, xml in enumerate(candidates, 1):
        try:
            host.hypervisor.attach_device(step.uuid, xml, Scope.LIVE)
            break
        except RetryLater:
            raise
        except XvirtError:
            if number == len(candidates):
                raise
    host.index.drop(step.uuid)
    return ""


def _find_device(uuid: str, alias: str, view: XmlView, host: Host) -> str | None:
    return _device_in(host.hypervisor.domain_xml(uuid, view), alias)


def _device_in(xml: str | None, alias: str) -> str | None:
    if xml is None:
        return None
    for element in parse_xml(xml).iterfind("devices/*"):
        found = element.find("alias")
        if found is not None and found.get("name") == alias:
            return to_text(element)
    return None


def detach(step: DetachDevice, host: Host) -> str:
    """Ask the guest. That the device is gone is seen by the next observation alone."""
    try:
        host.hypervisor.detach_device(step.uuid, step.xml, Scope.LIVE)
    except (NotFound, Refused):
        if _find_device(step.uuid, step.alias, XmlView.CURRENT, host) is not None:
            raise
    host.index.drop(step.uuid)
    return ""
