"""One canonical form: whatever valid document comes in, it stays what it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.model.specimens import documents, fields, full, with_value
from xvirt.model.changes import field_changes
from xvirt.model.checks import find_problems
from xvirt.model.codec import canonical_json, decode, document_of, encode, from_json, normalise, parse, to_document
from xvirt.model.documents import load_documents
from xvirt.model.errors import InvalidSpec
from xvirt.model.fields import attributes
from xvirt.model.kinds import KINDS, Kind
from xvirt.model.machine.disk import Disk, DiskSource
from xvirt.model.machine.hardware import Memory
from xvirt.model.meta import ObjectMeta
from xvirt.model.quantity import ByteSize
from xvirt.model.validation import SERVER_METADATA, validate
from xvirt.model.virtualhost import VirtualHostSpec
from xvirt.model.virtualmachine import VirtualMachineSpec

ANY_DOCUMENT = st.one_of([documents(kind) for kind in KINDS])


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(document=ANY_DOCUMENT)
def test_a_canonical_document_is_read_and_written_without_a_change(document: dict[str, Any]) -> None:
    assert validate(document) == ()
    resource = parse(document)
    once = to_document(resource)
    assert parse(once) == resource
    assert to_document(parse(once)) == once
    assert from_json(canonical_json(once)) == once
    assert load_documents(yaml.safe_dump(once), "x")[0].document == once
    assert load_documents(json.dumps(once), "x")[0].document == once
    assert field_changes(resource.kind, document["spec"], once["spec"]) == ()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_status_is_written_and_read_whole(kind: Kind) -> None:
    status: Any = decode(kind.status, full(kind.status))
    assert encode(status) == full(kind.status)
    assert {item.name for item in attributes(kind.status)} == set(vars(status))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_default_is_valid(kind: Kind) -> None:
    for path, item in fields(kind.spec, ()):
        if not item.is_required and item.default is not None:
            document = with_value(full(kind.spec), path, encode(item.default))
            assert find_problems(kind.spec, document, "spec") == [], path


MACHINE: dict[str, Any] = {
    "apiVersion": "xvirt.io/v1alpha1",
    "kind": "VirtualMachine",
    "metadata": {"name": "web"},
    "spec": {"memory": {"size": "2Gi"}},
}


def test_spellings_of_the_same_size_and_absence_become_equal() -> None:
    spelled: list[dict[str, Any]] = [
        {"memory": {"size": size}, "cpu": cpu, "nics": nics, "cloudInit": None}
        for size, cpu, nics in (
            ("2Gi", {}, []),
            ("2048Mi", None, None),
            (2147483648, {"cores": 1}, []),
            ("2.0Gi", {}, []),
        )
    ]
    made = {canonical_json(normalise({**MACHINE, "spec": spec})) for spec in spelled}
    assert len(made) == 1


def test_what_an_api_server_adds_is_passed_over() -> None:
    extra = {name: {"any": [1.5, None]} for name in SERVER_METADATA}
    document = {**MACHINE, "metadata": {**MACHINE["metadata"], **extra, "uid": "", "namespace": ""}, "status": {"x": 1}}
    assert normalise(document) == normalise(MACHINE)


NO_STATUS: list[Any] = [
    None,
    1,
    "x",
    [],
    {},
    {"conditions": 5},
    {"conditions": [{"type": "Nonsense"}]},
    {"conditions": [1]},
]


@pytest.mark.parametrize("status", NO_STATUS, ids=repr)
def test_a_status_that_is_none_of_ours_is_passed_over(status: Any) -> None:
    assert parse({**MACHINE, "status": status}).status is None


def test_a_cluster_scoped_object_has_no_namespace() -> None:
    pool = {"apiVersion": "xvirt.io/v1alpha1", "kind": "StoragePool", "metadata": {"name": "p", "namespace": "x"}}
    resource = parse({**pool, "spec": {"path": "/pool"}})
    assert resource.metadata.namespace == ""
    assert resource.key == "StoragePool p"
    assert "namespace" not in to_document(resource)["metadata"]
    assert parse(to_document(resource)) == resource


def test_typed_arguments_and_a_manifest_give_the_same_document() -> None:
    spec = VirtualMachineSpec(
        memory=Memory(size=ByteSize("2Gi")),
        disks=(Disk(name="root", source=DiskSource(image="debian", size=ByteSize("10Gi"))),),
    )
    typed = document_of("VirtualMachine", ObjectMeta(name="web"), spec)
    disks = [{"name": "root", "source": {"image": "debian", "size": "10Gi"}}]
    assert typed == normalise({**MACHINE, "spec": {**MACHINE["spec"], "disks": disks}})
    assert document_of("VirtualHost", ObjectMeta(name="h"), VirtualHostSpec())["metadata"] == {"name": "h"}


def test_typed_arguments_are_judged_like_any_document() -> None:
    with pytest.raises(InvalidSpec, match=r"spec\.memory\.size: 1 is below the least, 16Mi"):
        document_of("VirtualMachine", ObjectMeta(name="web"), VirtualMachineSpec(memory=Memory(size=ByteSize(1))))


def test_canonical_json_is_sorted_and_without_spaces() -> None:
    assert (
        canonical_json({"b": [1, "\u00e4"], "a": {"d": None, "c": True}})
        == '{"a":{"c":true,"d":null},"b":[1,"\u00e4"]}'.encode()
    )


@given(st.integers(0, (1 << 63) - 1))
def test_a_size_reads_what_it_writes(size: int) -> None:
    assert ByteSize(str(ByteSize(size))) == size


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("500M", 500_000_000), ("1.5Gi", 3 << 29), ("2000m", 2), ("8Ei", None), ("0.1", None)]
)
def test_a_size_is_exact_or_refused(text: str, size: int | None) -> None:
    if size is None:
        with pytest.raises(ValueError, match=r"is outside|is not a whole number"):
            ByteSize(text)
    else:
        assert ByteSize(text) == size
