"""tc for nodes whose kernel lacks the fair queue (`sch_sfq`) and the mark filter (`cls_fw`) that libvirt puts below and beside a limit: a
plain queue, and no filter, for all frames go by the default class anyway. The limit itself (htb) is the kernel's."""

from __future__ import annotations

from tools.lab import Lab, Node
from tools.lab.processes import plain_environment

_TC = """#!/usr/bin/python3
import os, sys
words = sys.argv[1:]
if "sfq" in words:
    words = [*words[: words.index("sfq")], "pfifo"]
if "fw" in words and "add" in words:
    sys.exit(0)
os.execv("/sbin/tc", ["tc", *words])
"""


def use_plain_queue(lab: Lab, node: Node) -> None:
    """Restart the node's libvirtd with this tc in its path."""
    program = lab.shared / "tc"
    program.write_text(_TC)
    program.chmod(0o755)
    node.stop_libvirtd()
    argv = ["libvirtd", "--listen", "--config", "/etc/libvirt/libvirtd.conf"]
    node.start_service("libvirtd", argv, {"PATH": f"{lab.shared}:{plain_environment()['PATH']}"})
