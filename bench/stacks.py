"""Fifty machines by one `pulumi up`, beside the command line that applies the same fifty."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from bench.fleet import Fleet, document, fleet, machine, progress, timed
from bench.result import Result
from tools.pulumi import engine_directory
from tools.pulumi.stack import Stack

MACHINES = 50
ROUNDS_MIN = 3
_STRATEGIES = {"running": "Always", "halted": "Halted"}
_PROGRAM = """
from xvirt_provider import Options, VirtualMachine

for number in range({count}):
    VirtualMachine(
        f"vm-{{number}}",
        memory={{"size": "32Mi"}},
        run_strategy="{strategy}",
        termination_grace_period_seconds=0,
        options=Options(wait_for="ready"),
    )
"""


def pulumi_50(rounds: int) -> Result:
    """Goal: within 1.2 of the command line."""
    repeats = max(ROUNDS_MIN, rounds // 10)
    with tempfile.TemporaryDirectory() as place, fleet("stacks") as made:
        stack = Stack(engine_directory(), Path(place) / "project", Path(place) / "backend")
        stack.make(node=f"unix://{made.node.socket_path}")
        samples = _measure(made, stack, repeats)
    both = {name: statistics.median(values) for name, values in samples.items()}
    return Result(
        name="pulumi-50",
        ratio=both["up running"] / both["apply running"],
        goal="<= 1.2",
        method=(
            f"One lab node, {MACHINES} machines of 32 MiB without disk and NIC. `pulumi up --yes --skip-preview` with the engine's own"
            " parallelism and a state in a directory, and `xvirt apply --wait` of the same documents in one file, from the start of the"
            f" process to its end, when each machine is Ready; alternating, {repeats} rounds; once with machines that run, once with"
            " Halted ones. Removal is not timed. Ratio of medians, running ones."
        ),
        samples=samples,
        summary="; ".join(
            f"{name} {both[f'up {name}']:.1f} s beside {both[f'apply {name}']:.1f} s ({both[f'up {name}'] / both[f'apply {name}']:.2f})"
            for name in _STRATEGIES
        ),
    )


def _measure(made: Fleet, stack: Stack, repeats: int) -> dict[str, list[float]]:
    samples: dict[str, list[float]] = {f"{side} {name}": [] for side in ("up", "apply") for name in _STRATEGIES}
    _up(made, stack, "Halted")  # warms both sides: bytecode, the caches of libvirt and of the node
    for number in range(repeats):
        for name, strategy in _STRATEGIES.items():
            samples[f"up {name}"].append(_up(made, stack, strategy))
            samples[f"apply {name}"].append(_apply(made, stack.directory / "machines.yaml", strategy))
        progress(number + 1, repeats)
    return samples


def _up(made: Fleet, stack: Stack, strategy: str) -> float:
    stack.write(_PROGRAM.format(count=MACHINES, strategy=strategy))
    elapsed = timed(lambda: stack.up().assert_ok())
    _check(made, strategy)
    stack.destroy().assert_ok()
    return elapsed


def _apply(made: Fleet, file: Path, strategy: str) -> float:
    file.write_text(yaml.safe_dump_all(document(f"vm-{number}", strategy) for number in range(MACHINES)))
    argv = [str(Path(sys.executable).with_name("xvirt")), "--node", f"unix://{made.node.socket_path}"]
    elapsed = timed(
        lambda: subprocess.run([*argv, "apply", "--wait", "-f", str(file)], check=True, capture_output=True)
    )
    _check(made, strategy)
    for number in range(MACHINES):
        made.client.delete(machine(f"vm-{number}"), force=True)
    made.wait(lambda views: not views, "the machines to be gone")
    return elapsed


def _check(made: Fleet, strategy: str) -> None:
    wanted = "Running" if strategy == "Always" else "Stopped"
    states = [str((view.document.get("status") or {}).get("printableStatus")) for view in made.views()]
    assert states == [wanted] * MACHINES, states
