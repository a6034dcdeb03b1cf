"""`xvirt-gateway` as a process: its config, what it serves, how it ends."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.fakes.apihttp import serve
from tests.unit.cli.live_node import eventually
from tests.unit.gateway.cluster import WAIT_S, LiveCluster
from tools.cluster.spec import choose_ports
from xvirt.gateway.config import load_config
from xvirt.model.errors import InvalidSpec

COMMAND = [sys.executable, "-c", "from xvirt.gateway.main import run; run()"]


@pytest.fixture
def cluster(tmp_path: Path) -> LiveCluster:
    """Not up: the process under test serves."""
    return LiveCluster(tmp_path)


@pytest.fixture
def api_server(cluster: LiveCluster) -> Iterator[str]:
    """The API server in memory, over HTTP."""
    loop, stop, address = asyncio.new_event_loop(), asyncio.Event(), []
    started = threading.Event()

    async def live() -> None:
        async with serve(cluster.api) as found:
            address.append(found)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(live(),))
    thread.start()
    assert started.wait(WAIT_S)
    yield address[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(WAIT_S)
    loop.close()


def write_config(cluster: LiveCluster, server: str, **changes: object) -> Path:
    kubeconfig = cluster.directory / "kubeconfig"
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": {"server": server}}],
                "users": [{"name": "u", "user": {}}],
            }
        )
    )
    ports = choose_ports()
    files = {"certificate": "xvirt-gateway.crt", "key": "xvirt-gateway.key", "ca": "ca.crt"}
    document = {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "GatewayConfig",
        "listen": f"127.0.0.1:{ports.api_server}",
        "metricsListen": f"127.0.0.1:{ports.etcd}",
        "tls": {"certificate": str(cluster.pki / "gateway.crt"), "key": str(cluster.pki / "gateway.key")},
        "nodes": {key: str(cluster.node_pki / name) for key, name in files.items()},
        "kubeconfig": str(kubeconfig),
        "drainSeconds": 1,
        **changes,
    }
    path = cluster.directory / "gateway.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def fetch(url: str) -> tuple[int, str]:
    """Code and text; 0 where nobody listens."""
    try:
        with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def test_it_serves_and_ends_by_sigterm_not_ready_first(cluster: LiveCluster, api_server: str) -> None:
    config = load_config(write_config(cluster, api_server))
    pages = f"http://{config.metrics_listen}"
    argv = [*COMMAND, "--config", str(cluster.directory / "gateway.yaml")]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as running:
        try:
            eventually(lambda: fetch(f"{pages}/readyz") == (200, "ok\n"))
            cluster.port = int(config.listen.rpartition(":")[2])
            assert cluster.ask("GET", "/apis").json["kind"] == "APIGroupList"
            assert cluster.act("start").code == 403
            assert 'xvirt_gateway_requests_total{code="403",subresource="start"} 1.0' in fetch(f"{pages}/metrics")[1]
            running.send_signal(signal.SIGTERM)
            eventually(lambda: fetch(f"{pages}/readyz") == (503, "it is stopping\n"))
            assert cluster.ask("GET", "/apis").code == 200
            assert running.wait(WAIT_S) == 0
        finally:
            running.kill()
        assert running.stderr is not None
        assert "serves on" in running.stderr.read()


def test_it_waits_for_an_api_server_and_ends_by_sigterm_meanwhile(cluster: LiveCluster) -> None:
    write_config(cluster, "http://127.0.0.1:1")
    argv = [*COMMAND, "--config", str(cluster.directory / "gateway.yaml"), "--log-format", "json"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        try:
            line = json.loads(running.stderr.readline())
            assert "cannot be reached" in line["message"]
            running.send_signal(signal.SIGTERM)
            assert running.wait(WAIT_S) == 0
        finally:
            running.kill()


def test_a_config_that_is_off_is_told_whole_with_lines(cluster: LiveCluster) -> None:
    path = write_config(cluster, "http://127.0.0.1:1", listen="8443", drainSeconds=-1, leases={})
    done = subprocess.run(
        [*COMMAND, "--config", str(path)], capture_output=True, text=True, timeout=WAIT_S, check=False
    )
    assert done.returncode == 1
    told = done.stderr.splitlines()
    assert len(told) == 2
    assert all(line.startswith(f"xvirt-gateway: {path}:") for line in told)
    assert any("leases: is not a known field (did you mean lease?)" in line for line in told)


def test_rules_and_files_are_checked_before_anything_starts(cluster: LiveCluster) -> None:
    tls = {"certificate": "/nowhere/tls.crt", "key": str(cluster.pki / "gateway.key")}
    path = write_config(cluster, "http://127.0.0.1:1", listen="8443", tls=tls)
    with pytest.raises(InvalidSpec) as caught:
        load_config(path)
    told = [str(problem) for problem in caught.value.problems]
    assert any("listen: is no address:port; write 0.0.0.0:8443 or [::]:8443" in line for line in told)
    assert any("tls.certificate: /nowhere/tls.crt cannot be read" in line for line in told)


def test_check_config_says_that_it_is_right(cluster: LiveCluster) -> None:
    path = write_config(cluster, "http://127.0.0.1:1")
    argv = [*COMMAND, "--config", str(path), "--check-config"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert (done.returncode, done.stdout) == (0, f"{path}: right\n")


def test_a_port_that_is_taken_ends_it_with_a_sentence(cluster: LiveCluster, api_server: str) -> None:
    taken = api_server.removeprefix("http://")
    path = write_config(cluster, api_server, listen=taken)
    done = subprocess.run(
        [*COMMAND, "--config", str(path)], capture_output=True, text=True, timeout=WAIT_S, check=False
    )
    assert done.returncode == 1
    assert f"xvirt-gateway: cannot listen on {taken}: " in done.stderr
    assert "Traceback" not in done.stderr
