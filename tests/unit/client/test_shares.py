"""Many clients at once: each has its share of the node's threads and streams, and nobody keeps the others waiting."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nodeplugin.server_streams import Shares
from tests.unit.cli.live_node import LiveNode, eventually
from tests.unit.client.scripted import REF, Served, limits, view
from xvirt.client.blocking import NodeClient
from xvirt.client.pki import init_pki
from xvirt.client.schedule import Patience
from xvirt.client.target import Target, TlsFiles
from xvirt.model.errors import Exhausted
from xvirt.model.exchange import ApplyCall, WatchType
from xvirt.wire.limits import CALLS_PER_CLIENT_MAX, UNARY_THREADS

SHORT = Patience(call_s=1.0)
CLIENTS = 16
MACHINES = 48
CALLS = 50


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    init_pki(tmp_path / "pki", ["node-a"], ["admin", "guest"])
    return tmp_path / "pki"


def _files(pki: Path, name: str) -> TlsFiles:
    return TlsFiles(pki / "ca.crt", pki / f"{name}.crt", pki / f"{name}.key")


@pytest.fixture
def secure(serve: Callable[..., Served], pki: Path) -> Served:
    small = limits(streams=4, streams_per_client=2)
    return serve(tls=_files(pki, "node-a"), clients=("admin", "guest"), limits=small)


@pytest.fixture
def dial(secure: Served, pki: Path) -> Iterator[Callable[..., NodeClient]]:
    with contextlib.ExitStack() as stack:

        def connect(name: str, **options: Any) -> NodeClient:
            target = Target(f"tcp://127.0.0.1:{secure.server.tcp_port}", "node-a", _files(pki, name))
            return stack.enter_context(NodeClient(target, **options))

        yield connect


def test_who_has_a_share_of_calls_under_way_is_refused_and_others_are_served(
    secure: Served, dial: Callable[..., NodeClient]
) -> None:
    under_way, release = threading.Semaphore(0), threading.Event()

    def slow(ref: Any) -> Any:
        under_way.release()
        assert release.wait(60)
        return view()

    secure.api.on["get"] = slow
    greedy, hasty, other = dial("admin"), dial("admin", patience=SHORT), dial("guest")
    with ThreadPoolExecutor(CALLS_PER_CLIENT_MAX) as pool:
        waiting = [pool.submit(greedy.get, REF) for _ in range(CALLS_PER_CLIENT_MAX)]
        for _ in waiting:
            assert under_way.acquire(timeout=30)
        with pytest.raises(Exhausted, match=r"of client admin are under way.*wait until one ends") as found:
            hasty.node_info()
        assert found.value.reason == "TooManyCalls"
        assert other.node_info().document == {"kind": "VirtualHost"}
        release.set()
        assert [call.result(30) for call in waiting] == [view()] * CALLS_PER_CLIENT_MAX
    assert hasty.node_info().document == {"kind": "VirtualHost"}
    eventually(lambda: all(calls.shares.count_clients() == 0 for _, calls, _ in secure.server._servers))


def test_a_burst_beyond_the_share_comes_through_by_itself(secure: Served, dial: Callable[..., NodeClient]) -> None:
    """xVirt's own clients repeat what was refused before it began."""
    client = dial("admin")
    with ThreadPoolExecutor(CALLS) as pool:
        answers = [pool.submit(client.get, REF) for _ in range(CALLS)]
        assert [answer.result(60) for answer in answers] == [view()] * CALLS


def test_who_has_a_share_of_streams_open_is_refused_and_others_may_watch(
    secure: Served, dial: Callable[..., NodeClient]
) -> None:
    greedy, other = dial("admin"), dial("guest")
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            assert next(stack.enter_context(greedy.watch())).type is WatchType.SYNCED
        with pytest.raises(Exhausted, match="2 streams of client admin") as found, greedy.watch() as events:
            next(events)
        assert found.value.reason == "TooManyStreams"
        with other.watch() as events:
            assert next(events).type is WatchType.SYNCED


def test_a_share_ends_with_its_call_also_where_that_fails() -> None:
    shares = Shares(1, "calls", "TooManyCalls")
    with pytest.raises(ValueError, match="failed"), shares.take("a"):
        raise ValueError("failed")
    with shares.take("a"), shares.take("b"):
        assert shares.count_clients() == 2
        with pytest.raises(Exhausted), shares.take("a"):
            pass
    assert shares.count_clients() == 0


def test_the_hosts_root_has_all_threads() -> None:
    shares = Shares(1, "calls", "TooManyCalls")
    with contextlib.ExitStack() as stack:
        for _ in range(UNARY_THREADS):
            stack.enter_context(shares.take(""))
        assert shares.count_clients() == 0


def test_16_clients_watch_list_and_apply_at_once_and_each_sees_all(node: LiveNode) -> None:
    """Each applies its machines, watches all, and leaves once it has seen every machine of everybody run."""
    names = [f"vm-{number}" for number in range(MACHINES)]
    start = threading.Barrier(CLIENTS)

    def live(number: int) -> int:
        running: set[str] = set()
        with NodeClient(Target(node.address)) as client, client.watch("VirtualMachine") as events:
            start.wait(60)
            for name in names[number::CLIENTS]:
                client.apply(ApplyCall(document=_document(name)))
                client.list_objects("VirtualMachine")
            for event in events:
                found = event.object
                if found and (found.document.get("status") or {}).get("printableStatus") == "Running":
                    running.add(found.ref.name)
                if len(running) == MACHINES:
                    return len(client.list_objects("VirtualMachine"))
        raise AssertionError("the watch ended")

    with ThreadPoolExecutor(CLIENTS) as pool:
        assert [seen.result(120) for seen in [pool.submit(live, number) for number in range(CLIENTS)]] == [
            MACHINES
        ] * CLIENTS
    assert len([item for item in node.faults.names() if item == "start_domain"]) == MACHINES


def _document(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "VirtualMachine",
        "metadata": {"name": name},
        "spec": {"memory": {"size": "32Mi"}},
    }


def test_a_burst_of_50_applies_by_one_client_has_all_of_them_run(node: LiveNode) -> None:
    with NodeClient(Target(node.address)) as client:
        with ThreadPoolExecutor(CALLS) as pool:
            list(pool.map(client.apply, [ApplyCall(document=_document(f"vm-{number}")) for number in range(CALLS)]))

        def is_done() -> bool:
            views = client.list_objects("VirtualMachine")
            states = [(view.document.get("status") or {}).get("printableStatus") for view in views]
            return states == ["Running"] * CALLS

        eventually(is_done)
    assert len([item for item in node.faults.names() if item == "start_domain"]) == CALLS
