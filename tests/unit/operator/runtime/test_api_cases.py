"""The fake API server does what a real one does; tests/cluster asks the real one the same."""

from __future__ import annotations

import pytest

from tests.fakes.apihttp import serve
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.virtualtime import VirtualTime
from tests.unit.operator.runtime.api_cases import CASES, Case
from xvirt.operator.runtime.access import Access
from xvirt.operator.runtime.api import ApiClient
from xvirt.operator.runtime.transport import AiohttpTransport


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_the_fake(time: VirtualTime, case: Case) -> None:
    server = FakeApiServer(time.clock)
    time.run(_await(case, ApiClient(server, manager="test", clock=time.clock)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_the_fake_over_http(case: Case) -> None:
    async def main(time: VirtualTime) -> None:
        async with serve(FakeApiServer(time.clock)) as address:
            client = ApiClient(AiohttpTransport(Access(address)), manager="test", clock=time.clock)
            try:
                await case(client, "ns")
            finally:
                await client.close()

    with VirtualTime(settle_s=0.002) as time:
        time.run(main(time))


async def _await(case: Case, client: ApiClient) -> None:
    await case(client, "ns")
