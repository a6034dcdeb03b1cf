"""The node that the command line's tests talk to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.live_node import LiveNode


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NODE", "NODE_NAME", "TLS_CA", "TLS_CERT", "TLS_KEY", "NAMESPACE", "DEBUG"):
        monkeypatch.delenv(f"XVIRT_{name}", raising=False)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[LiveNode]:
    directory = tmp_path / "node"
    directory.mkdir()
    made = LiveNode(directory)
    made.start()
    try:
        yield made
    finally:
        made.stop()
