"""A real file system that fills up while images are fetched, volumes made and seeds written. It is mounted in a namespace that ends with the test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_a_full_disk_is_told_leaves_nothing_and_the_image_comes_once_there_is_space(tmp_path: Path) -> None:
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m", "tests.contract.full_disk"]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "first": "Exhausted/NoSpace",
        "names": ["ballast"],
        "again": "NoSpace",
        "requests": 1,
        "second": "done",
        "left": ["image"],
        "whole": True,
    }
    assert list(tmp_path.iterdir()) == []


def test_row_48_a_full_disk_leaves_no_half_volume_and_each_comes_whole_once_there_is_space(tmp_path: Path) -> None:
    directory = tmp_path / "pool"
    directory.mkdir()
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m", "tests.contract.full_pool"]
    arguments = [str(directory), str(tmp_path / "source.raw")]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    made = {
        "blank": "new.raw",
        "metadata": "meta.qcow2",
        "copy": "copy.qcow2",
        "copy raw": "copy.raw",
        "seed": "seed.iso",
    }
    assert found == {
        name: {"full": "Exhausted/NoSpace", "left": "", "then": "done", "made": item, "whole": "True"}
        for name, item in made.items()
    }
