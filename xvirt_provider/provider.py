"""The dynamic provider: Pulumi's verbs onto `xvirt_provider.core`.

`xvirt_provider.provider.Provider` stands by this path in every state that was ever written: the class is never renamed and never moved.
It holds nothing, so that its pickle is its path; channels are opened when they are used.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
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

from xvirt.model.errors import InvalidSpec, XvirtError
from xvirt_provider import core, plugin_host
from xvirt_provider.connection import Nodes
from xvirt_provider.fleet import FLEET, choose

_RESERVED = "__provider"


class Failed(Exception):
    """A step failed; its text is one sentence for the program's writer."""


Failed.__module__ = "builtins"  # the plugin's host prints a class with its module, which is noise before the sentence


class _Process:
    """What this plugin process keeps."""

    nodes = Nodes()


@contextmanager
def _told(passed: type[XvirtError] | tuple[()] = ()) -> Iterator[None]:
    try:
        yield
    except XvirtError as error:
        if os.environ.get("XVIRT_DEBUG") or isinstance(error, passed):
            raise
        raise Failed(core.sentence(error)) from None


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
            return CheckResult(
                news, [CheckFailure(item.path, _reason(item.message, item.remedy)) for item in error.problems]
            )
        if _has_unknown(news):
            return CheckResult(news, [])
        with _told():
            problems = core.check(news)
        return CheckResult(news, [CheckFailure(item.path, _reason(item.message, item.remedy)) for item in problems])

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """By the model's table; the node's plan, where it can be asked, is printed."""
        if _has_unknown(_news):
            return DiffResult(changes=True)
        found = core.compare(_olds, _news)
        if not found.is_changed:
            return DiffResult(changes=False)
        replaces = sorted({path.partition(".")[0] for path in found.replaced})
        if replaces:
            _tell(
                f"{core.ref_of(_olds)}: {', '.join(found.replaced)} never changes: the object is deleted and made anew"
            )
        else:
            _tell_plan(found, core.corrected(_news) if core.is_put_back(found.drift, _news) else _news)
        return DiffResult(changes=True, replaces=replaces, delete_before_replace=bool(replaces))

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Declare the object, or find it again."""
        with _told():
            outputs = core.create(self._client(props), _plain(props))
        _warn(outputs)
        return CreateResult(outputs["uid"], outputs)

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """What is there now, with inputs in normal form."""
        with _told():
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
        with _told():
            warning = core.delete(self._client(_props), _plain(_props))
        _warn({"warning": warning})

    def _place(self, olds: Mapping[str, Any], news: dict[str, Any]) -> dict[str, Any]:
        """Inputs with the node that a fleet gives the object; as they are where a preview does not know its name yet."""
        wanted, before = news.get("node"), olds.get("node")
        if not isinstance(wanted, Mapping) or FLEET not in wanted or (not before and _has_unknown(news["metadata"])):
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


def _reason(message: str, remedy: str) -> str:
    return f"{message}; {remedy}" if remedy else message


def _has_unknown(value: Any) -> bool:
    if isinstance(value, Unknown):
        return True
    if isinstance(value, Mapping):
        return any(_has_unknown(item) for item in value.values())
    return isinstance(value, list | tuple) and any(_has_unknown(item) for item in value)


def _tell_plan(found: core.Difference, news: Mapping[str, Any]) -> None:
    subject = core.ref_of(news)
    lines = [
        f"{subject}: {change.path} {_shown(change.old)} -> {_shown(change.new)} [{_cost(change.mutability.value)}]"
        for change in found.changes
    ]
    lines += [f"{subject}: {text}, and is put back" for text in found.drift]
    try:
        result = core.plan(_Process.nodes.client(news.get("node")), _plain(news))
    except XvirtError as error:
        lines.append(f"{subject}: the node would refuse it: {core.sentence(error)}")
    else:
        if result is None:
            lines.append(f"{subject}: the node cannot be asked now; this is what the model says")
        else:
            lines += [f"{subject}: {step.summary} [{step.impact.value}]" for step in result.plan]
            lines += [f"{subject}: waits: {text}" for text in result.waiting_for]
    _tell("\n".join(lines))


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _cost(word: str) -> str:
    return {"restart": "at the next start", "fixed": "by replacing"}.get(word, word)


def _shown(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _warn(outputs: Mapping[str, Any]) -> None:
    if outputs.get("warning"):
        print(f"warning: {outputs['warning']}", file=sys.stderr, flush=True)
