"""Runs kubectl as users do."""

from __future__ import annotations

import json
import os
import subprocess
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
