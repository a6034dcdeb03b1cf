"""The cached folder: fetched once per version of libvirt, shared by every clone of one user."""

import fcntl
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from tools.corpus.source import CorpusError, fetch_source, installed_version

__all__ = ["CorpusError", "cache_directory", "corpus_path", "documents", "unpack_documents"]


def documents(folder: Path | None = None) -> list[Path]:
    """Every XML file below the corpus (or another folder), sorted; also those that are broken on purpose."""
    return sorted(path for path in (folder or corpus_path()).rglob("*.xml") if path.is_file() and not path.is_symlink())


def corpus_path() -> Path:
    """The folder, below the user's cache; fetches it when missing. Safe when two processes ask at once.

    Treat it as read-only. Raises CorpusError.
    """
    if given := os.environ.get("XVIRT_CORPUS"):
        return _given(Path(given))
    folder = cache_directory() / installed_version()
    if not folder.is_dir():
        with _locked(cache_directory()):
            if not folder.is_dir():
                _fetch(folder)
    return folder


def cache_directory() -> Path:
    """`$XDG_CACHE_HOME/xvirt/corpus`, by default below ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xvirt" / "corpus"


def _given(folder: Path) -> Path:
    if not folder.is_dir():
        raise CorpusError(f"XVIRT_CORPUS={folder} is no folder; name one that holds libvirt's XML files")
    return folder


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(folder: Path) -> None:
    """Unpack beside the target and rename. What an interrupted run has left is cleared; the caller holds the lock."""
    cache = cache_directory()
    for left in cache.glob("fetch-*"):
        shutil.rmtree(left)
    directory = Path(tempfile.mkdtemp(prefix="fetch-", dir=cache))
    try:
        archive = fetch_source(folder.name, directory)
        unpacked = directory / "documents"
        unpack_documents(archive, unpacked)
        unpacked.rename(folder)
    finally:
        shutil.rmtree(directory)


def unpack_documents(archive: Path, folder: Path) -> None:
    """The XML files below `tests/` of a source archive; links and everything else stay out. Raises CorpusError where none is."""
    folder.mkdir()
    count = 0
    with tarfile.open(archive) as source:
        for member in source:
            parts = PurePosixPath(member.name).parts[1:]  # without the folder that names the release
            if not member.isfile() or parts[:1] != ("tests",) or not member.name.endswith(".xml") or ".." in parts:
                continue
            content = source.extractfile(member)
            if content is None:
                continue
            target = folder.joinpath(*parts[1:])
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.read())
            count += 1
    if count == 0:
        raise CorpusError(f"{archive.name} holds no XML file below tests/")
