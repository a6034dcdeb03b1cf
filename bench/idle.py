"""What the plugin costs while nothing happens: memory, CPU, and whether it touches libvirt or the disk."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from bench.fleet import Fleet, fleet
from bench.result import Result
from tools.lab import Node

SIZES = (0, 50, 200)
RUNNING = 20
"""Of their own, last: QEMUs that idle cost the machine more than the plugin does."""
QUIET_S = 60
SETTLE_S = 10
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True)
class Reading:
    """The plugin's process at a moment: bytes and seconds so far."""

    rss_bytes: int
    cpu_s: float
    written_bytes: int
    steps: float

    @classmethod
    def take(cls, made: Fleet) -> Reading:
        """Read /proc and the plugin's own counters."""
        pid = made.node.plugin_pid
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        io = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
        return cls(
            rss_bytes=int(status["VmRSS"].split()[0]) << 10,
            cpu_s=(int(times[11]) + int(times[12])) * _TICK_S,
            written_bytes=int(io["write_bytes"]),
            steps=count_steps(made.scrape(1)[2]),
        )


def count_steps(text: str) -> float:
    """Steps upon the host since the plugin began."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "xvirt_step_seconds_count"
    )


def files_of(node: Node) -> dict[str, int]:
    """Files below libvirt's configuration and state, and the store, with the time of their last change."""
    roots = [node.paths.binds[name] for name in ("/etc/libvirt", "/var/lib/libvirt", "/var/lib/xvirt")]
    return {str(path): path.stat().st_mtime_ns for root in roots for path in root.rglob("*") if path.is_file()}


def idle(rounds: int) -> Result:
    """Goal: nothing written, no mutating call, <= 1 MiB for each machine."""
    samples: dict[str, list[float]] = {"rss-mib": [], "cpu-percent": [], "written-bytes": [], "steps": [], "files": []}
    with fleet("idle") as made:
        declared = 0
        for size in SIZES:
            made.declare(size - declared, prefix=f"to-{size}")
            declared = size
            _measure(made, samples)
        made.declare(RUNNING, "Always", prefix="run")
        _measure(made, samples)
    per_machine = (samples["rss-mib"][len(SIZES) - 1] - samples["rss-mib"][0]) / SIZES[-1]
    return Result(
        name="idle",
        ratio=per_machine,
        goal="<= 1 MiB for each machine; 0 bytes written, 0 steps, 0 files changed in a minute",
        method=(
            f"One lab node with {', '.join(map(str, SIZES))} machines, defined and off, then {RUNNING} running ones more (TCG, idle firmware);"
            f" {SETTLE_S} s after the last Apply. RSS, CPU time"
            f" and write_bytes of the plugin from /proc over {QUIET_S} s; steps (every mutating call upon libvirt or a disk is one) from"
            " its own counter; files below /etc/libvirt, /var/lib/libvirt and the state directory whose mtime changed. The CPU includes"
            " one scrape. The ratio is MiB of RSS for each machine."
        ),
        samples=samples,
        summary="; ".join(
            f"{what}: RSS {samples['rss-mib'][number]:.1f} MiB, CPU {samples['cpu-percent'][number]:.2f} %,"
            f" {samples['written-bytes'][number]:.0f} B written, {samples['steps'][number]:.0f} steps,"
            f" {samples['files'][number]:.0f} files changed"
            for number, what in enumerate([*(f"{size} machines" for size in SIZES), f"and {RUNNING} running"])
        )
        + f"; {per_machine:.3f} MiB for each",
    )


def _measure(made: Fleet, samples: dict[str, list[float]]) -> None:
    time.sleep(SETTLE_S)
    files, before = files_of(made.node), Reading.take(made)
    time.sleep(QUIET_S)
    after = Reading.take(made)
    samples["rss-mib"].append(after.rss_bytes / (1 << 20))
    samples["cpu-percent"].append((after.cpu_s - before.cpu_s) / QUIET_S * 100)
    samples["written-bytes"].append(float(after.written_bytes - before.written_bytes))
    samples["steps"].append(after.steps - before.steps)
    samples["files"].append(float(len(dict(files_of(made.node).items() - files.items()))))
