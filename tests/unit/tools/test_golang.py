"""Go programs are built once and never half."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools import golang
from tools.golang import GoBuildError, GoProgram, build, find_go

_STUB = """#!/bin/sh
case "$1" in
env) echo {version} ;;
build)
  echo built >>"$STUB_LOG"
  [ -z "$STUB_FAILS" ] || {{ echo "main.go:3: no such thing" >&2; exit 1; }}
  while [ "$1" != -o ]; do shift; done
  echo program >"$2" ;;
esac
"""


@pytest.fixture
def module(tmp_path: Path) -> Path:
    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "go.mod").write_text("module x\n\ngo 1.26.0\n")
    (folder / "main.go").write_text("package main\n")
    return folder


@pytest.fixture
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log with a line for each build by a Go of our own making, which is alone on PATH."""
    _put_go(tmp_path / "bin", "go1.26.1")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("STUB_LOG", str(tmp_path / "log"))
    (tmp_path / "log").touch()
    return tmp_path / "log"


def _put_go(folder: Path, version: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "go").write_text(_STUB.format(version=version))
    (folder / "go").chmod(0o755)


def test_a_program_is_built_once_and_anew_after_a_change_of_its_sources(module: Path, builds: Path) -> None:
    program = GoProgram("thing", module)
    first = build(program)
    assert first.read_text() == "program\n"
    assert build(program) == first
    assert builds.read_text() == "built\n"
    (module / "main.go").write_text("package main // changed\n")
    assert build(program) != first
    assert builds.read_text() == "built\nbuilt\n"


def test_a_failed_build_says_what_the_compiler_said_and_leaves_nothing(
    module: Path, builds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_FAILS", "1")
    program = GoProgram("thing", module)
    with pytest.raises(GoBuildError, match=r"main.go:3: no such thing"):
        build(program)
    assert [entry.name for entry in (golang.cache_directory() / "thing").iterdir()] == ["lock"]


def test_two_processes_that_ask_at_once_build_once(module: Path, builds: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tools.golang import *; build(GoProgram('thing', Path(sys.argv[1])))"
    )
    both = [subprocess.Popen([sys.executable, "-c", code, str(module)]) for _ in range(2)]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    assert builds.read_text() == "built\n"


def test_a_go_that_is_too_old_is_passed_over(
    module: Path, builds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_go(module) == str(tmp_path / "bin" / "go")
    _put_go(tmp_path / "bin", "go1.9.7")
    with pytest.raises(GoBuildError, match="no Go that is new enough"):
        find_go(module)
    installed = golang.cache_directory() / "go" / golang.GO_WHEEL.replace("==", "-")
    (installed / "go" / "bin").mkdir(parents=True)
    assert find_go(module) == str(installed / "go" / "bin" / "go")
