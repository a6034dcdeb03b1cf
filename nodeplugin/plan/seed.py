"""First-boot data: what is declared, with what its Secrets hold, as one seed whose name tells its content.

What a Secret holds goes into the seed and nowhere else: an obstacle names the Secret, the key and a line, never what stands there.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re

from nodeplugin.plan.observation import Definition, MachineObservation
from nodeplugin.plan.outcome import Obstacle
from nodeplugin.plan.step import RemoveSeeds, Step, WriteSeed
from nodeplugin.records import StoredObject
from xvirt.domainxml.disks import SEED_ALIAS
from xvirt.model import limits
from xvirt.model.fields import Format
from xvirt.model.machine.cloud_init import CloudInit, SecretText, TextSource
from xvirt.model.names import DESCRIPTIONS, PATTERNS

_NO_USER_DATA = b"#cloud-config\n{}\n"
_KEYS_MAX_BYTES = limits.SSH_KEYS_MAX * limits.SSH_KEY_MAX_LENGTH


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeedPlan:
    """The seed's path, None where the machine has none or it is not known; the step that writes it."""

    step: WriteSeed | None = None
    path: str | None = None
    obstacles: tuple[Obstacle, ...] = ()


class _Unusable(Exception):
    """What a Secret holds cannot be used, or is not there: an obstacle's reason and message."""


def plan_seed(stored: StoredObject, cloud_init: CloudInit | None, directory: str, existing: str | None) -> SeedPlan:
    """`existing`: the seed that the domain has. It stays where the store was rebuilt and knows no Secrets."""
    if cloud_init is None:
        return SeedPlan()
    try:
        user_data = _text(stored, cloud_init.user_data, "userData") or _NO_USER_DATA
        network_data = _text(stored, cloud_init.network_data, "networkData")
        keys = _keys(stored, cloud_init)
    except _Unusable as error:
        if not stored.has_secrets and existing is not None:
            return SeedPlan(path=existing)
        return SeedPlan(obstacles=(Obstacle(*error.args),))
    hostname = cloud_init.hostname or stored.name
    parts = [stored.uid.encode(), hostname.encode(), user_data, network_data or b"", *(key.encode() for key in keys)]
    path = f"{directory}/{stored.uid}-{_digest(parts)[:12]}.iso"
    step = WriteSeed(
        path=path,
        instance_id=stored.uid,
        hostname=hostname,
        user_data=user_data,
        network_data=network_data,
        public_keys=keys,
    )
    return SeedPlan(step=step, path=path)


def seed_of(definition: Definition | None) -> str | None:
    """Path of the seed that a definition has."""
    disks = definition.facts.disks if definition is not None else ()
    return next((disk.path for disk in disks if disk.alias == SEED_ALIAS), None)


def plan_stale_seeds(uid: str, observed: MachineObservation, wanted: str | None) -> tuple[Step, ...]:
    """Remove the seeds that neither the document nor the running domain, nor its definition has. A saved domain goes on with its own."""
    if observed.domain is not None and observed.domain.has_managed_save:
        return ()
    keep = {path for path in (wanted, seed_of(observed.live), seed_of(observed.config)) if path is not None}
    if not observed.seeds - keep:
        return ()
    return (RemoveSeeds(uid=uid, keep=tuple(sorted(keep))),)


def _digest(parts: list[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _text(stored: StoredObject, source: TextSource | None, default_key: str) -> bytes | None:
    if source is None:
        return None
    if source.inline is not None:
        return source.inline.encode()
    return _content(stored, source.secret or "", source.key or default_key, limits.USER_DATA_MAX_BYTES)


def _content(stored: StoredObject, secret: str, key: str, max_bytes: int) -> bytes:
    content = stored.secrets.get(secret, {}).get(key)
    if content is None:
        raise _Unusable(
            "SecretMissing", f"Secret {secret} with key {key} was not sent along; apply it with the machine"
        )
    if len(content) > max_bytes:
        message = f"Secret {secret}: key {key} holds {len(content)} bytes, at most {max_bytes} are taken; shorten it"
        raise _Unusable("SecretInvalid", message)
    return content


def _keys(stored: StoredObject, cloud_init: CloudInit) -> tuple[str, ...]:
    """Declared keys, then those of the Secret, each once."""
    source = cloud_init.ssh_authorized_keys_from
    more = _keys_of(stored, source) if source is not None else []
    return tuple(dict.fromkeys([*cloud_init.ssh_authorized_keys, *more]))


def _keys_of(stored: StoredObject, source: SecretText) -> list[str]:
    key = source.key or "sshAuthorizedKeys"
    text = _content(stored, source.secret, key, _KEYS_MAX_BYTES).decode("utf-8", "replace")
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not re.fullmatch(PATTERNS[Format.SSH_KEY], line.strip(), re.ASCII):
            message = (
                f"Secret {source.secret}: line {number} of key {key} is not {DESCRIPTIONS[Format.SSH_KEY]}; mend it"
            )
            raise _Unusable("SecretInvalid", message)
        found.append(line.strip())
    if len(found) > limits.SSH_KEYS_MAX:
        message = (
            f"Secret {source.secret}: key {key} holds {len(found)} SSH keys, at most {limits.SSH_KEYS_MAX} are taken"
        )
        raise _Unusable("SecretInvalid", message)
    return found
