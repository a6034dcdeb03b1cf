"""Which `pulumi` the tests take, and what a built one is put together from."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.golang import GoProgram
from tools.pulumi import engine_build
from tools.pulumi.engine_place import LEAST, own_engine


def _put(folder: Path, name: str, says: str) -> Path:
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{says}\n")
    program.chmod(0o755)
    return program


def test_the_users_own_pulumi_is_taken_with_its_language_host(tmp_path: Path) -> None:
    _put(tmp_path / "own", "pulumi", "echo v3.259.0")
    _put(tmp_path / "own", "pulumi-language-python", "")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pulumi").symlink_to(tmp_path / "own" / "pulumi")
    assert own_engine(str(tmp_path / "bin")) == tmp_path / "own"


@pytest.mark.parametrize(
    ("says", "has_host", "reason"),
    [
        ("echo v3.259.0", False, "no pulumi-language-python beside it"),
        ("echo v3.99.1", True, f"v3.99.1, and {LEAST[0]}.{LEAST[1]} is the least"),
        ("echo broken >&2; exit 1", True, "`pulumi version` said 'broken'"),
    ],
)
def test_one_that_cannot_serve_is_left_alone_and_why_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], says: str, has_host: bool, reason: str
) -> None:
    program = _put(tmp_path / "bin", "pulumi", says)
    if has_host:
        _put(tmp_path / "bin", "pulumi-language-python", "")
    assert own_engine(str(tmp_path / "bin")) is None
    said = capsys.readouterr().err
    assert f"{program} is left alone" in said
    assert reason in said


def test_nothing_on_path_is_no_pulumi(tmp_path: Path) -> None:
    assert own_engine(str(tmp_path)) is None


def test_the_version_that_is_written_into_the_program_is_the_modules() -> None:
    text = (engine_build.MODULE / "go.mod").read_text()
    assert f"github.com/pulumi/pulumi/pkg/v3 {engine_build.VERSION} " in text
    assert f"{engine_build.SDK} {engine_build.VERSION} " in text


def test_scripts_and_language_host_lie_beside_the_built_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    program: GoProgram = engine_build.PROGRAM
    program.directory.mkdir(parents=True)
    program.path.touch()
    for script in engine_build.SCRIPTS:
        (program.directory / Path(script).name).touch()
    directory = engine_build.built_engine()
    host = directory / "pulumi-language-python"
    (directory / "language_host.py").write_text("an older clone's")
    assert engine_build.built_engine() == program.directory
    environment = {**os.environ, "PULUMI_PYTHON_CMD": sys.executable}
    with subprocess.Popen(
        [host, "127.0.0.1:1"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as served:
        assert served.stdout is not None
        assert served.stderr is not None
        assert int(served.stdout.readline()) > 0
        served.terminate()
        assert served.wait(timeout=30) == 0
        assert served.stderr.read() == b""
