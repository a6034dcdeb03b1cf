"""`python -m bench [NAME...] [--json FILE]`"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path

from bench.apply_overhead import apply_overhead
from bench.changes import attach, burst_20
from bench.cluster import cluster_100, cluster_1000, cluster_8000
from bench.convert import convert
from bench.events import event_latency, recovery
from bench.idle import idle
from bench.listing import list_200, scrape_200
from bench.nic_limit import nic_limit
from bench.result import Result
from bench.stacks import pulumi_50

BENCHMARKS: dict[str, Callable[[int], Result]] = {
    "apply-overhead": apply_overhead,
    "attach": attach,
    "burst-20": burst_20,
    "cluster-100": cluster_100,
    "cluster-1000": cluster_1000,
    "cluster-8000": cluster_8000,
    "convert": convert,
    "event-latency": event_latency,
    "idle": idle,
    "list-200": list_200,
    "nic-limit": nic_limit,
    "pulumi-50": pulumi_50,
    "recovery": recovery,
    "scrape-200": scrape_200,
}


def main() -> int:
    """Run benchmarks, print ratios, write JSON."""
    parser = argparse.ArgumentParser(prog="./dev bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--json", type=Path, help="write name, ratio, goal, samples and method to this file")
    parser.add_argument("--rounds", type=int, default=30, help="rounds of each side")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    results: list[Result] = []
    for name in arguments.names or BENCHMARKS:
        result = BENCHMARKS[name](arguments.rounds)
        results.append(result)
        print(f"{result.name}: ratio {result.ratio:.3f} (goal {result.goal}); {result.summary}", flush=True)
        if arguments.json is not None:  # after each, so that a late failure loses no figure
            arguments.json.write_text(json.dumps([dataclasses.asdict(item) for item in results], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
