"""The command line's root: options, groups, and what becomes of errors."""

from __future__ import annotations

import os
import sys
import traceback

import click

from xvirt.cli import act, declare, image, node, read, top
from xvirt.cli.exit_codes import GENERAL, INTERRUPTED, USAGE, exit_code
from xvirt.cli.session import Session
from xvirt.cli.waiting import parse_duration
from xvirt.client.target import make_target
from xvirt.model.errors import InvalidSpec, XvirtError
from xvirt.model.exchange import Verb


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--node", "address", envvar="XVIRT_NODE", default="", help="unix:///path or tcp://host:port.")
@click.option("--node-name", envvar="XVIRT_NODE_NAME", default="", help="The node's name in its certificate.")
@click.option("--tls-ca", envvar="XVIRT_TLS_CA", default="", help="CA certificate, PEM.")
@click.option("--tls-cert", envvar="XVIRT_TLS_CERT", default="", help="Own certificate, PEM.")
@click.option("--tls-key", envvar="XVIRT_TLS_KEY", default="", help="Own key, PEM.")
@click.option("-n", "--namespace", envvar="XVIRT_NAMESPACE", default="default", show_default=True, help="Namespace.")
@click.option("--request-timeout", default="30s", show_default=True, help="Deadline of one call.")
@click.pass_context
def cli(
    context: click.Context,
    address: str,
    node_name: str,
    tls_ca: str,
    tls_cert: str,
    tls_key: str,
    namespace: str,
    request_timeout: str,
) -> None:
    """xVirt runs libvirt/QEMU virtual machines from declarations."""
    context.obj = Session(
        target=make_target(address, node_name, (tls_ca, tls_cert, tls_key)),
        namespace=namespace,
        timeout_s=parse_duration(request_timeout),
    )


for _command in (
    declare.apply,
    declare.diff,
    declare.delete,
    read.get,
    read.describe,
    read.wait,
    read.events,
    read.explain,
    top.top,
    act.logs,
    act.console,
    image.image,
    node.node,
    node.version,
    node.completion,
    *(act.make_verb(verb) for verb in Verb),
):
    cli.add_command(_command)


def run() -> None:
    """Entry point of `xvirt` and `kubectl-xvirt`."""
    name = os.path.basename(sys.argv[0])
    sys.exit(main(sys.argv[1:], "kubectl xvirt" if name.startswith("kubectl") else "xvirt"))


def main(arguments: list[str], name: str = "xvirt") -> int:
    """Run a command; returns its exit code."""
    try:
        result = cli.main(arguments, prog_name=name, standalone_mode=False)
    except click.exceptions.Exit as error:
        return int(error.exit_code)
    except click.Abort:
        return INTERRUPTED
    except KeyboardInterrupt:
        return INTERRUPTED
    except click.UsageError as error:
        error.show()
        return USAGE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return GENERAL
    except XvirtError as error:
        _show(error)
        return exit_code(error)
    return result if isinstance(result, int) else 0


def _show(error: XvirtError) -> None:
    if os.environ.get("XVIRT_DEBUG"):
        traceback.print_exception(error)
    if isinstance(error, InvalidSpec) and len(error.problems) > 1:
        print("error: the document is not valid:", file=sys.stderr)
        for problem in error.problems:
            print(f"  {problem}", file=sys.stderr)
        return
    print(f"error: {error.message}", file=sys.stderr)
