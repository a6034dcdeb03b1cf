"""What strangers do: broken input, odd settings, closed outputs."""

from __future__ import annotations

import os
import pty
import subprocess
import termios
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.live_node import MACHINE, NETWORK, OTHER, XVIRT, LiveNode, run_here
from tests.unit.nodeplugin.world import CALLER
from xvirt.client.blocking import NodeClient
from xvirt.client.target import Target
from xvirt.model.documents import load_documents
from xvirt.model.errors import InvalidSpec
from xvirt.model.exchange import ApplyCall

BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{after}: &{after} [{','.join([f'*{before}'] * 20)}]\n" for before, after in zip("abcdef", "bcdefg", strict=True)
)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"kind: [", "stdin:2: did not find"),
        (b"\x7fELF\x02\x01\x01\x00\xff\xfe", "is not UTF-8 text"),
        (b"a\x00b: c", "stdin"),
        (BOMB.encode(), "has more than 100 aliases"),
        (b"# " + b"x" * (10 << 20), "is larger than"),
        (b"", "stdin: holds no document"),
        (b"---\n---\n", "holds no document"),
        (b"just text", "a document must be a map"),
        (b"[]", "a document must be a map"),
        (NETWORK.replace("VirtualNetwork", "Deployment").encode(), "kind"),
        (NETWORK.replace("VirtualNetwork", "VirtualNetwerk").encode(), "VirtualNetwork"),
        (NETWORK.replace("xvirt.io/v1alpha1", "apps/v1").encode(), "apiVersion"),
        ((NETWORK + "---" + NETWORK).encode(), "the other one begins at stdin:2"),
        (NETWORK.replace("name: lan", "name: ../lan").encode(), "metadata.name"),
        (NETWORK.replace("name: lan", 'name: "a\\nb"').encode(), "metadata.name"),
        (NETWORK.replace("name: lan", "name: nétz").encode(), "metadata.name"),
        (NETWORK.replace("name: lan", "name: -lan").encode(), "metadata.name"),
        (NETWORK.replace("name: lan", "name: a/b").encode(), "metadata.name"),
        (NETWORK.replace("spec: {mode: Isolated}", "spec: {<<: {mode: Isolated}}").encode(), "merge keys"),
        (NETWORK.replace("spec:", "spec: {}\nspec:").encode(), "'spec' is given twice"),
        (b"!!python/object/apply:os.system [id]", "tag"),
    ],
)
def test_a_document_that_is_none_is_refused_with_its_place(data: bytes, words: str) -> None:
    outcome = run_here(["apply", "-f", "-"], data)
    assert (outcome.code, outcome.out) == (3, "")
    assert words in outcome.err
    assert outcome.err.isprintable() or set(outcome.err) - {"\n"} <= {
        char for char in outcome.err if char.isprintable()
    }


def test_files_that_cannot_be_read_are_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    looped = tmp_path / "loop.yaml"
    looped.symlink_to(looped)
    for name, words in (("empty", "holds no file that ends with .json, .yaml, .yml"), ("loop.yaml", "cannot be read")):
        outcome = run_here(["apply", "-f", str(tmp_path / name)])
        assert outcome.code == 3
        assert f"{tmp_path / name}: {words}" in outcome.err
    outcome = run_here(["apply", "-f", "x" * 5000])
    assert (outcome.code, "cannot be read" in outcome.err) == (3, True)


def test_a_byte_order_mark_is_read_over() -> None:
    assert run_here(["apply", "--dry-run", "-f", "-"], b"\xef\xbb\xbf" + NETWORK.strip().encode()).code == 0


@pytest.mark.parametrize("name", ["../x", "a/b", "a\nb", "-x", "é", "a" * 64, "A", "", ".", "\udcff", "\x1b[31m"])
def test_what_is_no_name_never_reaches_the_node(name: str) -> None:
    for arguments in (["get", f"vm/{name}"], ["-n", name, "get", "vm"], ["delete", "vm", "--", name]):
        outcome = run_here(["--node", "unix:///nowhere/node.sock", *arguments])
        assert outcome.code == 2, arguments
        assert "\x1b" not in outcome.err


@pytest.mark.parametrize(
    ("variables", "code", "words"),
    [
        ({"XVIRT_NODE": "nonsense"}, 2, "use unix:///path or tcp://host:port"),
        ({"XVIRT_NODE": "tcp://127.0.0.1:1"}, 2, "--tls-ca"),
        ({"XVIRT_NAMESPACE": "No Label"}, 2, "DNS label"),
        ({"XVIRT_NODE": "unix://relative/and/missing"}, 8, "relative/and/missing"),
    ],
)
def test_wrong_settings_are_told(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], code: int, words: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    outcome = run_here(["get", "vm"])
    assert outcome.code == code
    assert words in outcome.err


def test_a_missing_tls_file_is_told_by_name(tmp_path: Path) -> None:
    files = [word for name in ("ca", "cert", "key") for word in (f"--tls-{name}", str(tmp_path / f"{name}.pem"))]
    outcome = run_here(["--node", "tcp://127.0.0.1:1", "--node-name", "a", *files, "get", "vm"])
    assert outcome.code == 2
    assert f"{tmp_path / 'ca.pem'}: cannot be read" in outcome.err


# the same refusal on both sides


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("cores: 1", "cores: none"),
        ("cores: 1", "coers: 1"),
        ("size: 64Mi", "size: lots"),
        ("max: 128Mi", "max: 1Mi"),
        ("spec:", "spec:\n  runStrategy: Sometimes"),
        ("spec:", "spec:\n  devices: {rng: yes}"),
        ("spec:", "spec:\n  disks: [{name: a, source: {size: 1Gi}}, {name: a, source: {size: 1Gi}}]"),
        ("name: web", "name: Web_1"),
    ],
)
def test_row_104_the_command_line_and_the_node_tell_the_same_path_and_message(
    node: LiveNode, old: str, new: str
) -> None:
    text = MACHINE.replace(old, new, 1)
    document: dict[str, Any] = load_documents(text, "stdin")[0].document
    document["metadata"]["namespace"] = "default"
    with NodeClient(Target(node.address)) as client, pytest.raises(InvalidSpec) as remote:
        client.apply(ApplyCall(document=document))
    with pytest.raises(InvalidSpec) as inside:
        node.service.apply(CALLER, ApplyCall(document=document))
    outcome = node.xvirt("apply", "-f", "-", text=text)
    problems = [str(problem) for problem in inside.value.problems]
    assert [str(problem) for problem in remote.value.problems] == problems
    assert outcome.code == 3
    for problem in problems:
        assert f"stdin:2: {problem}" in outcome.err


@pytest.mark.parametrize(("word", "meant"), [("yes", "true"), ("on", "true"), ("No", "false"), ("OFF", "false")])
def test_yaml_1_1_booleans_are_refused_with_what_to_write(word: str, meant: str) -> None:
    outcome = run_here(["apply", "-f", "-"], MACHINE + f"  devices: {{rng: {word}}}\n")
    assert outcome.code == 3
    assert f'spec.devices.rng: must be true or false, not "{word}"' in outcome.err
    assert f"write {meant}" in outcome.err


def test_words_that_yaml_1_1_takes_for_booleans_stay_names(node: LiveNode) -> None:
    assert node.xvirt("apply", "-f", "-", text=MACHINE.replace("web", "no")).code == 0
    assert node.xvirt("get", "vm", "no", "--no-headers").rows()[0][0] == "no"


# outputs


def test_a_reader_that_goes_away_is_no_traceback(node: LiveNode) -> None:
    node.declare(MACHINE, OTHER)
    outer, inner = os.pipe()
    with node.process("get", "vm", "-o", "yaml", stdout=inner) as running:
        os.close(outer)
        os.close(inner)
        _, error = running.communicate(timeout=30)
    assert (running.returncode, error) == (141, b"")


def test_an_output_that_is_closed_or_full_is_told_without_a_traceback(node: LiveNode) -> None:
    node.declare(MACHINE)
    with open("/dev/full", "wb") as full, node.process("get", "vm", stdout=full) as running:
        _, error = running.communicate(timeout=30)
    assert running.returncode == 10
    assert error.startswith(b"error: the output: cannot be written: No space left on device")
    for redirection in (">&-", "2>&-", "<&-"):
        line = f'exec "$0" "$@" {redirection}'
        done = subprocess.run(
            ["sh", "-c", line, *_command("get", "vm")], env=node.environment(), capture_output=True, check=False
        )
        assert (done.returncode, b"Traceback" in done.stderr) == (0, False), (redirection, done)


def _command(*arguments: str) -> list[str]:
    return [*XVIRT, *arguments]


def test_it_runs_without_a_home_and_with_an_ascii_locale(node: LiveNode) -> None:
    node.declare(MACHINE)
    environment = {
        key: value
        for key, value in node.environment(LC_ALL="C", PYTHONIOENCODING="ascii").items()
        if key not in ("HOME", "USER", "LOGNAME", "TERM")
    }
    for arguments, code in ((("get", "vm"), 0), (("get", "vm", "é"), 2), (("explain", "vm"), 0)):
        with node.process(*arguments, env=environment) as running:
            _, error = running.communicate(timeout=30)
        assert (running.returncode, b"Traceback" in error) == (code, False), error


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}, {"FORCE_COLOR": "1"}, {"TERM": "dumb"}])
def test_nothing_is_coloured_when_the_output_is_no_terminal(node: LiveNode, variables: dict[str, str]) -> None:
    node.declare(MACHINE)
    for arguments in (("get", "vm"), ("describe", "vm", "web"), ("get", "vm", "nope"), ("--help",)):
        with node.process(*arguments, env=node.environment(**variables)) as running:
            output, error = running.communicate(timeout=30)
        assert b"\x1b" not in output + error


def test_progress_fits_a_very_narrow_terminal_and_is_cleared(node: LiveNode) -> None:
    node.declare(MACHINE)
    outer, inner = pty.openpty()
    termios.tcsetwinsize(inner, (24, 12))
    arguments = ("wait", "vm", "web", "--for=condition=AgentConnected", "--timeout=0.3")
    with node.process(*arguments, stderr=inner) as running:
        running.wait(timeout=30)
    os.close(inner)
    text = os.read(outer, 65536)
    os.close(outer)
    progress = text.split(b"error: ")[0]
    assert progress.startswith(b"\rVirtualMach\r")
    assert all(len(part) < 12 for part in progress.split(b"\r"))


def test_progress_is_told_in_lines_where_a_log_asks_for_it_and_else_not_at_all(node: LiveNode) -> None:
    node.declare(MACHINE)
    arguments = ("wait", "vm", "web", "--for=condition=AgentConnected", "--timeout=0.3")
    told = {}
    for wanted in ("lines", ""):
        with node.process(*arguments, env=node.environment(XVIRT_PROGRESS=wanted)) as running:
            told[wanted] = running.communicate(timeout=30)[1].decode().splitlines()
    assert told["lines"][0] == "VirtualMachine default/web: AgentConnected is False (NotConnected)"
    assert told["lines"][1:] == told[""]
    assert told[""][0].startswith("error: ")


def test_what_a_guest_says_does_not_drive_the_terminal(node: LiveNode) -> None:
    node.declare(MACHINE)
    node.hypervisor.connect_agent(node.uid(), {"hostname": "\x1b[2Jx"})
    assert "\x1b" not in node.xvirt("describe", "vm", "web").out


# completion


@pytest.mark.parametrize(
    ("shell", "words"), [("bash", "complete -o"), ("zsh", "#compdef xvirt"), ("fish", "complete --")]
)
def test_each_shells_completion_script_is_printed(shell: str, words: str) -> None:
    outcome = run_here(["completion", shell])
    assert outcome.code == 0
    assert words in outcome.out


def test_the_completion_offers_commands_options_and_kinds(node: LiveNode) -> None:
    for words, wanted in (
        ("xvirt get virtualm", b"virtualmachines"),
        ("xvirt explain st", b"storagepools"),
        ("xvirt des", b"describe"),
        ("xvirt get --sel", b"--selector"),
    ):
        variables = {"_XVIRT_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        with node.process(env=node.environment(**variables)) as running:
            output, _ = running.communicate(timeout=30)
        assert wanted in output


def test_an_unknown_shell_is_refused() -> None:
    assert run_here(["completion", "tcsh"]).code == 2
