"""Running a build tool: quiet when it works, with its whole output when it fails."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class GuestBuildError(RuntimeError):
    """The guest image cannot be built; the message names the command or file and what it said."""


def run_tool(argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Standard output of `argv`. Raises GuestBuildError when it is missing or fails."""
    try:
        done = subprocess.run(argv, cwd=cwd, env=env, text=True, stdin=subprocess.DEVNULL, capture_output=True)
    except FileNotFoundError as error:
        raise GuestBuildError(f"{argv[0]} is not installed; run ./dev setup (looked for {error.filename})") from error
    if done.returncode != 0:
        detail = (done.stderr or done.stdout).strip()
        raise GuestBuildError(f"`{' '.join(argv)}` failed with exit code {done.returncode}: {detail}")
    return done.stdout
