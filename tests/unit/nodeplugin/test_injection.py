"""Whatever text a document may hold stays text: no shell sees it, and no element comes out of it. Kinds and fields as the model lists
them, so that a new one is in here by itself."""

from __future__ import annotations

import ast
import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodeplugin.hypervisor.schemas import installed_schema
from nodeplugin.judged import judged_xml
from nodeplugin.plan.observation import NodeSettings
from nodeplugin.records import StoredObject
from tests.unit.model.specimens import documents
from tests.unit.nodeplugin.world import CALLER, World
from xvirt.domainxml.schema import path_text, walk
from xvirt.domainxml.tree import canonical, parse_xml, to_text
from xvirt.model.codec import parse
from xvirt.model.errors import InvalidSpec, XvirtError
from xvirt.model.exchange import ApplyCall, DryRun
from xvirt.model.kinds import KINDS, Kind
from xvirt.model.names import is_clean_text

ROOT = Path(__file__).parents[3]
SHIPPED = sorted(path for folder in ("xvirt", "nodeplugin") for path in (ROOT / folder).rglob("*.py"))
HOSTILE = st.sampled_from(
    [
        ";$(reboot)`id`|&>x",
        "'\"; rm -rf / #",
        "<emulator>/bin/sh</emulator>",
        "]]><x/>",
        '"/><x a="',
        "&lt;&#60;&amp;",
        "<!DOCTYPE x>",
        "-o",
        "a\tb\nc",
    ]
)
SETTINGS = NodeSettings(
    node_name="node-a", domain_type="qemu", architecture="x86_64", seed_directory="/seeds", log_directory="/logs"
)
DECLARED = [kind for kind in KINDS if kind.name != "VirtualHost"]


# No shell


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call of a module, by the dotted name that it is written with."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_row_67_no_shipped_module_knows_a_shell() -> None:
    started = 0
    for path in SHIPPED:
        for name, call in calls(path):
            where = f"{path.relative_to(ROOT)}:{call.lineno}: {name}"
            assert name not in ("os.system", "os.popen", "asyncio.create_subprocess_shell", "eval", "exec"), where
            assert not name.startswith(("os.exec", "os.spawn")), where
            if name.startswith("subprocess."):
                started += name.endswith((".run", ".Popen"))
                assert not any(keyword.arg in ("shell", None) for keyword in call.keywords), where
                assert not call.args or not isinstance(call.args[0], ast.Constant | ast.JoinedStr), where
    assert started >= 2


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A node that may start nothing."""

    def refuse(*arguments: Any, **more: Any) -> None:
        raise AssertionError(f"a program was started: {arguments}")

    for module, name in ((subprocess, "Popen"), (os, "system"), (os, "posix_spawn"), (os, "fork")):
        monkeypatch.setattr(module, name, refuse)
    made = World(tmp_path)
    yield made
    made.store.close()


def with_hostile(value: Any, text: str) -> Any:
    """The document with the text in place of every free text of its spec."""
    if isinstance(value, dict):
        return {key: with_hostile(entry, text) for key, entry in value.items()}
    if isinstance(value, list):
        return [with_hostile(entry, text) for entry in value]
    return text if isinstance(value, str) and (" " in value or "\n" in value or not value.isascii()) else value


@pytest.mark.parametrize("kind", DECLARED, ids=lambda kind: kind.name)
def test_row_67_no_text_of_a_document_starts_a_program(world: World, kind: Kind) -> None:
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(documents(kind), HOSTILE)
    def check(document: dict[str, Any], text: str) -> None:
        changed = document | {"spec": with_hostile(document["spec"], text)}
        with contextlib.suppress(XvirtError):
            world.service.apply(CALLER, ApplyCall(document=changed, dry_run=DryRun.PLAN))

    check()


# No element


def known_elements(kind: str) -> set[str]:
    return {path_text(path) for path in walk(installed_schema(kind))}


def stored(document: dict[str, Any]) -> StoredObject:
    metadata = document["metadata"]
    return StoredObject(
        uid="6ba7b810-9dad-41d1-80b4-00c04fd430c8",
        authority="local",
        kind=document["kind"],
        namespace=metadata.get("namespace", "default"),
        name=metadata["name"],
        document=document,
        generation=1,
        epoch=0,
    )


OVERLAYS = ("domain", "network", "pool")
"""Trees, whose names are elements on purpose."""
XML_KINDS = {"VirtualMachine": "domain", "VirtualNetwork": "network", "StoragePool": "storagepool"}


@pytest.mark.parametrize("kind", [kind for kind in DECLARED if kind.name in XML_KINDS], ids=lambda kind: kind.name)
def test_row_67_no_text_of_a_document_becomes_an_element(kind: Kind) -> None:
    known = known_elements(XML_KINDS[kind.name])

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(documents(kind), HOSTILE)
    def check(document: dict[str, Any], text: str) -> None:
        spec = {key: entry for key, entry in document["spec"].items() if key not in OVERLAYS}
        changed = document | {"spec": with_hostile(spec, text)}
        try:
            judged = judged_xml(stored(changed), parse(changed), SETTINGS)
        except InvalidSpec:
            return
        assert judged is not None
        again = parse_xml(to_text(judged.root))
        assert canonical(again) == canonical(judged.root)
        tree = again.getroottree()
        paths = {f"{again.tag}/{tree.getelementpath(item)}" for item in again.iter() if item is not again}
        assert {strip_indexes(path) for path in paths} <= known

    check()


def strip_indexes(path: str) -> str:
    """`devices/disk[2]/source` without the number."""
    return "/".join(part.partition("[")[0] for part in path.split("/"))


@pytest.mark.parametrize("text", ["\0", "\x1b[31m", "\ud800", "\ufffe"])
@pytest.mark.parametrize("kind", DECLARED, ids=lambda kind: kind.name)
def test_row_67_what_xml_cannot_hold_is_refused_by_its_path(kind: Kind, text: str) -> None:
    assert not is_clean_text(text)
    document = {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": kind.name,
        "metadata": {"name": "web", "annotations": {"example.org/a": text}},
        "spec": {},
    }
    with pytest.raises(InvalidSpec) as caught:
        parse(document)
    assert 'metadata.annotations["example.org/a"]' in {problem.path for problem in caught.value.problems}
    assert str(caught.value).isprintable()
