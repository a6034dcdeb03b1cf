"""`convert`: libvirt's XML documents as YAML or JSON and back, thousands in one run. Asks no node."""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from xvirt.cli.exit_codes import GENERAL
from xvirt.cli.failures import note
from xvirt.cli.tables import clean
from xvirt.cli.words import WrongWords
from xvirt.domainxml.limits import XML_MAX_BYTES
from xvirt.domainxml.tree_documents import Form, read_document, write_document
from xvirt.model.errors import InvalidSpec, Problem

ENDINGS = {".xml": Form.XML, ".yaml": Form.YAML, ".yml": Form.YAML, ".json": Form.JSON}
_STDIO = "-"


@dataclasses.dataclass(frozen=True)
class Job:
    """One input and where its output goes; `-` is a standard stream."""

    source: str
    target: str


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="FILE|DIR|-...")
@click.option("--to", "form", required=True, type=click.Choice([form.value for form in Form]), help="What to write.")
@click.option(
    "-o", "--output", metavar="DIR|-", help="Where to write; beside the input if not said. - is standard output."
)
@click.option("--force", is_flag=True, help="Overwrite files that are there and differ; never an input.")
def convert(names: tuple[str, ...], form: str, output: str | None, force: bool) -> None:
    """Convert libvirt's documents of any kind between XML, YAML and JSON, without a loss.

    NAME.xml becomes NAME.yaml or NAME.json and back. Of a folder, and of all below it, the .xml files are taken, or with --to xml the
    .yaml, .yml and .json files. - is standard input, converted to standard output. What fails is told, and the others are done.
    """
    run = _Run(Form(form), force)
    jobs = list(_jobs(dict.fromkeys(names), run.form, output))
    if output == _STDIO and len(jobs) != 1:
        raise WrongWords(f"-o - writes one document, {len(jobs)} are named; give a folder")
    with _progress(len(jobs)) as advance:
        for job in jobs:
            run.attempt(job)
            advance()
    run.end()


def _jobs(names: dict[str, None], form: Form, output: str | None) -> Iterator[Job]:
    for name in names:
        if name == _STDIO:
            yield Job(_STDIO, os.path.join(output, f"stdin.{form.value}") if output not in (None, _STDIO) else _STDIO)
        elif os.path.isdir(name):
            for file in sorted(_walk(name, form)):
                yield Job(file, _target(file, form, output, os.path.relpath(os.path.dirname(file), name)))
        else:
            yield Job(name, _target(name, form, output, "."))


def _walk(folder: str, form: Form) -> Iterator[str]:
    """Regular files alone: a pipe that is called web.xml would hold the others up."""

    def refuse(error: OSError) -> None:
        raise InvalidSpec([Problem(str(error.filename), f"cannot be read: {error.strerror}")]) from error

    for parent, _folders, files in os.walk(folder, onerror=refuse):
        for file in files:
            found = ENDINGS.get(os.path.splitext(file)[1].lower())
            path = os.path.join(parent, file)
            if found is not None and (found is Form.XML) is not (form is Form.XML) and os.path.isfile(path):
                yield path


def _target(name: str, form: Form, output: str | None, below: str) -> str:
    if output == _STDIO:
        return _STDIO
    stem, ending = os.path.splitext(name)
    written = f"{stem if ending.lower() in ENDINGS else name}.{form.value}"
    return written if output is None else os.path.normpath(os.path.join(output, below, os.path.basename(written)))


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """A bar on a terminal, where there is more than one document."""
    if total < 2 or sys.stderr is None or not sys.stderr.isatty():
        yield lambda: None
        return
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Converting", total=total)
        yield lambda: progress.advance(task)


class _Run:
    """What was written and what failed so far."""

    def __init__(self, form: Form, is_forced: bool) -> None:
        self.form = form
        self._is_forced = is_forced
        self._sources: dict[str, str] = {}
        """Output -> the input that it came from."""
        self._count = self._failed = 0

    def attempt(self, job: Job) -> None:
        """Convert one document; what fails is told and counted."""
        self._count += 1
        try:
            self._convert(job)
        except InvalidSpec as error:
            self._failed += 1
            for problem in error.problems:
                note(f"error: {clean(f'{_shown(job.source)}: {problem}')}")
        except OSError as error:
            if job.target == _STDIO:
                raise
            self._failed += 1
            note(f"error: {clean(f'{error.filename or job.target}: {error.strerror or error}')}")

    def _convert(self, job: Job) -> None:
        data = read_input(job.source)
        text = write_document(read_document(data, form_of(job.source, data)), self.form)
        if job.target == _STDIO:
            click.echo(text, nl=False)
            return
        other = self._sources.setdefault(os.path.realpath(job.target), job.source)
        if other != job.source:
            raise InvalidSpec([Problem("", f"{job.target} was written from {other}", "use -o to part them")])
        _write(job, text.encode(), is_forced=self._is_forced)

    def end(self) -> None:
        """End the command where anything failed."""
        if self._failed:
            note(f"error: {self._failed} of {self._count} documents failed")
            raise click.exceptions.Exit(GENERAL)


def _shown(source: str) -> str:
    return "stdin" if source == _STDIO else source


def read_input(source: str) -> bytes:
    """The bytes of a file or of standard input, one more than is allowed at most."""
    if source != _STDIO:
        with open(source, "rb") as handle:
            return handle.read(XML_MAX_BYTES + 1)
    if sys.stdin is None:
        raise InvalidSpec([Problem("", "is closed", "name a file")])
    return sys.stdin.buffer.read(XML_MAX_BYTES + 1)


def form_of(source: str, data: bytes) -> Form:
    """How a document is written: by its name's ending, else by how it begins."""
    form = ENDINGS.get(os.path.splitext(source)[1].lower())
    if form is not None:
        return form
    start = data.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    is_utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return Form.XML if start == b"<" or is_utf_16 else Form.JSON if start == b"{" else Form.YAML


def _write(job: Job, data: bytes, *, is_forced: bool) -> None:
    """Put a whole file in its place, with the input's rights: a document may hold a password.

    What is there already stays unless that is asked for, and where it is the input it stays in any case.
    """
    target = Path(job.target)
    if target.exists():
        if job.source != _STDIO and target.samefile(job.source):
            raise InvalidSpec([Problem("", "would be overwritten by its own conversion", "use -o DIR")])
        if target.is_file() and target.read_bytes() == data:
            return
        if not is_forced:
            raise InvalidSpec([Problem("", f"{target} is there and differs", "use --force to overwrite it, or -o DIR")])
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(prefix=f".{target.name[:200]}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(partial, _rights(job.source))
        os.replace(partial, target)
    except BaseException:
        os.unlink(partial)
        raise


def _rights(source: str) -> int:
    if source != _STDIO:
        return stat.S_IMODE(os.stat(source).st_mode) & 0o666
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
