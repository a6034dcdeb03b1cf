"""`xvirt import` as strangers use it."""

from __future__ import annotations

from pathlib import Path

import click.testing
import pytest

from xvirt.cli.main import cli, main
from xvirt.model.documents import load_documents
from xvirt.model.validation import validate

MACHINE = """
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: web}
spec: {running: true, template: {spec: {domain: {memory: {guest: 1Gi}, devices: {}}}}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_printed_can_be_applied(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "vm.yaml").write_text(MACHINE)
    assert main(["import", "vm.yaml", "--strict"]) == 0
    documents = load_documents(capsys.readouterr().out, "stdout")
    assert [item.document["kind"] for item in documents] == ["VirtualNetwork", "VirtualMachine"]
    assert all(validate(item.document) == () for item in documents)


def test_standard_input_is_read() -> None:
    result = click.testing.CliRunner().invoke(cli, ["import", "-"], input=MACHINE)
    assert "kind: VirtualMachine" in result.stdout


def test_strict_tells_by_its_code_that_something_was_not_taken_over(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "vm.yaml").write_text(
        MACHINE.replace("devices: {}", "devices: {}, ioThreads: {supplementalPoolThreadCount: 2}")
    )
    assert main(["import", "vm.yaml", "--strict"]) == 1
    answer = capsys.readouterr()
    assert "spec.template.spec.domain.ioThreads" in answer.err
    assert "kind: VirtualMachine" in answer.out
    assert main(["import", "vm.yaml"]) == 0


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.tfstate", "{", "x.tfstate: is no JSON"),
        ("x.tfstate", "[]", "is no Terraform state"),
        ("x.yaml", "kind: Pod\napiVersion: v1\n", "is of no system that is read"),
        ("x.yaml", "kind: {", "x.yaml"),
    ],
)
def test_what_is_not_read_is_told_and_nothing_is_printed(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, content: str, words: str
) -> None:
    (folder / name).write_text(content)
    assert main(["import", name]) == 3
    answer = capsys.readouterr()
    assert answer.out == ""
    assert words in answer.err
    assert "Traceback" not in answer.err


def test_a_missing_file_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "none.tfstate"]) == 3
    assert "none.tfstate: cannot be read: No such file" in capsys.readouterr().err
    assert main(["import"]) == 2


def test_acts_are_played_upon_manifests_that_are_given(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "vm.yaml").write_text(
        "apiVersion: xvirt.io/v1alpha1\nkind: VirtualMachine\nmetadata: {name: web}\nspec: {memory: {size: 1Gi}}\n"
    )
    (folder / "act.json").write_text(
        '{"apiVersion": "doslab.io/v1", "kind": "VirtualMachine", "metadata": {"name": "web"},'
        ' "spec": {"lifecycle": {"changeNumberOfCPU": {"count": 2}}}}'
    )
    assert main(["import", "act.json", "--onto", "vm.yaml", "--strict"]) == 0
    (document,) = load_documents(capsys.readouterr().out, "stdout")
    assert document.document["spec"] == {"memory": {"size": "1Gi"}, "cpu": {"cores": 2}}
