"""Virtual time for every test of the operator's runtime."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.virtualtime import VirtualTime


@pytest.fixture
def time() -> Iterator[VirtualTime]:
    with VirtualTime() as made:
        yield made
