"""`console` on a real terminal (a pty) and on pipes."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import termios
from collections.abc import Iterator

import pytest

from tests.unit.cli.live_node import MACHINE, VM, XVIRT, LiveNode, eventually

LFLAG = 3


class Terminal:
    """A pty with a command on it. `mode` is the terminal's settings as the kernel has them."""

    def __init__(self, node: LiveNode, *arguments: str) -> None:
        self.outer, self.inner = pty.openpty()
        self.before = self.mode
        self.running = subprocess.Popen(
            [*XVIRT, *arguments],
            stdin=self.inner,
            stdout=self.inner,
            stderr=self.inner,
            env=node.environment(),
            start_new_session=True,
        )
        self.seen = b""

    @property
    def mode(self) -> list[object]:
        return termios.tcgetattr(self.inner)

    @property
    def is_raw(self) -> bool:
        return not int(str(self.mode[LFLAG])) & termios.ICANON

    def type(self, data: bytes) -> None:
        os.write(self.outer, data)

    def read_until(self, text: bytes) -> None:
        while text not in self.seen:
            self.seen += os.read(self.outer, 4096)

    def end(self) -> int:
        """The exit code; what the command wrote last stands in `seen`."""
        code = self.running.wait(timeout=30)
        os.set_blocking(self.outer, False)
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.outer, 4096):
                self.seen += data
        return code

    def close(self) -> None:
        self.running.kill()
        self.running.wait()
        for descriptor in (self.inner, self.outer):
            with contextlib.suppress(OSError):
                os.close(descriptor)


@contextlib.contextmanager
def terminal(node: LiveNode, *arguments: str) -> Iterator[Terminal]:
    made = Terminal(node, *arguments)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def running(node: LiveNode) -> LiveNode:
    node.declare(MACHINE)
    return node


def test_row_71_keys_reach_the_guest_one_by_one_and_its_output_comes_back(running: LiveNode) -> None:
    with terminal(running, "console", "web") as screen:
        screen.read_until(f"Console of {VM}/web. Ctrl-] leaves.".encode())
        eventually(lambda: screen.is_raw)
        screen.type(b"~")
        screen.read_until(b"~")
        screen.type(b"\x03\x1a")  # Ctrl-C and Ctrl-Z are the guest's
        screen.read_until(b"\x03\x1a")
        assert screen.running.poll() is None


def test_ctrl_bracket_leaves_and_the_terminal_is_as_before(running: LiveNode) -> None:
    with terminal(running, "console", "web") as screen:
        eventually(lambda: screen.is_raw)
        screen.type(b"last words\x1dnever sent")
        assert screen.end() == 0
        assert screen.mode == screen.before
        assert b"Left." in screen.seen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_as_before_after_a_signal(running: LiveNode, number: signal.Signals) -> None:
    with terminal(running, "console", "web") as screen:
        eventually(lambda: screen.is_raw)
        screen.running.send_signal(number)
        assert screen.end() == 128 + number
        assert screen.mode == screen.before
        assert b"Traceback" not in screen.seen


def test_the_terminal_is_as_before_when_the_node_goes_away(running: LiveNode) -> None:
    with terminal(running, "console", "web") as screen:
        eventually(lambda: screen.is_raw)
        screen.type(b"~")
        screen.read_until(b"~")
        running.server.stop(0.0)
        assert screen.end() in (0, 8)
        assert screen.mode == screen.before
        assert b"The console has ended." in screen.seen
        assert b"Traceback" not in screen.seen


def test_the_console_ends_with_the_machine(running: LiveNode) -> None:
    with terminal(running, "console", "web") as screen:
        eventually(lambda: screen.is_raw)
        screen.type(b"~")
        screen.read_until(b"~")
        console = running.hypervisor.domain(running.uid()).console
        assert console is not None
        console.close()
        assert screen.end() == 0
        assert screen.mode == screen.before


def test_without_a_terminal_input_and_output_are_pipes(running: LiveNode) -> None:
    with running.process("console", "web") as piped:
        output, error = piped.communicate(b"uptime\n", timeout=30)
    assert (piped.returncode, output, error) == (0, b"uptime\n", b"")


def test_a_console_that_somebody_has_is_refused_until_it_is_taken_by_force(running: LiveNode) -> None:
    with terminal(running, "console", "web") as first:
        eventually(lambda: first.is_raw)
        first.type(b"~")
        first.read_until(b"~")
        with running.process("console", "web", stdin=subprocess.DEVNULL) as second:
            _, error = second.communicate(timeout=30)
        assert second.returncode == 7
        assert b"Active console session" in error
        with terminal(running, "console", "web", "--force") as third:
            assert first.end() == 0
            third.type(b"%")
            third.read_until(b"%")


def test_a_console_that_cannot_be_had_says_why_and_leaves_the_terminal_alone(running: LiveNode) -> None:
    running.xvirt("stop", "web")
    assert running.xvirt("console", "nope").code == 4
    with terminal(running, "console", "web") as screen:
        assert screen.end() == 7
        assert screen.mode == screen.before
        assert b"is not running; start it first" in screen.seen
