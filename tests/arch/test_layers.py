"""The layer contracts are in force: each is kept by the tree as it is, and broken by a planted violation."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINT = Path(sys.executable).with_name("lint-imports")

PLANTS = {
    "importlinter:contract:layers": ("xvirt/model/planted.py", "import xvirt.wire.limits\n"),
    "importlinter:contract:nodeplugin": ("nodeplugin/planted.py", "import xvirt.client.target\n"),
    "importlinter:contract:shared-do-not-know-the-node": ("xvirt/wire/planted.py", "import nodeplugin.records\n"),
    "importlinter:contract:client-side": ("xvirt/client/planted.py", "import xvirt.policy\n"),
    "importlinter:contract:node-rooms": ("nodeplugin/plan/planted.py", "import nodeplugin.service\n"),
    "importlinter:contract:libvirt": ("nodeplugin/plan/planted.py", "import libvirt\n"),
    "importlinter:contract:grpc": ("nodeplugin/steps/planted.py", "import grpc\n"),
    "importlinter:contract:provider": ("xvirt_provider/planted.py", "import xvirt.domainxml.tree\n"),
    "importlinter:contract:pulumi": ("xvirt/client/planted.py", "import pulumi\n"),
    "importlinter:contract:operator-runtime": ("xvirt/operator/runtime/planted.py", "import xvirt.model.errors\n"),
    "importlinter:contract:command-line": ("xvirt/cli/planted.py", "import orjson\n"),
    "importlinter:contract:cluster-client": ("xvirt/client/planted.py", "import aiohttp\n"),
    "importlinter:contract:pure": ("xvirt/domainxml/planted.py", "import os\n"),
}


ALLOWED = ("xvirt/cli/planted.py", "import xvirt.domainxml.tree_documents\nimport xvirt.policy\n")
"""The command line converts, analyses and judges documents, so it may know what its client may not."""


def _contracts() -> list[str]:
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter")
    return [section for section in parser.sections() if section.startswith("importlinter:contract:")]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages to plant things in."""
    target = tmp_path_factory.mktemp("tree")
    for name in ("xvirt", "nodeplugin", "xvirt_provider"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", target)
    return target


def _lint(tree: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(tree), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    argv = [str(LINT), "--no-cache"]
    return subprocess.run(argv, cwd=tree, env=environment, capture_output=True, text=True, check=False)


def test_every_contract_has_a_planted_violation() -> None:
    assert sorted(_contracts()) == sorted(PLANTS)


def test_the_tree_keeps_every_contract(tree: Path) -> None:
    answer = _lint(tree)
    assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize("contract", sorted(PLANTS))
def test_a_planted_violation_breaks_its_contract(tree: Path, contract: str) -> None:
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter")
    name = parser[contract]["name"]
    path, text = PLANTS[contract]
    (tree / path).write_text(text)
    try:
        answer = _lint(tree)
    finally:
        (tree / path).unlink()
    assert answer.returncode != 0
    assert f"{name} BROKEN" in answer.stdout


def test_the_command_line_may_know_domain_xml_and_policy(tree: Path) -> None:
    path, text = ALLOWED
    (tree / path).write_text(text)
    try:
        answer = _lint(tree)
    finally:
        (tree / path).unlink()
    assert answer.returncode == 0, answer.stdout
