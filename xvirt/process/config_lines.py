"""In which line of a YAML file a path stands, so that a mistake can be named by both."""

from __future__ import annotations

import dataclasses
import re

import yaml

from xvirt.model.errors import InvalidSpec, Problem

_LAST_PART = re.compile(r"(\.?[^.\[\]]+|\[\d+\])$")


def find_lines(text: str) -> dict[str, int]:
    """Path (`clients[0].profiles`) -> line, from 1, of every key and entry of a file that has been read without error."""
    found: dict[str, int] = {}
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is not None:
        _walk(root, "", found)
    return found


def _walk(node: yaml.Node, path: str, found: dict[str, int]) -> None:
    found.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = f"{path}.{key.value}" if path else str(key.value)
            found[below] = key.start_mark.line + 1
            _walk(value, below, found)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            _walk(item, f"{path}[{number}]", found)


def place(problem: Problem, source: str, lines: dict[str, int]) -> Problem:
    """The problem with file and line before its path. What is missing has the line of what it is missing from."""
    path = problem.path
    while path and path not in lines:
        path = _LAST_PART.sub("", path)
    where = f"{source}:{lines.get(path, 1)}"
    return dataclasses.replace(problem, path=f"{where}: {problem.path}" if problem.path else where)


def refuse(problems: list[Problem], source: str, text: str) -> InvalidSpec:
    """The error for a file's mistakes, in the order of its lines."""
    lines = find_lines(text)
    placed = [place(problem, source, lines) for problem in problems]
    return InvalidSpec(sorted(placed, key=_line_of), reason="InvalidConfig")


def _line_of(problem: Problem) -> int:
    match = re.search(r":(\d+)(?:: |$)", problem.path)
    return int(match[1]) if match else 0
