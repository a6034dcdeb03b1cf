"""docs/import.md is run as it is printed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from xvirt.cli.main import main

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "import.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_the_page_prints_what_the_command_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    told: list[str] = []
    for language, text in BLOCKS:
        if language in ("yaml", "json"):
            name, _, rest = text.partition("\n")
            Path(name.removeprefix("# ")).write_text(rest)
        elif language == "console":
            command, _, output = text.removeprefix("$ xvirt ").partition("\n")
            assert main(shlex.split(command)) == 0
            answer = capsys.readouterr()
            assert answer.out == output
            said.append(answer.err)
        elif language == "told":
            told.append(text)
    assert len(said) == 2
    assert said == told
