"""What a guest's agent tells becomes status, however hostile the guest: bounded, clean, and without a write for every byte."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeplugin.hypervisor.port import InterfaceAddress
from nodeplugin.plan.guest import read_guest, usable_addresses
from xvirt.model import limits
from xvirt.model.checks import find_problems
from xvirt.model.codec import canonical_json, decode, encode
from xvirt.model.machine.guest import GuestStatus
from xvirt.model.quantity import ByteSize

TOLD: dict[str, object] = {
    "hostname": "web",
    "timezone.name": "CEST",
    "timezone.offset": 7200,
    "os.id": "debian",
    "os.name": "Debian GNU/Linux",
    "os.pretty-name": "Debian GNU/Linux 12 (bookworm)",
    "os.version-id": "12",
    "os.version": "12 (bookworm)",
    "os.kernel-release": "6.1.0",
    "os.machine": "x86_64",
    "user.count": 2,
    "user.0.name": "root",
    "user.0.login-time": 1700000000000,
    "user.1.name": "root",
    "user.1.login-time": 1700000000999,
    "fs.count": 1,
    "fs.0.mountpoint": "/",
    "fs.0.name": "vda1",
    "fs.0.fstype": "ext4",
    "fs.0.total-bytes": 100 << 20,
    "fs.0.used-bytes": 40 << 20,
    "fs.0.disk.count": 1,
    "fs.0.disk.0.alias": "vda",
    "fs.0.disk.0.device": "/dev/vda1",
}


def address(text: str, *, mac: str = "52:54:00:00:00:01", prefix: int = 24, source: str = "agent") -> InterfaceAddress:
    return InterfaceAddress(mac=mac, address=text, prefix=prefix, source=source)


def test_row_92_what_the_agent_tells_is_in_the_models_words() -> None:
    assert encode(read_guest(TOLD, None)) == {
        "agentVersion": "",
        "hostName": "web",
        "timeZone": "CEST (+02:00)",
        "os": {
            "id": "debian",
            "name": "Debian GNU/Linux 12 (bookworm)",
            "version": "12",
            "kernel": "6.1.0",
            "machine": "x86_64",
        },
        "users": [{"name": "root", "domain": ""}],
        "fileSystems": [
            {
                "mountPoint": "/",
                "type": "ext4",
                "device": "vda1",
                "size": "100Mi",
                "used": "40Mi",
                "disks": ["vda"],
            }
        ],
    }


def test_an_agent_that_tells_nothing_is_no_error() -> None:
    assert read_guest({}, None) == GuestStatus()


@pytest.mark.parametrize(("used", "told"), [((40 << 20) + 4096, 40 << 20), (42 << 20, 42 << 20), (39 << 20, 39 << 20)])
def test_what_is_used_is_brought_up_to_date_by_steps_of_a_hundredth(used: int, told: int) -> None:
    before = read_guest(TOLD, None)
    after = read_guest(TOLD | {"fs.0.used-bytes": used}, before)
    assert after.file_systems[0].used == ByteSize(told)


def test_a_disk_that_grew_is_told_with_what_is_used_of_it_now() -> None:
    before = read_guest(TOLD, None)
    after = read_guest(TOLD | {"fs.0.total-bytes": 200 << 20, "fs.0.used-bytes": (40 << 20) + 1}, before)
    assert after.file_systems[0].used == ByteSize((40 << 20) + 1)


def hostile(count: int) -> dict[str, object]:
    """A guest that says a million things, none of them kindly."""
    nasty = "\x1b[2J\x00\udcff\u202e<script>" + "x" * 100_000
    facts: dict[str, object] = dict.fromkeys(TOLD, nasty)
    facts |= {"user.count": 1_000_000, "fs.count": 1_000_000}
    for number in range(count):
        facts |= {f"user.{number}.name": f"{number:06}{nasty}", f"user.{number}.domain": nasty}
        facts |= {f"fs.{number}.mountpoint": f"/{number:06}{nasty}", f"fs.{number}.disk.count": 1_000_000}
        facts |= {f"fs.{number}.total-bytes": 1 << 64, f"fs.{number}.used-bytes": -1}
        facts |= {f"fs.{number}.disk.{disk}.alias": f"{disk}{nasty}" for disk in range(20)}
    return facts


def test_row_92_a_hostile_guest_is_cut_by_named_limits() -> None:
    told = read_guest(hostile(200), None)
    assert len(told.users) == limits.GUEST_USERS_MAX
    assert len(told.file_systems) == limits.GUEST_FILE_SYSTEMS_MAX
    assert all(len(item.disks) == limits.GUEST_DISKS_MAX for item in told.file_systems)
    assert all(item.size is None and item.used is None for item in told.file_systems)
    assert len(told.host_name) == limits.GUEST_TEXT_MAX_LENGTH
    assert len(canonical_json(encode(told))) < limits.DOCUMENT_MAX_BYTES, "status must fit a document"
    check_is_status(told)


def check_is_status(told: GuestStatus) -> None:
    document = encode(told)
    assert find_problems(GuestStatus, json.loads(json.dumps(document)), "") == []
    assert decode(GuestStatus, document) == told


_VALUES = st.one_of(
    st.text(st.characters(), max_size=20),
    st.integers(),
    st.none(),
    st.booleans(),
    st.floats(),
    st.lists(st.integers(), max_size=2),
    st.binary(max_size=8),
)


@given(st.dictionaries(st.sampled_from(sorted(TOLD)), _VALUES))
def test_whatever_a_guest_answers_is_a_valid_status(facts: dict[str, Any]) -> None:
    check_is_status(read_guest(facts, read_guest(TOLD, None)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "300.1.1.1",
        "0.0.0.0",
        "127.0.0.1",
        "::1",
        "::",
        "224.0.0.1",
        "ff02::1",
        "fe80::1",
        "fe80::1%eth0",
        "1.2.3.4/8",
        "\x1b",
        "x" * 10_000,
    ],
)
def test_what_is_nobodys_address_is_passed_over(text: str) -> None:
    assert usable_addresses([address(text)]) == ()


def test_addresses_are_told_once_by_whoever_said_so_first_and_no_more_than_a_limit() -> None:
    many = [address(f"10.0.{number // 250}.{number % 250}") for number in range(1, 1000)]
    assert len(usable_addresses(many)) == limits.GUEST_ADDRESSES_MAX
    twice = [address("192.0.2.7"), address("192.0.2.7", source="lease"), address("2001:DB8::1", prefix=64)]
    assert [(item.address, item.source) for item in usable_addresses(twice)] == [
        ("192.0.2.7", "agent"),
        ("2001:db8::1", "agent"),
    ]
    assert usable_addresses([address("192.0.2.7", prefix=999)]) == ()
