"""Disks out of container images, against a registry that serves, asks for tokens, breaks and lies."""

from __future__ import annotations

import gzip
import lzma
import os
import platform
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from nodeplugin.images.policy import ImagePolicy
from nodeplugin.images.port import ImageRequest, Origin, TransferState, Trust
from nodeplugin.images.reference import parse_reference
from nodeplugin.images.registry import ARCHITECTURES
from tests.unit.nodeplugin.images.conftest import Pool
from tests.unit.nodeplugin.images.registry import Registry, digest_of, other_architecture, tar_of
from xvirt.model.errors import Exhausted, InvalidSpec, NotFound, PolicyRefused, Refused, RetryLater

OWN = ARCHITECTURES.get(platform.machine(), platform.machine())


@pytest.fixture
def registry(pool: Pool) -> Iterator[Registry]:
    with Registry().running() as made:
        pool.policy = ImagePolicy(url_prefixes=(f"http://{made.host}/",))
        yield made


def request_of(pool: Pool, registry: Registry, rest: str = "team/debian:12", **fields: Any) -> ImageRequest:
    return pool.request(f"{registry.host}/{rest}", origin=Origin.CONTAINER_DISK, **fields)


def test_row_49_a_disk_comes_out_of_a_container_image(pool: Pool, registry: Registry, content: bytes) -> None:
    digest = registry.put_disk(content)
    facts = pool.fetch(request_of(pool, registry))
    assert (facts.state, facts.checksum) == (TransferState.DONE, digest)
    assert (pool.directory / "one.img").read_bytes() == content
    assert pool.names() == ["one.img"]


@pytest.mark.parametrize(
    ("text", "registry", "repository", "version"),
    [
        ("quay.io/containerdisks/debian:12", "quay.io", "containerdisks/debian", "12"),
        ("registry.example:5000/a", "registry.example:5000", "a", "latest"),
        (f"r.example/a/b/c:1@sha256:{'a' * 64}", "r.example", "a/b/c", f"sha256:{'a' * 64}"),
    ],
)
def test_a_reference_has_registry_repository_and_version(
    text: str, registry: str, repository: str, version: str
) -> None:
    found = parse_reference(text)
    assert (found.registry, found.repository, found.version) == (registry, repository, version)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress, lzma.compress])
def test_layers_are_unpacked_as_they_are_packed(pool: Pool, registry: Registry, content: bytes, pack: object) -> None:
    registry.put_image(pack(tar_of(("./disk/disk.img", content))))  # type: ignore[operator]
    assert pool.fetch(request_of(pool, registry)).state is TransferState.DONE
    assert (pool.directory / "one.img").read_bytes() == content


def test_this_hosts_image_is_taken_from_an_index(pool: Pool, registry: Registry, content: bytes) -> None:
    other = registry.put_disk(b"raw:another machine's" * 100, tag="other")
    index = registry.put_index({other_architecture(): other, OWN: registry.put_disk(content, tag="own")})
    facts = pool.fetch(request_of(pool, registry, checksum=index))
    assert facts.checksum == index
    assert (pool.directory / "one.img").read_bytes() == content


def test_an_index_without_this_hosts_image_says_what_it_has(pool: Pool, registry: Registry, content: bytes) -> None:
    registry.put_index({other_architecture(): registry.put_disk(content, tag="x")})
    error = pool.fails(request_of(pool, registry))
    assert isinstance(error, NotFound)
    assert f"linux/{OWN}" in str(error)
    assert other_architecture() in str(error)


def test_the_top_layer_with_the_file_wins(pool: Pool, registry: Registry, content: bytes) -> None:
    layers = (
        tar_of(("disk/old.img", b"raw:old" * 100)),
        tar_of(("disk/disk.img", content)),
        tar_of(("etc/motd", b"hi")),
    )
    registry.put_image(*layers)
    assert pool.fetch(request_of(pool, registry)).state is TransferState.DONE
    assert (pool.directory / "one.img").read_bytes() == content
    assert not any(digest_of(layers[0]) in path for path in registry.requests), "a layer was fetched for nothing"


@pytest.mark.parametrize("mark", ["disk/.wh..wh..opq", ".wh.disk", "disk/.wh.disk.img"])
def test_what_a_layer_hides_is_not_taken_from_below(pool: Pool, registry: Registry, content: bytes, mark: str) -> None:
    registry.put_image(tar_of(("disk/disk.img", content)), tar_of((mark, b"")))
    error = pool.fails(request_of(pool, registry, member="/disk/disk.img"))
    assert isinstance(error, InvalidSpec)
    assert "has no /disk/disk.img" in str(error)


def test_a_named_file_is_taken_wherever_it_is(pool: Pool, registry: Registry, content: bytes) -> None:
    registry.put_image(tar_of(("disk/a", b"raw:a"), ("disk/b", b"raw:b"), ("images/./root.img", content)))
    assert pool.fetch(request_of(pool, registry, member="/images/root.img")).state is TransferState.DONE
    assert (pool.directory / "one.img").read_bytes() == content


def test_two_files_in_disk_are_refused_by_name(pool: Pool, registry: Registry) -> None:
    registry.put_image(tar_of(("disk/a.img", b"raw:a"), ("disk/b.img", b"raw:b")))
    error = pool.fails(request_of(pool, registry))
    assert "/disk/a.img and /disk/b.img" in str(error)
    assert "containerDisk.path" in str(error)
    assert pool.names() == []


def test_a_container_image_without_a_disk_is_refused(pool: Pool, registry: Registry) -> None:
    registry.put_image(tar_of(("bin/sh", b"#!")))
    error = pool.fails(request_of(pool, registry))
    assert isinstance(error, InvalidSpec)
    assert "has no file in /disk" in str(error)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_a_disk_that_is_no_file_is_refused(pool: Pool, registry: Registry, kind: bytes) -> None:
    head = tarfile.TarInfo("disk/disk.img")
    head.type, head.linkname = kind, "/etc/shadow"
    registry.put_image(tar_of((head, b"")))
    assert "is no regular file" in str(pool.fails(request_of(pool, registry)))
    assert pool.names() == []


def test_paths_that_lead_out_write_nothing_out(pool: Pool, registry: Registry, content: bytes, tmp_path: Path) -> None:
    registry.put_image(tar_of(("../../escape", b"x"), ("/etc/escape", b"x"), ("disk/disk.img", content)))
    assert pool.fetch(request_of(pool, registry)).state is TransferState.DONE
    assert [path.name for path in tmp_path.rglob("*escape*")] == []


def test_a_torn_archive_is_refused(pool: Pool, registry: Registry, content: bytes) -> None:
    registry.put_image(tar_of(("disk/disk.img", content))[:200_000])
    assert isinstance(pool.fails(request_of(pool, registry)), InvalidSpec)
    registry.put_image(gzip.compress(tar_of(("disk/disk.img", content)))[:-100], tag="13")
    assert isinstance(pool.fails(request_of(pool, registry, "team/debian:13", uid="two")), InvalidSpec)
    registry.put_image(os.urandom(4096), tag="14")
    assert isinstance(pool.fails(request_of(pool, registry, "team/debian:14", uid="three")), InvalidSpec)
    assert pool.names() == []


def test_an_archives_head_may_not_take_the_memory(pool: Pool, registry: Registry) -> None:
    head = tarfile.TarInfo("disk/disk.img")
    head.pax_headers = {"comment": "x" * (3 << 20)}
    registry.put_image(gzip.compress(tar_of((head, b"raw:"))))
    error = pool.fails(request_of(pool, registry))
    assert isinstance(error, Refused)
    assert "head" in str(error)


def test_a_layer_may_not_hold_members_without_end(pool: Pool, registry: Registry) -> None:
    pool.limit(layer_members_max=50)
    registry.put_image(tar_of(*((f"f{index}", b"") for index in range(51)), ("disk/disk.img", b"raw:")))
    assert "more than 50 members" in str(pool.fails(request_of(pool, registry)))


def test_a_bomb_ends_at_the_cap(pool: Pool, registry: Registry) -> None:
    pool.limit(size_max_bytes=1 << 20)
    registry.put_image(gzip.compress(tar_of(("other", bytes(3 << 20)), ("disk/disk.img", b"raw:"))))
    assert "unpacks to more than" in str(pool.fails(request_of(pool, registry)))
    registry.put_image(gzip.compress(tar_of(("disk/disk.img", bytes(2 << 20)))), tag="13")
    assert "larger than" in str(pool.fails(request_of(pool, registry, "team/debian:13", uid="two")))
    assert pool.names() == []


def test_an_anonymous_token_is_fetched_where_the_registry_asks(pool: Pool, registry: Registry, content: bytes) -> None:
    registry.put_disk(content)
    registry.token = "t0ken"
    assert pool.fetch(request_of(pool, registry)).state is TransferState.DONE
    assert registry.requests.count("/token") == 1


def test_a_token_that_ran_out_is_asked_for_again(pool: Pool, registry: Registry, content: bytes) -> None:
    registry.put_disk(content)
    registry.token, registry.expires_after = "t0ken", 1
    assert pool.fetch(request_of(pool, registry)).state is TransferState.DONE
    assert registry.requests.count("/token") == 2


def test_a_token_is_not_sent_where_blobs_are_redirected_to(pool: Pool, registry: Registry, content: bytes) -> None:
    registry.put_disk(content)
    registry.token = "t0ken"
    with Registry().running() as elsewhere:
        elsewhere.blobs = dict(registry.blobs)
        registry.blob_redirect = elsewhere
        assert pool.fetch(request_of(pool, registry)).state is TransferState.DONE
        assert elsewhere.authorizations == [None]


def test_a_registry_that_wants_a_password_is_refused_with_the_remedy(pool: Pool, registry: Registry) -> None:
    registry.put_disk(b"raw:secret")
    registry.token, registry.realm = "t0ken", f"http://{registry.host}/v2/none/manifests/none"
    error = pool.fails(request_of(pool, registry))
    assert isinstance(error, Refused)
    assert "without a password" in str(error)


def test_a_lying_manifest_is_not_taken(pool: Pool, registry: Registry, content: bytes) -> None:
    digest = registry.put_disk(content)
    kind, data = registry.manifests[digest]
    registry.manifests[digest] = (kind, data + b" ")
    error = pool.fails(request_of(pool, registry, f"team/debian@{digest}"))
    assert isinstance(error, RetryLater)
    assert error.reason == "ChecksumDiffers"
    assert not any("/blobs/" in path for path in registry.requests)


def test_a_lying_layer_is_not_taken(pool: Pool, registry: Registry, content: bytes) -> None:
    registry.put_disk(content)
    forged = gzip.compress(tar_of(("disk/disk.img", b"raw:evil" * 1000)))
    layer = next(digest for digest, data in registry.blobs.items() if data != b"{}")
    registry.blobs[layer] = forged
    error = pool.fails(request_of(pool, registry))
    assert isinstance(error, RetryLater)
    assert "came as" in str(error)
    assert "one.img" not in pool.names()


def test_another_image_than_the_declared_one_is_refused_before_it_is_fetched(
    pool: Pool, registry: Registry, content: bytes
) -> None:
    digest = registry.put_disk(content)
    error = pool.fails(request_of(pool, registry, checksum=f"sha256:{'0' * 64}"))
    assert isinstance(error, InvalidSpec)
    assert digest in str(error)
    assert not any("/blobs/" in path for path in registry.requests)


def test_a_layer_that_breaks_goes_on_where_it_was(pool: Pool, registry: Registry, content: bytes) -> None:
    registry.put_disk(content)
    registry.cut_blobs_after = 200_000
    assert pool.fetch(request_of(pool, registry)).state is TransferState.DONE
    assert sum("/blobs/" in path for path in registry.requests) == 3


def test_a_killed_process_goes_on_with_its_layer(pool: Pool, registry: Registry, content: bytes) -> None:
    registry.put_disk(content)
    registry.cut_blobs_after = 100
    pool.limit(attempts_max=1)
    assert isinstance(pool.fails(request_of(pool, registry)), RetryLater)
    pool.restart()
    registry.cut_blobs_after = None
    assert pool.fetch(request_of(pool, registry)).state is TransferState.DONE
    assert (pool.directory / "one.img").read_bytes() == content


def test_a_moved_tag_does_not_mix_two_layers(pool: Pool, registry: Registry, content: bytes) -> None:
    registry.put_disk(content)
    registry.cut_blobs_after = 100_000
    pool.limit(attempts_max=1, attempt_progress_bytes=1 << 30)
    assert isinstance(pool.fails(request_of(pool, registry)), RetryLater)
    pool.restart()
    registry.cut_blobs_after = None
    fresh = b"raw:" + os.urandom(300 << 10)
    registry.put_disk(fresh)
    assert isinstance(pool.fails(request_of(pool, registry)), RetryLater)
    pool.restart()
    assert pool.fetch(request_of(pool, registry)).state is TransferState.DONE
    assert (pool.directory / "one.img").read_bytes() == fresh


@pytest.mark.parametrize(
    "manifest", [b"[]", b"no json", b"{}", b'{"layers": [{"digest": "md5:1"}]}', b'{"layers": []}']
)
def test_a_strange_manifest_is_refused(pool: Pool, registry: Registry, manifest: bytes) -> None:
    registry.manifests["12"] = (
        next(iter([*registry.manifests, "application/vnd.oci.image.manifest.v1+json"])),
        manifest,
    )
    assert isinstance(pool.fails(request_of(pool, registry)), Refused | InvalidSpec)


def test_a_manifest_without_end_is_refused(pool: Pool, registry: Registry) -> None:
    pool.limit(manifest_max_bytes=1000)
    registry.put_image(tar_of(("disk/disk.img", b"raw:")), *(tar_of((f"f{index}", b"")) for index in range(10)))
    assert "longer than 1000 bytes" in str(pool.fails(request_of(pool, registry)))


def test_a_name_that_is_not_there_is_refused(pool: Pool, registry: Registry) -> None:
    assert "404" in str(pool.fails(request_of(pool, registry, "team/none:1")))


def test_a_registry_that_is_not_listed_is_refused(pool: Pool, registry: Registry, content: bytes) -> None:
    registry.put_disk(content)
    pool.policy = ImagePolicy(url_prefixes=("https://quay.io/v2/containerdisks",))
    with pytest.raises(PolicyRefused, match=r"images\.urlPrefixes"):
        pool.transfers.start(request_of(pool, registry, trust=Trust.LISTED))
    pool.transfers.start(pool.request("quay.io/containerdisks/x", origin=Origin.CONTAINER_DISK, trust=Trust.LISTED))
    pool.transfers.forget("one")


def test_a_private_registry_is_refused_where_nobody_listed_it(pool: Pool, registry: Registry) -> None:
    pool.policy = ImagePolicy()
    error = pool.fails(request_of(pool, registry, trust=Trust.LISTED))
    assert isinstance(error, PolicyRefused)
    assert "no public address" in str(error)


def test_a_full_disk_keeps_nothing(pool: Pool, registry: Registry, content: bytes) -> None:
    pool.limit(space_reserve_bytes=1 << 60, space_reserve_percent=100)
    registry.put_disk(content)
    assert isinstance(pool.fails(request_of(pool, registry)), Exhausted)
    assert pool.names() == []


def test_an_image_that_was_there_is_kept(pool: Pool, registry: Registry, content: bytes) -> None:
    registry.put_disk(content)
    assert pool.fetch(request_of(pool, registry)).state is TransferState.DONE
    before = (pool.directory / "one.img").stat().st_ino
    pool.restart()
    assert pool.fetch(request_of(pool, registry)).state is TransferState.DONE
    assert (pool.directory / "one.img").stat().st_ino == before
