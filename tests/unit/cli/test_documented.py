"""docs/cli.md and README.md against the command tree and the table of exit codes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from xvirt.cli import exit_codes
from xvirt.cli.main import COMMON, cli

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "cli.md").read_text()


def leaves(group: click.Group, prefix: str = "") -> dict[str, click.Command]:
    """Commands by their words."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= leaves(command, f"{prefix}{name} ")
        else:
            found[prefix + name] = command
    return found


COMMANDS = leaves(cli)


def table(heading: str) -> list[list[str]]:
    """Rows of the first table below a heading of the page."""
    lines = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ")[0].splitlines()
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def documented() -> dict[str, str]:
    """The first column of each command's row, by command."""
    found: dict[str, str] = {}
    for row in table("Commands"):
        words = re.findall(r"`([a-z]+(?: [a-z]+-?[a-z]+)?)", row[0])
        for name in words:
            known = name if name in COMMANDS else name.split()[0]
            found[known] = row[0]
    return found


def test_every_command_is_documented_and_every_documented_command_exists() -> None:
    assert set(documented()) == set(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_documented_option_exists(name: str) -> None:
    known = {option for parameter in COMMANDS[name].params for option in (*parameter.opts, *parameter.secondary_opts)}
    mentioned = set(re.findall(r"(?<![\w-])(--?[a-z][a-z-]*|-[A-Z])\b", documented()[name].split(". `stop`")[0]))
    mentioned -= {"-pki"}
    assert mentioned <= known


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself_and_its_options(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


def test_the_table_of_exit_codes_is_the_programs() -> None:
    told = {int(row[0]) for row in table("Exit codes")}
    named = {value for name, value in vars(exit_codes).items() if name.isupper() and isinstance(value, int)}
    assert told == named | set(exit_codes.CODES.values())


def test_every_setting_of_the_environment_is_documented() -> None:
    read = "".join(file.read_text() for file in Path(exit_codes.__file__).parent.glob("*.py"))
    variables = {item.variable for item in COMMON if item.variable} | set(re.findall(r"\bXVIRT_[A-Z_]+", read))
    assert set(re.findall(r"XVIRT_[A-Z_]+", PAGE)) == variables


def commands_of_texts() -> list[tuple[str, str]]:
    """Lines that run xvirt, of the README, the examples and the pages."""
    texts = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("examples/*/README.md"))]
    found = []
    for path in texts:
        for block in re.findall(r"^```\w*\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE):
            found += [
                (str(path.relative_to(ROOT)), line) for line in re.findall(r"^(?:\$ )?xvirt .*$", block, re.MULTILINE)
            ]
    return found


@pytest.mark.parametrize(("path", "line"), commands_of_texts())
def test_a_command_line_that_a_text_shows_is_understood(path: str, line: str) -> None:
    words = shlex.split(line.removeprefix("$ ").split(" | ")[0].split(" > ")[0], comments=True)[1:]
    context = cli.make_context("xvirt", words, resilient_parsing=False)
    name, command, rest = cli.resolve_command(context, [*context._protected_args, *context.args])
    assert command is not None
    command.make_context(name, rest, parent=context)
