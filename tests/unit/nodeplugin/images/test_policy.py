"""Which sources a host reads for whom."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from nodeplugin.images.policy import ImagePolicy, PrivateAddresses, is_public, split_url
from nodeplugin.images.port import ImageRequest, Origin, Trust, show_url
from tests.unit.nodeplugin.images.conftest import Pool
from xvirt.model.errors import PolicyRefused, Refused


def _request(source: str, trust: Trust = Trust.LISTED) -> ImageRequest:
    origin = Origin.URL if "://" in source else Origin.PATH
    return ImageRequest(uid="one", path="/pool/one", format="raw", origin=origin, source=source, trust=trust)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "2002:7f00:1::",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::7f00:1",
    ],
)
def test_an_address_that_is_not_of_the_internet_is_known_in_every_dress(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


def test_only_listed_prefixes_pass_where_there_are_any() -> None:
    policy = ImagePolicy(url_prefixes=("https://images.example/debian", "http://mirror.example:8080/"))
    for good in (
        "https://images.example/debian",
        "https://images.example/debian/12.qcow2?x=1",
        "https://images.example:443/debian/12.qcow2",
        "HTTPS://IMAGES.example/debian/12.qcow2",
        "http://mirror.example:8080/x",
    ):
        policy.check(_request(good))
    for bad in (
        "https://images.example/debian-evil/12.qcow2",
        "https://images.example.evil/debian/12.qcow2",
        "http://images.example/debian/12.qcow2",
        "https://images.example:444/debian/12.qcow2",
        "http://mirror.example/x",
    ):
        with pytest.raises(PolicyRefused) as caught:
            policy.check(_request(bad))
        assert caught.value.reason == "SourceDenied"
        policy.check(_request(bad, Trust.ANY))


@pytest.mark.parametrize(
    "url",
    [
        "https://images.example/debian/../secret",
        "https://images.example/debian/%2e%2e/secret",
        "https://images.example/debian/..%5csecret",
        "https://user:secret@images.example/x",
        "https://user@images.example/x",
        "https://images.example/a b",
        "https://images.example/ü",
        "https://images.example:99999/x",
        "https:///x",
        "ftp://images.example/x",
        "https://[::1/x",
    ],
)
def test_a_url_of_two_meanings_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(Refused) as caught:
        split_url(url)
    assert "secret" not in caught.value.message or "user" not in url


def test_messages_hold_nothing_that_moves_a_cursor() -> None:
    assert show_url("https://images.example/\x1b[2Ja\r\nb") == "https://images.example/[2Jab"


def test_messages_show_neither_query_nor_credentials() -> None:
    assert show_url("https://user:pw@images.example/a?signature=x#y") == "https://images.example/a"


def test_a_private_address_passes_where_it_is_allowed_listed_or_an_administrator_asks() -> None:
    address = ipaddress.ip_address("10.0.0.1")
    parts = split_url("http://internal.example/x")
    with pytest.raises(PolicyRefused, match="no public address"):
        ImagePolicy().check_address(parts, address, Trust.LISTED)
    ImagePolicy().check_address(parts, address, Trust.ANY)
    ImagePolicy(private_addresses=PrivateAddresses.ALLOW).check_address(parts, address, Trust.LISTED)
    ImagePolicy(url_prefixes=("http://internal.example/",)).check_address(parts, address, Trust.LISTED)


@pytest.mark.parametrize(
    "host", ["localhost", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::ffff:127.0.0.1]", "0"]
)
def test_a_tenants_url_to_this_host_is_not_even_connected_to(pool: Pool, host: str) -> None:
    error = pool.fails(pool.request(f"http://{host}:1/x", trust=Trust.LISTED))
    assert isinstance(error, PolicyRefused)
    assert error.reason == "PrivateAddress"


def test_paths_stay_in_their_folders() -> None:
    policy = ImagePolicy(paths=("/var/lib/xvirt/images", "/srv/images/"))
    for good in ("/var/lib/xvirt/images/a.qcow2", "/srv/images/sub/b"):
        policy.check(_request(good))
    for bad in ("/etc/shadow", "/var/lib/xvirt/images", "/var/lib/xvirt/images-2/a", "/srv/images/../secret"):
        with pytest.raises(PolicyRefused):
            policy.check(_request(bad))
        policy.check(_request(bad, Trust.ANY))


def test_without_folders_no_path_passes() -> None:
    with pytest.raises(PolicyRefused, match="none"):
        ImagePolicy().check(_request("/srv/images/a"))


def test_a_link_does_not_lead_out_of_its_folder(pool: Pool, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "good").write_bytes(b"good")
    (folder / "inner").symlink_to("good")
    pool.policy = ImagePolicy(paths=(str(folder),))
    error = pool.fails(pool.request(str(folder / "link"), trust=Trust.LISTED))
    assert isinstance(error, PolicyRefused)
    assert pool.names() == []
    assert pool.fetch(pool.request(str(folder / "inner"), "two", trust=Trust.LISTED)).error is None
