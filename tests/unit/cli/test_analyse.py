"""`xvirt analyse` as strangers use it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xvirt.cli.main import main

XML = """<domain type='kvm' xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name colour='red'>web</name>
  <uuid>6ba7b810-9dad-41d1-80b4-00c04fd430c8</uuid>
  <memory unit='GiB'>2</memory>
  <vcpu>2</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <on_crash>explode</on_crash>
  <devices>
    <emulator>/opt/qemu</emulator>
    <sound model='ac97'/>
    <teleporter/>
  </devices>
  <q:commandline><q:arg value='-s'/></q:commandline>
</domain>
"""

Found = dict[str, Any]
Run = Callable[..., Found]


@pytest.fixture
def analyse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """What `-o json` says of a text."""

    def run(text: str, *words: str) -> Found:
        path = tmp_path / "web"
        path.write_text(text)
        assert main(["analyse", str(path), "-o", "json", *words]) == 0
        found: Found = json.loads(capsys.readouterr().out)
        return found

    return run


def test_a_domain_is_told_in_the_models_words_with_what_a_change_takes(analyse: Run) -> None:
    found = analyse(XML)
    assert {"path": "spec.memory.size", "value": "2Gi", "change": "live"} in found["typed"]
    assert {"path": "spec.cpu.cores", "value": "2", "change": "live"} in found["typed"]
    assert {"path": "spec.base", "value": "Bare", "change": "fixed"} in found["typed"]
    overlay = {item["path"]: item for item in found["overlay"]}
    assert overlay["spec.domain.devices.sound[0].@model"] == {
        "path": "spec.domain.devices.sound[0].@model",
        "value": "ac97",
        "change": "restart",
    }
    assert not set(overlay) & {item["path"] for item in found["typed"]}


def test_what_the_chosen_profile_refuses_is_named(analyse: Run) -> None:
    def refused(profile: str) -> set[str]:
        return {item["path"] for item in analyse(XML, "--policy", profile)["refused"]}

    assert {"/domain/devices/emulator", "/domain/commandline"} <= refused("restricted")
    assert refused("privileged") == set()


def test_what_the_installed_libvirt_does_not_know_is_named_with_its_line(analyse: Run) -> None:
    unknown = [(item["path"], item["line"]) for item in analyse(XML)["unknown"]]
    assert unknown == [("/domain/name/@colour", 2), ("/domain/on_crash", 7), ("/domain/devices/teleporter", 11)]
    assert "explode" in analyse(XML)["unknown"][1]["message"]


def test_yaml_is_analysed_as_xml_is(analyse: Run) -> None:
    found = analyse("network: {name: lan, forward: {'@mode': nat}, bogus: {}}")
    assert [item["path"] for item in found["unknown"]] == ["/network/bogus"]
    assert found["typed"] == []


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("<domain type='lxc'><name>a</name></domain>", "cannot be declared as a VirtualMachine"),
        ("<disk/>", "no schema for <disk>"),
    ],
)
def test_what_cannot_be_said_is_noted(analyse: Run, text: str, note: str) -> None:
    assert any(note in item for item in analyse(text)["notes"])


def test_people_get_sections(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.xml").write_text(XML)
    assert main(["analyse", str(tmp_path / "a.xml")]) == 0
    text = capsys.readouterr().out
    assert [line for line in text.splitlines() if line and not line.startswith(" ")] == [
        "Typed fields, and what a change of each takes:",
        "Overlay:",
        "Refused by the profile restricted:",
        "Not known to this libvirt:",
    ]
    assert (
        main(["analyse", str(tmp_path / "a.xml"), "--policy", "privileged", "--schemas", str(tmp_path / "none")]) == 0
    )
    assert "is not there, so what libvirt does not know is not shown" in capsys.readouterr().out


def test_the_schema_is_listed_for_people_and_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyse", "--schema", "domain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "- `<domain>`"
    assert "    - `<disk>`?*" in lines
    assert len(lines) > 2000
    assert main(["analyse", "--schema", "network", "-o", "json"]) == 0
    network = json.loads(capsys.readouterr().out)
    forward = next(item for item in network["children"] if item["name"] == "forward")
    mode = next(item for item in forward["attributes"] if item["name"] == "mode")
    assert {"nat", "route", "bridge"} <= set(mode["choices"])


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 2),
        (["a.xml", "--schema", "domain"], 2),
        (["--schema", "cat"], 2),
        (["--schema", "domain", "-o", "text"], 2),
        (["a.xml", "-o", "md"], 2),
        (["missing.xml"], 3),
        (["broken.xml"], 3),
        (["--schema", "domain", "--schemas", "."], 3),
        (["--schema", "domain", "--schemas", "missing"], 3),
    ],
)
def test_wrong_words_and_documents_end_with_their_code(
    words: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.xml").write_text(XML)
    (tmp_path / "broken.xml").write_text("<a>")
    assert main(["analyse", *words]) == code
    assert capsys.readouterr().err.startswith("error: ")
