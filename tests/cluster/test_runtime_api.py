"""The real API server does what the operator's client takes for granted, and what the fake one does in the unit tests."""

from __future__ import annotations

import asyncio

import pytest

from tests.cluster.things import things
from tests.unit.operator.runtime.api_cases import CASES, Case
from tools.cluster.controlplane import ControlPlane
from xvirt.operator.runtime.access import from_kubeconfig
from xvirt.operator.runtime.api import ApiClient
from xvirt.operator.runtime.transport import AiohttpTransport

__all__ = ["things"]


@pytest.mark.usefixtures("things")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_the_real_one(control_plane: ControlPlane, namespace: str, case: Case) -> None:
    async def main() -> None:
        client = ApiClient(AiohttpTransport(from_kubeconfig(control_plane.kubeconfig)), manager="test")
        try:
            await case(client, namespace)
        finally:
            await client.close()

    asyncio.run(main())
