"""A real file system that fills up while an image is fetched. It is mounted in a namespace that ends with the test."""

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
