"""Uploads into a pool: gone on with after a broken try, and checked like everything else."""

from __future__ import annotations

import pytest

from nodeplugin.images.port import ImageRequest, Origin, TransferState
from tests.unit.nodeplugin.images.conftest import Pool, checksum
from xvirt.model.errors import Busy, Conflict, Exhausted, InvalidSpec, Refused


def _request(pool: Pool, content: bytes, uid: str = "one") -> ImageRequest:
    return pool.request(uid, uid, origin=Origin.UPLOAD, checksum=checksum(content))


def test_row_49_an_upload_is_received_checked_and_put_in_place(pool: Pool, content: bytes) -> None:
    request = _request(pool, content)
    pool.transfers.start(request)
    assert pool.facts().state is TransferState.AWAITING
    upload = pool.transfers.open_upload(request, len(content))
    upload.write(content[:100_000])
    assert (pool.facts().state, pool.facts().done_bytes) == (TransferState.RECEIVING, 100_000)
    upload.write(content[100_000:])
    upload.finish()
    assert pool.fetch(request).checksum == checksum(content)
    assert pool.names() == ["one.img"]
    assert (pool.directory / "one.img").read_bytes() == content


def test_a_broken_upload_goes_on_also_in_a_new_process(pool: Pool, content: bytes) -> None:
    request = _request(pool, content)
    upload = pool.transfers.open_upload(request, len(content))
    upload.write(content[:100_000])
    upload.close()
    pool.restart()
    again = pool.transfers.open_upload(request, len(content))
    assert again.received_bytes == 100_000
    again.write(content[100_000:])
    again.finish()
    pool.restart()
    assert pool.fetch(request).checksum == checksum(content)


def test_an_upload_of_another_size_begins_anew(pool: Pool, content: bytes) -> None:
    request = _request(pool, content)
    upload = pool.transfers.open_upload(request, len(content))
    upload.write(content[:100_000])
    upload.close()
    assert pool.transfers.open_upload(request, len(content) - 1).received_bytes == 0


def test_what_was_sent_wrongly_is_refused_and_can_be_sent_again(pool: Pool, content: bytes) -> None:
    request = _request(pool, content)
    upload = pool.transfers.open_upload(request, len(content))
    upload.write(bytes(reversed(content)))
    upload.finish()
    assert isinstance(pool.fails(request), InvalidSpec)
    assert pool.names() == []
    again = pool.transfers.open_upload(request, len(content))
    assert again.received_bytes == 0
    again.write(content)
    again.finish()
    assert pool.fetch(request).error is None


def test_two_cannot_upload_the_same_image_at_once(pool: Pool, content: bytes) -> None:
    request = _request(pool, content)
    upload = pool.transfers.open_upload(request, len(content))
    with pytest.raises(Busy):
        pool.transfers.open_upload(request, len(content))
    upload.close()
    pool.transfers.open_upload(request, len(content)).close()


def test_more_uploads_than_the_limit_are_refused_for_now(pool: Pool, content: bytes) -> None:
    pool.limit(pending_uploads_max=1)
    pool.transfers.open_upload(_request(pool, content), len(content))
    with pytest.raises(Exhausted):
        pool.transfers.open_upload(_request(pool, content, "two"), len(content))


def test_more_or_less_than_announced_is_refused(pool: Pool, content: bytes) -> None:
    upload = pool.transfers.open_upload(_request(pool, content), 100)
    with pytest.raises(Refused, match="bytes came"):
        upload.finish()
    with pytest.raises(Refused, match="announced"):
        upload.write(content)


def test_an_upload_beyond_the_cap_is_not_begun(pool: Pool, content: bytes) -> None:
    pool.limit(size_max_bytes=100)
    with pytest.raises(Refused) as caught:
        pool.transfers.open_upload(_request(pool, content), 101)
    assert caught.value.reason == "ImageTooLarge"


def test_an_upload_of_a_deleted_image_ends_and_leaves_nothing(pool: Pool, content: bytes) -> None:
    upload = pool.transfers.open_upload(_request(pool, content), len(content))
    upload.write(content[:1000])
    pool.transfers.forget("one")
    with pytest.raises(Conflict):
        upload.write(content[1000:2000])
    assert pool.names() == []
    with pytest.raises(Conflict):
        upload.finish()


def test_a_full_disk_ends_an_upload(pool: Pool, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        f_frsize, f_blocks, f_bavail = 1, 1 << 30, 10

    request = _request(pool, content)
    monkeypatch.setattr("nodeplugin.images.files.os.statvfs", lambda path: Full)
    with pytest.raises(Exhausted):
        pool.transfers.open_upload(request, len(content))
    monkeypatch.undo()
    pool.transfers.open_upload(request, len(content)).close()


def test_an_upload_that_goes_on_is_not_collected(pool: Pool, content: bytes) -> None:
    request = _request(pool, content)
    upload = pool.transfers.open_upload(request, len(content))
    upload.write(content[:100])
    assert pool.transfers.collect(str(pool.directory), []) == []
    upload.close()
    assert len(pool.transfers.collect(str(pool.directory), [])) == 2
