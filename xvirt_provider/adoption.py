"""Taking over what is there already, by a resource's input `adopt`: as it is, or not at all.

`adopt` names a domain that nobody declares (its UUID or name), or an object of this stack that no resource of it declares (its uid or
name). What another stack, cluster or resource has is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xvirt.client.blocking import NodeClient
from xvirt.model.errors import Conflict, NotFound, Refused
from xvirt.model.exchange import AdoptCall, ApplyCall, DryRun, ObjectRef, ObjectView, Token

OWNER = "xvirt.io/pulumi-resource"
"""Annotation: the resource of its stack that declares an object."""
MACHINE = "VirtualMachine"
CHANGES_TOLD_MAX = 8
"""Changes that a refusal names."""


def owner_of(view: ObjectView) -> str:
    """The resource that declares an object; empty where none does."""
    return str((view.document["metadata"].get("annotations") or {}).get(OWNER) or "")


def check_owner(client: NodeClient, ref: ObjectRef, authority: str, owner: str) -> None:
    """Raises Conflict where another resource of this stack declares the object, or nobody says which one does."""
    found = _find(client, ref)
    if found is None or found.ref.authority != authority or owner_of(found) == owner:
        return
    if not owner_of(found):
        raise Conflict(
            f'{found.ref} is there, and no resource of this stack declares it; take it over with adopt="{ref.name}"',
            reason="OwnedByAnother",
        )
    raise _other_resource(found)


def take_over(client: NodeClient, ref: ObjectRef, call: ApplyCall, word: str, owner: str) -> None:
    """Make sure that the object is what `word` names, and ours. `call`: what would be declared.

    Raises Conflict where somebody else has it, Refused where it would not stay as it is, NotFound where there is no such thing.
    """
    there = _find(client, ref)
    if there is not None:
        _check_ours(there, call, word, owner)
        _check_unchanged(client, there, call)
    elif ref.kind == MACHINE:
        _adopt_domain(client, call, word)
    else:
        raise NotFound(
            f"{ref} is not on the node, and a {ref.kind} can be taken over from this stack only; take `adopt` out to have"
            " it made"
        )


def _find(client: NodeClient, ref: ObjectRef) -> ObjectView | None:
    try:
        return client.get(ref)
    except NotFound:
        return None


def _check_ours(there: ObjectView, call: ApplyCall, word: str, owner: str) -> None:
    if there.ref.authority != call.token.authority:
        raise _other_authority(there)
    if owner_of(there) not in ("", owner):
        raise _other_resource(there)
    if not _is_named(there, word):
        raise Conflict(
            f"{there.ref} is declared already and is not {word}; give this resource another name",
            reason="OwnedByAnother",
        )


def _check_unchanged(client: NodeClient, there: ObjectView, call: ApplyCall) -> None:
    planned = client.apply(_as_plan(call))
    told = "; ".join(
        f"{change.path}: {_shown(change.old)} is declared as {_shown(change.new)}"
        for change in planned.changes[:CHANGES_TOLD_MAX]
    )
    if told:
        raise Refused(
            f"{there.ref} would not stay as it is: {told}. Nothing was done; write what it has, or take `adopt` out to"
            " have it changed",
            reason="WouldChange",
        )


def _as_plan(call: ApplyCall) -> ApplyCall:
    return ApplyCall(
        document=call.document, token=call.token, secrets=call.secrets, dry_run=DryRun.PLAN, profile=call.profile
    )


def _adopt_domain(client: NodeClient, call: ApplyCall, word: str) -> None:
    uuid = next((item.uuid for item in client.list_foreign() if word in (item.uuid, item.name)), None)
    if uuid is None:
        raise _not_foreign(client, call.token, word)
    client.adopt(
        AdoptCall(
            domain_uuid=uuid, document=call.document, token=call.token, secrets=call.secrets, profile=call.profile
        ),
    )


def _not_foreign(client: NodeClient, token: Token, word: str) -> Conflict | NotFound:
    for there in client.list_objects(MACHINE):
        if _is_named(there, word):
            return _other_resource(there) if there.ref.authority == token.authority else _other_authority(there)
    return NotFound(
        f"no domain that could be adopted is called {word}; `xvirt get foreign` lists them. Where it is gone, take `adopt`"
        " out to have a machine made"
    )


def _is_named(view: ObjectView, word: str) -> bool:
    status: Mapping[str, Any] = view.document.get("status") or {}
    ref = view.ref
    return word in (ref.uid, status.get("uuid"), status.get("domainName"), ref.name, f"{ref.namespace}/{ref.name}")


def _other_authority(there: ObjectView) -> Conflict:
    remedy = "release it there first (`xvirt release`)" if there.ref.kind == MACHINE else "delete it there first"
    return Conflict(f"{there.ref} is owned by authority {there.ref.authority}; {remedy}", reason="OwnedByAnother")


def _other_resource(there: ObjectView) -> Conflict:
    owner = owner_of(there)
    if not owner:
        name = f"another name than this resource's: it is {there.ref}"
        return Conflict(f"the machine is declared by this stack under {name}; give that name", reason="OwnedByAnother")
    return Conflict(
        f"{there.ref} is declared by resource {owner} of this stack; give one of the two another name, or call this"
        f" resource {owner}",
        reason="OwnedByAnother",
    )


def _shown(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
