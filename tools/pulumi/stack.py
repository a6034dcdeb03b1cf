"""A stack of the real engine, as its user has it: a program, a configuration, and commands that end."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.lab.processes import Process, children_of, find_process, wait_until

DEADLINE_S = 150.0
PROJECT = "shop"
_PASSPHRASE = "correct horse"
_PLUGIN = "pulumi.dynamic"
_ALWAYS = ("--color", "never", "--non-interactive")


@dataclasses.dataclass(frozen=True)
class Run:
    """A command of the engine that has ended."""

    code: int
    text: str
    """What the engine printed, as its user reads it."""
    events: list[dict[str, Any]]

    @property
    def changes(self) -> dict[str, int]:
        """Resources by what was done to them (`create`, `update`, `same`, ...), the stack and its provider left out. Empty where the engine did
        not come to its end."""
        steps = [event["resOutputsEvent"]["metadata"] for event in self.events if "resOutputsEvent" in event]
        return dict(Counter(step["op"] for step in steps if not step["type"].startswith("pulumi:")))

    @property
    def errors(self) -> list[str]:
        """What the engine said went wrong, each once, whole."""
        found = [event["diagnosticEvent"] for event in self.events if "diagnosticEvent" in event]
        return list(dict.fromkeys(item["message"].strip() for item in found if item["severity"] == "error"))

    def assert_ok(self) -> Run:
        """Itself; fails with all it printed where it failed."""
        assert self.code == 0, self.text
        return self

    def assert_failed(self) -> Run:
        """Itself; fails where it did not fail, or printed a traceback."""
        assert self.code != 0, self.text
        assert "Traceback" not in self.text, self.text
        return self


class Running:
    """A command of the engine that has not ended yet."""

    def __init__(self, argv: Sequence[str], cwd: Path, environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        self._output = log.with_suffix(".txt")
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [*argv, "--event-log", str(log)],
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,  # as a shell does, so that Ctrl-C reaches all of it
            )

    @property
    def text(self) -> str:
        """What was printed until now."""
        return self._output.read_text(errors="replace")

    def plugin(self) -> Process:
        """The process of the dynamic provider, as soon as it is there."""
        found: list[Process] = []

        def is_there() -> bool:
            found[:] = _plugins_below(self.process.pid)
            return bool(found)

        wait_until(is_there, DEADLINE_S, "the engine to start the provider")
        return found[0]

    def press_ctrl_c(self) -> None:
        """What a terminal does: SIGINT to the whole process group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def finish(self) -> Run:
        """Its end. Kills what is left after the deadline."""
        try:
            code = self.process.wait(timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise AssertionError(f"the engine did not end in {DEADLINE_S:g} s:\n{self.text}") from None
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return Run(code, self.text, [json.loads(line) for line in lines])


@dataclasses.dataclass
class Stack:
    """One stack. Its state lies in `backend`; stacks over the same one see each other."""

    engine: Path
    directory: Path
    backend: Path
    name: str = "dev"
    count: int = 0
    more: dict[str, str] = dataclasses.field(default_factory=dict)
    """Variables for the commands beside their own."""

    @property
    def authority(self) -> str:
        """Whom nodes take it for."""
        return f"organization/{PROJECT}/{self.name}"

    @property
    def state(self) -> str:
        """The state as the engine has written it."""
        return self._state_file.read_text()

    @property
    def resources(self) -> dict[str, dict[str, Any]]:
        """Outputs by the name of the resource, the stack and its provider left out. Read from the state as it lies there."""
        found = json.loads(self.state)["checkpoint"]["latest"].get("resources") or []
        own = (item for item in found if not item["type"].startswith("pulumi:"))
        return {item["urn"].rpartition("::")[2]: item["outputs"] for item in own}

    @property
    def pending(self) -> list[str]:
        """Operations that the engine does not know the end of."""
        latest = json.loads(self.state)["checkpoint"]["latest"]
        return [item["type"] for item in latest.get("pending_operations") or []]

    def make(self, **config: str) -> Stack:
        """Initialise it; `config`: what stands below `xvirt:`."""
        for directory in (self.directory, self.backend):
            directory.mkdir(parents=True, exist_ok=True)
        options = {"virtualenv": sys.prefix}
        self.write_json("Pulumi.yaml", {"name": PROJECT, "runtime": {"name": "python", "options": options}})
        self.run("stack", "init", self.name).assert_ok()
        self.configure(**config)
        return self

    def lose_state(self) -> None:
        """As when its file is gone: the stack begins anew, and nobody has told a node."""
        shutil.rmtree(self.backend / ".pulumi" / "stacks" / PROJECT)
        self.run("stack", "init", self.name).assert_ok()

    def configure(self, **config: str) -> None:
        """Keys below `xvirt:`, as `pulumi config set` does it."""
        pairs = [part for key, value in config.items() for part in ("--plaintext", f"xvirt:{key}={value}")]
        if pairs:
            self.run("config", "set-all", *pairs, "--stack", self.name).assert_ok()

    def write(self, program: str) -> None:
        """The program."""
        (self.directory / "__main__.py").write_text(textwrap.dedent(program))

    def machine(self, name: str = "web", **arguments: Any) -> None:
        """A program of one machine without disk and NIC, whose firmware runs for ever; `arguments` as the class takes them. An `options`
        is text."""
        options = arguments.pop("options", "")
        spec = {"memory": {"size": "32Mi", "max": "64Mi"}, "termination_grace_period_seconds": 0} | arguments
        values = "".join(f"    {key}={value!r},\n" for key, value in spec.items())
        self.write(
            f"from xvirt_provider import Options, Timeouts, VirtualMachine\n\n"
            f"VirtualMachine(\n    {name!r},\n{values}    options=Options({options}),\n)\n"
        )

    def write_json(self, name: str, value: Any) -> None:
        """A file of the project; JSON is YAML."""
        (self.directory / name).write_text(json.dumps(value))

    def preview(self, *options: str) -> Run:
        """Say what `up` would do."""
        return self._act("preview", *options)

    def up(self, *options: str) -> Run:
        """Make it so."""
        return self._act("up", "--yes", "--skip-preview", *options)

    def refresh(self, *options: str) -> Run:
        """Take what is there into the state."""
        return self._act("refresh", "--yes", "--skip-preview", *options)

    def destroy(self, *options: str) -> Run:
        """Delete all."""
        return self._act("destroy", "--yes", "--skip-preview", *options)

    def begin(self, command: str, *options: str) -> Running:
        """Start a command and leave it running."""
        self.count += 1
        log = self.directory / f"events-{self.count}.json"
        argv = [str(self.engine / "pulumi"), command, *options, *_ALWAYS, "--stack", self.name]
        return Running(argv, self.directory, self.environment(), log)

    def begin_up(self) -> Running:
        """Start `up`."""
        return self.begin("up", "--yes", "--skip-preview", "--suppress-progress")

    def run(self, *arguments: str) -> Run:
        """A command about the stack, such as `stack rm`."""
        done = subprocess.run(
            [str(self.engine / "pulumi"), *arguments, *_ALWAYS],
            cwd=self.directory,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE_S,
        )
        return Run(done.returncode, done.stdout, [])

    def environment(self) -> dict[str, str]:
        """Of every command: nothing of the caller's Pulumi or xVirt."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PULUMI_", "XVIRT_"))}
        return {
            **kept,
            **self.more,
            "PATH": os.pathsep.join((str(self.engine), kept["PATH"])),
            "PULUMI_BACKEND_URL": f"file://{self.backend}",
            "PULUMI_CONFIG_PASSPHRASE": _PASSPHRASE,
            "PULUMI_DEBUG_COMMANDS": "true",  # has the option that writes events
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "1",
            "PULUMI_HOME": str(self.backend / "home"),
            "PULUMI_PYTHON_CMD": sys.executable,
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(self.backend / "bytecode"),  # half of what a command takes is Python's own start
        }

    @property
    def _state_file(self) -> Path:
        return self.backend / ".pulumi" / "stacks" / PROJECT / f"{self.name}.json"

    def _act(self, command: str, *options: str) -> Run:
        return self.begin(command, "--suppress-progress", *options).finish()


def _plugins_below(pid: int) -> list[Process]:
    found = []
    waiting = [find_process(pid)]
    while waiting:
        parent = waiting.pop()
        if parent is None:
            continue
        if _PLUGIN in _command(parent.pid):
            found.append(parent)
        waiting += children_of(parent)
    return found


def _command(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []
