"""`python -m tools.gen [--check]`: write the generated files, or exit with 1 and the names of the stale ones."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.gen.artifacts import find_stale, generate, write
from tools.gen.limits import LimitsFailed
from tools.gen.stubs import StubsFailed

ROOT = Path(__file__).resolve().parents[2]


def run(arguments: list[str]) -> int:
    """Exit code: 0 done or up to date, 1 stale or failed."""
    parser = argparse.ArgumentParser(prog="./dev gen", description="Regenerate stubs, CRDs and reference pages.")
    parser.add_argument("--check", action="store_true", help="only say which files are stale")
    options = parser.parse_args(arguments)
    try:
        wanted = generate(ROOT)
    except (LimitsFailed, StubsFailed) as error:
        print(f"gen: {error}", file=sys.stderr)
        return 1
    if not options.check:
        for path in write(ROOT, wanted):
            print(f"gen: wrote {path}" if path in wanted else f"gen: removed {path}")
        return 0
    stale = find_stale(ROOT, wanted)
    for path in stale:
        print(f"gen: {path} is stale; run ./dev gen and commit it", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
