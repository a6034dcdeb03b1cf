"""The parts of the guest image that are made in Python rather than by a tool."""

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from tools.guest.command import GuestBuildError, run_tool
from tools.guest.cpio import Archive
from tools.guest.disk import BOOT, DATA, DISK_BYTES, SECTOR_BYTES
from tools.guest.image import recipe_hash
from tools.guest.initramfs import MODULES, ROOTFS, _loading_order
from tools.guest.packages import Package, _read_depends


def entries(archive: bytes) -> dict[str, tuple[int, bytes]]:
    """Path -> (mode, content), read as the kernel does."""
    found: dict[str, tuple[int, bytes]] = {}
    offset = 0
    while True:
        assert archive[offset : offset + 6] == b"070701"
        fields = [int(archive[offset + 6 + 8 * i : offset + 14 + 8 * i], 16) for i in range(13)]
        name = archive[offset + 110 : offset + 110 + fields[11] - 1].decode()
        start = (offset + 110 + fields[11] + 3) & ~3
        if name == "TRAILER!!!":
            return found
        found[name] = (fields[1], archive[start : start + fields[6]])
        offset = (start + fields[6] + 3) & ~3


def test_an_archive_holds_what_was_added_with_parents_before_children() -> None:
    archive = Archive()
    archive.add_file("a/b/run", b"#!/bin/sh\n", 0o755)
    archive.add_link("a/link", "b/run")
    archive.add_console()
    found = entries(archive.to_bytes())
    assert list(found) == ["a", "a/b", "a/b/run", "a/link", "dev", "dev/console"]
    assert found["a/b/run"] == (0o100755, b"#!/bin/sh\n")
    assert found["a/link"] == (0o120777, b"b/run")
    assert found["dev/console"][0] == 0o020600


def test_the_same_entries_in_any_order_give_the_same_bytes() -> None:
    one, other = Archive(), Archive()
    for path in ("x", "d/y", "d/a"):
        one.add_file(path, path.encode())
    for path in ("d/a", "x", "d/y"):
        other.add_file(path, path.encode())
    assert one.to_bytes() == other.to_bytes()


def test_partitions_lie_one_after_the_other_inside_the_disk() -> None:
    assert BOOT.start_bytes >= SECTOR_BYTES
    assert BOOT.start_bytes + BOOT.size_bytes <= DATA.start_bytes
    assert DATA.start_bytes + DATA.size_bytes <= DISK_BYTES


def test_a_partition_table_entry_carries_start_and_length_in_sectors() -> None:
    entry = DATA.table_entry(0x80, 0x83)
    assert len(entry) == 16
    assert entry[0] == 0x80
    assert entry[4] == 0x83
    start, count = struct.unpack("<II", entry[8:])
    assert (start * SECTOR_BYTES, count * SECTOR_BYTES) == (DATA.start_bytes, DATA.size_bytes)


def test_the_recipe_hash_follows_package_versions() -> None:
    assert recipe_hash((Package("a", "1"),)) != recipe_hash((Package("a", "2"),))
    assert recipe_hash((Package("a", "1"),)) == recipe_hash((Package("a", "1"),))


def test_dependencies_are_read_with_alternatives() -> None:
    text = "agent\n  Depends: libc6\n |Depends: liba\n  Depends: libb\nlibc6\n  Depends: libgcc-s1\n"
    assert _read_depends(text) == {"agent": ["libc6", "liba", "libb"], "libc6": ["libgcc-s1"]}


def _module(directory: Path, name: str, depends: str) -> Path:
    file = directory / f"{name}.ko"
    file.write_bytes(b"\x7fELF\0license=GPL\0depends=" + depends.encode() + b"\0name=" + name.encode() + b"\0")
    return file


def test_modules_load_after_what_they_depend_on_and_once(tmp_path: Path) -> None:
    depends = {"ring": "", "virtio": "ring", "pci": "ring,virtio", "net": "virtio,pci"}
    files = {name: _module(tmp_path, name, needed) for name, needed in depends.items()}
    assert _loading_order("net", files) == ["ring", "virtio", "pci", "net"]


def test_a_module_the_kernel_lacks_is_named() -> None:
    with pytest.raises(GuestBuildError, match="no module virtio_mem"):
        _loading_order("virtio_mem", {})


def test_a_missing_tool_is_named_with_what_to_do() -> None:
    with pytest.raises(GuestBuildError, match=r"no-such-tool is not installed; run \./dev setup"):
        run_tool(["no-such-tool"])


def test_a_failing_tool_shows_what_it_said() -> None:
    with pytest.raises(GuestBuildError, match="exit code 2"):
        run_tool(["ls", "/no/such/place"])


def test_the_guests_scripts_are_valid_shell() -> None:
    scripts = [
        file for file in ROOTFS.rglob("*") if file.is_file() and file.read_bytes().startswith((b"#!/bin/sh", b"# F"))
    ]
    assert len(scripts) >= 7
    for script in scripts:
        subprocess.run(["sh", "-n", str(script)], check=True)


def test_every_module_the_guest_loads_by_name_is_built_in() -> None:
    text = (ROOTFS / "etc" / "guest.sh").read_text() + (ROOTFS / "init").read_text()
    loaded = {word.strip(";") for line in text.splitlines() for word in line.split("load ")[1:]}
    named = {word.split()[0].strip(";") for word in loaded if word and not word.startswith("NAME")}
    assert named <= set(MODULES)
    assert {"virtio_net", "isofs", "button"} <= named


@pytest.mark.parametrize(
    ("item", "command"),
    [
        ("- echo hi > /x", "echo hi > /x"),
        ('- "echo \\"hi\\" > /x"', 'echo "hi" > /x'),
        ("- 'it''s'", "it's"),
        ("- [touch, /x]", "touch /x"),
        ('- ["sh", "-c", "echo a, b > /x"]', '"sh" "-c" "echo a, b > /x"'),
    ],
)
def test_runcmd_items_become_shell_commands(item: str, command: str) -> None:
    awk = shutil.which("awk")
    assert awk is not None
    document = f"#cloud-config\npackages:\n- none\nruncmd:\n{item}\nhostname: x\n"
    argv = [awk, "-f", str(ROOTFS / "etc" / "runcmd.awk")]
    done = subprocess.run(argv, input=document, text=True, capture_output=True, check=True)
    assert done.stdout == command + "\n"
