"""LVM on a kernel without device-mapper: LVM's own tools keep the real metadata on a real device, with activation off, and what
device-mapper would map is a loop device over the same extents.

Each tool is a script that runs the real one and then brings `/dev/GROUP/VOLUME` up to what the metadata says.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.guest.image import cache_directory
from tools.guest.packages import Package, fetch_packages

TOOLS = ("lvcreate", "lvrename", "lvextend", "lvremove", "lvchange", "lvs", "vgs", "vgcreate", "vgchange", "pvs")
PACKAGES = ("lvm2", "libdevmapper-event1.02.1", "libdevmapper1.02.1", "liblvm2cmd2.03", "libaio1")
MIB = 1 << 20
_CONFIG = """
global { activation = 0 locking_dir = "%(directory)s" use_lvmpolld = 0 }
devices { scan = ["/dev"] use_devicesfile = 0 hints = "none" external_device_info_source = "none"
 obtain_device_list_from_udev = 0 filter = [ "a|^%(device)s$|", "r|.*|" ] }
activation { udev_sync = 0 udev_rules = 0 monitoring = 0 }
backup { backup = 0 archive = 0 }
"""
_SET_STATUS, _GET_STATUS = 0x4C04, 0x4C05
_STATUS_BYTES, _SIZE_LIMIT_AT = 232, 32


class LoopLvm:
    """A device of its own, and the tools for it in `bin`."""

    def __init__(self, directory: Path, size_bytes: int) -> None:
        self.directory, self.bin = directory, directory / "bin"
        self.bin.mkdir(parents=True)
        self.image = directory / "device.img"
        with self.image.open("wb") as handle:
            handle.truncate(size_bytes)
            handle.seek(MIB)
            handle.write(b"what its last owner wrote " * ((size_bytes - 2 * MIB) // 26))
        self.device = _run(["losetup", "--find", "--show", str(self.image)]).strip()
        (directory / "lvm.conf").write_text(_CONFIG % {"directory": directory, "device": self.device})
        (directory / "nodes.json").write_text("{}")
        for name in TOOLS:
            script = self.bin / name
            text = f'#!/bin/sh\nPYTHONPATH={Path.cwd()} exec {sys.executable} -m tests.contract.loop_lvm {directory} {name} "$@"\n'
            script.write_text(text)
            script.chmod(0o755)

    def close(self) -> None:
        """Leave no device behind."""
        for node in json.loads((self.directory / "nodes.json").read_text()).values():
            _drop(node)
        _run(["losetup", "--detach", self.device])

    @contextlib.contextmanager
    def on_path(self) -> Iterator[LoopLvm]:
        """With these tools found first."""
        before = os.environ["PATH"]
        os.environ["PATH"] = f"{self.bin}:{before}"
        try:
            yield self
        finally:
            os.environ["PATH"] = before
            self.close()


def _run(command: list[str], **options: Any) -> str:
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, check=True, capture_output=True, text=True, **options
    )
    return done.stdout


def lvm_command() -> tuple[str, dict[str, str]]:
    """The machine's own `lvm`, or the distribution's package unpacked in the cache; and what it needs in its environment."""
    found = shutil.which("lvm")
    if found is not None:
        return found, {}
    root = cache_directory() / "lvm" / "root"
    if not root.is_dir():
        made = cache_directory() / f"lvm.{os.getpid()}"
        policy = _run(["apt-cache", "policy", *PACKAGES])
        versions = [line.split()[1] for line in policy.splitlines() if line.strip().startswith("Candidate:")]
        fetch_packages(tuple(Package(*pair) for pair in zip(PACKAGES, versions, strict=True)), made)
        with contextlib.suppress(OSError):  # another run was first
            made.rename(root.parent)
    libraries = ":".join(str(path) for path in (*root.glob("lib/*-linux-gnu"), *root.glob("usr/lib/*-linux-gnu")))
    return str(root / "sbin" / "lvm"), {"LD_LIBRARY_PATH": libraries}


def run_tool(directory: Path, argv: list[str]) -> int:
    """The real tool, and then the devices."""
    command, more = lvm_command()
    environment = {**os.environ, **more, "LVM_SYSTEM_DIR": str(directory), "LVM_SUPPRESS_FD_WARNINGS": "1"}
    done = subprocess.run([command, *argv], env=environment, stdin=subprocess.DEVNULL, check=False)
    if done.returncode == 0 and argv[0] not in ("lvs", "vgs", "pvs"):
        _bring_up(directory, command, environment)
    return done.returncode


def _bring_up(directory: Path, command: str, environment: dict[str, str]) -> None:
    columns = "lv_uuid,vg_name,lv_name,lv_size,seg_pe_ranges,vg_extent_size"
    argv = ["lvs", "--options", columns, "--reportformat", "json", "--units", "b", "--nosuffix"]
    volumes = json.loads(_run([command, *argv], env=environment))["report"][0]["lv"]
    argv = ["pvs", "--options", "pe_start", "--reportformat", "json", "--units", "b", "--nosuffix"]
    [begin] = {int(item["pe_start"]) for item in json.loads(_run([command, *argv], env=environment))["report"][0]["pv"]}
    state = directory / "nodes.json"
    nodes = json.loads(state.read_text())
    for identity in set(nodes) - {item["lv_uuid"] for item in volumes}:
        _drop(nodes.pop(identity))
    for item in volumes:
        path, size = Path(f"/dev/{item['vg_name']}/{item['lv_name']}"), int(item["lv_size"])
        node = nodes.get(item["lv_uuid"])
        if node is None:
            first = int(item["seg_pe_ranges"].rpartition(":")[2].partition("-")[0])
            offset = begin + first * int(item["vg_extent_size"])
            argv = ["losetup", "--find", "--show", "--offset", str(offset), "--sizelimit", str(size)]
            node = {"loop": _run([*argv, str(directory / "device.img")]).strip(), "path": "", "size": size}
        if node["path"] != str(path):
            path.parent.mkdir(exist_ok=True)
            path.symlink_to(node["loop"])
            Path(node["path"] or "/nonexistent").unlink(missing_ok=True)
        if node["size"] != size:
            _resize(node["loop"], size)
        nodes[item["lv_uuid"]] = {**node, "path": str(path), "size": size}
    state.write_text(json.dumps(nodes))


def _drop(node: dict[str, Any]) -> None:
    path = Path(node["path"])
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        path.parent.rmdir()
    _run(["losetup", "--detach", node["loop"]])


def _resize(loop: str, size_bytes: int) -> None:
    """losetup(8) cannot, while it is open."""
    with open(loop, "rb+") as handle:
        status = bytearray(_STATUS_BYTES)
        fcntl.ioctl(handle, _GET_STATUS, status)
        struct.pack_into("=Q", status, _SIZE_LIMIT_AT, size_bytes)
        fcntl.ioctl(handle, _SET_STATUS, status)


if __name__ == "__main__":
    sys.exit(run_tool(Path(sys.argv[1]), sys.argv[2:]))
