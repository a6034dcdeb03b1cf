"""Runs kubectl as users do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tools.cluster.install import kubectl_program

_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Kubectl:
    """kubectl with one kubeconfig and namespace; without one each document is to say its own."""

    kubeconfig: Path
    namespace: str

    def __call__(self, *arguments: str, stdin: Any = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run it; `stdin` may be text or documents. With `check`, fails with what it printed."""
        text = stdin if isinstance(stdin, str) or stdin is None else yaml.safe_dump_all(stdin)
        place = ["--namespace", self.namespace] if self.namespace else []
        done = subprocess.run(
            [kubectl_program(), "--kubeconfig", str(self.kubeconfig), *place, *arguments],
            input=text,
            text=True,
            capture_output=True,
            timeout=_TIMEOUT_S,
            # Discovery is cached below HOME for hours, by host and port.
            env={**os.environ, "HOME": str(self.kubeconfig.parent)},
        )
        assert done.returncode == 0 or not check, f"kubectl {' '.join(arguments)}: {done.stderr or done.stdout}"
        return done

    def json(self, *arguments: str) -> Any:
        """Its output as JSON."""
        return json.loads(self(*arguments, "-o", "json").stdout)


@dataclass(frozen=True)
class Plugin:
    """`kubectl xvirt`, found by kubectl in `directory`; where the cluster is it learns from the environment alone."""

    directory: Path
    kubeconfig: Path
    namespace: str

    def __call__(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        own = {key: value for key, value in os.environ.items() if not key.startswith("XVIRT_")}
        found = {
            "PATH": f"{self.directory}:{own['PATH']}",
            "KUBECONFIG": str(self.kubeconfig),
            "HOME": str(self.kubeconfig.parent),
        }
        return subprocess.run(
            [kubectl_program(), "xvirt", *arguments, "-n", self.namespace],
            env={**own, **found},
            input=text,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )


def install_plugin(directory: Path) -> Path:
    """The environment's `kubectl-xvirt` as the only thing in a directory for PATH."""
    own = Path(sys.executable).with_name("kubectl-xvirt")
    assert own.exists(), f"{own} is missing; run ./dev setup"
    (directory / "kubectl-xvirt").symlink_to(own)
    return directory
