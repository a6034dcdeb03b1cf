"""Clients of both sorts, and the nodes that they ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.live_node import LiveNode
from tests.unit.client.both import CLIENTS, Connect, DrivenClient
from tests.unit.client.scripted import Served
from xvirt.client.schedule import PATIENCE, Patience
from xvirt.client.target import Target


@pytest.fixture(params=sorted(CLIENTS))
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    made: list[Any] = []

    def make(target: Target, patience: Patience = PATIENCE) -> Any:
        made.append(CLIENTS[request.param](target, patience))
        return made[-1]

    yield make
    for client in made:
        client.close()
        if isinstance(client, DrivenClient):
            client.end()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    made: list[Served] = []

    def make(**options: Any) -> Served:
        made.append(Served(tmp_path, **options))
        return made[-1]

    yield make
    for served in made:
        served.stop()


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    return serve()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[LiveNode]:
    directory = tmp_path / "live"
    directory.mkdir()
    made = LiveNode(directory)
    made.start()
    yield made
    made.stop()
