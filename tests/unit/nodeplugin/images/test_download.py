"""Downloads from servers that are good, broken and hostile. Each test waits for the transfer's end, not for a time."""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from nodeplugin.images.files import Note, Partial, boot_id, key_of
from nodeplugin.images.policy import ImagePolicy
from nodeplugin.images.port import TransferState, Trust
from tests.unit.nodeplugin.images.conftest import WAIT_S, Pool, checksum
from tests.unit.nodeplugin.images.server import FaultServer, Framing, Ranges, Reply
from tools.lab.processes import wait_until
from xvirt.model.errors import Exhausted, InvalidSpec, PolicyRefused, Refused, RetryLater

Serve = Callable[..., FaultServer]


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", ""))


@pytest.mark.parametrize("framing", [Framing.LENGTH, Framing.CHUNKED])
def test_row_49_a_download_is_summed_and_leaves_nothing_but_the_image(
    pool: Pool, serve: Serve, content: bytes, framing: Framing
) -> None:
    facts = pool.fetch(pool.request(serve(Reply(framing=framing)).url))
    assert (facts.state, facts.checksum) == (TransferState.DONE, checksum(content))
    assert pool.names() == ["one.img"]
    assert (pool.directory / "one.img").read_bytes() == content
    assert (pool.directory / "one.img").stat().st_mode & 0o777 == 0o644


def test_row_49_another_checksum_than_declared_is_refused_and_not_fetched_again(pool: Pool, serve: Serve) -> None:
    server = serve()
    request = pool.request(server.url, checksum="sha256:" + "0" * 64)
    error = pool.fails(request)
    assert isinstance(error, InvalidSpec)
    assert _reason(error) == "ChecksumDiffers"
    assert pool.names() == []
    with pytest.raises(InvalidSpec):
        pool.transfers.start(request)
    assert len(server.ranges) == 1


def test_a_broken_connection_is_gone_on_with_where_it_broke(pool: Pool, serve: Serve, content: bytes) -> None:
    server = serve(Reply(cut_after=100_000), Reply(cut_after=100_000), Reply())
    facts = pool.fetch(pool.request(server.url))
    assert facts.checksum == checksum(content)
    assert server.ranges == [None, "bytes=100000-", "bytes=200000-"]
    assert server.conditions == [None, '"one"', '"one"']


def test_a_broken_chunked_answer_is_gone_on_with(pool: Pool, serve: Serve, content: bytes) -> None:
    facts = pool.fetch(pool.request(serve(Reply(cut_after=100_000, framing=Framing.CHUNKED), Reply()).url))
    assert facts.checksum == checksum(content)


@pytest.mark.parametrize(
    "second",
    [
        Reply(ranges=Ranges.IGNORED),
        Reply(etag='"two"', content=b"raw:" + b"another content" * 9000),
        Reply(ranges=Ranges.WRONG),
        Reply(status=416),
    ],
    ids=["ignores Range", "changed", "wrong range", "416"],
)
def test_a_server_that_cannot_go_on_is_read_from_the_start(
    pool: Pool, serve: Serve, content: bytes, second: Reply
) -> None:
    last = Reply(content=second.content, etag=second.etag)
    facts = pool.fetch(pool.request(serve(Reply(cut_after=100_000), second, last).url))
    wanted = content if second.content is None else second.content
    assert facts.checksum == checksum(wanted)
    assert (pool.directory / "one.img").read_bytes() == wanted


def test_a_part_of_other_content_is_not_put_behind_the_first(pool: Pool, serve: Serve, content: bytes) -> None:
    other = bytes(reversed(content))
    changed = Reply(etag='"two"', content=other, ranges=Ranges.UNCONDITIONAL)
    facts = pool.fetch(pool.request(serve(Reply(cut_after=100_000), changed).url))
    assert facts.checksum == checksum(other)


def test_without_etag_and_checksum_nothing_is_resumed(pool: Pool, serve: Serve, content: bytes) -> None:
    server = serve(Reply(cut_after=100_000, etag=""), Reply(etag=""))
    assert pool.fetch(pool.request(server.url)).checksum == checksum(content)
    assert server.ranges == [None, None]


def test_without_etag_a_checksum_is_enough_to_resume(pool: Pool, serve: Serve, content: bytes) -> None:
    server = serve(Reply(cut_after=100_000, etag=""), Reply(etag=""))
    assert pool.fetch(pool.request(server.url, checksum=checksum(content))).error is None
    assert server.ranges == [None, "bytes=100000-"]


def test_what_was_put_together_wrongly_is_fetched_anew(pool: Pool, serve: Serve, content: bytes) -> None:
    """Without an ETag the second part may be of other content; only the checksum tells."""
    other = bytes(reversed(content))
    server = serve(Reply(cut_after=100_000, etag="", content=other), Reply(etag=""))
    request = pool.request(server.url, checksum=checksum(content))
    error = pool.fails(request)
    assert isinstance(error, RetryLater)
    assert _reason(error) == "ChecksumDiffers"
    with pytest.raises(RetryLater):
        pool.transfers.start(request)
    assert pool.fetch(request).error is None
    assert server.ranges[-1] is None


def test_a_server_that_gives_nothing_new_is_given_up_and_what_came_is_kept(pool: Pool, serve: Serve) -> None:
    server = serve(Reply(cut_after=100_000), Reply(cut_after=10))
    error = pool.fails(pool.request(server.url))
    assert isinstance(error, RetryLater)
    assert _reason(error) == "Truncated"
    assert len(server.ranges) == 1 + pool.limits.attempts_max
    assert [name.rpartition(".")[2] for name in pool.names()] == ["download", "json"]


def test_a_server_that_stalls_is_left(pool: Pool, serve: Serve, content: bytes) -> None:
    pool.limit(stall_timeout_s=0.2)
    server = serve(Reply(stall_after=100_000), Reply())
    assert pool.fetch(pool.request(server.url)).checksum == checksum(content)
    assert server.ranges == [None, "bytes=100000-"]


def test_a_server_that_never_answers_is_left(pool: Pool, serve: Serve) -> None:
    pool.limit(head_timeout_s=0.1, attempts_max=2)
    server = serve(Reply(head_stalls=True))
    assert isinstance(pool.fails(pool.request(server.url)), RetryLater)
    assert len(server.ranges) == 2


def test_a_server_that_trickles_is_left(pool: Pool, serve: Serve) -> None:
    pool.limit(rate_window_s=0.1, rate_min_bytes_s=1 << 20, attempts_max=1)
    error = pool.fails(pool.request(serve(Reply(trickle=True)).url))
    assert (type(error), _reason(error)) == (RetryLater, "TooSlow")


def test_what_comes_after_the_promised_length_is_not_taken(pool: Pool, serve: Serve, content: bytes) -> None:
    facts = pool.fetch(pool.request(serve(Reply(surplus=b"surplus")).url))
    assert facts.checksum == checksum(content)


def test_without_a_length_only_a_checksum_tells_the_end(pool: Pool, serve: Serve, content: bytes) -> None:
    server = serve(Reply(framing=Framing.CLOSE))
    assert _reason(pool.fails(pool.request(server.url))) == "NoLength"
    assert pool.fetch(pool.request(server.url, "two", checksum=checksum(content))).error is None


@pytest.mark.parametrize("framing", list(Framing))
def test_an_image_beyond_the_cap_is_refused(pool: Pool, serve: Serve, content: bytes, framing: Framing) -> None:
    pool.limit(size_max_bytes=100_000)
    error = pool.fails(pool.request(serve(Reply(framing=framing)).url, checksum=checksum(content)))
    assert (type(error), _reason(error)) == (Refused, "ImageTooLarge")
    assert pool.names() == []


@pytest.mark.parametrize(
    ("status", "expected"), [(404, Refused), (403, Refused), (401, Refused), (503, RetryLater), (429, RetryLater)]
)
def test_an_error_of_the_server_says_whether_to_try_again(
    pool: Pool, serve: Serve, status: int, expected: type[Exception]
) -> None:
    error = pool.fails(pool.request(serve(Reply(status=status)).url))
    assert type(error) is expected
    assert str(status) in str(error)


# redirects


def test_a_redirect_is_followed(pool: Pool, serve: Serve, content: bytes) -> None:
    server = serve(Reply(status=302, location="/elsewhere"), Reply())
    assert pool.fetch(pool.request(server.url)).checksum == checksum(content)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("file:///etc/passwd", "RedirectDenied"),
        ("ftp://127.0.0.1/x", "RedirectDenied"),
        ("http://[::1/", "RedirectDenied"),
        ("http://user:pw@127.0.0.1/", "BadSource"),
    ],
)
def test_a_redirect_out_of_http_is_refused(pool: Pool, serve: Serve, target: str, reason: str) -> None:
    error = pool.fails(pool.request(serve(Reply(status=301, location=target)).url))
    assert (type(error), _reason(error)) == (Refused, reason)
    assert pool.names() == []


def test_a_redirect_loop_ends(pool: Pool, serve: Serve) -> None:
    server = serve(Reply(status=307, location="/again"))
    assert _reason(pool.fails(pool.request(server.url))) == "RedirectLoop"
    assert len(server.ranges) == pool.limits.redirects_max + 1


def test_a_redirect_to_a_private_address_is_judged_again(pool: Pool, serve: Serve) -> None:
    inner, outer = serve(), serve()
    outer.replies = [Reply(status=302, location=inner.url)]
    pool.policy = ImagePolicy(url_prefixes=(outer.url,))
    error = pool.fails(pool.request(outer.url, trust=Trust.LISTED))
    assert (type(error), _reason(error)) == (PolicyRefused, "PrivateAddress")
    assert inner.ranges == []


# nobody there, TLS


def test_nobody_there_is_worth_another_try(pool: Pool) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = pool.fails(pool.request(f"http://127.0.0.1:{unused.getsockname()[1]}/x"))
    assert (type(error), _reason(error)) == (RetryLater, "DownloadFailed")


def test_a_name_that_does_not_resolve_is_worth_another_try(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    error = pool.fails(pool.request("http://nowhere.invalid/x"))
    assert (type(error), _reason(error)) == (RetryLater, "DownloadFailed")
    assert "nowhere.invalid" in str(error)


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    directory = tmp_path / "pki"
    _write_server_pki(directory)
    return directory


def _write_server_pki(directory: Path) -> None:
    """A CA and a certificate for 127.0.0.1."""
    directory.mkdir()
    now = datetime.datetime.now(datetime.UTC)

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def builder(subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name("ca"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
        )

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = builder("ca", ca_key).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    leaf = builder("server", key).add_extension(names, critical=False)
    pem = serialization.Encoding.PEM
    (directory / "ca.crt").write_bytes(ca.sign(ca_key, hashes.SHA256()).public_bytes(pem))
    (directory / "server.crt").write_bytes(leaf.sign(ca_key, hashes.SHA256()).public_bytes(pem))
    form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (directory / "server.key").write_bytes(key.private_bytes(pem, form, none))


def test_an_unknown_ca_is_refused_and_a_named_one_trusted(pool: Pool, pki: Path, content: bytes) -> None:
    server = FaultServer(content)
    server.use_tls(pki / "server.crt", pki / "server.key")
    with server.running():
        error = pool.fails(pool.request(server.url))
        assert (type(error), _reason(error)) == (Refused, "UntrustedServer")
        pool.restart()
        pool.ca_bundle = str(pki / "ca.crt")
        assert pool.fetch(pool.request(server.url)).checksum == checksum(content)


def test_a_redirect_from_https_to_http_is_refused(pool: Pool, pki: Path, serve: Serve, content: bytes) -> None:
    plain = serve()
    server = FaultServer(content, [Reply(status=302, location=plain.url)])
    server.use_tls(pki / "server.crt", pki / "server.key")
    pool.ca_bundle = str(pki / "ca.crt")
    with server.running():
        error = pool.fails(pool.request(server.url))
    assert (type(error), _reason(error)) == (Refused, "RedirectDenied")
    assert plain.ranges == []


# the process


def test_a_new_process_goes_on_with_what_the_old_one_left(pool: Pool, serve: Serve, content: bytes) -> None:
    server = serve(Reply(stall_after=300_000), Reply())
    request = pool.request(server.url)
    pool.transfers.start(request)
    wait_until(lambda: pool.facts().done_bytes == 300_000, WAIT_S, "the first part")
    pool.restart()
    assert pool.transfers.find("one") is None
    assert pool.fetch(request).checksum == checksum(content)
    assert server.ranges == [None, "bytes=300000-"]


def test_after_a_crash_of_the_host_only_a_checksum_allows_to_go_on(
    pool: Pool, serve: Serve, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(Reply(cut_after=100_000), *[Reply(cut_after=0)] * pool.limits.attempts_max, Reply())
    request = pool.request(server.url)
    assert pool.fails(request)
    pool.restart()
    monkeypatch.setattr("nodeplugin.images.fetch.boot_id", lambda: "another boot")
    assert pool.fetch(request).checksum == checksum(content)
    assert server.ranges[-1] is None


def test_a_file_that_was_whole_when_the_process_died_is_not_fetched_again(
    pool: Pool, serve: Serve, content: bytes
) -> None:
    server = serve()
    request = pool.request(server.url)
    assert pool.fetch(request).error is None
    partial = Partial(str(pool.directory), key_of(request))
    os.rename(request.path, partial.path)
    partial.save(Note(validator='"one"', total_bytes=len(content), boot_id=boot_id()))
    pool.restart()
    assert pool.fetch(request).checksum == checksum(content)
    assert len(server.ranges) == 1


def test_leftovers_of_no_one_are_collected_and_others_stay(pool: Pool, serve: Serve) -> None:
    wanted = pool.request(serve(Reply(cut_after=100_000), Reply(cut_after=0)).url)
    assert pool.fails(wanted)
    (pool.directory / f".image-{'0' * 32}.download").touch()
    (pool.directory / ".image-notes").touch()
    assert pool.transfers.collect(str(pool.directory), [wanted]) == [f".image-{'0' * 32}.download"]
    assert len(pool.transfers.collect(str(pool.directory), [])) == 2
    assert pool.names() == [".image-notes"]


# space


def test_an_image_that_cannot_fit_is_not_begun_and_comes_once_there_is_space(
    pool: Pool, serve: Serve, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.statvfs(pool.directory)

    class Full:
        f_frsize, f_blocks, f_bavail = 1, real.f_blocks, len(content) - 1

    monkeypatch.setattr("nodeplugin.images.files.os.statvfs", lambda path: Full)
    request = pool.request(serve().url)
    error = pool.fails(request)
    assert (type(error), _reason(error)) == (Exhausted, "NoSpace")
    assert pool.names() == []
    monkeypatch.undo()
    with pytest.raises(Exhausted):
        pool.transfers.start(request)
    assert pool.fetch(request).checksum == checksum(content)
