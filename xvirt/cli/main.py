"""The command line's root: options, groups, and what becomes of errors."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

from xvirt.cli import act, adopt, analyse, console, convert, declare, export, image, imports, node, read, top
from xvirt.cli.exit_codes import BUG, INTERRUPTED, OK, OUTPUT, PIPE_CLOSED, USAGE, exit_code
from xvirt.cli.failures import note, show_error, show_trace
from xvirt.cli.session import Session
from xvirt.cli.words import check_name, parse_duration
from xvirt.model.errors import XvirtError
from xvirt.model.exchange import Verb
from xvirt.wire.limits import UNARY_TIMEOUT_S


def _namespace(text: str) -> str:
    return check_name(text, "--namespace")


def _timeout(text: str) -> float:
    return parse_duration(text, "--request-timeout")


def _text(text: str) -> str:
    return text


@dataclasses.dataclass(frozen=True)
class _Common:
    """An option that stands before or after the command, as kubectl's do; `field` is where the session keeps it."""

    words: tuple[str, ...]
    field: str
    help: str
    variable: str | None = None
    read: Callable[[str], Any] = _text
    is_flag: bool = False

    def option(self, *, is_root: bool) -> click.Option:
        """For the root, which also reads the environment, or for a command."""
        return click.Option(
            [*self.words, f"_{self.field}"],
            help=self.help,
            metavar=None if self.is_flag else "TEXT",
            is_flag=self.is_flag,
            default=None,
            envvar=self.variable if is_root else None,
            show_envvar=is_root and self.variable is not None,
            expose_value=False,
            hidden=not is_root and self.field != "asked_namespace",
            callback=self._keep,
        )

    def _keep(self, context: click.Context, option: click.Parameter, given: Any) -> None:
        session = context.ensure_object(Session)
        if given is None:
            return
        setattr(session, self.field, given if self.is_flag else self.read(given))
        if self.field == "address" and option.name is not None:
            session.is_node_named = context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE


COMMON = (
    _Common(("--node",), "address", "unix:///path or tcp://host:port.", "XVIRT_NODE"),
    _Common(("--node-name",), "node_name", "The node's name in its certificate.", "XVIRT_NODE_NAME"),
    _Common(("--tls-ca",), "tls_ca", "CA certificate, PEM.", "XVIRT_TLS_CA"),
    _Common(("--tls-cert",), "tls_cert", "Own certificate, PEM.", "XVIRT_TLS_CERT"),
    _Common(("--tls-key",), "tls_key", "Own key, PEM.", "XVIRT_TLS_KEY"),
    _Common(("--cluster",), "cluster", "Ask a cluster instead of a node.", is_flag=True),
    _Common(("--kubeconfig",), "kubeconfig", "Kubeconfig file of the cluster; means --cluster."),
    _Common(("--context",), "context", "Context of the kubeconfig; means --cluster."),
    _Common(
        ("-n", "--namespace"),
        "asked_namespace",
        "Namespace; absent: the context's, or default.",
        "XVIRT_NAMESPACE",
        _namespace,
    ),
    _Common(("--request-timeout",), "timeout_s", f"Deadline of one Apply ({UNARY_TIMEOUT_S:g}s).", read=_timeout),
)


PLUGIN = "kubectl xvirt"
"""The name under which kubectl calls it."""


class _PipeClosed(Exception):
    """Whoever read the output went away."""


class _Root(click.Group):
    """Keeps BrokenPipeError from click, which would end with 1: for `diff` that means something."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _PipeClosed from error


@click.group(
    cls=_Root,
    context_settings={"help_option_names": ["-h", "--help"]},
    params=[item.option(is_root=True) for item in COMMON],
    epilog="These options may also stand after the command.",
)
def cli() -> None:
    """xVirt runs libvirt/QEMU virtual machines from declarations."""


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
    console.console,
    node.version,
    node.info,
    image.upload,
    imports.import_documents,
    export.export,
    convert.convert,
    analyse.analyse,
    adopt.adopt,
    adopt.release,
    *(act.make_verb(verb) for verb in Verb),
):
    _command.params += [item.option(is_root=False) for item in COMMON]
    if _command not in (node.info, image.upload):
        cli.add_command(_command)
cli.add_command(image.image)
cli.add_command(node.node)
cli.add_command(node.completion)


def run() -> None:
    """Entry point of `xvirt` and `kubectl-xvirt`."""
    name = os.path.basename(sys.argv[0])
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # `>&-` closes it; an argument's odd bytes must not end the message that names them
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    code = main(sys.argv[1:], PLUGIN if name.startswith("kubectl") else "xvirt")
    sys.exit(code)


def main(arguments: list[str], name: str = "xvirt") -> int:
    """Run a command; returns its exit code. Called as kubectl's plugin it asks the cluster unless it is given a node."""
    try:
        code = _run(arguments, name)
        if sys.stdout is not None:
            sys.stdout.flush()
    except (BrokenPipeError, _PipeClosed):
        _drop_output()
        return PIPE_CLOSED
    except OSError as error:
        if error.filename is None:
            _drop_output()
        show_trace(error)
        place = error.filename or "the output"
        note(f"error: {place}: cannot be written: {error.strerror or error}; look at its rights and the disk's space")
        return OUTPUT
    return code


def _run(arguments: list[str], name: str) -> int:
    try:
        session = Session(is_plugin=name == PLUGIN)
        result = cli.main(arguments, prog_name=name, standalone_mode=False, obj=session)
    except click.exceptions.Exit as error:
        return int(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except click.ClickException as error:
        _show_usage(error)
        return USAGE
    except XvirtError as error:
        show_error(error)
        return exit_code(error)
    except (OSError, _PipeClosed):
        raise
    except Exception as error:  # noqa: BLE001 - the last stop: a bug is told in a line, not in a traceback
        show_trace(error)
        note(f"error: a bug in xvirt: {type(error).__name__}: {error}; XVIRT_DEBUG=1 shows where")
        return BUG
    return result if isinstance(result, int) else OK


def _show_usage(error: click.ClickException) -> None:
    context = getattr(error, "ctx", None)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        note(error.format_message())
        return
    note(f"error: {error.format_message()}")
    if context is not None:
        note(f"See '{context.command_path} --help'.")


def _drop_output() -> None:
    """Let nobody write to a dead output again, the interpreter at its end included."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
