"""Run by `test_full_disk.py` in a mount namespace of its own: volumes and seeds on a small file system that fills up. Prints JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from nodeplugin.hypervisor.port import VolumeRequest
from nodeplugin.hypervisor.qemu_img import QemuImg
from nodeplugin.hypervisor.volumes import QemuImgVolumes
from nodeplugin.steps.seed import SeedContent, write_seed
from xvirt.model.errors import XvirtError

MIB = 1 << 20
FILE_SYSTEM_MIB = 24


class FullPool:
    """A pool with a volume in it and hardly any space left."""

    def __init__(self, directory: Path, source: Path) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={FILE_SYSTEM_MIB}m", "none", str(directory)], check=True)
        self.directory, self.source = directory, source
        source.write_bytes(os.urandom(8 * MIB))
        self.volumes = QemuImgVolumes()
        self._make("old.raw", "raw", capacity_bytes=4 * MIB, preallocation="full")
        self._make("old.qcow2", "qcow2", capacity_bytes=4 * MIB)
        self.names = sorted(os.listdir(directory))

    def _path(self, name: str) -> str:
        return str(self.directory / name)

    def _make(self, name: str, volume_format: str, **fields: object) -> None:
        fields.setdefault("capacity_bytes", None)
        request = VolumeRequest(path=self._path(name), format=volume_format, **fields)  # type: ignore[arg-type]
        self.volumes.create_volume(request, lambda _: None)

    def acts(self) -> dict[str, Callable[[], None]]:
        """What needs space."""
        copy = {"source_path": str(self.source), "source_format": "raw"}
        seed = SeedContent(instance_id="u", hostname="h", user_data=os.urandom(2 * MIB))
        full = {"capacity_bytes": 8 * MIB, "preallocation": "full"}
        return {
            "blank": lambda: self._make("new.raw", "raw", **full),
            "metadata": lambda: self._make("meta.qcow2", "qcow2", capacity_bytes=64 << 30, preallocation="metadata"),
            "copy": lambda: self._make("copy.qcow2", "qcow2", **copy),
            "copy raw": lambda: self._make("copy.raw", "raw", **copy),
            "seed": lambda: write_seed(self._path("seed.iso"), seed),
        }

    def run(self) -> dict[str, dict[str, str]]:
        """Of each act: how it fails on a full disk, what it leaves, and how it goes afterwards."""
        found = {}
        for name, act in self.acts().items():
            ballast = self.directory / "ballast"
            self._fill(ballast)
            first = _outcome(act)
            left = sorted(set(os.listdir(self.directory)) - {*self.names, "ballast"})
            ballast.unlink()
            second = _outcome(act)
            made = sorted(set(os.listdir(self.directory)) - set(self.names))
            whole = self._whole(made)
            for item in made:
                os.unlink(self.directory / item)
            found[name] = {
                "full": first,
                "left": " ".join(left),
                "then": second,
                "made": " ".join(made),
                "whole": whole,
            }
        return found

    def _fill(self, ballast: Path) -> None:
        """All but half a MiB."""
        free = os.statvfs(self.directory)
        ballast.write_bytes(bytes(free.f_bavail * free.f_frsize - MIB // 2))

    def _whole(self, names: list[str]) -> str:
        tools = QemuImg()
        for name in names:
            if name.endswith(".qcow2"):
                tools.run(["check", "-q", "-f", "qcow2", self._path(name)], f"check {name}")
        if "copy.raw" in names:
            return str((self.directory / "copy.raw").read_bytes() == self.source.read_bytes())
        if "copy.qcow2" in names:
            argv = ["compare", "-q", "-f", "qcow2", "-F", "raw", self._path("copy.qcow2"), str(self.source)]
            tools.run(argv, "compare")
        return "True"


def _outcome(act: Callable[[], None]) -> str:
    try:
        act()
    except XvirtError as error:
        return f"{type(error).__name__}/{error.reason}"
    return "done"


if __name__ == "__main__":
    print(json.dumps(FullPool(Path(sys.argv[1]), Path(sys.argv[2])).run()))
