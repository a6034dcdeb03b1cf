"""`python -m tools.lab up [--nodes N] | down | shell NODE`, each with `--name` or `--dir`; called by `./dev lab`."""

import argparse
import os
import shlex
import signal
import sys
from pathlib import Path

from tools.lab.errors import LabError
from tools.lab.lab import Lab, is_up, take_down
from tools.lab.spec import Accelerator, LabSpec, Lifetime, Services


def main() -> int:
    """Exit code 0, or 1 with the reason on standard error."""
    options = _parse_arguments()
    # Ending `up` by SIGTERM takes down what it has started, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(128 + signal.SIGTERM))
    try:
        return int(options.act(options))
    except (LabError, ValueError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev lab", description="real hypervisor nodes in namespaces of their own")
    acts = parser.add_subparsers(required=True, metavar="up|down|shell")
    place = argparse.ArgumentParser(add_help=False)
    place.add_argument("--name", default="lab", help="which lab (default: lab)")
    place.add_argument("--dir", type=Path, help="its directory (default: /var/lib/xvirt-lab/NAME)")
    up = acts.add_parser("up", parents=[place], help="start a lab and print how to talk to it")
    up.add_argument("--nodes", type=int, default=1)
    up.add_argument("--services", type=Services, choices=list(Services), default=Services.ALL, help="default: all")
    up.add_argument(
        "--accelerator", type=Accelerator, choices=list(Accelerator), default=Accelerator.TCG, help="default: tcg"
    )
    up.set_defaults(act=_up)
    down = acts.add_parser("down", parents=[place], help="end a lab, or what a crash left of it")
    down.set_defaults(act=_down)
    shell = acts.add_parser("shell", parents=[place], help="a shell inside a node")
    shell.add_argument("node", nargs="?", default="node-a")
    shell.add_argument("argv", nargs=argparse.REMAINDER, help="a command instead of a shell")
    shell.set_defaults(act=_shell)
    return parser.parse_args()


def _up(options: argparse.Namespace) -> int:
    spec = LabSpec(
        name=options.name,
        nodes=options.nodes,
        directory=options.dir,
        lifetime=Lifetime.DETACHED,
        services=options.services,
        accelerator=options.accelerator,
    )
    if is_up(spec.path):
        lab = Lab.attach(spec.path)
        if len(lab.nodes) != spec.nodes:
            raise LabError(f"lab {spec.name} is up with {len(lab.nodes)} nodes; end it first with `./dev lab down`")
        print(f"# lab {spec.name} was up already")
    else:
        lab = Lab.up(spec)
    _print_access(lab)
    return 0


def _print_access(lab: Lab) -> None:
    first = next(iter(lab.nodes))
    if lab.spec.services is Services.ALL:
        for name, value in lab.client_environment(first).items():
            print(f"export {name}={shlex.quote(value)}")
    for node in lab.nodes.values():
        places = f"tcp://{node.tls_address} or unix://{node.socket_path}; " if lab.spec.services is Services.ALL else ""
        print(f"# {node.name}: {places}libvirt at {node.libvirt_uri}")


def _down(options: argparse.Namespace) -> int:
    spec = LabSpec(options.name, directory=options.dir)
    if not take_down(spec.path):
        print(f"lab {spec.name} is not there")
    return 0


def _shell(options: argparse.Namespace) -> int:
    lab = Lab.attach(LabSpec(options.name, directory=options.dir).path)
    node = lab.nodes.get(options.node)
    if node is None:
        raise LabError(f"lab {lab.spec.name} has no {options.node}; its nodes: {', '.join(lab.nodes)}")
    command = options.argv or ["bash", "--norc", "-i"]
    environment = {**os.environ, "PS1": f"{node.name}# ", "LIBVIRT_DEFAULT_URI": "qemu:///system"}
    argv = [*node.enter_command(), *command]
    os.execvpe(argv[0], argv, environment)


if __name__ == "__main__":
    sys.exit(main())
