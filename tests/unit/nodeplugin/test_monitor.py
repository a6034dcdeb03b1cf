"""The monitoring port over real loopback sockets, health over fakes."""

from __future__ import annotations

import contextlib
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from nodeplugin.converge.hub import Hub
from nodeplugin.metrics.instruments import Instruments
from nodeplugin.monitor import REQUESTS_MAX, Answer, Check, Monitor, health_page, split_address
from nodeplugin.store import Store
from nodeplugin.vitals import Vitals
from tests.fakes.hypervisor import FakeHypervisor
from xvirt.model.errors import InvalidSpec, Unavailable

WAIT_S = 30.0
REFUSED_S = 5.0
"""Half of what a request may take: one that is let in would not be closed by then."""


def get(port: int, path: str) -> tuple[int, str]:
    """Status and body."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=WAIT_S) as answer:
            return int(answer.status), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Parts:
    """A node's parts without threads, and its port."""

    def __init__(self, directory: Path) -> None:
        self.hypervisor = FakeHypervisor()
        self.store = Store(directory / "store.db")
        self.vitals = Vitals(
            node_name="node-a",
            hypervisor=self.hypervisor,
            store=self.store,
            hub=Hub("boot"),
            instruments=Instruments(),
        )
        self.monitor = self.vitals.monitor("127.0.0.1:0")
        self.monitor.start()

    def get(self, path: str) -> tuple[int, str]:
        """Ask the port."""
        return get(self.monitor.port, path)


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = Parts(tmp_path)
    yield made
    made.monitor.stop()
    made.store.close()


def test_a_node_that_has_not_begun_to_serve_is_live_and_not_ready(parts: Parts) -> None:
    assert parts.get("/livez")[0] == 200
    code, text = parts.get("/readyz")
    assert code == 503
    assert "[-]server failed" in text
    assert "[+]store ok" in text


def test_readyz_passes_while_store_libvirt_and_server_are_there(parts: Parts) -> None:
    parts.vitals.is_serving.set()
    assert parts.get("/readyz") == (200, "[+]store ok\n[+]libvirt ok\n[+]server ok\nhealthy\n")
    parts.hypervisor.lose_connection()
    code, text = parts.get("/readyz")
    assert code == 503
    assert "[-]libvirt failed: libvirt cannot be reached; is libvirtd running?" in text
    assert parts.get("/livez")[0] == 200  # a restart would not help


def test_readyz_fails_when_the_store_is_closed(parts: Parts) -> None:
    parts.vitals.is_serving.set()
    parts.store.close()
    assert "[-]store failed" in parts.get("/readyz")[1]


def test_readyz_fails_from_the_moment_that_a_stop_is_asked_for(parts: Parts) -> None:
    parts.vitals.is_serving.set()
    parts.vitals.is_stopping.set()
    assert parts.get("/readyz")[0] == 503
    assert parts.get("/livez")[0] == 200


def test_livez_fails_when_the_event_thread_hangs(parts: Parts) -> None:
    parts.hypervisor.is_event_thread_alive = False
    code, text = parts.get("/livez")
    assert code == 503
    assert "[-]events failed" in text


def test_metrics_are_served_with_the_gauges_of_the_node(parts: Parts) -> None:
    code, text = parts.get("/metrics")
    assert code == 200
    for line in ("xvirt_libvirt_connected 1.0", "xvirt_ready 0.0", "xvirt_watchers 0.0", "libvirt_up 1.0"):
        assert f"\n{line}\n" in text


def test_an_unknown_path_says_which_there_are(parts: Parts) -> None:
    assert parts.get("/") == (404, "there are /livez, /metrics, /readyz\n")


def test_anything_but_get_is_refused(parts: Parts) -> None:
    request = urllib.request.Request(f"http://127.0.0.1:{parts.monitor.port}/metrics", method="POST", data=b"x")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=WAIT_S)
    caught.value.close()
    assert caught.value.code == 501


def test_a_taken_address_is_refused_with_the_key_to_change(parts: Parts) -> None:
    with pytest.raises(Unavailable, match="metricsListen"):
        Monitor(f"127.0.0.1:{parts.monitor.port}", {})


def test_no_more_requests_run_at_once_than_the_bound() -> None:
    inside, release = threading.Semaphore(0), threading.Event()

    def slow(headers: Mapping[str, str]) -> Answer:
        inside.release()
        release.wait(WAIT_S)
        return Answer(200, "text/plain", b"done")

    monitor = Monitor("127.0.0.1:0", {"/slow": slow})
    monitor.start()
    threads = [threading.Thread(target=get, args=(monitor.port, "/slow")) for _ in range(REQUESTS_MAX)]
    try:
        for thread in threads:
            thread.start()
        for _ in threads:
            assert inside.acquire(timeout=WAIT_S)
        address = ("127.0.0.1", monitor.port)
        # Closed at once, perhaps before all was sent.
        with contextlib.suppress(ConnectionError), socket.create_connection(address, timeout=REFUSED_S) as extra:
            extra.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
            assert extra.recv(1) == b""
        release.set()
        for thread in threads:
            thread.join(WAIT_S)
    finally:
        release.set()
        monitor.stop()


def test_a_bug_in_a_page_is_a_500_with_no_traceback() -> None:
    def broken(headers: Mapping[str, str]) -> Answer:
        raise KeyError("secret")

    monitor = Monitor("127.0.0.1:0", {"/x": broken})
    monitor.start()
    try:
        assert get(monitor.port, "/x") == (500, "KeyError; the node's log tells more\n")
    finally:
        monitor.stop()


def test_a_check_that_raises_has_failed() -> None:
    def check() -> bool:
        raise Unavailable("no")

    assert health_page((Check("x", check, "mend it"),))({}).body == b"[-]x failed: mend it\nunhealthy\n"


@pytest.mark.parametrize("text", ["", "9177", "host", "host:", ":9177", "host:99999", "host:-1", "host:http"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidSpec, match="address:port"):
        split_address(text)


def test_ipv6_addresses_have_brackets() -> None:
    assert split_address("[::1]:9177") == ("::1", 9177)
