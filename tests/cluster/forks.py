"""Operators that are forked from a process that has imported everything: what is started a hundred times need not be loaded as often.

From its first line on, such an operator is the program: same command line, its own process, killed and waited for as any other.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from xvirt.operator import main

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__, "pytest"])  # a child looks at the main module of its parent


class Fork:
    """One operator, with what `subprocess.Popen` has of it."""

    def __init__(self, arguments: Sequence[str], log: Path) -> None:
        self._process = _CONTEXT.Process(target=_be_operator, args=(tuple(arguments), log), daemon=True)
        self._process.start()
        self._arguments = arguments

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Its exit code, where it has ended."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout: float) -> int:
        """Its exit code, once it has ended. Raises subprocess.TimeoutExpired."""
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(self._arguments, timeout)
        return code


def _be_operator(arguments: Sequence[str], log: Path) -> None:
    with log.open("ab") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    sys.argv = [main.PROGRAM.name, *arguments]
    main.run()
