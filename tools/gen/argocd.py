"""deploy/argocd/argocd-cm.yaml: health checks, actions and quantities for Argo CD, from the scripts beside it and the model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xvirt import API_GROUP
from xvirt.model.captions import nested_class
from xvirt.model.fields import attributes
from xvirt.model.kinds import KINDS
from xvirt.model.quantity import ByteSize

FOLDER = Path("deploy/argocd")
SCRIPTS = FOLDER / "resource_customizations" / API_GROUP
ACTIONS = ("start", "stop")
_QUANTITY = "core/Quantity"
"""Argo CD's name of the type (util/argo/normalizers/knowntypes_normalizer.go); a list on the way is passed through."""


def argocd_config_map(root: Path) -> dict[str, Any]:
    """The ConfigMap, to be merged into Argo CD's own by server-side apply."""
    prefix = "resource.customizations"
    data = {f"{prefix}.health.{API_GROUP}_{kind.name}": _read(root, "_/health.lua") for kind in KINDS}
    data[f"{prefix}.actions.{API_GROUP}_VirtualMachine"] = _actions(root)
    for kind in KINDS:
        fields = list(quantity_fields(kind.spec, "spec"))
        if fields:
            lines = (f"- {{field: {field}, type: {_QUANTITY}}}\n" for field in fields)
            data[f"{prefix}.knownTypeFields.{API_GROUP}_{kind.name}"] = "".join(lines)
    metadata = {"name": "argocd-cm", "namespace": "argocd", "labels": {"app.kubernetes.io/part-of": "argocd"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def quantity_fields(cls: Any, path: str) -> Iterator[str]:
    """Paths of all quantities below a class."""
    for item in attributes(cls):
        place = f"{path}.{item.json_name}"
        inner = nested_class(item.annotation)
        if item.annotation is ByteSize:
            yield place
        elif inner is not None:
            yield from quantity_fields(inner, place)


def _actions(root: Path) -> str:
    parts = ["discovery.lua: |\n" + _indented(_read(root, "VirtualMachine/actions/discovery.lua"), 2), "definitions:\n"]
    for name in ACTIONS:
        script = _indented(_read(root, f"VirtualMachine/actions/{name}/action.lua"), 4)
        parts.append(f"- name: {name}\n  action.lua: |\n{script}")
    return "".join(parts)


def _indented(text: str, columns: int) -> str:
    return "".join(f"{' ' * columns}{line}\n" if line else "\n" for line in text.splitlines())


def _read(root: Path, name: str) -> str:
    return (root / SCRIPTS / name).read_text()
