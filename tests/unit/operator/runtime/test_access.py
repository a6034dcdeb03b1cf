"""Where the API server is, and as whom it is called: over real TLS on loopback."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import ssl
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from tests.fakes.apihttp import serve
from tests.fakes.apiserver import FakeApiServer
from tests.unit.operator.runtime.api_cases import THINGS
from xvirt.client.pki import init_pki, issue_certificate
from xvirt.operator.runtime import access as access_module
from xvirt.operator.runtime.access import AccessFailed, find_access, from_kubeconfig, in_cluster
from xvirt.operator.runtime.api import ApiClient
from xvirt.operator.runtime.clock import SystemClock
from xvirt.operator.runtime.errors import ApiError, NotFound, OutcomeUnknown, Unreachable
from xvirt.operator.runtime.resources import Key
from xvirt.operator.runtime.transport import AiohttpTransport

Asked = Callable[[str], Awaitable[ApiError]]
"""Asks with the kubeconfig that the test wrote; the error that came."""


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    directory = tmp_path / "pki"
    init_pki(directory, ["server"], ["alice"])
    return directory


def _config(pki: Path, server: str, user: dict[str, Any], **cluster: Any) -> Path:
    document = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "work"}}],
        "clusters": [{"name": "c", "cluster": {"server": server, "certificate-authority": "ca.crt", **cluster}}],
        "users": [{"name": "u", "user": user}],
    }
    path = pki / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    return path


def _server_tls(pki: Path, *, wants_client: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "server.crt", pki / "server.key")
    if wants_client:
        context.load_verify_locations(pki / "ca.crt")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def _ask(access: access_module.Access) -> ApiError:
    client = ApiClient(AiohttpTransport(access), manager="test")
    try:
        await client.get(THINGS, Key("ns", "none"))
    except ApiError as error:
        return error
    finally:
        await client.close()
    raise AssertionError("there is no such thing")


def _served(
    pki: Path, main: Callable[[str, list[web.Request]], Awaitable[None]], *, wants_client: bool = False
) -> None:
    async def whole() -> None:
        seen: list[web.Request] = []
        tls = _server_tls(pki, wants_client=wants_client)
        async with serve(FakeApiServer(SystemClock()), tls, seen) as address:
            await main(address, seen)

    asyncio.run(whole())


def _data(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


@pytest.mark.parametrize("is_inline", [True, False], ids=["data", "files"])
def test_a_certificate_of_a_kubeconfig_is_shown(pki: Path, is_inline: bool) -> None:
    async def main(address: str, seen: list[web.Request]) -> None:
        user: dict[str, Any] = {"client-certificate": "alice.crt", "client-key": "alice.key"}
        if is_inline:
            user = {f"{name}-data": _data(pki / file) for name, file in user.items()}
        access = from_kubeconfig(_config(pki, address, user))
        assert access.namespace == "work"
        assert isinstance(await _ask(access), NotFound)
        nobody = from_kubeconfig(_config(pki, address, {}))
        assert isinstance(await _ask(nobody), OutcomeUnknown | Unreachable)
        assert len(seen) == 1

    _served(pki, main, wants_client=True)


def test_a_token_of_a_kubeconfig_is_sent_and_a_token_file_is_read_again(
    pki: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(address: str, seen: list[web.Request]) -> None:
        await _ask(from_kubeconfig(_config(pki, address, {"token": "abc"})))
        assert seen[-1].headers["Authorization"] == "Bearer abc"
        (pki / "token").write_text("first\n")
        access = from_kubeconfig(_config(pki, address, {"tokenFile": "token"}))
        await _ask(access)
        (pki / "token").write_text("second\n")
        await _ask(access)
        assert seen[-1].headers["Authorization"] == "Bearer first", "not at each request"
        monkeypatch.setattr(access_module, "TOKEN_REREAD_S", 0.0)
        await _ask(access)
        assert seen[-1].headers["Authorization"] == "Bearer second"

    _served(pki, main)


def test_a_token_is_read_again_after_it_was_refused(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    access = access_module.Access("http://unused", read_authorization=lambda: f"Bearer {token.read_text()}")

    async def main() -> None:
        async def refuse(request: web.Request) -> web.Response:
            is_old = request.headers["Authorization"] == "Bearer old"
            return web.json_response(
                {"reason": "Unauthorized" if is_old else "NotFound"}, status=401 if is_old else 404
            )

        async with _plain(refuse) as address:
            access.server = address
            assert (await _ask(access)).code == 401
            token.write_text("new")
            assert (await _ask(access)).code == 404

    asyncio.run(main())


def _plain(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
    @contextlib.asynccontextmanager
    async def served() -> Any:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            yield f"http://{host}:{port}"
        finally:
            await runner.cleanup()

    return served()


def test_a_server_of_another_ca_or_name_is_not_spoken_to(pki: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    init_pki(other, ["server"], [])

    async def main(address: str, seen: list[web.Request]) -> None:
        stranger = from_kubeconfig(
            _config(pki, address, {"token": "secret"}, **{"certificate-authority": str(other / "ca.crt")})
        )
        error = await _ask(stranger)
        assert isinstance(error, Unreachable)
        assert "certificate verify failed" in str(error)
        named = from_kubeconfig(_config(pki, address, {"token": "secret"}, **{"tls-server-name": "elsewhere"}))
        assert "not valid for 'elsewhere'" in str(await _ask(named))
        assert seen == []
        right = from_kubeconfig(_config(pki, address, {"token": "secret"}, **{"tls-server-name": "server"}))
        assert isinstance(await _ask(right), NotFound)
        blind = from_kubeconfig(
            _config(
                pki, address, {}, **{"certificate-authority": str(other / "ca.crt"), "insecure-skip-tls-verify": True}
            )
        )
        assert isinstance(await _ask(blind), NotFound)

    _served(pki, main)


def test_a_certificate_that_was_renewed_is_taken_by_the_next_connection(pki: Path) -> None:
    access = from_kubeconfig(
        _config(pki, "https://unused", {"client-certificate": "alice.crt", "client-key": "alice.key"})
    )
    first = access.tls()
    assert access.tls() is first
    issue_certificate(pki, "alice", is_node=False)
    os.utime(pki / "alice.crt", (1, 1))
    assert access.tls() is not first


def test_in_a_cluster_the_pods_account_is_used(pki: Path, tmp_path: Path) -> None:
    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text("pod-token")
    (account / "ca.crt").write_bytes((pki / "ca.crt").read_bytes())
    (account / "namespace").write_text("xvirt-system")

    async def main(address: str, seen: list[web.Request]) -> None:
        host, port = address.removeprefix("https://").split(":")
        access = in_cluster(account, {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port})
        assert access.namespace == "xvirt-system"
        assert isinstance(await _ask(access), NotFound)
        assert seen[0].headers["Authorization"] == "Bearer pod-token"

    _served(pki, main)
    assert in_cluster(account, {"KUBERNETES_SERVICE_HOST": "fd00::1"}).server == "https://[fd00::1]:443"
    with pytest.raises(AccessFailed, match="KUBERNETES_SERVICE_HOST is not set"):
        in_cluster(account, {})


def test_a_users_plugin_is_run(pki: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "plugin"
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "made"},
    }
    plugin.write_text(f"#!/bin/sh\necho '{json.dumps(credential)}'\n")
    plugin.chmod(stat.S_IRWXU)
    execution = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin), "interactiveMode": "Never"}

    async def main(address: str, seen: list[web.Request]) -> None:
        access = from_kubeconfig(_config(pki, address, {"exec": execution}))
        assert isinstance(await _ask(access), NotFound)
        assert seen[0].headers["Authorization"] == "Bearer made"
        plugin.write_text("#!/bin/sh\nexit 1\n")
        with pytest.raises(AccessFailed, match="gave no credentials; run its command by hand"):
            from_kubeconfig(_config(pki, address, {"exec": execution}))

    _served(pki, main)


def test_the_first_way_that_there_is_is_taken(pki: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _config(pki, "https://a", {})
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert find_access().server == "https://a"
    assert find_access(str(path), context="here").server == "https://a"
    monkeypatch.delenv("KUBECONFIG")
    with pytest.raises(AccessFailed, match="not in a cluster"):
        find_access()
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    monkeypatch.setenv("HOME", str(pki))
    with pytest.raises(AccessFailed, match=r"\.kube/config cannot be read"):
        find_access()


def test_several_files_are_joined_as_kubectl_does(pki: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _config(pki, "https://first", {"token": "a"})
    second = tmp_path / "second"
    document = yaml.safe_load(first.read_text().replace("https://first", "https://second"))
    document["contexts"].append({"name": "there", "context": {"cluster": "d"}})
    document["clusters"].append({"name": "d", "cluster": {"server": "https://there"}})
    second.write_text(yaml.safe_dump(document))
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'missing'}:{first}:{second}")
    assert find_access().server == "https://first"
    assert find_access(context="there").server == "https://there"


@pytest.mark.parametrize(
    ("user", "cluster", "what"),
    [
        ({"as": "root", "token": "a"}, {}, "user has 'as'"),
        ({}, {"proxy-url": "http://proxy"}, "cluster has 'proxy-url'"),
    ],
)
def test_what_cannot_be_done_as_a_kubeconfig_says_is_refused(
    pki: Path, user: dict[str, Any], cluster: dict[str, Any], what: str
) -> None:
    with pytest.raises(AccessFailed, match=f"{what}, which xVirt cannot do; use a context without it"):
        from_kubeconfig(_config(pki, "https://a", user, **cluster))


def test_a_kubeconfig_that_is_none_is_refused_with_its_path(pki: Path) -> None:
    with pytest.raises(AccessFailed, match="absent cannot be read"):
        from_kubeconfig(pki / "absent")
    for text in ("", "[", "[1]", "\x00"):
        (pki / "bad").write_text(text)
        with pytest.raises(AccessFailed, match="bad is not a kubeconfig"):
            from_kubeconfig(pki / "bad")
    (pki / "bad").write_text("a: 1")
    with pytest.raises(AccessFailed, match="bad names no current context; name one with --context"):
        from_kubeconfig(pki / "bad")
    with pytest.raises(AccessFailed, match="'other' is not among its contexts"):
        from_kubeconfig(_config(pki, "https://a", {}), context="other")
