"""Each `NAME.in.*` beside this file, as `xvirt import` prints it (`NAME.out.yaml`) and what it says of it (`NAME.told.txt`)."""

from __future__ import annotations

from pathlib import Path

import click.testing
import pytest

from xvirt.cli.main import cli

HERE = Path(__file__).parent
INPUTS = sorted(HERE.glob("*.in.*"))


@pytest.mark.parametrize("path", INPUTS, ids=[path.name.partition(".")[0] for path in INPUTS])
def test_a_document_comes_over_as_it_is_written_down_here(path: Path, tmp_path: Path) -> None:
    name = path.name.partition(".")[0]
    source = path
    if path.suffix == ".json":
        source = tmp_path / f"{name}.tfstate"
        source.write_bytes(path.read_bytes())
    result = click.testing.CliRunner().invoke(cli, ["import", str(source)])
    assert result.exit_code == 0, result.output
    assert result.stdout == (HERE / f"{name}.out.yaml").read_text()
    assert result.stderr == (HERE / f"{name}.told.txt").read_text()
