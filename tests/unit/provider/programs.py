"""Whole programs, run by Pulumi's SDK without an engine: what they would register, with every value resolved."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import pulumi
from pulumi.runtime import mocks, rpc, settings

from xvirt_provider import core

PROJECT, STACK, ORGANIZATION = "shop", "dev", "organization"


@dataclasses.dataclass(frozen=True)
class Registered:
    """One resource as the engine would be told of it."""

    type: str
    name: str
    inputs: dict[str, Any]
    secrets: frozenset[str]
    """Names of inputs that are encrypted in the state."""

    @property
    def document(self) -> dict[str, Any]:
        """The document that a node or an API server would be sent."""
        if self.type.startswith("kubernetes:"):
            kept = {key: self.inputs[key] for key in ("apiVersion", "kind", "metadata", "spec")}
            return dict(core.whole(kept))  # JSON has one kind of number
        return core.document_of(self.inputs)


class _Recorder(mocks.Mocks):
    def __init__(self, outputs: Mapping[str, Any]) -> None:
        self.found: list[Registered] = []
        self._outputs = outputs

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        inputs = {key: value for key, value in args.inputs.items() if key != "__provider"}
        secrets = frozenset(key for key, value in inputs.items() if rpc.is_rpc_secret(value))
        shown = {key: rpc.unwrap_rpc_secret(value) for key, value in inputs.items()}
        self.found.append(Registered(args.typ, args.name, shown, secrets))
        return f"{args.name}-id", {**args.inputs, **self._outputs}

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        raise AssertionError(f"no function is called: {args.token}")


def run_program(
    program: Callable[[], Any],
    *,
    config: Mapping[str, str] | None = None,
    project_config: Mapping[str, str] | None = None,
    outputs: Mapping[str, Any] | None = None,
    is_preview: bool = False,
) -> list[Registered]:
    """Run it to its end. `config`: keys of xVirt's; `project_config`: of the program's own; `outputs`: what every resource answers beside its inputs. Raises what the program raises."""
    recorder = _Recorder(outputs or {})
    mocks.set_mocks(recorder, project=PROJECT, stack=STACK, preview=is_preview)
    settings.SETTINGS.organization = ORGANIZATION
    own = {f"{PROJECT}:{key}": value for key, value in (project_config or {}).items()}
    pulumi.runtime.set_all_config({**own, **{f"xvirt:{key}": value for key, value in (config or {}).items()}})
    try:
        mocks.test(program)()  # type: ignore[no-untyped-call]  # Pulumi's decorator has no types
    finally:
        pulumi.runtime.set_all_config({})
    return recorder.found
