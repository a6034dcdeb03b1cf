"""Taking over a domain that nobody declares: what it would be declared as, and the proof that nothing else of it changes.

A foreign domain is one without an ownership mark (DESIGN law 3). It is only listed here; it becomes ours by its mark, and by nothing else.
"""

from __future__ import annotations

import uuid as uuids
from typing import Any

from nodeplugin.converge.host import Host
from nodeplugin.hypervisor.port import DomainRecord, DomainState, Persistence, XmlView
from nodeplugin.plan.outcome import Plan
from nodeplugin.plan.step import DefineDomain, MarkDomain
from nodeplugin.records import RunRecord, StoredObject
from nodeplugin.store import Store
from xvirt.domainxml.compare import lost
from xvirt.domainxml.mark import OwnershipMark, read_mark, remove_mark
from xvirt.domainxml.split import split_domain
from xvirt.domainxml.tree import parse_xml
from xvirt.model.concise import concise_document
from xvirt.model.errors import Conflict, InvalidSpec, NotFound, Refused, XvirtError
from xvirt.model.exchange import AdoptCall, ForeignDomain
from xvirt.model.meta import DEFAULT_NAMESPACE, ObjectMeta, Resource
from xvirt.model.names import LABEL_MAX_LENGTH, to_label

MACHINE = "VirtualMachine"
STEPS_TOLD_MAX = 8
"""Steps that a refusal names."""
_TRANSIENT = (
    "it is transient: libvirt forgets it when it stops; define it with `virsh define` and the XML of `virsh dumpxml`"
)


def list_foreign(host: Host, store: Store) -> list[ForeignDomain]:
    """Domains without a mark, by name. One that cannot be read is listed with the reason."""
    known = set(store.list_uids())
    found = []
    for record in host.hypervisor.list_domains():
        if record.uuid in known:
            continue
        try:
            if domain_mark(host, record.uuid) is not None:
                continue
            obstacle = "" if record.persistence is Persistence.PERSISTENT else _TRANSIENT
        except NotFound:
            continue
        except XvirtError as error:
            obstacle = error.message
        found.append(
            ForeignDomain(
                uuid=record.uuid,
                name=record.name,
                power_state=record.state.value,
                object_name=object_name(record),
                obstacle=obstacle,
            )
        )
    return sorted(found, key=lambda item: item.name)


def object_name(record: DomainRecord) -> str:
    """What the domain's object is called where nobody says: its name as a DNS label, or where nothing of that is left, by its UUID."""
    return to_label(record.name) or f"vm-{record.uuid[:8]}"


def canonical_uuid(text: str) -> str:
    """A UUID as libvirt writes it. Raises NotFound for what is none."""
    try:
        return str(uuids.UUID(text))
    except ValueError as error:
        raise NotFound(f"{text!r} is no UUID of a domain; `xvirt get foreign` lists them") from error


def check_not_foreign(host: Host, stored: StoredObject) -> None:
    """A uid that a caller chose must not be the UUID of a domain that is somebody else's (DESIGN law 3): it would be changed, stopped
    and deleted as if it were ours. Raises Conflict."""
    record = host.hypervisor.find_domain(stored.uid)
    if record is None:
        return
    mark = domain_mark(host, stored.uid)
    if mark is None:
        message = f"uid {stored.uid} is the UUID of domain {record.name}, which is not ours"
        raise Conflict(f"{message}; adopt it, or leave the uid out", reason="UidTaken")
    if (mark.authority, mark.namespace, mark.name) != (stored.authority, stored.namespace, stored.name):
        message = (
            f"uid {stored.uid} is the UUID of domain {record.name}, which is {mark.kind} {mark.namespace}/{mark.name}"
        )
        raise Conflict(f"{message} of authority {mark.authority}", reason="UidTaken")


def find_adoptable(host: Host, uuid: str) -> DomainRecord:
    """The domain to take over. Raises NotFound, Conflict where it has an owner, and Refused where it is transient."""
    record = host.hypervisor.find_domain(uuid)
    if record is None:
        raise NotFound(f"no domain has UUID {uuid}; `xvirt get foreign` lists those that can be adopted")
    mark = domain_mark(host, uuid)
    if mark is not None:
        raise Conflict(
            f"domain {record.name} is {mark.kind} {mark.namespace}/{mark.name} of authority {mark.authority};"
            " release it there first",
            reason="OwnedByAnother",
        )
    if record.persistence is not Persistence.PERSISTENT:
        raise Refused(f"domain {record.name} cannot be adopted: {_TRANSIENT}", reason="Transient")
    return record


def domain_mark(host: Host, uuid: str) -> OwnershipMark | None:
    """The mark in a domain's definition; None for a foreign one. Raises NotFound."""
    return read_mark(parse_xml(host.hypervisor.domain_xml(uuid, XmlView.INACTIVE)))


def draft_document(host: Host, store: Store, record: DomainRecord, call: AdoptCall) -> dict[str, Any]:
    """The shortest document that declares a domain as it is. Raises InvalidSpec where nothing can: it names what is in the way."""
    root = parse_xml(host.hypervisor.domain_xml(record.uuid, XmlView.INACTIVE))
    try:
        split = split_domain(root)
    except InvalidSpec as error:
        raise InvalidSpec(error.problems, f"domain {record.name}", reason="NotDeclarable") from error
    namespace = call.namespace or DEFAULT_NAMESPACE
    name = call.name or _free_name(store, namespace, object_name(record), record.uuid)
    return concise_document(Resource(MACHINE, ObjectMeta(name=name, namespace=namespace), split.spec))


def _free_name(store: Store, namespace: str, wanted: str, uuid: str) -> str:
    found = store.find_named(MACHINE, namespace, wanted)
    if found is None or found.uid == uuid:
        return wanted
    suffix = f"-{uuid[:8]}"
    return f"{wanted[: LABEL_MAX_LENGTH - len(suffix)].rstrip('-')}{suffix}"


def first_run(record: DomainRecord) -> RunRecord:
    """What is known of a domain's past when it is taken over."""
    return RunRecord(
        domain_name=record.name,
        has_started=record.is_active,
        is_paused=record.state is DomainState.PAUSED and record.reason == "user",
    )


def check_unchanged(host: Host, record: DomainRecord, plan: Plan) -> None:
    """Raises Refused where taking the domain over would do more than write the mark."""
    steps = [step for step in plan.steps if not isinstance(step, MarkDomain)]
    others = [_say_define(host, step) if isinstance(step, DefineDomain) else step.summary for step in steps]
    others += [item.message for item in (*plan.blocked, *plan.waiting)]
    others += [f"{field} waits for a restart" for field in plan.restart_required]
    if not others:
        return
    told = "; ".join(others[:STEPS_TOLD_MAX])
    raise Refused(
        f"domain {record.name} would not stay as it is: {told}. Nothing was done; write what it has into the document",
        reason="WouldChange",
    )


def _say_define(host: Host, step: DefineDomain) -> str:
    """Where the definition that would be written differs from the one that is there."""
    there = parse_xml(host.hypervisor.domain_xml(step.uuid, XmlView.INACTIVE))
    declared = parse_xml(step.xml)
    remove_mark(declared)
    added = [f"{place} is declared" for place in lost(declared, there)]
    missing = [f"{place} is not declared" for place in lost(there, declared)]
    return (
        ", ".join((added + missing)[:STEPS_TOLD_MAX])
        or f"{step.summary}: the order of elements, or how they are written"
    )
