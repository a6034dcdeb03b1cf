"""Where a usable `pulumi` is: the user's own, or the one that is built once into the user's cache."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tools.pulumi.engine_build import LANGUAGE_HOST, built_engine

LEAST = (3, 216)
"""The first whose refresh takes a provider's inputs, which drift is told by."""
_ASK_S = 60.0


def engine_directory() -> Path:
    """A directory with `pulumi` and its language host for Python; builds it when there is none. Raises GoBuildError."""
    return own_engine(os.environ.get("PATH", "")) or built_engine()


def own_engine(path: str) -> Path | None:
    """The directory of the user's `pulumi`, where that can serve; says on standard error why one cannot."""
    program = shutil.which("pulumi", path=path)
    if program is None:
        return None
    wrong = _unusable(Path(program))
    if wrong is None:
        return Path(program).resolve().parent
    print(f"{program} is left alone: {wrong}", file=sys.stderr)
    return None


def _unusable(program: Path) -> str | None:
    if not os.access(program.resolve().with_name(LANGUAGE_HOST), os.X_OK):
        return f"no {LANGUAGE_HOST} beside it"
    environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "1"}
    try:
        done = subprocess.run([program, "version"], env=environment, text=True, capture_output=True, timeout=_ASK_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"`pulumi version` did not end well: {error}"
    found = re.match(r"v?(\d+)\.(\d+)\.", done.stdout)
    if found is None:
        return f"`pulumi version` said {done.stdout.strip() or done.stderr.strip()!r}"
    if tuple(map(int, found.groups())) < LEAST:
        return f"it is {done.stdout.strip()}, and {'.'.join(map(str, LEAST))} is the least"
    return None
