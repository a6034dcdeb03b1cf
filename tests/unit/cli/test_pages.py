"""Pages whose examples run as they stand, in order, against a node whose host is in memory."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.unit.cli.live_node import LiveNode
from xvirt.model.documents import load_documents
from xvirt.model.secrets import validate_secret
from xvirt.model.validation import validate

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGES = {"guest.md": 4, "virtualnetwork.md": 5}
"""Commands that each page shows."""


def blocks(page: str) -> list[tuple[str, str]]:
    return re.findall(r"^```(yaml|console)\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_every_example_does_what_its_page_says(
    page: str, node: LiveNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = 0
    for language, text in blocks(page):
        if language == "yaml":
            Path(text.partition("\n")[0].removeprefix("# ")).write_text(text)
        for part in text.split("$ xvirt ")[1:] if language == "console" else ():
            command, _, output = part.partition("\n")
            found = node.xvirt(*shlex.split(command))
            assert (found.code, found.out) == (0, output), command
            ran += 1
    assert ran == PAGES[page]


@pytest.mark.parametrize("page", PAGES)
def test_every_document_of_a_page_is_valid(page: str) -> None:
    texts = [text for language, text in blocks(page) if language == "yaml"]
    assert texts
    for item in [item for text in texts for item in load_documents(text, page)]:
        problems = validate_secret(item.document) if item.document["kind"] == "Secret" else validate(item.document)
        assert problems == ()
