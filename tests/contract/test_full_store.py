"""A real file system without space under the store, as SQLite meets it. It is mounted in a namespace that ends with the test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_a_full_disk_under_the_store_refuses_what_is_new_and_loses_nothing(tmp_path: Path) -> None:
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m", "tests.contract.full_store"]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "refusal": "StoreFull",
        "whole": True,
        "again": "StoreFull",
        "restarted": "",
        "lost": False,
        "end": ["Running", True],
        "cpus": 4,
    }
    assert list(tmp_path.iterdir()) == []
