"""Our reading of a qcow2 header against qemu-img's, on files that qemu-img made."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from nodeplugin.hypervisor.qcow2 import read_header


def _qemu_img(*words: str) -> str:
    return subprocess.run(["qemu-img", *words], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("options", [[], ["-o", "compat=0.10"], ["-o", "cluster_size=4k"], ["-o", "extended_l2=on"]])
def test_size_and_backing_file_agree_with_qemu_img(tmp_path: Path, options: list[str]) -> None:
    base, overlay = str(tmp_path / "base.qcow2"), str(tmp_path / "overlay.qcow2")
    _qemu_img("create", "-q", "-f", "qcow2", *options, base, "3M")
    _qemu_img("create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", *options, overlay, "5M")
    for path in (base, overlay):
        said = json.loads(_qemu_img("info", "--output=json", "-f", "qcow2", path))
        header = read_header(path)
        assert header is not None
        assert header.capacity_bytes == said["virtual-size"]
        assert header.backing_path == said.get("full-backing-filename")
        assert not header.has_data_file
        assert not header.is_encrypted


def test_a_data_file_is_seen(tmp_path: Path) -> None:
    path = str(tmp_path / "a.qcow2")
    _qemu_img("create", "-q", "-f", "qcow2", "-o", f"data_file={tmp_path}/data.raw", path, "1M")
    header = read_header(path)
    assert header is not None
    assert header.has_data_file


def test_what_is_not_qcow2_has_no_header(tmp_path: Path) -> None:
    path = tmp_path / "raw.img"
    path.write_bytes(b"\0" * 4096)
    assert read_header(str(path)) is None
