"""The examples of docs/overlay.md, run as they stand."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from xvirt.domainxml.compare import lost
from xvirt.domainxml.overlay import apply_overlay
from xvirt.domainxml.split import split_domain
from xvirt.domainxml.tree import parse_xml
from xvirt.model.concise import concise
from xvirt.model.errors import InvalidSpec

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "overlay.md").read_text()
BLOCK = r"```{0}\n((?:(?!```).)*)```"
MERGED = re.findall(BLOCK.format("yaml") + r"\n\nbecomes\n\n" + BLOCK.format("xml"), PAGE, re.DOTALL)
REFUSED = re.findall(BLOCK.format("yaml") + r"\n\nwith\n\n" + BLOCK.format("text"), PAGE, re.DOTALL)
SPLIT = re.findall(BLOCK.format("xml") + r"\n\nreads as\n\n" + BLOCK.format("yaml"), PAGE, re.DOTALL)

Renderer = Callable[..., Any]


def make(rendered: Renderer, disks: Callable[..., Any]) -> Any:
    return rendered(memory={"size": "2Gi"}, disks=disks("root"))


@pytest.mark.parametrize(("overlay", "becomes"), MERGED)
def test_an_overlay_becomes_what_the_page_says(
    rendered: Renderer, disks: Callable[..., Any], overlay: str, becomes: str
) -> None:
    root = make(rendered, disks)
    apply_overlay(root, yaml.safe_load(overlay))
    assert lost(parse_xml(becomes), root) == []


def test_what_is_taken_away_or_replaced_is_gone(rendered: Renderer, disks: Callable[..., Any]) -> None:
    root = make(rendered, disks)
    apply_overlay(root, yaml.safe_load(next(overlay for overlay, _ in MERGED if "$patch" in overlay)))
    assert root.find("pm") is None
    assert len(root.findall("devices/memballoon")) == 1


def test_a_contradiction_is_told_as_the_page_says(rendered: Renderer, disks: Callable[..., Any]) -> None:
    ((overlay, told),) = REFUSED
    with pytest.raises(InvalidSpec) as caught:
        apply_overlay(make(rendered, disks), yaml.safe_load(overlay))
    assert sorted(map(str, caught.value.problems)) == sorted(told.splitlines())


def test_a_domain_reads_as_the_page_says() -> None:
    ((domain, document),) = SPLIT
    assert concise(split_domain(parse_xml(domain)).spec) == yaml.safe_load(document)


def test_every_example_is_run() -> None:
    count = PAGE.count("```yaml")
    assert len(MERGED) + len(REFUSED) + len(SPLIT) == count
