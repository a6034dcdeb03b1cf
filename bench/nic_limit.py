"""A card's inbound limit: what passes the shaper of its tap per second, over what was declared, before and after a live change.

The machine has no guest: what is measured is what the host lets out towards it. libvirt's fair queue is replaced where the kernel has none
(`tests/lab/plain_queue.py`); the limit itself is htb's either way.
"""

from __future__ import annotations

import os
import statistics

from bench.result import Result
from tests.lab.declared import Declared, empty_machine, is_ready, network, vm
from tests.lab.plain_queue import use_plain_queue
from tools.lab import Lab, LabSpec

RATES = (1_000_000, 3_000_000)
SECONDS = 3
TAP, ADDRESS = "vnet0", "192.168.150.77"
_FLOOD = """
import re, socket, subprocess, sys, time
def sent():
    text = subprocess.run(["tc", "-s", "class", "show", "dev", sys.argv[1]], capture_output=True, text=True).stdout
    return int(re.search(r"Sent (\\d+) bytes", text)[1])
flood = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
flood.setblocking(False)
def until(end_s):
    while time.monotonic() < end_s:
        try:
            flood.sendto(b"x" * 1400, (sys.argv[2], 9))
        except BlockingIOError:
            pass
        time.sleep(0.0001)
until(time.monotonic() + 1)
began_s, before = time.monotonic(), sent()
until(began_s + float(sys.argv[3]))
print((sent() - before) / (time.monotonic() - began_s))
"""


def nic_limit(rounds: int) -> Result:
    """Measured over declared rate; the ratio is the one farthest from 1."""
    with Lab.up(LabSpec(f"bench-{os.getpid()}-nic")) as lab:
        declared = Declared(lab.nodes["node-a"])
        use_plain_queue(lab, declared.node)
        declared.apply(network())
        ratios = [_measure(declared, rate) for _ in range(max(1, rounds // 15)) for rate in RATES]
    worst = max(ratios, key=lambda ratio: abs(ratio - 1))
    return Result(
        name="nic-limit",
        ratio=worst,
        goal="0.90 .. 1.10",
        summary=f"median {statistics.median(ratios):.3f} over limits of {', '.join(map(str, RATES))} bytes/s, changed live",
        samples={"measured over declared": ratios},
        method=f"UDP towards the tap for {SECONDS} s; bytes that its htb class sent, per second, over nics[].bandwidth.inbound.average",
    )


def _measure(declared: Declared, rate: int) -> float:
    card = {"name": "lan", "network": "lan", "bandwidth": {"inbound": {"average": rate}}}
    declared.apply(empty_machine("one", nics=[card]))
    node, wanted = declared.node, f"rate {rate * 8 // 10**6}Mbit"
    show = ["sh", "-c", f"tc class show dev {TAP}"]
    seen = declared.wait(vm("one"), lambda found: is_ready(found) and wanted in node.run(show).stdout, wanted)
    bridge = node.run(["sh", "-c", f"basename $(readlink /sys/class/net/{TAP}/master)"]).stdout.strip()
    mac = seen["status"]["interfaces"][0]["mac"]
    node.run(["ip", "neigh", "replace", ADDRESS, "lladdr", mac, "dev", bridge, "nud", "permanent"])
    return float(node.run(["python3", "-c", _FLOOD, TAP, ADDRESS, str(SECONDS)]).stdout) / rate
