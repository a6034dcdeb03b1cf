"""The command line that every process that serves has: its config file, a check of that alone, and the log over the config."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, Protocol, TypeVar

from xvirt import __version__
from xvirt.process.config import explain
from xvirt.process.logs import LogFormat, LogLevel, start_logging


class Logged(Protocol):
    """A config that says how its process logs."""

    @property
    def log_format(self) -> LogFormat: ...

    @property
    def log_level(self) -> LogLevel: ...


C = TypeVar("C", bound=Logged)


@dataclasses.dataclass(frozen=True)
class Program:
    """A process's name, what it is, and where its config file is unless `--config` says otherwise."""

    name: str
    description: str
    config_file: Path

    def read_arguments(self) -> argparse.Namespace:
        """The command line. Ends the process where it is wrong, or asks for help or the version."""
        parser = argparse.ArgumentParser(prog=self.name, description=self.description)
        parser.add_argument("--config", type=Path, default=self.config_file, help="config file (YAML)")
        parser.add_argument("--check-config", action="store_true", help="only say whether the config file is right")
        parser.add_argument(
            "--log-level", type=str.lower, choices=[item.value for item in LogLevel], help="over the config"
        )
        parser.add_argument("--log-format", choices=[item.value for item in LogFormat], help="over the config")
        parser.add_argument("--version", action="version", version=__version__)
        return parser.parse_args()

    def begin(self, arguments: argparse.Namespace, load: Callable[[Path], C]) -> C | None:
        """Read the config and start the log; None where the config was only to be checked, and is right. Raises what `load` raises."""
        config = load(arguments.config)
        if arguments.check_config:
            print(f"{arguments.config}: right")
            return None
        start_logging(
            LogFormat(arguments.log_format) if arguments.log_format else config.log_format,
            LogLevel(arguments.log_level) if arguments.log_level else config.log_level,
        )
        return config

    def tell(self, error: BaseException) -> None:
        """Say why it does not start, or ends."""
        for line in explain(error):
            print(f"{self.name}: {line}", file=sys.stderr)


def leave(code: int) -> NoReturn:
    """End the process without waiting for threads: of gRPC, or of a call that hangs."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
