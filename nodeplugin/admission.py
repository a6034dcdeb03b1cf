"""What Apply checks beyond a valid document: token, profile, fields that never change, policy on the final XML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nodeplugin.images.policy import ImagePolicy
from nodeplugin.judged import judged_xml
from nodeplugin.plan.observation import NodeSettings
from nodeplugin.plan.place import PoolPlace
from nodeplugin.plan.storage import find_seen, inline_path
from nodeplugin.plan.volume import image_request, volume_owners
from nodeplugin.records import StoredObject
from nodeplugin.store import Store, Tombstone
from xvirt.model.changes import FieldDifference, field_changes
from xvirt.model.errors import Conflict, Forbidden, InvalidSpec, Problem, Refused
from xvirt.model.exchange import Caller, FieldChange, Impact, Token
from xvirt.model.fields import Mutability
from xvirt.model.machine.disk import DiskDeletionPolicy
from xvirt.model.meta import Resource
from xvirt.model.quantity import ByteSize
from xvirt.policy import GRANT, PROFILES, enforce

_IMPACTS = {Mutability.LIVE: Impact.LIVE, Mutability.RESTART: Impact.RESTART, Mutability.FIXED: Impact.REFUSED}


def resolve_profile(caller: Caller, wanted: str, of_namespace: Sequence[str] = ()) -> str:
    """The profile to judge by: the one that is asked for, or the most liberal of those that the caller and the namespace are granted.

    Raises Forbidden for one that neither has: nobody raises his own.
    """
    granted = sorted({*caller.profiles, *of_namespace}, key=PROFILES.index)
    if not wanted:
        return granted[-1] if granted else PROFILES[0]
    if wanted not in granted:
        raise Forbidden(
            f"{caller.name} may not use policy profile {wanted}; granted: {', '.join(granted)}; an administrator grants it by {GRANT}",
            reason="ProfileDenied",
        )
    return wanted


def resolve_token(
    token: Token, declared: int | None, old: StoredObject | None, tombstone: Tombstone | None, *, is_same: bool
) -> tuple[int, int]:
    """(generation, epoch) to store. Raises Conflict with the stored values where the token is stale.

    A generation of zero is handed out here: unchanged documents keep theirs, so a repeated call is harmless.
    """
    stored = (old.epoch, old.generation) if old else (tombstone.epoch, tombstone.generation) if tombstone else (0, 0)
    wanted = token.generation or (declared or 0 if token.epoch else 0)
    if token.epoch < stored[0] or (wanted and (token.epoch, wanted) < stored):
        raise Conflict(
            f"token (epoch {token.epoch}, generation {wanted}) is older than the stored"
            f" (epoch {stored[0]}, generation {stored[1]}); read the object and try again",
            reason="StaleToken",
            stored_epoch=stored[0],
            stored_generation=stored[1],
        )
    if wanted:
        return wanted, token.epoch
    if old is not None and token.if_generation >= 0 and token.if_generation != old.generation:
        raise Conflict(
            f"{old.key} has generation {old.generation}, not {token.if_generation}; read it and try again",
            reason="GenerationDiffers",
            stored_epoch=stored[0],
            stored_generation=stored[1],
        )
    return (stored[1] if is_same and old is not None else stored[1] + 1), token.epoch


def reset_tokens(store: Store, authority: str) -> list[StoredObject]:
    """Have any token of an authority taken again, after its cluster was restored from a backup. Raises InvalidSpec for one that has
    nothing here."""
    known = store.list_authorities()
    if authority not in known:
        there = ", ".join(known) or "none"
        raise InvalidSpec([Problem("authority", f"{authority!r} has declared nothing here", f"use one of: {there}")])
    return store.reset_tokens(authority)


def check_changes(kind: str, old: StoredObject | None, document: Mapping[str, Any]) -> tuple[FieldChange, ...]:
    """What differs from the stored document. Raises Refused for a FIXED field and for a size that shrinks."""
    if old is None:
        return ()
    changes = tuple(_field_change(item) for item in field_changes(kind, old.document["spec"], document["spec"]))
    refused = [change for change in changes if change.impact is Impact.REFUSED]
    if refused:
        reasons = "; ".join(f"{change.path}: {change.reason}" for change in refused)
        raise Refused(f"{old.key}: {reasons}; nothing was changed", reason="FieldImmutable")
    return changes


def _field_change(item: FieldDifference) -> FieldChange:
    impact = _IMPACTS[item.mutability]
    reason = ""
    if impact is Impact.REFUSED:
        reason = f"cannot be changed from {item.old!r} to {item.new!r} once set; delete and declare anew"
    is_volume_size = item.path.endswith("source.size") or item.path == "spec.size"
    if is_volume_size and item.old is not None and item.new is not None and ByteSize(item.new) < ByteSize(item.old):
        impact, reason = Impact.REFUSED, f"cannot shrink from {item.old} to {item.new}: data would be lost"
    return FieldChange(path=item.path, old=item.old, new=item.new, impact=impact, reason=reason)


def check_policy(stored: StoredObject, resource: Resource, settings: NodeSettings) -> None:
    """Judge the final XML of an object by its profile. Raises PolicyRefused."""
    judged = judged_xml(stored, resource, settings)
    if judged is not None:
        enforce(judged.root, stored.profile, judged.allowed)


def check_image(stored: StoredObject, resource: Resource, policy: ImagePolicy) -> None:
    """Judge where an image comes from, as far as its document shows it. Raises PolicyRefused, or Refused for a URL of no use."""
    if resource.kind == "VirtualImage":
        policy.check(image_request(stored, resource.spec, PoolPlace("/provisional")))


def collect_garbage(
    old: StoredObject | None, resource: Resource, pools: Mapping[str, PoolPlace]
) -> tuple[tuple[str, str], ...]:
    """(path, format) of volumes to be deleted once nobody uses them: those of inline disks with policy Delete that the new
    document no longer declares, and those that waited already; what is declared again is taken off the list."""
    if old is None or resource.kind != "VirtualMachine":
        return ()
    before = dict(old.run.garbage) | _inline_volumes(old.resource, pools, only_doomed=True)
    kept = _inline_volumes(resource, pools, only_doomed=False)
    return tuple((path, volume_format) for path, volume_format in sorted(before.items()) if path not in kept)


def expected_volumes(resource: Resource, seen: Sequence[str]) -> tuple[str, ...]:
    """Of the volumes that were seen, those that the document would make: they were made once, and are not made again."""
    paths = [find_seen(owner, seen) for owner in volume_owners(resource)]
    return tuple(path for path in paths if path is not None)


def _inline_volumes(machine: Resource, pools: Mapping[str, PoolPlace], *, only_doomed: bool) -> dict[str, str]:
    return {
        inline_path(machine, disk, pools[disk.pool]): disk.format.value
        for disk in machine.spec.disks
        if disk.is_inline
        and disk.pool in pools
        and (not only_doomed or disk.deletion_policy is DiskDeletionPolicy.DELETE)
    }
