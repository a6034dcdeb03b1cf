"""The ownership mark survives XML, and what is not ours is foreign."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xvirt.domainxml.mark import OwnershipMark, read_mark, remove_mark, write_mark
from xvirt.domainxml.tree import parse_xml, to_text
from xvirt.model.identity import MARK_NAMESPACE

MARK = OwnershipMark(
    uid="6ba7b810-9dad-41d1-80b4-00c04fd430c8",
    authority="org/project/stack",
    kind="VirtualMachine",
    namespace="default",
    name="web",
    generation=7,
    epoch=3,
    spec_hash="ab" * 32,
    document={"spec": {"a": "<&>\"']]>\n\t"}},
    power="off",
    profile="baseline",
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda below: st.lists(below) | st.dictionaries(TEXT, below),
)


def marked(mark: OwnershipMark, text: str = "<domain><name>a</name><os/></domain>") -> Any:
    root = parse_xml(text)
    write_mark(root, mark)
    return parse_xml(to_text(root))


def test_a_mark_is_read_as_it_was_written() -> None:
    assert read_mark(marked(MARK)) == MARK


@given(st.dictionaries(TEXT, JSON_VALUES))
def test_row_67_any_document_survives_in_the_mark(document: dict[str, Any]) -> None:
    mark = dataclasses.replace(MARK, document=document)
    assert read_mark(marked(mark)) == mark


def test_metadata_stands_where_libvirt_writes_it_and_other_metadata_stays() -> None:
    root = marked(MARK, "<domain><name>a</name><metadata><o:x xmlns:o='urn:o'/></metadata><os/></domain>")
    assert [child.tag for child in root] == ["name", "metadata", "os"]
    assert len(root.find("metadata")) == 2
    remove_mark(root)
    assert [child.tag for child in root.find("metadata")] == ["{urn:o}x"]


def test_a_second_mark_replaces_the_first_and_removal_leaves_no_trace() -> None:
    root = marked(MARK)
    write_mark(root, MARK)
    assert len(root.findall(f"metadata/{{{MARK_NAMESPACE}}}object")) == 1
    remove_mark(root)
    assert read_mark(root) is None
    assert [child.tag for child in root] == ["name", "os"]


@pytest.mark.parametrize("text", ["<domain/>", "<domain><metadata/></domain>", "<domain><object/></domain>"])
def test_what_has_no_mark_is_foreign(text: str) -> None:
    assert read_mark(parse_xml(text)) is None


def test_a_mark_is_known_by_its_namespace_whatever_its_prefix() -> None:
    text = f"<domain><metadata><object xmlns='{MARK_NAMESPACE}' uid='u'>not json</object></metadata></domain>"
    mark = read_mark(parse_xml(text))
    assert mark is not None
    assert (mark.uid, mark.generation, mark.document) == ("u", 0, None)
