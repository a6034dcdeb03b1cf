"""docs/operator-runtime.md: its program runs as it stands, and it names what there is."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from pathlib import Path

import yaml

from tests.fakes.apihttp import serve
from tests.fakes.apiserver import FakeApiServer
from tests.unit.operator.runtime.api_cases import THINGS
from xvirt.operator.runtime.clock import SystemClock
from xvirt.operator.runtime.metrics import Metrics
from xvirt.operator.runtime.resources import CONFIG_MAPS, LEASES, Key

ROOT = Path(__file__).parents[4]
TEXT = (ROOT / "docs/operator-runtime.md").read_text()
[PROGRAM] = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
TESTS = [*Path(__file__).parent.glob("test_*.py"), *(ROOT / "tests/cluster").glob("test_runtime_*.py")]
ONE = Key("ns", "one")


def _kubeconfig(path: Path, address: str) -> Path:
    document = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": ""}}],
        "clusters": [{"name": "here", "cluster": {"server": address}}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


def test_the_program_runs_as_it_stands(tmp_path: Path) -> None:
    async def main() -> None:
        server = FakeApiServer(SystemClock())
        server.write(THINGS, THINGS.object(ONE, spec={"size": 3}))
        async with serve(server) as address:
            environment = {"KUBECONFIG": str(_kubeconfig(tmp_path / "config", address)), "PYTHONPATH": str(ROOT)}
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, env=environment)
            try:
                async with asyncio.timeout(60):
                    while "status" not in (server.find(THINGS, ONE) or {}):
                        await asyncio.sleep(0.01)
                    config = server.find(CONFIG_MAPS, ONE)
                    assert config is not None
                    assert config["data"] == {"size": "3"}
                    process.send_signal(signal.SIGTERM)
                    assert await process.wait() == 0
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        [lease] = server.objects(LEASES)
        assert lease["spec"]["holderIdentity"] == ""

    asyncio.run(main())


def test_every_metric_is_in_the_table() -> None:
    named = set(re.findall(r"`([a-z_]+)`", TEXT.partition("## Metrics")[2].partition("## What it is not")[0]))
    names = {
        family.name.removeprefix("operator_") + ("_total" if family.type == "counter" else "")
        for family in Metrics().registry.collect()
    }
    assert names <= named
    assert {name for name in named if name.endswith(("_total", "_seconds"))} <= names


def test_every_fault_that_it_promises_has_its_test_and_the_real_ones_are_marked() -> None:
    rows = re.findall(r"^\| ([0-9*, ]+) \|", TEXT, re.MULTILINE)
    promised = {int(number): bool(mark) for row in rows for number, mark in re.findall(r"(\d+)(\*?)", row)}
    for number, is_real in promised.items():
        files = [path for path in TESTS if f"def test_fault_{number:02}_" in path.read_text()]
        assert files, f"no test of fault {number}"
        assert is_real == any("cluster" in path.parts for path in files), f"fault {number}"
