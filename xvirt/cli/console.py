"""`console`: this terminal becomes the machine's serial console.

keys -> _send -> node -> guest -> node -> _Reader (a thread) -> screen. The thread ends with the stream and wakes `_send` by a pipe.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from types import FrameType

import click

from xvirt.cli.act import write_bytes
from xvirt.cli.failures import note
from xvirt.cli.session import Session, pass_session
from xvirt.cli.words import parse_machine, short_name
from xvirt.client.blocking import ConsoleSession

LEAVE = b"\x1d"
"""Ctrl-], as telnet and virsh have it."""
LINGER_S = 2.0
"""How long the answer to piped input is waited for after the input's end."""


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="[vm] NAME")
@click.option("--force", is_flag=True, help="Take it from whoever has it.")
@pass_session
def console(session: Session, words: tuple[str, ...], force: bool) -> None:
    """The serial console. Ctrl-] leaves. Without a terminal, input and output are plain pipes."""
    ref = parse_machine(session.namespace, words)
    is_terminal = sys.stdin is not None and sys.stdin.isatty()
    with session.connect_node("console") as place:
        client = place.client
        client.get(ref)
        if is_terminal:
            note(f"Console of {short_name(ref)}. Ctrl-] leaves.")
        with client.console(ref, force=force) as stream, _raw_terminal(is_terminal=is_terminal):
            reader = _Reader(stream)
            reader.start()
            has_left = _send(stream, reader)
            if not has_left:
                reader.join(LINGER_S)
        if is_terminal:
            note("\nLeft." if has_left else "\nThe console has ended.")
        if reader.error is not None and not has_left:
            raise reader.error


class _Reader(threading.Thread):
    """Output of the guest to standard output. `error` is why it ended, where that is no plain end."""

    def __init__(self, stream: ConsoleSession) -> None:
        super().__init__(name="console-output", daemon=True)
        self._stream = stream
        self.ended, self._end = os.pipe()
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            while (data := self._stream.read()) is not None:
                write_bytes(data)
        except Exception as error:  # noqa: BLE001 - the main thread raises it
            self.error = error
        finally:
            os.close(self._end)


def _send(stream: ConsoleSession, reader: _Reader) -> bool:
    """Keys to the guest, until Ctrl-] (True), the input's end or the stream's."""
    if sys.stdin is None:
        return False
    keys = sys.stdin.fileno()
    while True:
        ready, _, _ = select.select([keys, reader.ended], [], [])
        if reader.ended in ready:
            return False
        data = _read_keys(keys)
        head, is_leaving, _ = data.partition(LEAVE)
        if head:
            stream.write(head)
        if is_leaving:
            return True
        if not data:
            return False


def _read_keys(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1024)
    except OSError:  # EIO: the terminal is gone
        return b""


def _exit(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


@contextlib.contextmanager
def _raw_terminal(*, is_terminal: bool) -> Iterator[None]:
    """Keys go to the guest one by one; the terminal is as before afterwards, also after SIGTERM and SIGHUP."""
    if not is_terminal:
        yield
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    handlers = {number: signal.signal(number, _exit) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        tty.setraw(descriptor, termios.TCSANOW)
        yield
    finally:
        with contextlib.suppress(termios.error):  # a terminal that is gone
            # At once: draining would wait for a terminal that takes nothing any more.
            termios.tcsetattr(descriptor, termios.TCSANOW, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
