"""`-w`: what changes later is seen, and Ctrl-C ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from tests.unit.cli.live_node import MACHINE, NETWORK, OTHER, VM, LiveNode, eventually


class Watched:
    """A running command, and what it has written so far."""

    def __init__(self, running: subprocess.Popen[bytes]) -> None:
        self.running = running
        self._parts: list[bytes] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.running.stdout is not None
        while data := os.read(self.running.stdout.fileno(), 4096):
            self._parts.append(data)

    @property
    def lines(self) -> list[list[str]]:
        return [line.split() for line in b"".join(self._parts).decode().splitlines()]

    def wait_for(self, *words: str) -> None:
        eventually(lambda: any(set(words) <= set(line) for line in self.lines))

    def interrupt(self) -> int:
        self.running.send_signal(signal.SIGINT)
        _, self.error = self.running.communicate(timeout=30)
        return self.running.returncode


def test_row_102_get_with_watch_sees_later_changes_and_ends_with_130_on_ctrl_c(node: LiveNode) -> None:
    node.declare(MACHINE)
    with node.process("get", "vm", "-w") as running:
        watched = Watched(running)
        watched.wait_for("web", "Running")
        node.xvirt("stop", "web")
        watched.wait_for("web", "Stopped")
        node.declare(OTHER)
        watched.wait_for("db", "Running")
        node.xvirt("delete", "vm", "web")
        watched.wait_for(f"{VM}/web", "deleted")
        assert watched.interrupt() == 130
    assert watched.lines[0] == ["NAME", "STATUS", "CPUS", "MEMORY", "ADDRESS"]
    assert watched.error.strip() == b""


def test_a_watch_shows_only_what_was_asked_for(node: LiveNode) -> None:
    node.declare(MACHINE, OTHER, NETWORK)
    with node.process("get", "vm", "-l", "app=web", "-w") as running:
        watched = Watched(running)
        watched.wait_for("web", "Running")
        node.xvirt("stop", "db")
        node.xvirt("stop", "web")
        watched.wait_for("web", "Stopped")
        watched.interrupt()
    assert not any("db" in line for line in watched.lines)


@pytest.mark.parametrize(("output", "text"), [("name", f"{VM}/web"), ("yaml", "printableStatus:"), ("json", '"kind":')])
def test_each_output_form_can_be_watched(node: LiveNode, output: str, text: str) -> None:
    node.declare(MACHINE)
    with node.process("get", "vm", "web", "-w", "-o", output) as running:
        watched = Watched(running)
        watched.wait_for(text)
        assert watched.interrupt() == 130


def test_a_watch_outlives_a_restart_of_the_node_and_shows_what_was_missed(node: LiveNode) -> None:
    node.declare(MACHINE, OTHER)
    with node.process("get", "vm", "-w") as running:
        watched = Watched(running)
        watched.wait_for("web", "Running")
        node.serve_again(lambda: node.delete_here("web"))
        watched.wait_for(f"{VM}/web", "deleted")
        assert watched.interrupt() == 130
    assert [line[0] for line in watched.lines].count("db") == 1
    assert b"watching again" in watched.error


def test_events_are_watched(node: LiveNode) -> None:
    node.declare(MACHINE)
    with node.process("events", "vm", "web", "-w") as running:
        watched = Watched(running)
        watched.wait_for("StartDomain")
        node.xvirt("stop", "web")
        watched.wait_for("Stop")
        assert watched.interrupt() == 130


def test_a_log_is_followed_from_its_last_lines(node: LiveNode) -> None:
    node.declare(MACHINE)
    node.log(b"one\ntwo\n")
    with node.process("logs", "web", "-f", "--tail", "1") as running:
        watched = Watched(running)
        watched.wait_for("two")
        node.log(b"three\n")
        watched.wait_for("three")
        assert watched.interrupt() == 130
    assert watched.lines == [["two"], ["three"]]


@pytest.mark.parametrize(
    "arguments",
    [
        ("apply", "--wait", "-f", "never.yaml"),
        ("wait", "vm", "web", "--for=condition=AgentConnected"),
        ("wait", "vm", "later", "--for=create"),
        ("stop", "web"),
        ("delete", "vm", "web"),
        ("logs", "web", "-f"),
        ("console", "web"),
    ],
)
def test_ctrl_c_ends_each_long_command_without_a_traceback(
    node: LiveNode, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    node.declare(MACHINE)
    node.hypervisor.domain(node.uid()).ignores_shutdown = True
    node.log(b"booted\n")
    never = MACHINE.replace("web", "never") + "  nics: [{name: lan, network: nowhere}]\n"
    (tmp_path / "never.yaml").write_text(never)
    before = len(node.calls)
    with node.process(*arguments, cwd=tmp_path, env=node.environment(PYTHONPATH=os.getcwd())) as running:
        eventually(lambda: len(node.calls) > before)
        running.send_signal(signal.SIGINT)
        _, error = running.communicate(timeout=30)
    assert running.returncode == 130, error
    assert b"Traceback" not in error
