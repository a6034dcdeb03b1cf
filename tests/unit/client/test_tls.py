"""Mutual TLS: who is let in, who is refused and how that is told, and files that are exchanged while everybody is at work."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from tests.unit.cli.live_node import eventually
from tests.unit.client.both import PATIENCE_S, Connect
from tests.unit.client.scripted import Served, view
from xvirt.client.pki import init_pki, issue_certificate
from xvirt.client.schedule import Patience
from xvirt.client.target import Target, TlsFiles
from xvirt.model.errors import Forbidden, InvalidSpec, Unavailable
from xvirt.model.exchange import WatchEvent, WatchType
from xvirt.nodeapi.v1 import node_pb2 as pb
from xvirt.nodeapi.v1.node_pb2_grpc import NodeStub
from xvirt.wire.certificates import CertificateFiles

QUICK = Patience(call_s=20.0, repeat_within_s=0.0)
NAMES = ["node-a", "node-z"]


def _files(directory: Path, name: str, ca: Path | None = None) -> TlsFiles:
    return TlsFiles((ca or directory) / "ca.crt", directory / f"{name}.crt", directory / f"{name}.key")


def _target(served: Served, files: TlsFiles, name: str = "node-a") -> Target:
    return Target(f"tcp://127.0.0.1:{served.server.tcp_port}", name, files)


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    init_pki(tmp_path / "pki", NAMES, ["admin", "guest"])
    return tmp_path / "pki"


@pytest.fixture
def secure(serve: Callable[..., Served], pki: Path) -> Served:
    return serve(tls=_files(pki, "node-a"))


def _late(pki: Path, name: str, *, is_node: bool) -> Path:
    """A folder with an expired certificate of the right CA."""
    directory = pki.parent / "late"
    directory.mkdir()
    for file in ("ca.crt", "ca.key"):
        shutil.copy(pki / file, directory / file)
    issue_certificate(directory, name, is_node=is_node, not_after=_days(-1))
    return directory


def _days(number: int) -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=number)


def _refusal(connect: Connect, target: Target) -> str:
    with pytest.raises(Unavailable) as found:
        connect(target, QUICK).node_info()
    assert found.value.reason == "TlsRefused", found.value.message
    return found.value.message


def test_row_19_the_right_certificates_are_let_in_as_whom_they_name(
    connect: Connect, secure: Served, pki: Path
) -> None:
    client = connect(_target(secure, _files(pki, "admin")))
    assert client.node_info().document == {"kind": "VirtualHost"}
    with client.watch() as events:
        assert next(events).type is WatchType.SYNCED
    assert secure.api.calls == [("node_info", "admin")]


def test_row_19_a_name_that_the_config_does_not_know_is_forbidden(connect: Connect, secure: Served, pki: Path) -> None:
    with pytest.raises(Forbidden, match=r"'guest' is not in `clients`") as found:
        connect(_target(secure, _files(pki, "guest"))).node_info()
    assert found.value.reason == "UnknownClient"
    assert secure.api.calls == []


def test_row_19_a_client_without_a_certificate_is_refused(secure: Served, pki: Path) -> None:
    trust = grpc.ssl_channel_credentials((pki / "ca.crt").read_bytes())
    options = [("grpc.ssl_target_name_override", "node-a")]
    with grpc.secure_channel(f"127.0.0.1:{secure.server.tcp_port}", trust, options) as channel:
        with pytest.raises(grpc.RpcError) as found:
            NodeStub(channel).NodeInfo(pb.NodeInfoRequest(), timeout=PATIENCE_S)
        assert found.value.code() is grpc.StatusCode.UNAVAILABLE
    with grpc.insecure_channel(f"127.0.0.1:{secure.server.tcp_port}") as channel:
        with pytest.raises(grpc.RpcError) as found:
            NodeStub(channel).NodeInfo(pb.NodeInfoRequest(), timeout=PATIENCE_S)
        assert found.value.code() is grpc.StatusCode.UNAVAILABLE
    assert secure.api.calls == []


def test_row_19_a_client_of_another_ca_is_refused_and_told(connect: Connect, secure: Served, pki: Path) -> None:
    init_pki(pki.parent / "other", [], ["admin"])
    told = _refusal(connect, _target(secure, _files(pki.parent / "other", "admin", ca=pki)))
    assert f"the client's certificate {pki.parent}/other/admin.crt is not signed by a CA in {pki}/ca.crt" in told
    assert secure.api.calls == []


def test_row_19_an_expired_client_is_refused_and_told(connect: Connect, secure: Served, pki: Path) -> None:
    late = _late(pki, "admin", is_node=False)
    assert f"the client's certificate {late}/admin.crt has expired on " in _refusal(
        connect, _target(secure, _files(late, "admin"))
    )


def test_row_19_a_nodes_certificate_is_no_clients(connect: Connect, secure: Served, pki: Path) -> None:
    told = _refusal(connect, _target(secure, _files(pki, "node-z")))
    assert f"{pki}/node-z.crt is not one for clients" in told


def test_row_19_a_node_of_another_ca_is_refused_and_told(connect: Connect, secure: Served, pki: Path) -> None:
    init_pki(pki.parent / "other", [], ["admin"])
    told = _refusal(connect, _target(secure, _files(pki, "admin", ca=pki.parent / "other")))
    assert f"the node's certificate is not signed by a CA in {pki.parent}/other/ca.crt" in told


def test_row_19_an_expired_node_is_refused_and_told(connect: Connect, serve: Callable[..., Served], pki: Path) -> None:
    served = serve(tls=_files(_late(pki, "node-a", is_node=True), "node-a"))
    assert "the node's certificate has expired" in _refusal(connect, _target(served, _files(pki, "admin")))


def test_row_19_another_nodes_certificate_is_refused_and_told(connect: Connect, secure: Served, pki: Path) -> None:
    told = _refusal(connect, _target(secure, _files(pki, "admin"), "node-z"))
    assert "the node's certificate is not that of 'node-z'" in told


def test_row_19_a_clients_certificate_is_no_nodes(connect: Connect, serve: Callable[..., Served], pki: Path) -> None:
    served = serve(tls=_files(pki, "guest"))
    told = _refusal(connect, _target(served, _files(pki, "admin"), "guest"))
    assert "the node's certificate is not one for servers" in told


def _exchange(pki: Path, source: Path, *names: str) -> None:
    for name in names:
        shutil.copy(source / name, pki / name)


def test_row_19_all_files_are_exchanged_on_both_sides_while_a_watch_stays_open(
    connect: Connect, secure: Served, pki: Path
) -> None:
    client = connect(_target(secure, _files(pki, "admin")))
    with client.watch() as events:
        assert next(events).type is WatchType.SYNCED
        init_pki(pki.parent / "new", NAMES, ["admin"])
        shutil.copytree(pki, pki.parent / "old")
        _exchange(pki, pki.parent / "new", *(path.name for path in (pki.parent / "new").iterdir()))
        assert client.node_info().document == {"kind": "VirtualHost"}
        secure.api.feeds[0].events.put(WatchEvent(type=WatchType.OBJECT, boot_id="b", sequence=2, object=view()))
        assert next(events).sequence == 2
        with client.watch() as second:
            assert next(second).type is WatchType.SYNCED
    old = pki.parent / "old"
    with pytest.raises(Unavailable):
        connect(_target(secure, _files(old, "admin")), QUICK).node_info()
    eventually(lambda: all(feed.is_closed for feed in secure.api.feeds))


def test_row_19_half_an_exchange_on_the_node_keeps_the_last_good_pair(
    connect: Connect, secure: Served, pki: Path, caplog: pytest.LogCaptureFixture
) -> None:
    init_pki(pki.parent / "new", NAMES, ["admin"])
    files = _files(pki, "admin")
    _exchange(pki, pki.parent / "new", "node-a.crt")
    assert connect(_target(secure, files)).node_info()
    assert f"{pki}/node-a.key: is not the key of {pki}/node-a.crt" in caplog.text
    (pki / "node-a.crt").write_bytes(b"")
    assert connect(_target(secure, files)).node_info()
    (pki / "node-a.crt").unlink()
    assert connect(_target(secure, files)).node_info()
    _exchange(pki, pki.parent / "new", "node-a.crt", "node-a.key", "ca.crt")
    with pytest.raises(Unavailable):  # whole again: the new ones are taken, and this client's are not theirs
        connect(_target(secure, files), QUICK).node_info()
    assert connect(_target(secure, _files(pki.parent / "new", "admin"))).node_info()


def test_row_19_half_an_exchange_on_the_client_keeps_the_last_good_pair(
    connect: Connect, secure: Served, pki: Path
) -> None:
    own = pki.parent / "own"
    shutil.copytree(pki, own)
    client = connect(_target(secure, _files(own, "admin")))
    assert client.node_info()
    issue_certificate(pki, "admin", is_node=False)
    _exchange(own, pki, "admin.crt")
    assert client.node_info()
    (own / "admin.key").unlink()
    assert client.node_info()
    _exchange(own, pki, "admin.key")
    assert client.node_info()


def test_files_that_cannot_be_used_are_refused_at_once_and_named(connect: Connect, pki: Path, tmp_path: Path) -> None:
    target = "tcp://127.0.0.1:1"
    with pytest.raises(InvalidSpec, match=r"none\.crt: cannot be read: No such file"):
        connect(Target(target, "node-a", _files(pki, "none")))
    mixed = TlsFiles(pki / "ca.crt", pki / "admin.crt", pki / "guest.key")
    with pytest.raises(InvalidSpec, match=r"guest\.key: is not the key of .*admin\.crt"):
        connect(Target(target, "node-a", mixed))
    with pytest.raises(InvalidSpec, match=r"ca\.key: holds no PEM certificate"):
        connect(Target(target, "node-a", TlsFiles(pki / "ca.key", pki / "admin.crt", pki / "admin.key")))
    with pytest.raises(InvalidSpec, match=r"admin\.crt: holds no unencrypted PEM private key"):
        connect(Target(target, "node-a", TlsFiles(pki / "ca.crt", pki / "admin.crt", pki / "admin.crt")))
    with pytest.raises(InvalidSpec, match=r"holds no PEM certificate"):
        Served(tmp_path, tls=TlsFiles(pki / "ca.key", pki / "node-a.crt", pki / "node-a.key"))


def test_a_key_is_not_shown_where_files_are_printed(pki: Path) -> None:
    assert "PRIVATE KEY" not in repr(CertificateFiles(_files(pki, "admin")).load())
