"""The examples of docs/image.md, run as they stand."""

from __future__ import annotations

import gzip
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodeplugin.config import load_config
from nodeplugin.images.policy import ImagePolicy
from tests.unit.nodeplugin.images.node import ImageNode
from tests.unit.nodeplugin.images.registry import Registry
from tests.unit.nodeplugin.images.server import FaultServer
from xvirt.cli.main import main
from xvirt.model.documents import load_documents
from xvirt.model.validation import validate

PAGE = Path(__file__).resolve().parents[4] / "docs" / "image.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def content() -> bytes:
    """64 MiB of zeros, packed."""
    return gzip.compress(bytes(64 << 20))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the page's files are, and commands run."""
    directory = tmp_path / "examples"
    directory.mkdir()
    (directory / "tools.raw").write_bytes(bytes(4 << 20))
    monkeypatch.chdir(directory)
    return directory


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry().running() as made:
        made.put_disk(bytes(2 << 20))
        yield made


@pytest.fixture
def node(tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Iterator[ImageNode]:
    (tmp_path / "node").mkdir()
    made = ImageNode(tmp_path / "node", ImagePolicy(url_prefixes=(f"http://{registry.host}/",)))
    monkeypatch.setenv("XVIRT_NODE", made.address)
    yield made
    made.halt()


def test_every_example_does_what_the_page_says(
    node: ImageNode,
    registry: Registry,
    serve: Callable[..., FaultServer],
    place: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {"https://images.example/empty.raw.gz": serve().url, "registry.example/": f"{registry.host}/"}
    commands = 0
    for language, text in BLOCKS:
        if language == "yaml":
            name = text.partition("\n")[0].removeprefix("# ")
            for shown, real in places.items():
                text = text.replace(shown, real)
            (place / name).write_text(text)
        elif language == "console":
            commands += _run(text, capsys)
    assert commands >= 4
    assert [path.name for path in sorted(place.iterdir())] == ["debian.yaml", "image.yaml", "node.yaml", "tools.raw"]


def _run(text: str, capsys: pytest.CaptureFixture[str]) -> int:
    wanted = [part.partition("\n") for part in text.split("$ xvirt ")[1:]]
    for command, _, output in wanted:
        assert main(shlex.split(command)) == 0, command
        assert capsys.readouterr().out == output, command
    return len(wanted)


def test_the_documents_of_the_page_are_valid(place: Path) -> None:
    for language, text in BLOCKS:
        if language == "yaml" and "NodeConfig" in text:
            (place / "node.yaml").write_text(text)
            assert load_config(place / "node.yaml").images.url_prefixes
        elif language == "yaml":
            for item in load_documents(text, "page"):
                assert validate(item.document) == ()
