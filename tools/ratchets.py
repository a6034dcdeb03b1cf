"""Limits that only get tighter: sizes of functions and modules, names that say nothing, words that mark unfinished work.

An exception stands in `EXCEPTIONS` with its reason; one that is no longer needed fails the check, too.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FUNCTION_MAX_LINES = 60
MODULE_MAX_LINES = 600
PARAMETERS_MAX = 8
"""DESIGN asks for five; click's commands take one per option."""

EXCEPTIONS: dict[str, str] = {
    "xvirt_provider/arguments.py": "generated; all of the model's fields",
    "xvirt_provider/resources.py": "generated; one argument a field is what editors complete",
}
_FORBIDDEN_NAMES = re.compile(r"(manager|helper|utils)", re.IGNORECASE)
_FORBIDDEN_TEXT = re.compile(r"\bTODO\b|\bFIXME\b|NotImplementedError|shell=True|pytest\.mark\.(skip|xfail)\b")


def python_files() -> list[Path]:
    """Python files that git knows, generated ones left out."""
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.py"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    return [ROOT / name for name in names if "_pb2" not in name and (ROOT / name).is_file()]


def problems_of(path: Path) -> list[str]:
    """What breaks a limit in one file."""
    name = str(path.relative_to(ROOT))
    text = path.read_text()
    lines = text.splitlines()
    found = []
    if len(lines) > MODULE_MAX_LINES:
        found.append(f"{name}: {len(lines)} lines, at most {MODULE_MAX_LINES}")
    if _FORBIDDEN_NAMES.search(path.stem):
        found.append(f"{name}: a module is called for what it holds")
    if path.name != "ratchets.py":
        for number, line in enumerate(lines, 1):
            if _FORBIDDEN_TEXT.search(line):
                found.append(f"{name}:{number}: marks unfinished or hidden work: {line.strip()[:80]}")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found += _function_problems(name, node)
    return found


def _function_problems(name: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    size = (node.end_lineno or node.lineno) - node.lineno + 1
    found = []
    if size > FUNCTION_MAX_LINES:
        found.append(f"{name}:{node.lineno}: {node.name} has {size} lines, at most {FUNCTION_MAX_LINES}")
    count = len(node.args.args) + len(node.args.kwonlyargs)
    if count > PARAMETERS_MAX + 1:
        found.append(f"{name}:{node.lineno}: {node.name} has {count} parameters, at most {PARAMETERS_MAX}")
    return found


def main() -> int:
    """Print what breaks a limit; 1 where anything does."""
    broken = {path: problems_of(path) for path in python_files()}
    failures = []
    for path, found in broken.items():
        name = str(path.relative_to(ROOT))
        if name in EXCEPTIONS and not found:
            failures.append(f"{name}: its exception in tools/ratchets.py is no longer needed")
        elif name not in EXCEPTIONS:
            failures += found
    for line in failures:
        print(line, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
