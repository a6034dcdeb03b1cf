"""The command line's parts that need no node."""

from __future__ import annotations

from pathlib import Path

import pytest

from xvirt.cli.main import main
from xvirt.cli.manifests import Sources, read_manifests
from xvirt.cli.selector import matches
from xvirt.cli.tables import lookup, table
from xvirt.cli.waiting import parse_condition
from xvirt.cli.words import WrongWords, parse_duration, parse_refs
from xvirt.model.errors import InvalidSpec

MACHINE = """
apiVersion: xvirt.io/v1alpha1
kind: VirtualMachine
metadata: {name: web}
spec:
  memory: {size: 64Mi}
  cloudInit: {userData: {secret: init}}
"""
SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: init}
stringData: {userData: "#cloud-config"}
"""
NETWORK = """
apiVersion: xvirt.io/v1alpha1
kind: VirtualNetwork
metadata: {name: lan}
spec: {mode: Isolated}
"""


@pytest.mark.parametrize(
    ("selector", "is_fitting"),
    [
        ("", True),
        ("app=web", True),
        ("app==web,tier=front", True),
        ("app!=web", False),
        ("missing!=x", True),
        ("app", True),
        ("!app", False),
        ("app in (db, web)", True),
        ("app notin (db,web),tier", False),
    ],
)
def test_selectors_are_read_as_kubectl_reads_them(selector: str, is_fitting: bool) -> None:
    assert matches(selector, {"app": "web", "tier": "front"}) is is_fitting


def test_a_selector_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(WrongWords, match="--selector"):
        matches("a ~ b", {})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("2m", 120), ("1h", 3600), ("0.5s", 0.5), ("1m30s", 90), ("500ms", 0.5)],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


def test_a_condition_must_be_said_of_the_newest_generation() -> None:
    holds = parse_condition("condition=Ready")
    assert holds is not None
    said = {"type": "Ready", "status": "True", "observedGeneration": 1}
    assert holds({"metadata": {"generation": 1}, "status": {"conditions": [said]}})
    assert not holds({"metadata": {"generation": 2}, "status": {"conditions": [said]}})
    assert parse_condition("delete") is None
    with pytest.raises(WrongWords):
        parse_condition("nonsense")


def test_documents_are_applied_in_dependency_order_with_their_secrets(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(MACHINE + "---" + SECRET)
    (tmp_path / "b.yml").write_text(NETWORK)
    (tmp_path / "ignored.txt").write_text("not yaml: [")
    manifests = read_manifests(Sources((str(tmp_path),)), "team")
    assert [item.kind for item in manifests] == ["VirtualNetwork", "VirtualMachine"]
    assert [item.document["metadata"]["namespace"] for item in manifests] == ["team", "team"]
    (secret,) = manifests[1].secrets
    assert secret.data == {"userData": b"#cloud-config"}
    assert "cloud-config" not in repr(manifests[1])


def test_every_mistake_of_every_file_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(MACHINE.replace("64Mi", "lots"))
    (tmp_path / "b.yaml").write_text(NETWORK.replace("Isolated", "Isolatd"))
    with pytest.raises(InvalidSpec) as caught:
        read_manifests(Sources((str(tmp_path),)), "default")
    text = str(caught.value)
    assert "a.yaml:2: spec.memory.size" in text
    assert "b.yaml:2: spec.mode" in text
    assert "Isolated" in text


@pytest.mark.parametrize(
    "words", [("vm", "web"), ("vm/web",), ("web",), ("virtualmachine.xvirt.io/web",), ("VirtualMachines", "web")]
)
def test_a_machine_is_named_in_kubectls_ways(words: tuple[str, ...]) -> None:
    (ref,) = parse_refs("team", words, "vm")
    assert (ref.kind, ref.namespace, ref.name) == ("VirtualMachine", "team", "web")


def test_values_deep_in_a_document_are_found() -> None:
    document = {"status": {"interfaces": [{"addresses": [{"address": "192.0.2.1"}]}]}}
    assert lookup(document, "status.interfaces[0].addresses[0].address") == "192.0.2.1"
    assert lookup(document, "status.interfaces[1].addresses[0].address") is None


def test_columns_are_aligned() -> None:
    assert table([["NAME", "X"], ["a", "long"]]) == "NAME   X\na      long"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--node", "unix:///nowhere/node.sock", "get", "vm"], 8, "is xvirt-node running"),
        (["--node", "ftp://x", "get", "vm"], 2, "use unix:///path or tcp://host:port"),
        (["--node", "tcp://127.0.0.1:1", "get", "vm"], 2, "--tls-ca"),
        (["get"], 2, "--help"),
        (["get", "cars"], 2, "use one of storagepools (vpool)"),
        (["explain", "vm.spec.cpu.core"], 4, "did you mean cores"),
        (["apply", "-f", "/nowhere.yaml"], 3, "/nowhere.yaml"),
        (["apply", "-f", "https://example.org/x.yaml"], 3, "curl -fsS"),
        (["apply"], 2, "give -f FILE"),
        (["stop"], 2, "nothing is named"),
        (["wait", "vm", "web"], 2, "--for"),
        (["wait", "vm", "web", "--for=soon"], 2, "condition=Ready"),
        (["wait", "vm", "web", "--for=delete", "--timeout=soon"], 2, "1h30m"),
        (["-n", "no_label", "get", "vm"], 2, "DNS label"),
        (["logs", "a", "b"], 2, "name one machine"),
        (["frobnicate"], 2, "No such command"),
    ],
)
def test_failures_end_with_their_code_and_a_remedy_and_without_a_traceback(
    arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    output = capsys.readouterr()
    assert words in output.err
    assert "Traceback" not in output.err


def test_row_104_an_explanation_gives_unit_bounds_and_the_price_of_a_change(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "vm.spec.memory.size"]) == 0
    text = capsys.readouterr().out
    assert "16Mi" in text
    assert "live" in text
