"""Building `pulumi` from Go modules, with what it needs to run Python programs beside it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tools.golang import GoProgram, build, run_go

MODULE = Path(__file__).parent / "engine"
SDK = "github.com/pulumi/pulumi/sdk/v3"
VERSION = "v3.259.0"
"""Of the engine, as `engine/go.mod` has it; the build writes it into the program."""
PROGRAM = GoProgram(
    "pulumi",
    MODULE,
    "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
    f"-s -w -X {SDK}/go/common/version.Version={VERSION}",
)
SCRIPTS = ("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python")
"""What the language host starts for a program, and the engine for a dynamic provider: files of the SDK's module."""
LANGUAGE_HOST = "pulumi-language-python"
_HOST_SOURCE = Path(__file__).parent / "language_host.py"
_HOST_START = f"""#!/bin/sh
exec "${{PULUMI_PYTHON_CMD:-python3}}" -u "$(dirname "$0")/{_HOST_SOURCE.name}" "$@"
"""


def built_engine() -> Path:
    """The directory of the built engine, in the user's cache; builds it when it is missing. Raises GoBuildError."""
    directory = build(PROGRAM).parent
    if any(not (directory / Path(script).name).exists() for script in SCRIPTS):
        _take_scripts(directory)
    # The language host is this clone's, whichever clone built the rest.
    _replace(directory / _HOST_SOURCE.name, _HOST_SOURCE.read_text(), 0o644)
    _replace(directory / LANGUAGE_HOST, _HOST_START, 0o755)
    return directory


def _take_scripts(directory: Path) -> None:
    sdk = Path(json.loads(run_go(MODULE, "mod", "download", "-json", SDK, timeout_s=600.0))["Dir"])
    for script in SCRIPTS:
        _replace(directory / Path(script).name, (sdk / script).read_text(), 0o755)


def _replace(target: Path, text: str, mode: int) -> None:
    """Whole or not at all, also beside another process that does the same."""
    if target.exists() and target.read_text() == text:
        return
    partial = target.with_suffix(f".{os.getpid()}")
    partial.write_text(text)
    partial.chmod(mode)
    partial.rename(target)
