"""Log lines."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

import pytest

from xvirt.process.logs import JournalFormatter, JsonFormatter, LogFormat, TextFormatter, make_formatter


def record(message: str, level: int = logging.INFO) -> logging.LogRecord:
    """A record."""
    return logging.LogRecord("nodeplugin.x", level, __file__, 1, message, (), None)


def test_a_json_line_is_one_object_whatever_the_message_holds() -> None:
    entry = record('two\nlines "quoted" ü')
    entry.created = 1_700_000_000.25
    line = JsonFormatter().format(entry)
    assert "\n" not in line
    found = json.loads(line)
    assert (found["time"], found["level"], found["logger"]) == ("2023-11-14T22:13:20.250Z", "info", "nodeplugin.x")
    assert found["message"] == 'two\nlines "quoted" ü'


def test_a_json_line_carries_the_traceback() -> None:
    entry = record("bug", logging.ERROR)
    try:
        raise ValueError("why")
    except ValueError:
        entry.exc_info = sys.exc_info()
    assert "ValueError: why" in json.loads(JsonFormatter().format(entry))["error"]


@pytest.mark.parametrize(("level", "priority"), [(logging.DEBUG, 7), (logging.INFO, 6), (logging.CRITICAL, 3)])
def test_each_line_for_the_journal_has_its_priority(level: int, priority: int) -> None:
    assert JournalFormatter().format(record("a\nb", level)) == f"<{priority}>nodeplugin.x: a\n<{priority}>b"


def test_text_is_for_the_journal_only_where_stderr_is_the_journal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (tmp_path / "stderr").open("w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        state = os.fstat(stderr.fileno())
        stream = {"JOURNAL_STREAM": f"{state.st_dev}:{state.st_ino}"}
        assert isinstance(make_formatter(LogFormat.TEXT, stream), JournalFormatter)
        assert isinstance(make_formatter(LogFormat.TEXT, {"JOURNAL_STREAM": "1:2"}), TextFormatter)
        assert isinstance(make_formatter(LogFormat.JSON, stream), JsonFormatter)
