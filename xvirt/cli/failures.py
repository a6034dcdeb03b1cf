"""What becomes of errors: told on standard error, remembered where the command goes on with the next object."""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Iterator

import click

from xvirt.cli.exit_codes import exit_code
from xvirt.cli.tables import clean
from xvirt.model.errors import InvalidSpec, Unavailable, XvirtError


def note(text: str) -> None:
    """A line for people, beside the output."""
    click.echo(text, err=True)


def show_error(error: XvirtError) -> None:
    """Tell an error: a line, or a line for each thing that is wrong with a document."""
    show_trace(error)
    if isinstance(error, InvalidSpec) and len(error.problems) > 1:
        note("error: the document is not valid:")
        for problem in error.problems:
            note(f"  {clean(str(problem))}")
        return
    note(f"error: {clean(error.message)}")


def show_trace(error: BaseException) -> None:
    """The way an error came, where XVIRT_DEBUG asks for it."""
    if os.environ.get("XVIRT_DEBUG"):
        note("".join(traceback.format_exception(error)).rstrip())


class Failures:
    """Errors of single objects: the others are gone on with, and the command ends with the first one's code."""

    def __init__(self) -> None:
        self._first: XvirtError | None = None

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """Work on one object. Where the node cannot be reached the error goes on: the others would fail as well."""
        try:
            yield
        except Unavailable:
            raise
        except XvirtError as error:
            show_error(error)
            self._first = self._first or error

    def end(self) -> None:
        """End the command where anything failed."""
        if self._first is not None:
            raise click.exceptions.Exit(exit_code(self._first))
