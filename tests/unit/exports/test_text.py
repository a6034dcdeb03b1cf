"""JSON values as Python source: it says the same, and reads as people write."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xvirt.exports.pulumi import Exported, write_program
from xvirt.exports.text import WIDTH, Code, call, identifier, literal

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES, st.integers(0, 3))
def test_a_value_is_read_back_as_it_was(value: Any, depth: int) -> None:
    assert ast.literal_eval(literal(value, depth)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("it's", '"it\'s"'),
        ('say "x"', "'say \"x\"'"),
        ({"a": [1, True, None]}, '{"a": [1, True, None]}'),
        ("one\ntwo\n", "(\n    'one\\n'\n    'two\\n'\n)"),
        (Code("x.y()"), "x.y()"),
        ([], "[]"),
    ],
)
def test_a_value_reads_as_people_write(value: Any, text: str) -> None:
    assert literal(value) == text


def test_long_values_have_an_entry_a_line() -> None:
    value = {"disks": [{"name": f"disk-{number}", "source": {"path": "/srv/" + "x" * 30}} for number in range(3)]}
    text = call("VirtualMachine", {"": "web", "spec": value})
    assert max(map(len, text.splitlines())) <= WIDTH
    ast.parse(text)
    assert text.splitlines()[:5] == [
        "VirtualMachine(",
        '    "web",',
        "    spec={",
        '        "disks": [',
        text.splitlines()[4],
    ]


@pytest.mark.parametrize(("text", "name"), [("web-1", "web_1"), ("1web", "_1web"), ("class", "_class"), ("", "_")])
def test_a_label_is_a_python_name(text: str, name: str) -> None:
    assert identifier(text) == name
    assert name.isidentifier()


def test_machines_of_one_name_have_resources_of_their_own() -> None:
    machines = [
        Exported(
            document={
                "apiVersion": "xvirt.io/v1alpha1",
                "kind": "VirtualMachine",
                "metadata": {"name": "web", "namespace": namespace},
                "spec": {"memory": {"size": "64Mi"}},
            },
            adopt="u",
        )
        for namespace in ("default", "red")
    ]
    text = write_program(machines)
    assert 'default_web = VirtualMachine(\n    "default-web",\n    name="web",\n    adopt="u",' in text
    assert 'red_web = VirtualMachine(\n    "red-web",\n    name="web",\n    namespace="red",' in text
