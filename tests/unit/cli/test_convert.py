"""`xvirt convert` as strangers use it."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from xvirt.cli.main import main
from xvirt.domainxml.xmltext import canonical_document, parse_xml

XML = "<!-- mine -->\n<domain type='kvm'>\n  <name>web</name>\n  <memory unit='KiB'>0x10</memory>\n</domain>\n"
YAML = "'#comment':\n- ' mine '\ndomain:\n  '@type': kvm\n  name: web\n  memory: {'@unit': KiB, '#text': '0x10'}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with one document."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "web.xml").write_text(XML)
    return tmp_path


def test_a_document_stands_beside_its_source_and_comes_back_the_same(folder: Path) -> None:
    assert main(["convert", "--to", "yaml", "web.xml"]) == 0
    assert (folder / "web.yaml").read_text() == YAML
    assert main(["convert", "--to", "json", "web.yaml"]) == 0
    assert main(["convert", "--to", "xml", "web.json", "-o", "back"]) == 0
    assert canonical_document(parse_xml((folder / "back/web.xml").read_text())) == canonical_document(parse_xml(XML))


def test_folders_are_walked_and_keep_their_shape(folder: Path) -> None:
    for name in ("in/a/one.xml", "in/b/one.xml", "in/b/deep/two.xml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(XML)
    (folder / "in/notes.txt").write_text("no document")
    os.mkfifo(folder / "in/pipe.xml")
    (folder / "in/dangling.xml").symlink_to("nowhere")
    assert main(["convert", "--to", "yaml", "-o", "out", "in"]) == 0
    found = sorted(str(path.relative_to(folder)) for path in (folder / "out").rglob("*") if path.is_file())
    assert found == ["out/a/one.yaml", "out/b/deep/two.yaml", "out/b/one.yaml"]
    assert main(["convert", "--to", "xml", "-o", "again", "out"]) == 0
    assert (folder / "again/b/deep/two.xml").exists()


def test_row_20_what_fails_is_named_and_the_others_are_done(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "broken.xml").write_text("<domain>\n<name></domain>")
    (folder / "doctype.xml").write_text("<!DOCTYPE a><a/>")
    assert main(["convert", "--to", "yaml", "broken.xml", "doctype.xml", "missing.xml", "web.xml"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith(
        "error: broken.xml: not XML: Opening and ending tag mismatch: name line 2 and domain, line 2"
    )
    assert told[1] == "error: doctype.xml: the XML has a DOCTYPE, which is never accepted; remove it"
    assert told[2] == "error: missing.xml: No such file or directory"
    assert told[3] == "error: 3 of 4 documents failed"
    assert (folder / "web.yaml").read_text() == YAML
    assert not (folder / "broken.yaml").exists()


def test_a_mistake_in_yaml_is_told_with_file_and_line_or_path(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.yaml").write_text("domain:\n  name: a\n  name: b\n")
    (folder / "b.json").write_text('{"domain": {"vcpu": 2}}')
    assert main(["convert", "--to", "xml", "a.yaml", "b.json"]) == 1
    told = capsys.readouterr().err
    assert "error: a.yaml: line 3: key 'name' is given twice" in told
    assert "error: b.json: domain.vcpu: 2 is no text; quote it" in told


def test_no_file_is_lost(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "web.yaml").write_text("precious")
    assert main(["convert", "--to", "yaml", "web.xml"]) == 1
    assert "web.yaml is there and differs; use --force to overwrite it, or -o DIR" in capsys.readouterr().err
    assert (folder / "web.yaml").read_text() == "precious"
    assert main(["convert", "--to", "yaml", "--force", "web.xml"]) == 0
    assert (folder / "web.yaml").read_text() == YAML
    assert main(["convert", "--to", "yaml", "web.xml"]) == 0, "the same content is no conflict"
    assert main(["convert", "--to", "xml", "--force", "web.xml"]) == 1
    assert "would be overwritten by its own conversion" in capsys.readouterr().err
    assert (folder / "web.xml").read_text() == XML
    os.link(folder / "web.xml", folder / "same.yaml")
    assert main(["convert", "--to", "xml", "--force", "same.yaml"]) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["same.yaml", "web.xml", "web.yaml"]


def test_two_inputs_never_share_an_output(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "other").mkdir()
    (folder / "other/web.xml").write_text(XML.replace("web", "other"))
    assert main(["convert", "--to", "yaml", "-o", "out", "--force", "web.xml", "other/web.xml"]) == 1
    assert "out/web.yaml was written from web.xml" in capsys.readouterr().err
    assert (folder / "out/web.yaml").read_text() == YAML


@pytest.mark.parametrize(("text", "form"), [(XML, "yaml"), (YAML, "xml"), ('{"domain": {"name": "web"}}', "yaml")])
def test_standard_input_goes_to_standard_output(
    text: str, form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert main(["convert", "--to", form, "-"]) == 0
    assert "web" in capsys.readouterr().out


def test_one_file_can_go_to_standard_output_and_several_cannot(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "--to", "yaml", "-o", "-", "web.xml"]) == 0
    assert capsys.readouterr().out == YAML
    assert main(["convert", "--to", "yaml", "-o", "-", "web.xml", "web.xml", "other.xml"]) == 2


def test_a_document_with_a_password_stays_private(folder: Path) -> None:
    (folder / "web.xml").chmod(0o600)
    assert main(["convert", "--to", "yaml", "web.xml"]) == 0
    assert (folder / "web.yaml").stat().st_mode & 0o777 == 0o600


def test_odd_names_work(folder: Path) -> None:
    for name in (b"a b.xml", b"-x.xml", b"caf\xe9.xml", b"no-ending", b"a\nb.xml"):
        (folder / os.fsdecode(name)).write_text(XML)
    assert main(["convert", "--to", "yaml", "-o", "out", "."]) == 0
    assert main(["convert", "--to", "yaml", "-o", "out", "--", "no-ending", "-x.xml"]) == 0
    found = sorted(os.fsencode(path.name) for path in (folder / "out").iterdir())
    assert found == [b"-x.yaml", b"a\nb.yaml", b"a b.yaml", b"caf\xe9.yaml", b"no-ending.yaml", b"web.yaml"]


@pytest.mark.parametrize("words", [["web.xml"], ["--to", "yaml"], ["--to", "toml", "web.xml"]])
def test_wrong_words_end_with_2(words: list[str]) -> None:
    assert main(["convert", *words]) == 2


def test_a_terminal_sees_how_far_it_is(folder: Path) -> None:
    for number in range(50):
        (folder / f"{number}.xml").write_text(XML)
    leader, follower = pty.openpty()
    program = "import sys; from xvirt.cli.main import main; sys.exit(main(sys.argv[1:]))"
    argv = [sys.executable, "-c", program, "convert", "--to", "yaml", "-o", "out", "."]
    environment = {**os.environ, "TERM": "xterm", "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(argv, stderr=follower, check=False, env=environment)
    os.close(follower)
    shown = os.read(leader, 65536).decode()
    os.close(leader)
    assert done.returncode == 0
    assert "Converting" in shown
    assert len(list((folder / "out").iterdir())) == 51
