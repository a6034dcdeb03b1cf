"""The disk: MBR, a FAT partition with the boot loader, kernel and initramfs, and an ext4 partition for /data.

Everything is written into plain files (mtools, `mke2fs`, `syslinux` work on images), so no root is needed.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path

from tools.guest.command import run_tool

SECTOR_BYTES = 512
_MIB = 1 << 20
DISK_BYTES = 96 * _MIB
_BOOT_SYSTEM_ID = 0x0E  # FAT16, LBA
_DATA_SYSTEM_ID = 0x83  # Linux
_ACTIVE = 0x80
# No cylinders: every BIOS and kernel of today reads the LBA fields.
_NO_CHS = b"\xfe\xff\xff"

# quiet, no probing of what no test machine has, hot-added memory online as movable so that it can be taken out again.
KERNEL_COMMAND_LINE = (
    "console=ttyS0 quiet loglevel=3 mitigations=off random.trust_cpu=on no_timer_check rcupdate.rcu_expedited=1"
    " 8250.nr_uarts=1 i8042.noaux audit=0 apparmor=0 memhp_default_state=online_movable panic=5 scsi_mod.scan=sync"
)
_SYSLINUX_CONFIG = f"""DEFAULT guest
PROMPT 0
LABEL guest
  LINUX /vmlinuz
  INITRD /initrd
  APPEND {KERNEL_COMMAND_LINE}
"""


@dataclass(frozen=True)
class Partition:
    """A part of the disk, in bytes; both are multiples of 1 MiB."""

    start_bytes: int
    size_bytes: int

    def table_entry(self, status: int, system_id: int) -> bytes:
        """The 16 bytes of the MBR's partition table."""
        start, count = self.start_bytes // SECTOR_BYTES, self.size_bytes // SECTOR_BYTES
        return struct.pack("<B3sB3sII", status, _NO_CHS, system_id, _NO_CHS, start, count)


BOOT = Partition(1 * _MIB, 39 * _MIB)
DATA = Partition(40 * _MIB, 56 * _MIB)


def write_disk(root: Path, initramfs: bytes, directory: Path) -> Path:
    """A qcow2 image in `directory`, with the kernel and the boot loader of the unpacked packages in `root`."""
    raw, image = directory / "guest.raw", directory / "guest.qcow2"
    with raw.open("wb") as file:
        file.write(_master_boot_record(root))
        file.truncate(DISK_BYTES)
    _write_boot_partition(root, initramfs, raw, directory)
    _write_data_partition(raw, directory)
    run_tool(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(image)])
    raw.unlink()
    return image


def _master_boot_record(root: Path) -> bytes:
    code = next(root.glob("usr/lib/syslinux/mbr/mbr.bin")).read_bytes()
    table = BOOT.table_entry(_ACTIVE, _BOOT_SYSTEM_ID) + DATA.table_entry(0, _DATA_SYSTEM_ID)
    return code.ljust(446, b"\0") + table.ljust(64, b"\0") + b"\x55\xaa"


def _write_boot_partition(root: Path, initramfs: bytes, raw: Path, directory: Path) -> None:
    tools = os.environ | {"PATH": f"{root}/usr/bin:{os.environ['PATH']}", "MTOOLS_SKIP_CHECK": "1"}
    files = {"syslinux.cfg": _SYSLINUX_CONFIG.encode(), "initrd": initramfs}
    files["vmlinuz"] = next(root.glob("boot/vmlinuz-*")).read_bytes()
    target = f"{raw}@@{BOOT.start_bytes}"
    sectors = BOOT.size_bytes // SECTOR_BYTES
    geometry = ["-T", str(sectors), "-h", "255", "-s", "63", "-H", str(BOOT.start_bytes // SECTOR_BYTES)]
    run_tool(["mformat", "-i", target, *geometry, "-c", "8", "-N", "58764d31", "::"], env=tools)
    run_tool(["syslinux", "--offset", str(BOOT.start_bytes), "--install", str(raw)], env=tools)
    for name, content in files.items():
        source = directory / name
        source.write_bytes(content)
        run_tool(["mcopy", "-i", target, str(source), f"::{name}"], env=tools)
        source.unlink()


def _write_data_partition(raw: Path, directory: Path) -> None:
    part = directory / "data.ext4"
    with part.open("wb") as file:
        file.truncate(DATA.size_bytes)
    extended = "lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0"
    run_tool(
        ["mke2fs", "-q", "-F", "-t", "ext4", "-L", "xvirt-data", "-m", "0", "-J", "size=4", "-E", extended, str(part)]
    )
    with raw.open("r+b") as file:
        file.seek(DATA.start_bytes)
        file.write(part.read_bytes())
    part.unlink()
