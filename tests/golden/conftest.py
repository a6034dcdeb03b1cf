"""Totals that tests record (`record_property("totals", line)`) are printed at the end, also where tests run in several processes."""

from __future__ import annotations

from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line for each total."""
    reports = [report for key in ("passed", "failed") for report in terminalreporter.stats.get(key, ())]
    lines = [str(value) for report in reports for name, value in report.user_properties if name == "totals"]
    for line in dict.fromkeys(lines):
        terminalreporter.write_line(line)
