"""docs/pulumi.md is run as it is printed, with the real engine and a real guest."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.declared import Declared, has_agent, vm
from tools.lab import Node
from tools.pulumi.stack import Stack
from xvirt.model.exchange import ObjectRef

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "pulumi.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
FLAGS = {"preview": "", "up": " --yes --skip-preview", "destroy": " --yes --skip-preview"}
ALREADY = ("pulumi login", "pulumi stack init")
"""What the fixture has done, with a state and a node of its own."""
IMAGE = "/var/lib/xvirt/images/guest.qcow2"


def plain(line: str) -> str:
    """A line without what differs from run to run: times, addresses, blanks, and the stack's row that the engine puts before a message."""
    line = re.sub(r"^\s*pulumi:pulumi:Stack \S+ (?:\w+ )?", "", line)
    line = re.sub(r"\(\d+(\.\d+)?s\)", "(TIME)", line)
    return " ".join(re.sub(r"192\.168\.190\.\d+", "ADDRESS", line).split())


class Page:
    """The reader's shell."""

    def __init__(self, stack: Stack, node: Node) -> None:
        self._stack = stack
        own = {
            "XVIRT_NODE": f"unix://{node.socket_path}",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        environment = stack.environment()
        self._environment = {**environment, **own, "PATH": f"{own['PATH'].partition(':')[0]}:{environment['PATH']}"}

    def run(self, command: str) -> str:
        """What a command prints. Fails where it fails."""
        match = re.fullmatch(r"pulumi (preview|up|destroy)", command)
        if match:
            command += (
                f"{FLAGS[match[1]]} --color never --non-interactive --suppress-progress --stack {self._stack.name}"
            )
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self._stack.directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout


@pytest.fixture(scope="module")
def stack(make_stack: Callable[[], Stack], node: Node, guest_image: Path) -> Stack:
    node.run(["sh", "-c", f"mkdir -p {Path(IMAGE).parent} && cp {guest_image} {IMAGE}"])
    made = make_stack()
    (made.directory / "__main__.py").write_text(next(text for language, text in BLOCKS if language == "python"))
    return made


def test_row_99_the_page_prints_what_the_commands_print(stack: Stack, node: Node, declared: Declared) -> None:
    page, commands = Page(stack, node), 0
    for part in (part for language, text in BLOCKS if language == "console" for part in text.split("$ ")[1:]):
        command, _, wanted = part.partition("\n")
        if command.startswith(ALREADY):
            continue
        if command.startswith("sed") and commands == 3:
            declared.wait(vm("web"), has_agent, "with its agent")
        started = node.virsh("domid", "default_web", check=False)
        printed = page.run(command)
        found = {plain(line) for line in printed.splitlines()}
        missing = [line for line in wanted.splitlines() if plain(line) not in found]
        assert not missing, f"{command}: {missing}\n{printed}"
        if command == "pulumi up" and "web updated" in wanted:
            assert node.virsh("domid", "default_web") == started, "the same process"
        commands += 1
    assert commands == 13
    node.run(["rm", "/var/lib/xvirt/pool/default_web_root.qcow2"])  # and with it goes the image, as the page says
    declared.wait_gone(ObjectRef(kind="VirtualImage", namespace="default", name="guest"))
