"""`python -m tools.cluster up [--hosts lab:2|fake:N] [--dir DIR] | down [--dir DIR]`; called by `./dev cluster`."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from pathlib import Path

from tools.cluster.cluster import Cluster, bring_up, default_directory, say, take_down
from tools.cluster.errors import ClusterError
from tools.cluster.hosts import HostKind, HostsSpec, parse_hosts
from tools.golang import GoBuildError
from tools.guest import GuestBuildError
from tools.lab import LabError


def main() -> int:
    """Exit code 0, or 1 with the reason on standard error."""
    options = _parse_arguments()
    # Ending `up` by SIGTERM takes down what it has started, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(128 + signal.SIGTERM))
    directory = (options.dir or default_directory()).absolute()
    try:
        if options.act == "down":
            if not take_down(directory):
                print(f"no cluster is in {directory}")
            return 0
        _print_access(bring_up(directory, options.hosts, tell=say))
    except (ClusterError, LabError, GoBuildError, GuestBuildError, ValueError, OSError) as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev cluster", description="a cluster on this machine, without containers")
    acts = parser.add_subparsers(required=True, dest="act", metavar="up|down")
    place = argparse.ArgumentParser(add_help=False)
    place.add_argument("--dir", type=Path, help=f"its directory (default: {default_directory()})")
    up = acts.add_parser("up", parents=[place], help="start it, or find it running; returns when its hosts are ready")
    up.add_argument(
        "--hosts",
        type=_hosts,
        default=HostsSpec(HostKind.LAB, 2),
        metavar="lab:N|fake:N",
        help="real hypervisors in namespaces (need root), or hosts in memory (default: lab:2)",
    )
    acts.add_parser("down", parents=[place], help="end it, or what a crash left of it")
    return parser.parse_args()


def _hosts(text: str) -> HostsSpec:
    try:
        return parse_hosts(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _print_access(cluster: Cluster) -> None:
    print(f"export KUBECONFIG={shlex.quote(str(cluster.kubeconfig))}")
    print(f"# {cluster.hosts}; logs of all parts in {cluster.directory / 'logs'}")


if __name__ == "__main__":
    sys.exit(main())
