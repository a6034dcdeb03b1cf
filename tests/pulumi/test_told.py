"""What the engine prints and writes down: errors as one sentence, the command line's words, and never a secret."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.declared import Declared, vm
from tools.lab import Node
from tools.pulumi.stack import Stack
from xvirt.model.kinds import BY_NAME
from xvirt_provider.naming import python_path

INLINE, KEYED = "word-inline-5e1f", "word-keyed-77ac"
"""Texts for the guest that nobody may find anywhere but on the node."""
SECRETIVE = """
from xvirt_provider import Options, VirtualMachine

for name, user_data in (("inline", {{"inline": "#!/bin/sh\\n# {inline}\\n"}}), ("keyed", {{"secret": "init", "key": "text"}})):
    VirtualMachine(
        name,
        memory={{"size": "{memory}", "max": "64Mi"}},
        run_strategy="Halted",
        cloud_init={{"user_data": user_data}},
        secrets={{"init": {{"text": "#!/bin/sh\\n# {keyed}{more}\\n"}}}},
    )
"""
BAD: tuple[dict[str, Any], ...] = (
    {"memory": {"size": "lots"}, "cpu": {"cores": 0}, "runStrategy": "Sometimes"},
    {"memory": {"size": "32Mi"}, "cloudInit": {"userData": {}}, "disks": [{"name": "root", "source": {}}]},
)


@pytest.fixture(scope="module")
def stack(make_stack: Callable[[], Stack]) -> Stack:
    return make_stack()


def _snake(value: Any) -> Any:
    """A document's spec in a program's words; right for the names that are used here."""
    if isinstance(value, dict):
        return {_word(key): _snake(item) for key, item in value.items()}
    return [_snake(item) for item in value] if isinstance(value, list) else value


def _word(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _refused_by_xvirt(node: Node, spec: dict[str, Any], file: Path) -> list[tuple[str, str]]:
    """Paths and messages of the command line."""
    metadata = {"name": "web"}
    document = {"apiVersion": "xvirt.io/v1alpha1", "kind": "VirtualMachine", "metadata": metadata, "spec": spec}
    file.write_text(yaml.safe_dump(document))
    argv = [
        str(Path(sys.executable).with_name("xvirt")),
        "--node",
        f"unix://{node.socket_path}",
        "apply",
        "-f",
        str(file),
    ]
    done = subprocess.run(argv, text=True, capture_output=True, timeout=60)
    assert done.returncode == 3, done
    lines = [line.partition(f"{file.name}:1: ")[2] for line in done.stderr.splitlines() if f"{file.name}:1: " in line]
    return [(path, message) for path, _, message in (line.partition(": ") for line in lines)]


@pytest.mark.parametrize("spec", BAD, ids=["values", "what goes together"])
def test_row_104_a_bad_declaration_is_told_as_the_command_line_tells_it(
    stack: Stack, declared: Declared, node: Node, tmp_path: Path, spec: dict[str, Any]
) -> None:
    expected = _refused_by_xvirt(node, spec, tmp_path / "web.yaml")
    assert len(expected) > 1
    arguments = "".join(f"    {key}={value!r},\n" for key, value in _snake(spec).items())
    stack.write(f'from xvirt_provider import VirtualMachine\n\nVirtualMachine(\n    "web",\n{arguments})\n')
    failed = stack.preview().assert_failed()
    cls = BY_NAME["VirtualMachine"].spec
    told = [error.partition(" has a problem: ")[2] for error in failed.errors if " has a problem: " in error]
    assert sorted(told) == sorted(f"{python_path(cls, path)}: {message}" for path, message in expected), failed.text
    assert declared.client.list_objects() == []


def test_row_99_an_error_is_one_sentence_with_object_and_remedy(stack: Stack, declared: Declared, node: Node) -> None:
    declared.apply(_halted("web"))
    stack.machine(run_strategy="Halted")
    failed = stack.up().assert_failed()
    (error,) = [text for text in failed.errors if "default/web" in text]
    assert error == (
        f"Failed: VirtualMachine default/web is owned by authority local, not {stack.authority};"
        " delete it there or rename this one"
    )
    assert error in failed.text


def _halted(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "VirtualMachine",
        "metadata": {"name": name},
        "spec": {"memory": {"size": "32Mi"}, "runStrategy": "Halted"},
    }


def test_row_99_a_traceback_comes_only_when_it_is_asked_for(
    stack: Stack, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.configure(node="unix:///nowhere/node.sock")
    stack.machine(run_strategy="Halted")
    quiet = stack.up().assert_failed()
    stack.more["XVIRT_DEBUG"] = "1"
    loud = stack.up()
    del stack.more["XVIRT_DEBUG"]
    stack.configure(node=f"unix://{node.socket_path}")
    assert "Traceback (most recent call last)" in loud.text
    assert "xvirt_provider/core.py" in loud.text
    for found in (quiet, loud):
        assert "node at unix:///nowhere/node.sock cannot be reached" in found.text


def test_row_99_no_secret_stands_in_a_state_or_in_what_is_printed(stack: Stack, declared: Declared, node: Node) -> None:
    texts = []
    for memory, more in (("32Mi", ""), ("48Mi", " changed")):
        stack.write(SECRETIVE.format(inline=INLINE, keyed=KEYED, memory=memory, more=more))
        texts += [stack.preview("--diff").assert_ok().text, stack.up("--diff", "--show-full-output").assert_ok().text]
    assert declared.get(vm("keyed"))["spec"]["memory"]["size"] == "48Mi"
    texts += [stack.refresh("--diff").assert_ok().text, stack.run("stack", "export").assert_ok().text]
    texts += [stack.destroy("--diff").assert_ok().text]
    files = [path for root in (stack.backend, stack.directory) for path in root.rglob("*") if path.is_file()]
    texts += [path.read_text(errors="replace") for path in files if path.suffix not in (".py", ".pyc")]
    assert len(texts) > 12
    assert any("v1:" in text for text in texts), "encrypted, that is"
    for text in texts:
        for word in (INLINE, KEYED, "<domain", "#!/bin/sh"):
            assert word not in text
