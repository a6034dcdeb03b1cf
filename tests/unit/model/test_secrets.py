"""Secrets are read as Kubernetes reads them, and their content is in no message."""

from __future__ import annotations

from typing import Any

import pytest

from xvirt.model.codec import parse
from xvirt.model.errors import InvalidSpec
from xvirt.model.secrets import SECRET_MAX_BYTES, parse_secret, secret_names, secret_namespace, validate_secret


def secret(**more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "web-init"}, **more}


def test_string_data_wins_over_data() -> None:
    content = parse_secret(secret(data={"a": "YQ==", "b": "Yg=\n=\n"}, stringData={"a": "x\u00e4"}, type="Opaque"))
    assert content.name == "web-init"
    assert content.data == {"a": "x\u00e4".encode(), "b": b"b"}


def test_a_secret_may_be_empty_and_have_a_name_with_dots() -> None:
    assert parse_secret(secret(metadata={"name": "a.b", "resourceVersion": "1"}, data=None)).data == {}


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"data": {"a": "hunter2!"}}, "data.a"),
        ({"data": {"a": 5}}, "data.a"),
        ({"data": {"../a": ""}}, 'data["../a"]'),
        ({"data": "hunter2!"}, "data"),
        ({"data": ["hunter2!"]}, "data"),
        ({"stringData": {"a": ["hunter2!"]}}, "stringData.a"),
        ({"stringdata": {"a": "hunter2!"}}, "stringdata"),
        ({"metadata": {"name": "../x"}}, "metadata.name"),
        ({"metadata": {"name": "x", "namespace": "a/b"}}, "metadata.namespace"),
        ({"metadata": {}}, "metadata.name"),
        ({"metadata": None}, "metadata"),
        ({"apiVersion": "v2"}, "apiVersion"),
        ({"type": 1}, "type"),
    ],
)
def test_what_is_wrong_is_told_by_path_and_without_the_content(change: dict[str, Any], path: str) -> None:
    problems = validate_secret(secret(**change))
    assert [problem.path for problem in problems] == [path]
    assert "hunter2" not in str(problems)


def test_more_than_a_mebibyte_is_refused() -> None:
    with pytest.raises(InvalidSpec, match=f"more than {SECRET_MAX_BYTES} bytes"):
        parse_secret(secret(stringData={"a": "\u00e4" * 300_000, "b": "\u00e4" * 230_000}))
    assert "bytes" in str(validate_secret(secret(stringData={"a": "x" * (2 << 20)})))


def test_content_is_not_shown_by_accident() -> None:
    assert "hunter2" not in repr(parse_secret(secret(stringData={"password": "hunter2"})))


def test_the_names_that_a_machine_refers_to_are_found() -> None:
    machine = {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "VirtualMachine",
        "metadata": {"name": "web"},
        "spec": {
            "memory": {"size": "1Gi"},
            "cloudInit": {"userData": {"secret": "one"}, "networkData": {"secret": "two", "key": "net"}},
        },
    }
    assert secret_names(parse(machine)) == ("one", "two")
    assert secret_namespace(secret()) == "default"
    assert secret_namespace(secret(metadata={"namespace": "x"})) == "x"
