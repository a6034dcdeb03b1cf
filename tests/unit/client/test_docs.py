"""docs/client.md: its programs run as they stand, and its figures and reasons are those of the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from nodeplugin.converge.hub import READER_QUEUE_MAX
from tests.unit.cli.live_node import LiveNode
from xvirt.client.schedule import PATIENCE, PAUSE_FIRST_S, PAUSE_MAX_S
from xvirt.wire import limits, status

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs/client.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def _run(node: LiveNode, program: str) -> list[str]:
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=node.environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def test_the_blocking_program_runs_as_it_stands(node: LiveNode) -> None:
    lines = _run(node, PROGRAMS[0])
    assert lines[0] == "stored as generation 1"
    assert "will define-domain" in lines
    assert lines[-2:] == ["running", "gone"]


def test_the_asyncio_program_runs_as_it_stands(node: LiveNode) -> None:
    assert _run(node, PROGRAMS[1]) == ["node-a has 0 machines", "snapshot complete"]


def test_the_figures_are_those_of_the_code() -> None:
    for told in (
        f"`Patience.call_s`, {PATIENCE.call_s:g} s",
        f"`Patience.repeat_within_s`, {PATIENCE.repeat_within_s:g} s; pauses of {PAUSE_FIRST_S:g} to {PAUSE_MAX_S:g} s",
        f"`Patience.silence_s`, {PATIENCE.silence_s:g} s; the node sends a heartbeat every {limits.HEARTBEAT_INTERVAL_S:g} s",
        f"| making a connection | {limits.CONNECT_TIMEOUT_MS // 1000} s |",
        f"| a message | {limits.MESSAGE_MAX_BYTES >> 20} MiB |",
        f"takes nothing for {limits.SLOW_READER_TIMEOUT_S:g} s, or falls {READER_QUEUE_MAX} messages behind",
        f"{limits.STREAMS_MAX} streams for the Unix socket and {limits.STREAMS_MAX} for TLS",
        f"| {limits.CALLS_MAX} calls at once",
    ):
        assert told in TEXT


def test_the_reasons_are_those_of_the_code() -> None:
    table = TEXT.split("| what happened |")[1]
    reasons = re.findall(r"`(\w+)` \|$", table, re.MULTILINE)
    sources = [path.read_text() for path in (*ROOT.glob("xvirt/*/*.py"), *ROOT.glob("nodeplugin/server*.py"))]
    assert {status.UNREACHABLE, status.TLS_REFUSED} < set(reasons)
    for reason in reasons:
        assert any(f'"{reason}"' in source for source in sources), reason
