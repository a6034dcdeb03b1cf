"""Where the programs of a control plane are."""

from __future__ import annotations

import enum
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.golang import GoProgram, build

KUBERNETES_VERSION = "1.36.3"
"""Of go.mod beside this file."""
ASSETS = "KUBEBUILDER_ASSETS"
_VERSION = "k8s.io/component-base/version"
_MAJOR, _MINOR, _ = KUBERNETES_VERSION.split(".")


def _ldflags() -> str:
    """Kubernetes' parts read their own version from what its build sets; without it the API server calls itself v0.0.0."""
    values = {
        "gitVersion": f"v{KUBERNETES_VERSION}",
        "gitMajor": _MAJOR,
        "gitMinor": _MINOR,
        "gitTreeState": "clean",
    }
    return " ".join(["-s -w", *(f"-X {_VERSION}.{name}={value}" for name, value in values.items())])


PROGRAM = GoProgram("controlplane", Path(__file__).parent, ldflags=_ldflags())


class Part(enum.StrEnum):
    """The parts, by their programs' names."""

    ETCD = "etcd"
    API_SERVER = "kube-apiserver"
    CONTROLLER_MANAGER = "kube-controller-manager"
    SCHEDULER = "kube-scheduler"


@dataclass(frozen=True)
class Programs:
    """What to run for each part, before its flags."""

    commands: Mapping[Part, tuple[str, ...]]


def find_programs() -> Programs:
    """The user's own programs, or ours, which are built where they are missing. Raises GoBuildError."""
    for places in (os.environ.get(ASSETS, ""), os.environ.get("PATH", os.defpath)):
        own = {part: shutil.which(part, path=places) for part in Part} if places else {}
        if own and all(own.values()):
            return Programs({part: (str(program),) for part, program in own.items()})
    program = str(build(PROGRAM))
    return Programs({part: (program, str(part)) for part in Part})
