"""TLS files over time."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from xvirt.client.pki import init_pki, issue_certificate
from xvirt.model.errors import InvalidSpec
from xvirt.wire.certificates import CertificateFiles, TlsFiles


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    init_pki(tmp_path, [], ["admin"])
    return tmp_path


def _files(pki: Path) -> CertificateFiles:
    return CertificateFiles(TlsFiles(pki / "ca.crt", pki / "admin.crt", pki / "admin.key"))


def test_files_are_read_again_only_when_they_changed(pki: Path) -> None:
    files = _files(pki)
    first = files.load()
    assert files.changed() is None
    issue_certificate(pki, "admin", is_node=False)
    second = files.changed()
    assert second is not None
    assert second.certificate != first.certificate
    assert files.changed() is None


def test_a_file_put_in_place_with_an_older_date_is_seen(pki: Path) -> None:
    shutil.copytree(pki, pki / "new")
    issue_certificate(pki / "new", "admin", is_node=False)
    files = _files(pki)
    files.load()
    for name in ("admin.key", "admin.crt"):
        os.utime(pki / "new" / name, ns=(0, 0))
        (pki / "new" / name).rename(pki / name)
    assert files.changed() is not None


def test_a_half_exchanged_pair_is_told_once_and_taken_when_it_is_whole(
    pki: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(pki, pki / "new")
    issue_certificate(pki / "new", "admin", is_node=False)
    files = _files(pki)
    files.load()
    shutil.copy(pki / "new" / "admin.crt", pki / "admin.crt")
    assert [files.changed() for _ in range(3)] == [None] * 3
    assert caplog.text.count("is not the key of") == 1
    shutil.copy(pki / "new" / "admin.key", pki / "admin.key")
    assert files.changed() is not None


def test_a_missing_file_is_waited_for(pki: Path) -> None:
    files = _files(pki)
    files.load()
    data = (pki / "admin.key").read_bytes()
    (pki / "admin.key").unlink()
    assert files.changed() is None
    (pki / "admin.key").write_bytes(data)
    assert files.changed() is not None
    assert files.changed() is None


def test_an_encrypted_or_foreign_key_is_refused(pki: Path) -> None:
    (pki / "admin.key").write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n")
    with pytest.raises(InvalidSpec, match="holds no unencrypted PEM private key"):
        _files(pki).load()
