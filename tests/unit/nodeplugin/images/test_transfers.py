"""Transfers as the workers see them: shared, cancelled, bounded, and looked through before they are used."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from nodeplugin.images.port import ImageRequest, TransferState
from tests.unit.nodeplugin.images.conftest import WAIT_S, Pool, checksum
from tests.unit.nodeplugin.images.server import FaultServer, Reply
from tools.lab.processes import wait_until
from xvirt.model.errors import Busy, Exhausted, InternalError, InvalidSpec, NotFound, Refused, RetryLater

Serve = Callable[..., FaultServer]


def test_row_49_all_who_wait_for_a_source_share_one_download_and_one_file(
    pool: Pool, serve: Serve, content: bytes
) -> None:
    server = serve(Reply(stall_after=100_000), Reply())
    for uid in ("one", "two", "three"):
        pool.transfers.start(pool.request(server.url, uid))
    wait_until(server.stalled.is_set, WAIT_S, "the download to be under way")
    pool.transfers.start(pool.request(server.url, "late"))
    server.released.set()
    for uid in ("one", "two", "three", "late"):
        assert pool.wait(uid).checksum == checksum(content)
    assert server.ranges == [None, "bytes=100000-"]
    assert len({(pool.directory / f"{uid}.img").stat().st_ino for uid in ("one", "two", "three", "late")}) == 1


def test_row_49_each_image_keeps_the_content_for_itself(pool: Pool, serve: Serve, content: bytes) -> None:
    server = serve()
    pool.fetch(pool.request(server.url))
    twin = pool.request(server.url, "two", twin_path=str(pool.directory / "one.img"), checksum=checksum(content))
    assert pool.fetch(twin).checksum == checksum(content)
    os.unlink(pool.directory / "one.img")
    assert (pool.directory / "two.img").read_bytes() == content
    assert len(server.ranges) == 1


def test_a_twin_that_went_meanwhile_is_fetched(pool: Pool, serve: Serve, content: bytes) -> None:
    request = pool.request(serve().url, twin_path=str(pool.directory / "gone"), checksum=checksum(content))
    assert pool.fetch(request).checksum == checksum(content)


def test_another_checksum_format_or_trust_is_another_transfer(pool: Pool, serve: Serve, content: bytes) -> None:
    server = serve(Reply(stall_after=1000), Reply(stall_after=1000), Reply())
    pool.transfers.start(pool.request(server.url))
    pool.transfers.start(pool.request(server.url, "two", checksum=checksum(content)))
    wait_until(lambda: len(server.ranges) == 2, WAIT_S, "two downloads")
    server.released.set()
    assert pool.wait("one").error is None
    assert pool.wait("two").error is None


def test_who_leaves_gets_nothing_and_the_others_go_on(pool: Pool, serve: Serve) -> None:
    server = serve(Reply(stall_after=100_000), Reply())
    for uid in ("one", "two"):
        pool.transfers.start(pool.request(server.url, uid))
    wait_until(server.stalled.is_set, WAIT_S, "the download to be under way")
    pool.transfers.forget("one")
    assert pool.transfers.find("one") is None
    server.released.set()
    assert pool.wait("two").error is None
    assert pool.names() == ["two.img"]


def test_a_download_that_nobody_wants_any_more_ends_at_once_and_leaves_nothing(pool: Pool, serve: Serve) -> None:
    server = serve(Reply(stall_after=100_000), Reply())
    request = pool.request(server.url)
    pool.transfers.start(request)
    wait_until(server.stalled.is_set, WAIT_S, "the download to be under way")
    pool.transfers.forget("one")
    wait_until(lambda: pool.names() == [], WAIT_S, "the partial file to go")
    wait_until(lambda: _can_start(pool, request), WAIT_S, "the cancelled transfer to end")
    assert pool.wait().error is None


def _can_start(pool: Pool, request: ImageRequest) -> bool:
    try:
        pool.transfers.start(request)
    except Busy:
        return False
    return True


def test_two_downloads_run_and_the_third_waits(pool: Pool, serve: Serve) -> None:
    servers = [serve(Reply(stall_after=1000), Reply()) for _ in range(3)]
    for number, server in enumerate(servers):
        pool.transfers.start(pool.request(server.url, str(number)))
    wait_until(lambda: servers[0].stalled.is_set() and servers[1].stalled.is_set(), WAIT_S, "two downloads")
    assert pool.facts("2").state is TransferState.QUEUED
    assert not servers[2].ranges
    servers[0].released.set()
    assert pool.wait("0").error is None
    servers[2].released.set()
    assert pool.wait("2").error is None
    assert pool.facts("1").state is TransferState.RUNNING


def test_more_transfers_than_the_limit_are_refused_for_now(pool: Pool, serve: Serve) -> None:
    pool.limit(transfers_max=1)
    server = serve(Reply(stall_after=1000), Reply())
    pool.transfers.start(pool.request(server.url))
    with pytest.raises(Exhausted):
        pool.transfers.start(pool.request(f"{server.url}?other", "two"))


def test_progress_is_told_to_all_who_wait(pool: Pool, serve: Serve, content: bytes) -> None:
    server = serve(Reply(stall_after=100_000), Reply())
    pool.transfers.start(pool.request(server.url))
    wait_until(lambda: pool.facts().done_bytes == 100_000, WAIT_S, "progress")
    assert pool.facts().total_bytes == len(content)
    assert pool.told.count("one") >= 2
    server.released.set()
    pool.wait()
    assert pool.told[-1] == "one"


def test_progress_is_not_told_at_every_chunk(pool: Pool, serve: Serve) -> None:
    pool.limit(progress_interval_s=3600.0)
    pool.fetch(pool.request(serve().url))
    wait_until(lambda: len(pool.told) == 3, WAIT_S, "running, checking, done")


def test_a_closing_plugin_ends_downloads_and_keeps_what_came(pool: Pool, serve: Serve) -> None:
    server = serve(Reply(stall_after=100_000), Reply())
    pool.transfers.start(pool.request(server.url))
    wait_until(lambda: pool.facts().done_bytes == 100_000, WAIT_S, "the first part")
    closed = pool.transfers
    pool.restart()
    assert [name.rpartition(".")[2] for name in pool.names()] == ["download", "json"]
    with pytest.raises(RetryLater):
        closed.start(pool.request(server.url, "two"))


def test_an_image_that_is_there_is_summed_and_not_fetched(pool: Pool, serve: Serve, content: bytes) -> None:
    server = serve()
    (pool.directory / "one.img").write_bytes(content)
    assert pool.fetch(pool.request(server.url, checksum=checksum(content))).checksum == checksum(content)
    assert server.ranges == []


def test_another_file_in_the_images_place_is_not_taken_for_it(pool: Pool, serve: Serve, content: bytes) -> None:
    (pool.directory / "one.img").write_bytes(b"an earlier one")
    error = pool.fails(pool.request(serve().url, checksum=checksum(content)))
    assert isinstance(error, Refused)
    assert (pool.directory / "one.img").read_bytes() == b"an earlier one"


def test_a_bug_is_told_as_one_and_holds_no_thread(pool: Pool, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool.volumes, "check_image", lambda *_: 1 / 0)
    error = pool.fails(pool.request(serve().url))
    assert isinstance(error, InternalError)
    monkeypatch.undo()
    pool.restart()
    assert pool.fetch(pool.request(serve().url, "two")).error is None


# what may not be used


def _qemu_img(*argv: str) -> None:
    subprocess.run(["qemu-img", *argv], check=True, capture_output=True)


def _backed(path: str) -> None:
    _qemu_img("create", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", path, "1M")


def _with_data_file(path: str) -> None:
    _qemu_img("create", "-f", "qcow2", "-o", f"data_file={path}.data,data_file_raw=on", path, "1M")


def _huge(path: str) -> None:
    _qemu_img("create", "-f", "qcow2", "-o", "cluster_size=2M", path, "100T")


def _torn(path: str) -> None:
    Path(f"{path}.raw").write_bytes(os.urandom(1 << 20))
    _qemu_img("convert", "-f", "raw", "-O", "qcow2", f"{path}.raw", path)
    os.truncate(path, os.path.getsize(path) - 300_000)


def _text(path: str) -> None:
    Path(path).write_text("no image")


@pytest.mark.parametrize("make", [_backed, _with_data_file, _huge, _torn, _text])
def test_an_image_that_reaches_outside_or_lies_never_gets_its_name(
    pool: Pool, tmp_path: Path, make: Callable[[str], None]
) -> None:
    source = str(tmp_path / "source")
    make(source)
    error = pool.fails(pool.request(source, format="qcow2"))
    assert isinstance(error, InvalidSpec)
    assert pool.names() == []


def test_a_good_qcow2_image_is_taken(pool: Pool, tmp_path: Path) -> None:
    source = str(tmp_path / "source")
    _qemu_img("create", "-f", "qcow2", source, "3M")
    assert pool.fetch(pool.request(source, format="qcow2")).error is None
    assert pool.names() == ["one.img"]


@pytest.mark.parametrize(("source", "expected"), [("/dev/zero", Refused), ("/tmp", Refused), ("/none", NotFound)])
def test_a_path_that_is_no_file_is_refused(pool: Pool, source: str, expected: type[Exception]) -> None:
    assert type(pool.fails(pool.request(source))) is expected


def test_a_fifo_does_not_hold_us(pool: Pool, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert isinstance(pool.fails(pool.request(str(tmp_path / "fifo"))), Refused)


def test_a_source_that_changes_while_it_is_read_is_read_again(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 100)

    class Longer:
        st_mode, st_size = os.stat(source).st_mode, 101

    monkeypatch.setattr("nodeplugin.images.fetch.os.fstat", lambda descriptor: Longer)
    error = pool.fails(pool.request(str(source)))
    assert (type(error), getattr(error, "reason", "")) == (RetryLater, "SourceChanged")
