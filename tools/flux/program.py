"""Where kustomize-controller is, and the kinds that it works on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tools.golang import GoProgram, build, run_go

NAME = "kustomize-controller"
MODULE = f"github.com/fluxcd/{NAME}"
PROGRAM = GoProgram(NAME, Path(__file__).parent, package=MODULE)
_SOURCES = ("GitRepository", "OCIRepository", "Bucket")
"""Kinds that it watches and that source-controller would serve; the test that plays the source needs no more of them than a status."""


def find_program() -> Path:
    """The user's own or ours, which is built where it is missing. Raises GoBuildError."""
    own = shutil.which(NAME)
    return Path(own) if own else build(PROGRAM)


def read_crds() -> Iterator[dict[str, Any]]:
    """The CustomResourceDefinition of Kustomization as the module brings it, and plain ones of its sources. Raises GoBuildError."""
    folder = Path(run_go(PROGRAM.source, "list", "-m", "-f", "{{.Dir}}", MODULE).strip())
    yield yaml.safe_load((folder / "config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml").read_text())
    yield from (_source_crd(kind) for kind in _SOURCES)


def _source_crd(kind: str) -> dict[str, Any]:
    group, plural = "source.toolkit.fluxcd.io", f"{kind.lower()}s".replace("ys", "ies")
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": anything, "status": anything}}},
    }
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    }
