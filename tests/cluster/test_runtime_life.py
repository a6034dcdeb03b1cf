"""A whole small operator on the runtime, against the real API server and what can happen to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.cluster.things import things
from tests.unit.operator.runtime.api_cases import FINALIZER, THINGS, config
from tests.unit.operator.runtime.toy import Toy
from tools.cluster.controlplane import ControlPlane
from tools.cluster.pki import Identity
from tools.controlplane import Part
from xvirt.operator.runtime.access import from_kubeconfig
from xvirt.operator.runtime.api import ApiClient, Call, Phase, Selection
from xvirt.operator.runtime.errors import ApiError, Forbidden, Unreachable
from xvirt.operator.runtime.recorder import Recorder
from xvirt.operator.runtime.resources import CONFIG_MAPS, EVENTS, Key, Object
from xvirt.operator.runtime.transport import AiohttpTransport

__all__ = ["things"]
pytestmark = pytest.mark.usefixtures("things")

_WAIT_S = 60.0


def _client(control_plane: ControlPlane, manager: str) -> ApiClient:
    return ApiClient(AiohttpTransport(from_kubeconfig(control_plane.kubeconfig)), manager=manager)


@contextlib.asynccontextmanager
async def _running(client: ApiClient, namespace: str) -> AsyncIterator[Toy]:
    toy = Toy(client, namespace=namespace)
    task = asyncio.create_task(toy.run())
    try:
        yield toy
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _until(is_so: Callable[[], Awaitable[bool]], what: str) -> None:
    try:
        async with asyncio.timeout(_WAIT_S):
            while not await is_so():
                await asyncio.sleep(0.05)
    except TimeoutError as error:
        raise AssertionError(f"{what} did not happen within {_WAIT_S:g} s") from error


def _run(control_plane: ControlPlane, main: Callable[[ApiClient, ApiClient], Awaitable[None]]) -> None:
    """`main(operator's client, user's client)`."""

    async def whole() -> None:
        ours, users = _client(control_plane, "toy"), _client(control_plane, "user")
        try:
            await main(ours, users)
        finally:
            await ours.close()
            await users.close()

    asyncio.run(whole())


async def _make(users: ApiClient, namespace: str, name: str, size: int) -> None:
    await users.apply(THINGS, THINGS.object(Key(namespace, name), spec={"size": size}))


async def _are_ready(users: ApiClient, namespace: str, count: int) -> bool:
    listing = await users.list_objects(THINGS, Selection(namespace=namespace))
    ready = [
        item
        for item in listing.items
        if item.get("status", {}).get("observedGeneration") == item["metadata"]["generation"]
    ]
    return len(ready) == len(listing.items) == count


async def _sizes(users: ApiClient, namespace: str) -> dict[str, str]:
    listing = await users.list_objects(CONFIG_MAPS, Selection(namespace=namespace, label="example.xvirt.io/thing"))
    return {item["metadata"]["name"]: item["data"]["size"] for item in listing.items}


def test_a_life_takes_three_writes_to_ready_two_for_a_change_and_two_to_go(
    control_plane: ControlPlane, namespace: str
) -> None:
    async def main(ours: ApiClient, users: ApiClient) -> None:
        async with _running(ours, namespace):
            await _make(users, namespace, "one", 1)
            await _until(lambda: _are_ready(users, namespace, 1), "ready")
            assert sum(ours.metrics.count_writes().values()) == 3
            await _make(users, namespace, "one", 2)
            await _until(lambda: _are_ready(users, namespace, 1), "ready again")
            assert sum(ours.metrics.count_writes().values()) == 5
            assert await _sizes(users, namespace) == {"one": "2"}
            await users.delete(THINGS, await users.get(THINGS, Key(namespace, "one")))
            await _until(lambda: _are_ready(users, namespace, 0), "gone")
            assert sum(ours.metrics.count_writes().values()) == 7
            assert await _sizes(users, namespace) == {}

    _run(control_plane, main)


async def _has_failed(ours: ApiClient) -> bool:
    labels = {"controller": "things", "outcome": "later"}
    return (ours.metrics.registry.get_sample_value("operator_reconciles_total", labels) or 0) > 0


def test_fault_07_an_api_server_that_is_killed_and_started_is_taken_up_again(
    control_plane: ControlPlane, namespace: str
) -> None:
    async def main(ours: ApiClient, users: ApiClient) -> None:
        async with _running(ours, namespace) as toy:
            await _make(users, namespace, "one", 1)
            await _until(lambda: _are_ready(users, namespace, 1), "ready")
            await users.merge_patch(THINGS, Key(namespace, "one"), {"metadata": {"finalizers": None}})
            control_plane.services.kill(Part.API_SERVER)
            with pytest.raises(ApiError):
                await users.get(THINGS, Key(namespace, "one"))
            toy.controller.enqueue(Key(namespace, "one"))
            await _until(lambda: _has_failed(ours), "the operator to notice")
            # From this thread: the server goes with the thread that starts it.
            control_plane.start(Part.API_SERVER)
            await _make(users, namespace, "one", 2)
            await _make(users, namespace, "two", 1)
            await _until(lambda: _are_ready(users, namespace, 2), "both to be ready")
            assert await _sizes(users, namespace) == {"one": "2", "two": "1"}

    _run(control_plane, main)


def test_fault_08_an_api_server_that_is_frozen_is_an_error_within_the_calls_deadline(
    control_plane: ControlPlane, namespace: str
) -> None:
    async def main(ours: ApiClient, users: ApiClient) -> None:
        async with _running(ours, namespace):
            await _make(users, namespace, "one", 1)
            await _until(lambda: _are_ready(users, namespace, 1), "ready")
            control_plane.services.freeze(Part.API_SERVER)
            try:
                with pytest.raises(ApiError, match=r"no answer within 1\.0 s"):
                    await users.get(THINGS, Key(namespace, "one"), timeout_s=1.0)
            finally:
                control_plane.services.thaw(Part.API_SERVER)
            await _make(users, namespace, "one", 2)
            await _until(lambda: _are_ready(users, namespace, 1), "ready again")

    _run(control_plane, main)


def test_fault_09_a_user_who_edits_right_before_each_write_loses_nothing(
    control_plane: ControlPlane, namespace: str
) -> None:
    async def main(ours: ApiClient, users: ApiClient) -> None:
        edits = 0
        lock = asyncio.Lock()
        send = ours.transport.send

        async def edit_and_send(request):  # type: ignore[no-untyped-def]
            nonlocal edits
            async with lock:
                if request.method != "GET" and edits < 10:
                    edits += 1
                    patch: Object = {"metadata": {"annotations": {"edit": str(edits)}}, "spec": {"size": edits + 1}}
                    await users.merge_patch(THINGS, Key(namespace, "one"), patch)
            return await send(request)

        ours.transport.send = edit_and_send  # type: ignore[method-assign]
        async with _running(ours, namespace):
            await _make(users, namespace, "one", 1)
            await _until(lambda: _are_ready(users, namespace, 1), "ready")
            thing = await users.get(THINGS, Key(namespace, "one"))
            assert edits == 10
            assert thing["metadata"]["annotations"] == {"edit": "10"}
            assert thing["spec"] == {"size": 11}
            assert await _sizes(users, namespace) == {"one": "11"}

    _run(control_plane, main)


def test_fault_10_a_hundred_reconciles_of_what_is_ready_write_nothing(
    control_plane: ControlPlane, namespace: str
) -> None:
    async def main(ours: ApiClient, users: ApiClient) -> None:
        async with _running(ours, namespace) as toy:
            await _make(users, namespace, "one", 1)
            await _until(lambda: _are_ready(users, namespace, 1), "ready")
            writes = ours.metrics.count_writes()
            for _ in range(100):
                came_up = len(toy.reconciled)
                toy.controller.enqueue(Key(namespace, "one"))
                while len(toy.reconciled) == came_up:
                    await asyncio.sleep(0)
            assert ours.metrics.count_writes() == writes

    _run(control_plane, main)


def test_fault_11_hundreds_at_once_become_ready_and_churn_is_followed(
    control_plane: ControlPlane, namespace: str
) -> None:
    async def main(ours: ApiClient, users: ApiClient) -> None:
        async with _running(ours, namespace) as toy:
            for first in range(0, 300, 20):
                await asyncio.gather(*(_make(users, namespace, f"thing-{first + n:03}", 1) for n in range(20)))
            await _until(lambda: _are_ready(users, namespace, 300), "300 to be ready")
            assert sum(ours.metrics.count_writes().values()) == 900
            for number in range(0, 300, 10):
                await users.delete(THINGS, await users.get(THINGS, Key(namespace, f"thing-{number:03}")))
            await _until(lambda: _are_ready(users, namespace, 270), "30 to be gone")
            assert len(await _sizes(users, namespace)) == 270
            assert len(toy.configs) == len(toy.things) == 270

    _run(control_plane, main)


def test_fault_18_a_namespace_that_goes_takes_everything_with_it(control_plane: ControlPlane, namespace: str) -> None:
    async def main(ours: ApiClient, users: ApiClient) -> None:
        async with _running(ours, namespace):
            await asyncio.gather(*(_make(users, namespace, f"thing-{number}", 1) for number in range(20)))
            await asyncio.to_thread(control_plane.api.delete, _namespace(namespace))
            await _until(lambda: _are_ready(users, namespace, 0), "all to be gone")
            assert await _sizes(users, namespace) == {}

    _run(control_plane, main)


def _namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def test_fault_25_a_user_without_rights_is_forbidden_and_says_so(control_plane: ControlPlane, namespace: str) -> None:
    async def main() -> None:
        kubeconfig = control_plane.kubeconfig_for("runtime-stranger", Identity("stranger", ("guests",)))
        client = ApiClient(AiohttpTransport(from_kubeconfig(kubeconfig)), manager="stranger")
        try:
            with pytest.raises(Forbidden, match=r'User "stranger" cannot list .*403 Forbidden, audit ID'):
                await client.list_objects(THINGS)
        finally:
            await client.close()

    asyncio.run(main())


def test_nobody_at_the_address_is_unreachable(control_plane: ControlPlane) -> None:
    async def main() -> None:
        access = from_kubeconfig(control_plane.kubeconfig)
        access.server = "https://127.0.0.1:1"
        client = ApiClient(AiohttpTransport(access), manager="test")
        with pytest.raises(Unreachable, match="the API server cannot be reached"):
            await client.list_objects(THINGS)
        await client.close()

    asyncio.run(main())


def test_events_are_stored_once_and_counted(control_plane: ControlPlane, namespace: str) -> None:
    async def main(ours: ApiClient, users: ApiClient) -> None:
        about = await users.create(CONFIG_MAPS, config(namespace))
        recorder = Recorder(ours, "example.xvirt.io/toy", "toy-1")
        for _ in range(5):
            recorder.record(about, "Warning", "Refused", "no room")
        task = asyncio.create_task(recorder.run())
        selection = Selection(namespace=namespace, field="regarding.name=one")

        async def are_there() -> bool:
            return len((await users.list_objects(EVENTS, selection)).items) == 1

        await _until(are_there, "the event")
        task.cancel()
        [event] = (await users.list_objects(EVENTS, selection)).items
        assert event["series"]["count"] == 5
        assert (event["type"], event["reason"], event["note"]) == ("Warning", "Refused", "no room")
        assert event["regarding"]["uid"] == about["metadata"]["uid"]

    _run(control_plane, main)


def test_hooks_see_every_request(control_plane: ControlPlane, namespace: str) -> None:
    async def main(ours: ApiClient, users: ApiClient) -> None:
        seen: list[str] = []

        def hook(phase: Phase, call: Call) -> None:
            if phase is Phase.AFTER and call.is_write:
                seen.append(str(call))

        ours.hooks.append(hook)
        async with _running(ours, namespace):
            await _make(users, namespace, "one", 1)
            await _until(lambda: _are_ready(users, namespace, 1), "ready")
        place = f"{namespace}/one"
        assert seen == [f"patch things {place}", f"create configmaps {place}", f"apply things {place}"]
        assert FINALIZER in (await users.get(THINGS, Key(namespace, "one")))["metadata"]["finalizers"]
        await users.merge_patch(THINGS, Key(namespace, "one"), {"metadata": {"finalizers": None}})

    _run(control_plane, main)
