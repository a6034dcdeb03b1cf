"""The cached image: built once per recipe and package versions, shared by every clone of one user."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.guest.command import GuestBuildError
from tools.guest.disk import write_disk
from tools.guest.initramfs import build_initramfs
from tools.guest.packages import Package, fetch_packages, resolve_packages

__all__ = ["GuestBuildError", "cache_directory", "image_path", "recipe_hash"]

IMAGE_NAME = "guest.qcow2"


def image_path() -> Path:
    """The image's path, below the user's cache; builds it when missing. Safe when two processes ask at once.

    Treat the file as read-only: use it as a backing file or copy it. Raises GuestBuildError.
    """
    packages = resolve_packages()
    image = cache_directory() / recipe_hash(packages) / IMAGE_NAME
    if not image.exists():
        with _locked(cache_directory()):
            if not image.exists():
                _build(packages, image)
    return image


def cache_directory() -> Path:
    """`$XDG_CACHE_HOME/xvirt/guest`, by default below ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xvirt" / "guest"


def recipe_hash(packages: tuple[Package, ...]) -> str:
    """16 hex digits over this package's files and the versions that go into the image."""
    digest = hashlib.sha256("\n".join(str(package) for package in packages).encode())
    source = Path(__file__).parent
    for file in sorted(path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        digest.update(str(file.relative_to(source)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(packages: tuple[Package, ...], image: Path) -> None:
    """Build beside the target and rename. Directories of interrupted builds are cleared; the caller holds the lock."""
    cache = cache_directory()
    for left in cache.glob("build-*"):
        shutil.rmtree(left)
    directory = Path(tempfile.mkdtemp(prefix="build-", dir=cache))
    try:
        root = fetch_packages(packages, directory)
        built = write_disk(root, build_initramfs(root), directory)
        image.parent.mkdir(exist_ok=True)
        built.chmod(0o444)
        built.rename(image)
    finally:
        shutil.rmtree(directory)
