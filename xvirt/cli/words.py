"""The command's words: kinds, names, durations. What is off in them ends with the code for usage, before any node is asked."""

from __future__ import annotations

import re
from collections.abc import Sequence

import click

from xvirt import API_VERSION
from xvirt.model.exchange import ObjectRef
from xvirt.model.fields import Format
from xvirt.model.kinds import KINDS, SECRET_KIND, Kind, find_kind
from xvirt.model.meta import Scope
from xvirt.model.names import DESCRIPTIONS, LABEL

GROUP, _, _VERSION = API_VERSION.partition("/")
HOST_KIND = "VirtualHost"


class WrongWords(click.UsageError):
    """The command line itself is off."""


def parse_kind(word: str) -> Kind:
    """The kind of `vm`, `VirtualMachine`, `virtualmachines.xvirt.io`, `host`. Raises WrongWords."""
    plain = word.lower().removesuffix(f".{GROUP}").removesuffix(f".{_VERSION}")
    kind = find_kind({"host": "vhost", "hosts": "vhost"}.get(plain, plain))
    if kind is None:
        known = ", ".join(f"{item.plural} ({item.short_names[0]})" for item in KINDS)
        raise WrongWords(f"{word!r} is no kind; use one of {known}")
    return kind


def check_name(name: str, what: str) -> str:
    """The name, where it can be one. Raises WrongWords: it would reach the node as a path, a pattern or no text at all."""
    if not re.fullmatch(LABEL.strip("^$"), name):
        raise WrongWords(f"{what} {_shown(name)} is no name; a name is {DESCRIPTIONS[Format.LABEL]}")
    return name


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 80 else name[:80] + "...")


def make_ref(namespace: str, kind: Kind, name: str) -> ObjectRef:
    """An object of a kind in a namespace. Raises WrongWords for what is no name."""
    is_cluster = kind.scope is Scope.CLUSTER
    return ObjectRef(kind=kind.name, namespace="" if is_cluster else namespace, name=check_name(name, kind.name))


def parse_refs(namespace: str, words: Sequence[str], default_kind: str = "") -> list[ObjectRef]:
    """`KIND NAME...`, `KIND/NAME...`, or with a default kind `NAME...`. Raises WrongWords."""
    if not words:
        raise WrongWords("nothing is named; give KIND NAME or KIND/NAME")
    refs: list[ObjectRef] = []
    kind = find_kind(default_kind) if default_kind else None
    for number, word in enumerate(words):
        head, slash, name = word.partition("/")
        if slash and number and not _is_kind(head):
            raise WrongWords(f"{word!r} is no name; a name is {DESCRIPTIONS[Format.LABEL]}")
        if slash:
            refs.append(make_ref(namespace, parse_kind(head), name))
        elif number == 0 and (kind is None or (len(words) > 1 and _is_kind(word))):
            kind = parse_kind(word)
        elif kind is not None:
            refs.append(make_ref(namespace, kind, word))
        else:
            raise WrongWords(f"{word!r} lacks its kind; write KIND/{word}")
    if not refs:
        raise WrongWords(f"{words[0]}: no name is given; write {words[0]} NAME")
    return list(dict.fromkeys(refs))


def parse_machine(namespace: str, words: Sequence[str]) -> ObjectRef:
    """Exactly one machine. Raises WrongWords."""
    refs = parse_refs(namespace, words, "vm")
    if len(refs) != 1 or refs[0].kind != "VirtualMachine":
        raise WrongWords("name one machine: NAME, vm NAME or vm/NAME")
    return refs[0]


def _is_kind(word: str) -> bool:
    try:
        parse_kind(word)
    except WrongWords:
        return False
    return True


def parse_duration(text: str, option: str = "--timeout") -> float:
    """`90`, `90s`, `2m`, `1m30s`, `500ms`, `1h` as seconds. Raises WrongWords."""
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text, re.ASCII):
        return float(text)
    parts = re.findall(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h)", text, re.ASCII)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise WrongWords(f"{option}: {_shown(text)} is no duration; write 90s, 2m or 1h30m")
    return sum(float(number) * units[unit] for number, unit in parts)


def complete_kinds(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """Kinds for the shell's completion."""
    return [kind.plural for kind in KINDS if kind.plural.startswith(begun.lower())]


def short_name(ref: ObjectRef) -> str:
    """`virtualmachine.xvirt.io/web`, as kubectl writes it."""
    return f"secret/{ref.name}" if ref.kind == SECRET_KIND else f"{ref.kind.lower()}.{GROUP}/{ref.name}"


def plain_name(ref: ObjectRef) -> str:
    """`virtualmachine/web`, as kubectl's events have it."""
    return f"{ref.kind.lower()}/{ref.name}"
