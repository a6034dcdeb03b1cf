"""What is made from the declarations: schema, CRDs, reference pages, explanations, and that the committed files are up to date."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.model.specimens import fields
from tools.gen.__main__ import ROOT
from tools.gen.artifacts import find_stale, generate, generate_crds, generate_reference, write
from tools.gen.stubs import StubsFailed, generate_stubs
from xvirt.model.captions import choices, default_text, nested_class
from xvirt.model.errors import NotFound
from xvirt.model.explain import Depth, explain
from xvirt.model.fields import Attribute, Mutability, attributes, element_type, is_spec_class, rules_of
from xvirt.model.kinds import KINDS, Kind
from xvirt.model.meta import ObjectMeta
from xvirt.model.openapi import crd, object_schema
from xvirt.model.reference import index, reference
from xvirt.model.schema import schema_of

EVERY_KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
Schema = dict[str, Any]


def sections(kind: Kind) -> Iterator[tuple[str, Any]]:
    yield "spec", kind.spec
    yield "status", kind.status


def schemas(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every schema within one, with its path."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from schemas(inner, f"{path}.{name}")
    for key, step in (("items", "[]"), ("additionalProperties", "{}")):
        if key in schema:
            yield from schemas(schema[key], path + step)


def openapi_at(kind: Kind, path: tuple[str | int, ...]) -> Schema:
    found = object_schema(kind)
    for part in path:
        found = found["items"] if isinstance(part, int) else found["properties"][part]
    return found


# Row 103: one declaration, and everything else follows


def test_row_103_generating_again_changes_nothing() -> None:
    assert find_stale(ROOT, generate(ROOT)) == []


def test_row_103_generating_is_the_same_every_time() -> None:
    assert generate_crds() == generate_crds()
    assert generate_reference() == generate_reference()


@EVERY_KIND
def test_row_103_every_field_is_in_schema_crd_reference_and_explanation(kind: Kind) -> None:
    page = reference(kind)
    for section, cls in sections(kind):
        for path, item in fields(cls, (section,)):
            words = [str(part) for part in path if isinstance(part, str)]
            name = ".".join(words)
            shown = "".join("[]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
            assert f"| `{shown}{'[]' if element_type(item.annotation) else ''}` |" in page, name
            assert item.spec.doc.replace("\n", " ") in openapi_at(kind, path)["description"], name
            assert f"FIELD: {item.json_name} <" in explain([kind.singular, *words]), name
            assert schema_of(cls)[words[1]], name


@EVERY_KIND
def test_row_103_bounds_are_the_same_in_schema_and_crd(kind: Kind) -> None:
    for path, item in fields(kind.spec, ("spec",)):
        shown = openapi_at(kind, path)
        inner = shown.get("items", shown)
        if choices(item):
            assert inner["enum"] == choices(item)
        if item.annotation is int:
            assert (shown["minimum"], shown["maximum"]) == (item.spec.minimum, item.spec.maximum)
        if (element_type(item.annotation) or item.annotation) is str:
            assert inner["maxLength"] == item.spec.max_length
        if element_type(item.annotation):
            assert shown["maxItems"] == item.spec.max_items
        is_plain = not item.is_required and not is_spec_class(item.annotation) and bool(default_text(item))
        assert ("default" in shown) is (is_plain or _has_default_class(item)), path


def _has_default_class(item: Attribute) -> bool:
    return is_spec_class(item.annotation) and not item.is_required and item.default is not None


def test_row_103_metadata_is_in_the_index() -> None:
    assert all(f"`metadata.{item.json_name}`" in index() for item in attributes(ObjectMeta))
    assert all(f"[{kind.name}]({kind.singular}.md)" in index() for kind in KINDS)


# Structure that an API server demands of a CRD


@EVERY_KIND
def test_a_crd_is_structural(kind: Kind) -> None:
    for path, schema in schemas(object_schema(kind)):
        is_any = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
        assert is_any or schema["type"] in ("object", "array", "string", "integer", "boolean"), path
        assert not {"$ref", "oneOf", "allOf", "not", "definitions", "uniqueItems"} & set(schema), path
        assert not ("properties" in schema and "additionalProperties" in schema), path
        if "pattern" in schema:
            re.compile(schema["pattern"])
            assert "(?" not in schema["pattern"], path  # Go's regexp has no look-around


@EVERY_KIND
def test_every_field_of_a_crd_has_a_text_for_kubectl_explain(kind: Kind) -> None:
    whole = object_schema(kind)
    assert whole["description"]
    for section in ("spec", "status"):
        for path, schema in schemas(whole["properties"][section], section):
            is_entry = path.endswith(("[]", "{}"))  # told with the list or map that it is in
            assert is_entry or schema.get("description"), path


@EVERY_KIND
def test_a_fresh_object_reads_as_not_yet_observed(kind: Kind) -> None:
    status = object_schema(kind)["properties"]["status"]
    assert status["default"] == {"observedGeneration": -1}
    assert status["properties"]["observedGeneration"]["default"] == -1


@EVERY_KIND
def test_a_crd_bounds_whatever_can_grow(kind: Kind) -> None:
    for path, schema in schemas(object_schema(kind)["properties"]["spec"], "spec"):
        if schema.get("type") == "array":
            assert schema["maxItems"], path
            assert schema["x-kubernetes-list-type"] in ("map", "atomic"), path
        if schema.get("type") == "string":
            assert schema.get("maxLength") or schema.get("enum"), path
        if "additionalProperties" in schema:
            assert schema["maxProperties"], path


@EVERY_KIND
def test_keys_of_a_list_map_are_required_scalars(kind: Kind) -> None:
    for path, schema in schemas(object_schema(kind)):
        for key in schema.get("x-kubernetes-list-map-keys", []):
            assert schema["x-kubernetes-list-type"] == "map"
            assert key in schema["items"]["required"], path
            assert schema["items"]["properties"][key]["type"] == "string"


@EVERY_KIND
def test_a_rule_names_fields_that_are_there(kind: Kind) -> None:
    for path, schema in schemas(object_schema(kind)):
        for rule in schema.get("x-kubernetes-validations", []):
            text = rule["rule"]
            assert text.count("(") == text.count(")"), text
            assert rule["message"]
            assert "\n" not in rule["message"]
            for name in re.findall(r"\b(?:self|oldSelf)\.([A-Za-z]+)(?!\w*\()", text):
                assert name in schema["properties"], (path, text)
            place = schema
            for name in rule.get("fieldPath", "").split(".")[1:]:
                place = place["properties"][name]


@EVERY_KIND
def test_every_rule_across_fields_is_told_to_an_api_server_or_is_beyond_it(kind: Kind) -> None:
    told = {
        rule["message"]
        for _, schema in schemas(object_schema(kind))
        for rule in schema.get("x-kubernetes-validations", [])
    }
    classes = [kind.spec, *(nested_class(item.annotation) for _, item in fields(kind.spec, ()))]
    rules = [rule for cls in classes if cls is not None for rule in rules_of(cls)]
    assert {rule.message for rule in rules if rule.cel != "true"} <= told


def is_within_unkeyed_list(kind: Kind, path: tuple[str | int, ...]) -> bool:
    lists = [path[:place] for place, part in enumerate(path) if isinstance(part, int)]
    return any(openapi_at(kind, place)["x-kubernetes-list-type"] == "atomic" for place in lists)


KEPT = {"self == oldSelf", "quantity(string(self)).compareTo(quantity(string(oldSelf))) == 0"}


@EVERY_KIND
def test_a_fixed_field_is_held_by_the_api_server_where_it_knows_the_old_value(kind: Kind) -> None:
    for path, item in fields(kind.spec, ("spec",)):
        rules = {rule["rule"] for rule in openapi_at(kind, path).get("x-kubernetes-validations", [])}
        around = {rule["rule"] for rule in openapi_at(kind, path[:-1]).get("x-kubernetes-validations", [])}
        can_know = not is_within_unkeyed_list(kind, path)
        is_key = isinstance(path[-2], int) and openapi_at(kind, path[:-2]).get("x-kubernetes-list-map-keys") == [
            path[-1]
        ]
        is_fixed = item.spec.mutability is Mutability.FIXED and can_know
        is_leaf = not is_spec_class(item.annotation)
        assert bool(rules & KEPT) is (is_fixed and is_leaf and not is_key), path
        presence = f"has(self.{item.json_name}) == has(oldSelf.{item.json_name})"
        assert (presence in around) is (is_fixed and item.default is None), path
        assert can_know or not any("oldSelf" in rule for rule in rules), path


@EVERY_KIND
def test_a_crd_serves_status_columns_and_short_names(kind: Kind) -> None:
    made = crd(kind)
    names = made["spec"]["names"]
    version = made["spec"]["versions"][0]
    assert made["metadata"]["name"] == f"{names['plural']}.xvirt.io"
    assert names["shortNames"] == list(kind.short_names)
    assert names["categories"] == ["xvirt"]
    assert version["subresources"] == {"status": {}}
    assert object_schema(kind)["properties"]["status"]["default"] == {"observedGeneration": -1}
    columns = version["additionalPrinterColumns"]
    assert [column["name"].upper() for column in columns] == [*(column.heading for column in kind.columns), "AGE"]
    for column in columns[:-1]:
        words = re.sub(r"\[0\]", ".0", column["jsonPath"]).strip(".").split(".")
        place = openapi_at(kind, tuple(int(word) if word.isdigit() else word for word in words))
        assert column["type"] == (place["type"] if place.get("type") in ("integer", "boolean") else "string")


@EVERY_KIND
def test_what_lists_can_be_asked_for_is_a_plain_value(kind: Kind) -> None:
    selectable = crd(kind)["spec"]["versions"][0]["selectableFields"]
    assert [item["jsonPath"] for item in selectable] == [f".{path}" for path in kind.selectable]
    assert 0 < len(selectable) <= 8  # as many as an API server takes
    for path in kind.selectable:
        assert openapi_at(kind, tuple(path.split(".")))["type"] in ("string", "boolean", "integer")


def test_no_name_of_a_kind_is_taken_twice() -> None:
    names = [name for kind in KINDS for name in (kind.singular, kind.plural, *kind.short_names)]
    assert len(names) == len(set(names))


# explain


def test_an_explanation_gives_type_default_bounds_and_cost() -> None:
    text = explain(["vm.spec.cpu"])
    assert text.startswith("KIND:       VirtualMachine\nVERSION:    xvirt.io/v1alpha1\n\nFIELD: cpu <Object>\n")
    assert "cores\t<integer>" in text
    assert "Values: 1..512." in text
    assert "Default: 1. Change: live." in text


def test_an_explanation_goes_as_deep_as_asked() -> None:
    text = explain(["vm"], Depth.ALL)
    assert "    disks\t<[]Object>" in text
    assert "        image\t<string>" in text
    assert explain(["vm", "spec.disks[0].source"]) == explain(["virtualmachines", "spec", "disks", "source"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["vmm"], 'kind "vmm" is not known (did you mean vm?)'),
        (["vm.spec.cpus"], 'field "cpus" does not exist in virtualmachine.spec (did you mean cpu?)'),
        (["vm.spec.cpu.cores.x"], 'field "x" does not exist in virtualmachine.spec.cpu.cores; fields: it has none'),
        ([], 'kind "" is not known'),
    ],
)
def test_an_unknown_path_is_answered_with_the_nearest(words: list[str], message: str) -> None:
    with pytest.raises(NotFound, match=re.escape(message)):
        explain(words)


# tools.gen


def test_stale_missing_and_left_over_files_are_each_named(tmp_path: Path) -> None:
    wanted = {Path("crds/a.yaml"): b"a", Path("crds/b.yaml"): b"b", Path("docs/reference/c.md"): b"c"}
    assert write(tmp_path, wanted) == sorted(wanted)
    assert find_stale(tmp_path, wanted) == []
    (tmp_path / "crds/a.yaml").write_bytes(b"edited")
    (tmp_path / "crds/b.yaml").unlink()
    (tmp_path / "crds/gone.yaml").write_bytes(b"")
    stale = [Path("crds/a.yaml"), Path("crds/b.yaml"), Path("crds/gone.yaml")]
    assert find_stale(tmp_path, wanted) == stale
    assert write(tmp_path, wanted) == stale
    assert find_stale(tmp_path, wanted) == []
    assert not (tmp_path / "crds/gone.yaml").exists()


def test_a_broken_proto_is_told_in_the_compilers_words(tmp_path: Path) -> None:
    file = tmp_path / "xvirt/nodeapi/v1/node.proto"
    file.parent.mkdir(parents=True)
    file.write_text("nonsense")
    with pytest.raises(StubsFailed, match=r"node\.proto"):
        generate_stubs(tmp_path)
