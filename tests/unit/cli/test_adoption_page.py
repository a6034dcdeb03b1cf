"""docs/adoption.md is run as it is printed, against a node whose host is in memory; libvirt is in tests/lab/test_adoption.py."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from nodeplugin.hypervisor.port import VolumeRequest
from tests.unit.cli.live_node import LiveNode, eventually

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "adoption.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
UUID = "6f1c5f6e-5d0a-4d0f-9a53-0d6a6f2d1a01"


def test_the_page_prints_what_the_commands_print(node: LiveNode) -> None:
    request = VolumeRequest(path="/srv/old/hand-made.qcow2", format="qcow2", capacity_bytes=8 << 20)
    node.volumes.create_volume(request, lambda percent: None)
    commands = 0
    for language, text in BLOCKS:
        if language == "xml":
            node.hypervisor.define_domain(text.partition("\n")[2])
            node.hypervisor.start_domain(UUID)
        elif language == "console":
            for part in text.split("$ xvirt ")[1:]:
                command, _, wanted = part.partition("\n")
                outcome = node.xvirt(*shlex.split(command))
                assert outcome.code == 0, outcome
                assert outcome.out == wanted, command
                commands += 1
                if command == 'adopt "Hand made"':
                    eventually(lambda: "Running" in node.xvirt("get", "vm").out)
    assert commands == 6
