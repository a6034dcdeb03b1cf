"""How libvirt's test documents are found and unpacked; the corpus itself is read by tests/golden."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from tools.corpus import CorpusError, corpus_path, documents
from tools.corpus.documents import unpack_documents
from tools.corpus.source import offering, source_entries

MIRROR = "http://deb.debian.org/debian"


def make_archive(path: Path, names: list[str]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 4
            archive.addfile(member, io.BytesIO(b"<a/>"))
        link = tarfile.TarInfo("libvirt-9/tests/data/link.xml")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return path


def test_only_xml_files_below_tests_are_unpacked(tmp_path: Path) -> None:
    names = ["libvirt-9/tests/data/a.xml", "libvirt-9/tests/data/a.args", "libvirt-9/src/b.xml"]
    unpack_documents(make_archive(tmp_path / "a.tar.gz", names), tmp_path / "out")
    assert documents(tmp_path / "out") == [tmp_path / "out/data/a.xml"]


def test_nothing_is_unpacked_outside_the_folder(tmp_path: Path) -> None:
    names = ["libvirt-9/tests/../../../escaped.xml", "libvirt-9/tests/a.xml"]
    unpack_documents(make_archive(tmp_path / "a.tar.gz", names), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.rglob("*.xml")) == ["a.xml"]


def test_an_archive_without_documents_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no XML file"):
        unpack_documents(make_archive(tmp_path / "a.tar.gz", ["libvirt-9/src/b.xml"]), tmp_path / "out")


def test_only_the_mirrors_of_the_installed_version_are_asked() -> None:
    madison = f"""\
  libvirt0 | 9.0.0-4 | {MIRROR} bookworm/main amd64 Packages
  libvirt0 | 10.0-1 | http://other.example/debian sid/main amd64 Packages
"""
    assert offering(madison, "9.0.0-4") == {MIRROR}
    assert offering(madison, "8.0-1") == set()


def test_a_list_of_lines_is_turned_into_one_that_names_sources() -> None:
    text = f"""\
# deb {MIRROR} bookworm main
deb [signed-by=/usr/share/keyrings/d.gpg] {MIRROR}/ bookworm main
deb https://other.example/apt stable main
"""
    wanted = f"deb-src [signed-by=/usr/share/keyrings/d.gpg] {MIRROR}/ bookworm main\n"
    assert source_entries(text, {MIRROR}, is_deb822=False) == wanted


def test_a_list_of_stanzas_is_turned_into_one_that_names_sources() -> None:
    text = f"""\
Types: deb
# a remark
URIs: {MIRROR}
Suites: bookworm

Types: deb
URIs: https://other.example/apt
Suites: stable
"""
    assert source_entries(text, {MIRROR}, is_deb822=True) == f"Types: deb-src\nURIs: {MIRROR}\nSuites: bookworm\n"


def test_a_folder_of_ones_own_takes_the_place_of_the_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XVIRT_CORPUS", str(tmp_path))
    assert corpus_path() == tmp_path
    monkeypatch.setenv("XVIRT_CORPUS", str(tmp_path / "missing"))
    with pytest.raises(CorpusError, match="is no folder"):
        corpus_path()
