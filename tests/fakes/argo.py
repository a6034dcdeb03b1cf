"""Argo CD's customizations run as it runs them: Lua 5.1 with `obj`, and no more of the libraries than it opens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from lupa import lua51

CUSTOMIZATIONS = Path(__file__).resolve().parents[2] / "deploy" / "argocd" / "resource_customizations"
_CLOSED = ("io", "os", "debug", "package", "require", "loadfile", "dofile", "load", "loadstring", "python")


def health(script: str, document: Mapping[str, Any]) -> dict[str, str]:
    """`status` and `message` of a health check."""
    found = _run(script, document)
    return {"status": found["status"], "message": found.get("message", "")}


def discover(script: str, document: Mapping[str, Any]) -> dict[str, bool]:
    """Actions of a discovery script, and whether each is disabled."""
    return {name: bool((action or {}).get("disabled", False)) for name, action in _run(script, document).items()}


def act(script: str, document: Mapping[str, Any]) -> Any:
    """The object as an action wants it."""
    return _run(script, document)


def read(path: Path) -> Any:
    """A YAML file."""
    return yaml.safe_load(path.read_text())


def _run(script: str, document: Mapping[str, Any]) -> Any:
    runtime = lua51.LuaRuntime(unpack_returned_tuples=True, register_eval=False, register_builtins=False)
    for name in _CLOSED:
        runtime.globals()[name] = None
    runtime.globals()["obj"] = _to_lua(runtime, document)
    return _to_python(runtime.execute(script))


def _to_lua(runtime: Any, value: Any) -> Any:
    if isinstance(value, Mapping):
        return runtime.table_from({key: _to_lua(runtime, entry) for key, entry in value.items()})
    if isinstance(value, list):
        return runtime.table_from([_to_lua(runtime, entry) for entry in value])
    return value


def _to_python(value: Any) -> Any:
    if lua51.lua_type(value) != "table":
        return value
    keys = list(value.keys())
    if keys and keys == list(range(1, len(keys) + 1)):
        return [_to_python(value[key]) for key in keys]
    return {key: _to_python(value[key]) for key in keys}
