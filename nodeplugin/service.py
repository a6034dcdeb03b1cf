"""The node, to its callers: who may do what, fencing tokens, storing, previews. Convergence is left to the workers.

Apply's order: valid, allowed, not stale, mutable, within policy; then stored; then answered with the plan that is about to run.
What is refused changes nothing.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import logging
import re
import threading
import uuid as uuids
from collections.abc import Iterator, Mapping

from nodeplugin.admission import (
    check_changes,
    check_image,
    check_policy,
    collect_garbage,
    expected_volumes,
    reset_tokens,
    resolve_profile,
    resolve_token,
)
from nodeplugin.adoption import (
    canonical_uuid,
    check_not_foreign,
    check_unchanged,
    draft_document,
    find_adoptable,
    first_run,
    list_foreign,
)
from nodeplugin.clock import Clock
from nodeplugin.console import follow_log
from nodeplugin.converge.converger import MACHINE, Converger
from nodeplugin.converge.host import Host
from nodeplugin.converge.hub import Hub, Subscription, may_see
from nodeplugin.converge.operations import check_verb, request_change
from nodeplugin.describe import describe_machine, describe_node
from nodeplugin.hypervisor.port import ConsoleStream
from nodeplugin.images.port import Upload
from nodeplugin.orphans import find_orphans
from nodeplugin.plan.outcome import Plan
from nodeplugin.records import Deletion, RunRecord, Secrets, StoredObject, remember_document
from nodeplugin.store import Store, Tombstone
from nodeplugin.uploading import open_upload
from nodeplugin.views import Views
from xvirt.model.authority import is_served, only_one
from xvirt.model.codec import canonical_json, parse, to_document
from xvirt.model.errors import Conflict, Forbidden, InvalidSpec, NotFound, Problem, Refused, XvirtError
from xvirt.model.exchange import (
    AdoptCall,
    ApplyCall,
    ApplyResult,
    Caller,
    DescribedPart,
    Description,
    Detail,
    DryRun,
    Event,
    EventType,
    FieldChange,
    ForeignDomain,
    NodeDescription,
    ObjectRef,
    ObjectView,
    OperateCall,
    Operation,
    OperationState,
    Orphan,
    Token,
    Verb,
)
from xvirt.model.kinds import BY_NAME
from xvirt.model.meta import Resource, Scope

logger = logging.getLogger(__name__)

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class NodeIdentity:
    """What the node calls itself, and whom it serves."""

    node_name: str
    authorities: tuple[str, ...]
    xvirt_version: str
    accelerator: str
    accelerator_reason: str
    namespace_profiles: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """Namespace -> policy profiles that whoever may use it may use in it, beside his own."""


class NodeService:
    """Implements `nodeplugin.api.NodeApi`."""

    def __init__(self, identity: NodeIdentity, host: Host, store: Store, hub: Hub, converger: Converger) -> None:
        self._identity = identity
        self._host = host
        self._store = store
        self._views = Views(store)
        self._hub = hub
        self._converger = converger
        self._clock: Clock = host.clock
        self._lock = threading.Lock()
        """One Apply, Delete or Operate at a time: each reads, decides and writes."""

    # Apply

    def apply(self, caller: Caller, call: ApplyCall) -> ApplyResult:
        resource = parse(call.document)
        if resource.kind == "VirtualHost":
            raise Refused("a VirtualHost is reported by its node; a node plugin stores none", reason="ReadOnlyKind")
        authority = self._authority(caller, call.token)
        _check_namespace(caller, resource.metadata.namespace)
        of_namespace = self._identity.namespace_profiles.get(resource.metadata.namespace, ())
        profile = resolve_profile(caller, call.profile, of_namespace)
        with self._lock:
            old = self._find_existing(resource, authority)
            secrets, secrets_hash = _pick_secrets(call)
            new, changes = self._next(resource, old, (authority, profile), call, (secrets, secrets_hash))
            if old is None and resource.metadata.uid is not None and new.kind == MACHINE:
                check_not_foreign(self._host, new)
            if call.dry_run is DryRun.NONE:
                self._store.put(new)
        stored = self._store.find(new.uid) if call.dry_run is DryRun.NONE else new
        result = self._answer(stored or new, changes, call.dry_run)
        if call.dry_run is DryRun.NONE:
            self._hub.object_changed(lambda: self._store.view(new.uid))
            self._converger.enqueue_fresh(new.uid)
            if new.kind != MACHINE:
                self._converger.enqueue_unready()
        return result

    def _authority(self, caller: Caller, token: Token) -> str:
        authority = token.authority or only_one(caller.authorities)
        if not authority:
            raise Forbidden(f"{caller.name} has several authorities; name one of {', '.join(caller.authorities)}")
        if not is_served(caller.authorities, authority):
            raise Forbidden(f"{caller.name} may not act for authority {authority}; the node's config maps clients")
        if not is_served(self._identity.authorities, authority):
            raise Forbidden(
                f"node {self._identity.node_name} does not serve authority {authority};"
                " add it to `authorities` in its config",
                reason="AuthorityNotServed",
            )
        return authority

    def _find_existing(self, resource: Resource, authority: str) -> StoredObject | None:
        meta = resource.metadata
        found = self._store.find_named(resource.kind, meta.namespace, meta.name)
        if found is None:
            if meta.uid is not None and (same := self._store.find(meta.uid)) is not None:
                raise Conflict(
                    f"uid {meta.uid} belongs to {same.key}; an object's name never changes", reason="UidTaken"
                )
            return None
        if found.authority != authority:
            raise Conflict(
                f"{found.key} is owned by authority {found.authority}, not {authority}; delete it there or rename this one",
                reason="OwnedByAnother",
            )
        if found.deletion is not Deletion.NONE:
            raise Conflict(f"{found.key} is being deleted; apply again once it is gone", reason="Deleting")
        if meta.uid is not None and meta.uid != found.uid:
            raise Conflict(
                f"{found.key} is stored with uid {found.uid}, this one has {meta.uid}; delete the old one first",
                reason="UidDiffers",
            )
        return found

    def _next(
        self,
        resource: Resource,
        old: StoredObject | None,
        rights: tuple[str, str],
        call: ApplyCall,
        secrets: tuple[Secrets, str],
    ) -> tuple[StoredObject, tuple[FieldChange, ...]]:
        authority, profile = rights
        document = to_document(resource)
        uid = old.uid if old else resource.metadata.uid or str(uuids.uuid4())
        document["metadata"] = {
            key: value for key, value in document["metadata"].items() if key not in ("uid", "generation")
        }
        document.pop("status", None)
        is_same = (
            old is not None
            and canonical_json(document) == canonical_json(old.document)
            and secrets[1] == old.secrets_hash
            and profile == old.profile
            and old.has_secrets
        )
        tombstone = self._store.tombstone(uid)
        if tombstone is not None and tombstone.authority != authority:
            tombstone = None  # tokens are compared within one authority
        # A call whose answer was lost comes again with the generation that it saw before; it finds itself stored.
        token = dataclasses.replace(call.token, if_generation=-1) if is_same else call.token
        generation, epoch = resolve_token(token, resource.metadata.generation, old, tombstone, is_same=is_same)
        changes = check_changes(resource.kind, old, document)
        run = old.run if old else RunRecord()
        stored = StoredObject(
            uid=uid,
            authority=authority,
            kind=resource.kind,
            namespace=resource.metadata.namespace,
            name=resource.metadata.name,
            document=document,
            generation=generation,
            epoch=epoch,
            profile=profile,
            secrets=secrets[0],
            secrets_hash=secrets[1],
            status=old.status if old else {},
            run=run,
        )
        remember_document(document, resource)
        check_policy(stored, resource, self._host.settings)
        check_image(stored, resource, self._host.image_policy)
        garbage = collect_garbage(old, resource, self._host.index.places() if old is not None else {})
        expected = expected_volumes(resource, call.seen_volumes if old is None else run.expected)
        return dataclasses.replace(stored, run=dataclasses.replace(run, garbage=garbage, expected=expected)), changes

    def _answer(self, stored: StoredObject, changes: tuple[FieldChange, ...], dry_run: DryRun) -> ApplyResult:
        preview = self._converger.preview_stored if dry_run is DryRun.NONE else self._converger.preview
        try:
            plan = preview(stored)
        except XvirtError as error:
            plan = Plan()
            waiting: tuple[str, ...] = (error.message,)
        else:
            waiting = tuple(item.message for item in (*plan.blocked, *plan.waiting))
        return ApplyResult(
            object=stored.view(),
            plan=tuple(step.planned() for step in plan.steps),
            changes=changes,
            waiting_for=waiting,
        )

    # adoption

    def list_foreign(self, caller: Caller) -> list[ForeignDomain]:
        _check_whole_host(caller)
        return list_foreign(self._host, self._store)

    def adopt(self, caller: Caller, call: AdoptCall) -> ApplyResult:
        """Only the mark is written, and that only where nothing else of the domain would change. Repeating it is harmless."""
        _check_whole_host(caller)
        authority = self._authority(caller, call.token)
        uuid = canonical_uuid(call.domain_uuid)
        with self._lock:
            known = self._store.find(uuid)
            if known is not None and known.authority == authority and known.kind == MACHINE:
                return ApplyResult(object=known.view())
            record = find_adoptable(self._host, uuid)
            document = dict(call.document or draft_document(self._host, self._store, record, call))
            document["metadata"] = {**document["metadata"], "uid": record.uuid}
            resource = parse(document)
            if resource.kind != MACHINE:
                raise InvalidSpec([Problem("kind", f"a domain is no {resource.kind}", f"use {MACHINE}")])
            namespace = resource.metadata.namespace
            _check_namespace(caller, namespace)
            profile = resolve_profile(caller, call.profile, self._identity.namespace_profiles.get(namespace, ()))
            old = self._find_existing(resource, authority)
            wanted = ApplyCall(document=document, token=call.token)
            new, _ = self._next(resource, old, (authority, profile), wanted, _pick_secrets(call))
            new = dataclasses.replace(new, run=first_run(record))
            plan = self._converger.preview(new)
            check_unchanged(self._host, record, plan)
            if call.dry_run is DryRun.NONE:
                self._store.put(new)
        if call.dry_run is DryRun.NONE:
            self._converger.tell(new, EventType.NORMAL, "Adopted", f"domain {record.name} is declared from now on")
            self._hub.object_changed(lambda: self._store.view(new.uid))
            self._converger.enqueue_fresh(new.uid)
        return ApplyResult(object=new.view(), plan=tuple(step.planned() for step in plan.steps))

    def accept_epoch(self, caller: Caller, authority: str) -> list[ObjectRef]:
        """Set the tokens of an authority's objects back, and of its deleted ones. Nothing else changes: the next Apply says what is to be."""
        _check_host_root(caller)
        with self._lock:
            reset = reset_tokens(self._store, authority)
        for stored in reset:
            message = "the host's root has older tokens of its authority taken again"
            self._converger.tell(stored, EventType.WARNING, "EpochAccepted", message)
            self._hub.object_changed(functools.partial(self._store.view, stored.uid))
            self._converger.enqueue_fresh(stored.uid)
        return [stored.ref for stored in reset]

    # Delete

    def delete(self, caller: Caller, ref: ObjectRef, token: Token, *, force: bool) -> ObjectView:
        """Whatever is older than this token, and comes later, is refused: also of an object that is not here, or not yet."""
        with self._lock:
            try:
                stored = self._own(caller, ref)
            except NotFound:
                self._bury(caller, ref, token)
                raise
            resolve_token(token, None, stored, None, is_same=True)
            deletion = Deletion.FORCED if force else stored.deletion
            if deletion is Deletion.NONE:
                deletion = Deletion.GRACEFUL
            epoch, generation = max(stored.epoch, token.epoch), max(stored.generation, token.generation)
            marked = dataclasses.replace(stored, deletion=deletion, epoch=epoch, generation=generation)
            self._store.put(marked)
        self._converger.tell(marked, EventType.NORMAL, "Deleting", "deletion was asked for")
        self._hub.object_changed(lambda: self._store.view(marked.uid))
        self._converger.enqueue_fresh(marked.uid)
        return marked.view()

    def _bury(self, caller: Caller, ref: ObjectRef, token: Token) -> None:
        """Callers without a cluster have no epoch, and the node hands out their generations: nothing of theirs can come late."""
        if token.epoch and _UUID.fullmatch(ref.uid) and self._store.find(ref.uid) is None:
            tombstone = Tombstone(self._authority(caller, token), token.epoch, token.generation)
            self._store.bury(ref.uid, tombstone)

    # reading

    def get(self, caller: Caller, ref: ObjectRef) -> ObjectView:
        return self._visible(caller, ref).view()

    def list_objects(
        self, caller: Caller, kind: str, namespace: str, detail: Detail = Detail.WHOLE
    ) -> list[ObjectView]:
        _check_kind(kind)
        return self._views.list(kind, namespace, lambda ref: may_see(caller, ref), detail)

    def watch(self, caller: Caller, kind: str, namespace: str) -> Subscription:
        _check_kind(kind)

        def wants(ref: ObjectRef) -> bool:
            is_asked = kind in ("", ref.kind) and namespace in ("", ref.namespace)
            return is_asked and may_see(caller, ref)

        return self._hub.subscribe(wants, lambda: self._views.list(kind, namespace, wants))

    def list_events(self, caller: Caller, ref: ObjectRef | None) -> list[Event]:
        uid = self._visible(caller, ref).uid if ref is not None else ""
        return [event for event in self._store.list_events(uid) if may_see(caller, event.ref)]

    def list_orphans(self, caller: Caller, namespace: str) -> list[Orphan]:
        found = [item for item in find_orphans(self._host, self._store) if item.is_visible_to(caller)]
        return [item.orphan for item in found if not namespace or item.orphan.namespace in ("", namespace)]

    def describe(self, caller: Caller, ref: ObjectRef) -> Description:
        stored = self._visible(caller, ref)
        parts: tuple[DescribedPart, ...] = ()
        if stored.kind == MACHINE:
            parts = describe_machine(self._host, stored, self._converger.guests.facts(stored.uid))
        return Description(
            object=stored.view(),
            events=tuple(self._store.list_events(stored.uid)),
            operations=tuple(self._store.list_operations(stored.uid)),
            parts=parts,
        )

    def node_info(self, caller: Caller) -> NodeDescription:
        identity = self._identity
        owned = set(self._store.list_uids())
        return describe_node(identity, self._host, owned, self._hub.boot_id)

    # acts

    def operate(self, caller: Caller, call: OperateCall) -> Operation:
        if not call.operation_id or len(call.operation_id) > 128:
            raise InvalidSpec([Problem("operation_id", "must be 1 to 128 characters", "use a UUID")])
        with self._lock:
            stored = self._own(caller, call.ref)
            known = self._store.find_operation(call.operation_id)
            if known is not None:
                return _same_operation(known, stored, call)
            resolve_token(call.token, None, stored, None, is_same=True)
            operation = self._begin(stored, call)
        self._hub.operation_changed(operation)
        self._converger.enqueue_fresh(stored.uid)
        return operation

    def _begin(self, stored: StoredObject, call: OperateCall) -> Operation:
        if stored.kind != MACHINE:
            raise Refused(
                f"{stored.key} cannot be {call.verb.value}ed; only a VirtualMachine can", reason="NotAMachine"
            )
        if stored.deletion is not Deletion.NONE:
            raise Conflict(f"{stored.key} is being deleted", reason="Deleting")
        domain = self._host.hypervisor.find_domain(stored.uid)
        check_verb(call.verb, stored, domain, stored.resource.spec.run_strategy)
        message = f"superseded by {call.verb.value}"
        superseded = [
            dataclasses.replace(
                other, state=OperationState.FAILED, reason="Superseded", message=message, finished=self._now()
            )
            for other in self._store.list_operations(stored.uid)
            if not other.state.is_final and call.verb is not Verb.RESET
        ]
        operation = Operation(
            id=call.operation_id, ref=stored.ref, verb=call.verb, state=OperationState.PENDING, started=self._now()
        )
        self._store.begin_operation(operation, superseded, request_change(call, domain))
        for ended in superseded:
            self._hub.operation_changed(ended)
        self._converger.tell(
            stored, EventType.NORMAL, call.verb.value.capitalize(), f"{call.verb.value} by {caller_name(call)}"
        )
        return operation

    def console(self, caller: Caller, ref: ObjectRef, *, force: bool) -> ConsoleStream:
        stored = self._own(caller, ref)
        domain = self._host.hypervisor.find_domain(stored.uid)
        if domain is None or not domain.is_active:
            raise Refused(f"{stored.key} is not running; start it first", reason="NotRunning")
        return self._host.hypervisor.console_stream(stored.uid, force=force)

    def console_log(self, caller: Caller, ref: ObjectRef, *, follow: bool, tail_bytes: int) -> Iterator[bytes]:
        stored = self._own(caller, ref)
        path = f"{self._host.settings.log_directory}/{stored.uid}.log"
        return follow_log(path, follow=follow, tail_bytes=tail_bytes)

    def open_upload(self, caller: Caller, ref: ObjectRef, size_bytes: int) -> Upload:
        return open_upload(self._host, self._own(caller, ref), size_bytes)

    # rights

    def _visible(self, caller: Caller, ref: ObjectRef) -> StoredObject:
        if ref.uid:
            found = self._store.find(ref.uid)
        else:
            _check_kind(ref.kind)
            scope = BY_NAME[ref.kind].scope if ref.kind in BY_NAME else Scope.NAMESPACED
            found = self._store.find_named(ref.kind, "" if scope is Scope.CLUSTER else ref.namespace, ref.name)
        if found is None or not may_see(caller, found.ref):
            raise NotFound(f"{ref} is not on node {self._identity.node_name}")
        return found

    def _own(self, caller: Caller, ref: ObjectRef) -> StoredObject:
        stored = self._visible(caller, ref)
        _check_namespace(caller, stored.namespace)
        return stored

    def _now(self) -> str:
        return self._clock.timestamp()


def caller_name(call: OperateCall) -> str:
    """Who asked, as far as the operation tells."""
    return f"operation {call.operation_id}"


def _check_whole_host(caller: Caller) -> None:
    if "*" not in caller.namespaces:
        message = f"{caller.name} has only some namespaces; foreign domains belong to none of them"
        raise Forbidden(f"{message}; an administrator lists and adopts them")


def _check_host_root(caller: Caller) -> None:
    if not caller.is_host_root:
        raise Forbidden(
            f"{caller.name} may not: whoever calls could take back any authority's newest wish; do it on the host, as root, by"
            " `xvirt node accept-epoch`"
        )


def _check_kind(kind: str) -> None:
    if kind and kind not in BY_NAME:
        raise InvalidSpec([Problem("kind", f"{kind!r} is not known", f"use one of {', '.join(sorted(BY_NAME))}")])


def _check_namespace(caller: Caller, namespace: str) -> None:
    if "*" in caller.namespaces or namespace in caller.namespaces:
        return
    if not namespace:
        raise Forbidden(
            f"{caller.name} may not change what belongs to no namespace; the node's config grants namespace *"
        )
    raise Forbidden(f"{caller.name} may not use namespace {namespace}; the node's config grants namespaces")


def _same_operation(known: Operation, stored: StoredObject, call: OperateCall) -> Operation:
    if known.ref.uid != stored.uid or known.verb is not call.verb:
        raise Conflict(f"operation id {call.operation_id} was used for another act; choose a new one", reason="IdTaken")
    return known


def _pick_secrets(call: ApplyCall | AdoptCall) -> tuple[Secrets, str]:
    secrets = {item.name: dict(item.data) for item in call.secrets}
    if not secrets:
        return {}, ""
    digest = hashlib.sha256()
    for name in sorted(secrets):
        for key in sorted(secrets[name]):
            for part in (name.encode(), key.encode(), secrets[name][key]):
                digest.update(len(part).to_bytes(8, "big") + part)
    return secrets, digest.hexdigest()
