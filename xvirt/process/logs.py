"""The log: lines for people, or one JSON object per line for machines; to stderr, which systemd keeps."""

from __future__ import annotations

import datetime
import enum
import json
import logging
import os
import sys
from collections.abc import Mapping


class LogFormat(enum.Enum):
    """How a line looks."""

    TEXT = "text"
    JSON = "json"


class LogLevel(enum.Enum):
    """What is told: this and what is worse."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""syslog(3) priorities, as sd-daemon(3) reads them from `<N>`."""


class JsonFormatter(logging.Formatter):
    """`{"time", "level", "logger", "thread", "message", "error"?}`, a line each."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        entry = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "thread": record.threadName,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


class JournalFormatter(logging.Formatter):
    """Each line with its priority and without a time: the journal has both."""

    def __init__(self) -> None:
        super().__init__("%(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        priority = next((number for level, number in _PRIORITIES if record.levelno >= level), 7)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


class TextFormatter(logging.Formatter):
    """Time, level, logger, message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")


def make_formatter(wanted: LogFormat, environment: Mapping[str, str] = os.environ) -> logging.Formatter:
    """The formatter; text goes to the journal in its own form where stderr is the journal (systemd sets JOURNAL_STREAM)."""
    if wanted is LogFormat.JSON:
        return JsonFormatter()
    return JournalFormatter() if _is_journal(environment) else TextFormatter()


def _is_journal(environment: Mapping[str, str]) -> bool:
    device, _, inode = environment.get("JOURNAL_STREAM", "").partition(":")
    try:
        state = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return f"{state.st_dev}:{state.st_ino}" == f"{device}:{inode}"


def start_logging(wanted: LogFormat, level: LogLevel) -> None:
    """Log to stderr from now on, in place of what was set up before."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(make_formatter(wanted))
    logging.basicConfig(level=level.name, handlers=[handler], force=True)
