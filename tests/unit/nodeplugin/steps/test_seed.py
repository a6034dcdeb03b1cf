"""A seed is what cloud-init looks for, for root alone, and the same bytes for the same content."""

from __future__ import annotations

import stat
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from nodeplugin.steps.seed import SeedContent, build_seed, read_seed, write_seed
from xvirt.model.errors import InvalidSpec, Refused

CONTENT = SeedContent(
    instance_id="uid-1", hostname="web", user_data=b"#cloud-config\n" + b"x" * 5000, network_data=b"n\n"
)


def test_a_seed_holds_what_cloud_init_reads() -> None:
    files = read_seed(build_seed(CONTENT))
    assert files == {
        "meta-data": b"instance-id: uid-1\nlocal-hostname: web\n",
        "user-data": CONTENT.user_data,
        "network-config": b"n\n",
    }


def test_public_keys_stand_in_meta_data_as_cloud_init_reads_them() -> None:
    keys = ('ssh-ed25519 AAAAC3Nz admin "at" home', "ssh-rsa AAAAB3Nz: x # y")
    files = read_seed(build_seed(SeedContent(instance_id="a", hostname="b", user_data=b"", public_keys=keys)))
    assert yaml.safe_load(files["meta-data"]) == {
        "instance-id": "a",
        "local-hostname": "b",
        "public-keys": list(keys),
    }


def test_a_seed_without_network_data_has_no_such_file() -> None:
    files = read_seed(build_seed(SeedContent(instance_id="a", hostname="b", user_data=b"")))
    assert sorted(files) == ["meta-data", "user-data"]


def test_equal_content_gives_equal_bytes_at_any_hour_and_place(monkeypatch: pytest.MonkeyPatch) -> None:
    first = build_seed(CONTENT)
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert build_seed(CONTENT) == first
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


def test_a_seed_is_labelled_and_written_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "seeds" / "uid-1.iso"
    write_seed(str(path), CONTENT)
    write_seed(str(path), CONTENT)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["uid-1.iso"]
    label = subprocess.run(
        ["blkid", "-p", "-o", "value", "-s", "LABEL", path], capture_output=True, text=True, check=True
    )
    assert label.stdout.strip() == "cidata"


def test_a_seed_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match="seed"):
        write_seed(str(tmp_path / "file" / "x.iso"), CONTENT)


@pytest.mark.parametrize("hostname", ["a\nb: c", "a\0b"])
def test_a_hostname_cannot_add_lines(hostname: str) -> None:
    with pytest.raises(InvalidSpec):
        build_seed(SeedContent(instance_id="a", hostname=hostname, user_data=b""))
