"""The dynamic provider: Pulumi's verbs onto `xvirt_provider.core`.

`xvirt_provider.provider.Provider` stands by this path in every state that was ever written: the class is never renamed and never moved.
It holds nothing, so that its pickle is its path; channels are opened when they are used.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    ConfigureRequest,
    CreateResult,
    DiffResult,
    ReadResult,
    ResourceProvider,
    UpdateResult,
)
from pulumi.output import Unknown

from xvirt.model.errors import InvalidSpec, Problem, Unavailable, XvirtError
from xvirt_provider import core, plugin_host, previews
from xvirt_provider.connection import Nodes
from xvirt_provider.fleet import FLEET, choose
from xvirt_provider.replacing import find_collision
from xvirt_provider.unknowns import has_unknown

_RESERVED = "__provider"
_MOVED = "; where its address is another one than at the last `pulumi up`, add --run-program"


class Failed(Exception):
    """A step failed; its text is one sentence for the program's writer."""


Failed.__module__ = "builtins"  # the plugin's host prints a class with its module, which is noise before the sentence


class _Process:
    """What this plugin process keeps."""

    nodes = Nodes()


@contextmanager
def _told(passed: type[XvirtError] | tuple[()] = (), *, is_by_state: bool = False) -> Iterator[None]:
    """`is_by_state`: a step that the engine takes without the program, with the configuration of the last `up`."""
    try:
        yield
    except XvirtError as error:
        if os.environ.get("XVIRT_DEBUG") or isinstance(error, passed):
            raise
        hint = _MOVED if is_by_state and isinstance(error, Unavailable) else ""
        raise Failed(core.sentence(error) + hint) from None


class Provider(ResourceProvider):
    """Pulumi's verbs for every kind; `kind` among the inputs says which."""

    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        """Keep the stack's configuration for channels to come; let as many steps run at once as the engine asks for."""
        _Process.nodes = Nodes(req.config.get)
        if not os.environ.get("XVIRT_DEBUG"):
            sys.tracebacklimit = 0
        plugin_host.adapt()

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """The shared rules, one failure for each thing that is wrong. What a preview does not know yet is judged when it does."""
        news = _plain(news)
        try:
            with _told(InvalidSpec):
                news = self._place(_olds, news)
        except InvalidSpec as error:
            return CheckResult(news, _failures(error.problems))
        with _told():
            return CheckResult(news, _failures(core.check(news, _is_unknown)))

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """By the model's table; the node's plan, where it can be asked, is printed."""
        olds, news = _plain(_olds), _plain(_news)
        found = core.compare(olds, news, _is_unknown)
        if not found.is_changed:
            return DiffResult(changes=False)
        if found.replaced:
            return self._replace(found, olds, news)
        put_back = core.corrected(news) if core.is_put_back(found.drift, news) else news
        _tell(previews.describe_change(found, news, lambda: core.plan(self._client(news), put_back)))
        return DiffResult(changes=True)

    def _replace(self, found: core.Difference, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """The new object comes first where both can be there together: should it fail, the old one is there yet."""
        collision = find_collision(olds, {**news, **found.settled})
        _tell(previews.describe_replacement(found, olds, collision))
        replaces = sorted({path.partition(".")[0] for path in found.replaced})
        return DiffResult(changes=True, replaces=replaces, delete_before_replace=bool(collision))

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Declare the object, or find it again."""
        with _told():
            outputs = core.create(self._client(props), _plain(props))
        _warn(outputs)
        return CreateResult(outputs["uid"], outputs)

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """What is there now, with inputs in normal form."""
        with _told(is_by_state=True):
            found = core.read(self._client(props), _plain(props))
        if found is None:
            return ReadResult("", {})
        outputs, inputs = found
        return ReadResult(outputs["uid"] or id_, outputs, inputs)

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """One Apply; two where what was changed by hand is put back."""
        with _told():
            outputs = core.update(self._client(_news), _plain(_news), _olds.get("drift") or ())
        _warn(outputs)
        return UpdateResult(outputs)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Delete, and wait for the node's word."""
        with _told(is_by_state=True):
            warning = core.delete(self._client(_props), _plain(_props))
        _warn({"warning": warning})

    def _place(self, olds: Mapping[str, Any], news: dict[str, Any]) -> dict[str, Any]:
        """Inputs with the node that a fleet gives the object; as they are where a preview does not know its name yet."""
        wanted, before = news.get("node"), olds.get("node")
        if (
            not isinstance(wanted, Mapping)
            or FLEET not in wanted
            or (not before and has_unknown(news["metadata"], _is_unknown))
        ):
            return news
        ref, group = core.ref_of(news), wanted.get("group") or ""
        node = choose(
            wanted,
            before,
            f"{ref.namespace}/{ref.name}",
            lambda one: core.claim_of(_Process.nodes.client(one), news, group),
        )
        return {**news, "node": node, **({"group": group} if group else {})}

    def _client(self, props: Mapping[str, Any]) -> Any:
        return _Process.nodes.client(props.get("node"))


def _plain(props: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in props.items() if key != _RESERVED}


def _is_unknown(value: Any) -> bool:
    return isinstance(value, Unknown)


def _failures(problems: Iterable[Problem]) -> list[CheckFailure]:
    """Paths stand in the sentences: named apart, the engine would print the value that it finds by that name, which is none for a path."""
    sentences = ((f"{item.path}: {item.message}", item.remedy) for item in problems)
    return [CheckFailure("", f"{sentence}; {remedy}" if remedy else sentence) for sentence, remedy in sentences]


def _tell(lines: Iterable[str]) -> None:
    print("\n".join(lines), file=sys.stderr, flush=True)


def _warn(outputs: Mapping[str, Any]) -> None:
    if outputs.get("warning"):
        print(f"warning: {outputs['warning']}", file=sys.stderr, flush=True)
