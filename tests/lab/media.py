"""ISO images that lab tests put into drives."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pycdlib

from tests.lab.declared import Document
from tools.guest.disk import BOOT


def write_disc(path: Path, text: str) -> Path:
    """A disc with one file, HELLO.TXT."""
    disc = pycdlib.PyCdlib()
    disc.new(vol_ident=path.stem.upper())
    content = text.encode()
    disc.add_fp(io.BytesIO(content), len(content), "/HELLO.TXT;1")
    disc.write(str(path))
    disc.close()
    return path


_TABLE = 446
_ENTRY_BYTES = 16


def write_installer(path: Path, guest: Path) -> Path:
    """A disc that boots the test guest, and holds its whole disk as DISK.IMG.

    The firmware shows the disc's boot image as a hard disk (El Torito emulation), which must have a single partition: the guest's own
    disk without the one for data, so a guest that runs from the disc has `/data` in memory.
    """
    raw = path.with_suffix(".raw")
    subprocess.run(["qemu-img", "convert", "-O", "raw", str(guest), str(raw)], check=True)
    with raw.open("rb") as file:
        boot = bytearray(file.read(BOOT.start_bytes + BOOT.size_bytes))
    boot[_TABLE + _ENTRY_BYTES : _TABLE + 2 * _ENTRY_BYTES] = bytes(_ENTRY_BYTES)
    disc = pycdlib.PyCdlib()
    disc.new(interchange_level=3, vol_ident="INSTALLER")
    disc.add_fp(io.BytesIO(bytes(boot)), len(boot), "/BOOT.IMG;1")
    disc.add_file(str(raw), "/DISK.IMG;1")
    disc.add_eltorito("/BOOT.IMG;1", bootcatfile="/BOOT.CAT;1", media_name="hdemul", boot_load_size=1)
    disc.write(str(path))
    disc.close()
    raw.unlink()
    return path


def disc_image(path: Path) -> Document:
    """The VirtualImage of an ISO."""
    return {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "VirtualImage",
        "metadata": {"name": path.stem},
        "spec": {"source": {"path": str(path)}, "format": "raw"},
    }
