"""gRPC's stubs and their types from the .proto files, by the compiler of the locked environment."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROTOS = Path("xvirt/nodeapi")
"""Every .proto file below here has its stubs."""
_TIMEOUT_S = 120


class StubsFailed(Exception):
    """The compiler refused a .proto file; the message is its own."""


def generate_stubs(root: Path) -> dict[Path, bytes]:
    """Content of the stub files, four for each .proto, by path below the root. Raises StubsFailed."""
    with tempfile.TemporaryDirectory(prefix="xvirt-gen-") as folder:
        _run_compiler(root, Path(folder))
        made = sorted(Path(folder).rglob("*_pb2*"))
        return {file.relative_to(folder): file.read_bytes() for file in made}


def _run_compiler(root: Path, output: Path) -> None:
    names = ("python_out", "grpc_python_out", "mypy_out", "mypy_grpc_out")
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{root}", *(f"--{name}={output}" for name in names)]
    # protoc finds the plugins for types by PATH, and they stand beside the interpreter.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    done = subprocess.run(
        [*command, *map(str, sorted((root / PROTOS).rglob("*.proto")))],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise StubsFailed(f"protoc: {done.stderr.strip()}")
