"""What the API server refuses, held against what everybody else says of the same document."""

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.cluster.documents import declare, is_namespaced, judge
from tests.golden.model.test_bad_documents import CASES, load
from tests.unit.model.specimens import documents, fields, name_of
from tools.cluster.api import Api, ApiRefused
from tools.cluster.install import crd_documents
from xvirt import API_VERSION
from xvirt.model.changes import field_changes
from xvirt.model.codec import normalise
from xvirt.model.fields import Mutability
from xvirt.model.kinds import BY_NAME, KINDS, Kind
from xvirt.model.validation import validate

# What no schema can say; the node says it, and the object is Stalled with the same words.
BEYOND_A_SCHEMA = {
    "uid in capitals": "an API server gives the uid itself",
    "nothing in the overlay": "a tree has no schema",
    "typed values of JSON in the overlay": "a tree has no schema",
    "bad names in the overlay": "a tree has no schema",
    "range upside down": "CEL cannot order addresses",
}
OTHERWISE_SAID = {
    "namespace with an underscore": "the namespace is in the request's path, which is refused as a whole",
}
SENDABLE = [case for case in CASES if load(case).get("apiVersion") == API_VERSION and load(case).get("kind") in BY_NAME]


def paths_of(error: ApiRefused) -> set[str]:
    """Where the API server sees something wrong: the causes of a 422, the fields that a 400 names."""
    found = {path for path in error.causes if path not in ("", "<nil>")}
    found |= set(re.findall(r'unknown field "([^"]+)"', str(error)))
    # A typed part of metadata is decoded before anything is judged.
    found |= {f"metadata.{name}" for name in re.findall(r"Go struct field ObjectMeta\.(\S+) of", str(error))}
    return found


def is_near(one: str, other: str) -> bool:
    """The same place, or one within the other."""
    short, long = sorted((one, other), key=len)
    return long == short or long.startswith((f"{short}.", f"{short}["))


@pytest.mark.parametrize("case", SENDABLE, ids=lambda case: str(case["name"]))
def test_row_104_the_api_server_refuses_a_bad_document_at_the_same_path(
    api: Api, namespace: str, case: dict[str, Any]
) -> None:
    document = json.loads(json.dumps(load(case)))
    error = judge(api, document["kind"], document, namespace)
    if case["name"] in BEYOND_A_SCHEMA:
        assert error is None
        return
    assert error is not None
    if case["name"] in OTHERWISE_SAID:
        return
    ours = {problem.path for problem in validate(document)}
    theirs = paths_of(error)
    near = {path for path in theirs if any(is_near(path, own) for own in ours)}
    assert near, (ours, theirs)
    # We judge rules across fields only where each field is right; an API server judges what it can.
    words = {message for _, message in _messages()}
    assert all(any(word in error.causes[path] for word in words) for path in theirs - near), (ours, theirs)


def test_row_104_a_rule_across_fields_is_told_in_the_same_words(api: Api, namespace: str) -> None:
    document = declare("VirtualMachine", "web", namespace, {"memory": {"size": "2Gi", "max": "1Gi"}})
    error = judge(api, "VirtualMachine", document, namespace)
    assert error is not None
    (problem,) = validate(document)
    assert error.causes == {problem.path: f"Invalid value: {problem.message}; {problem.remedy}".removesuffix("; ")}


def test_every_rule_of_a_kind_fires(api: Api, namespace: str) -> None:
    """Each message of a rule in CEL was seen in an answer, for the documents that `test_bad_documents` has of it."""
    seen = set()
    for case in SENDABLE:
        document = json.loads(json.dumps(load(case)))
        error = judge(api, document["kind"], document, namespace)
        seen |= set(error.causes.values()) if error else set()
    unseen = [f"{kind}: {message}" for kind, message in _messages() if not any(message in text for text in seen)]
    assert not unseen


def _messages() -> set[tuple[str, str]]:
    """(kind, message) of the rules across fields; those about changes and bounds are seen elsewhere."""
    found = set()
    for crd in crd_documents():
        for rule in _rules(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]):
            is_change = "oldSelf" in rule["rule"]
            if not is_change and "self." in rule["rule"] and not rule["rule"].startswith("!self.matches"):
                found.add((crd["spec"]["names"]["kind"], rule["message"]))
    return found


def _rules(schema: Any) -> Any:
    if isinstance(schema, dict):
        yield from schema.get("x-kubernetes-validations", ())
        for value in schema.values():
            yield from _rules(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _rules(value)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_we_take_the_api_server_takes(api: Api, kind: Kind) -> None:
    @settings(
        max_examples=40,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(documents(kind))
    def check(document: dict[str, Any]) -> None:
        document = {**document, "metadata": {"name": "random"}}
        if not validate(document):
            error = judge(api, kind.name, document, "default")
            assert error is None, error

    check()


POOL, NET, IMAGE, DISK, VM = "StoragePool", "VirtualNetwork", "VirtualImage", "VirtualDisk", "VirtualMachine"
MEMORY = {"memory": {"size": "1Gi"}}


def _disk(**fields: Any) -> dict[str, Any]:
    return {**MEMORY, "disks": [{"name": "root", "source": {"size": "1Gi"}, **fields}]}


def _sourced(**source: Any) -> dict[str, Any]:
    return _disk(source=source)


def _nic(**fields: Any) -> dict[str, Any]:
    return {**MEMORY, "nics": [{"name": "lan", "network": "lan", **fields}]}


CHANGES: list[tuple[str, Any, Any]] = [
    (POOL, {"path": "/a"}, {"path": "/b"}),
    (POOL, {"path": "/a"}, {"type": "Lvm", "volumeGroup": "vg"}),
    (POOL, {"type": "Lvm", "volumeGroup": "vg"}, {"type": "Lvm", "volumeGroup": "wg"}),
    (POOL, {"type": "Lvm", "volumeGroup": "vg"}, {"type": "Lvm", "volumeGroup": "vg", "devices": ["/dev/sdb"]}),
    (POOL, {"path": "/a"}, {"path": "/a", "pool": {"source": {"host": {"@name": "x"}}}}),
    (NET, {"mode": "Isolated"}, {"mode": "Bridge", "bridge": "br0"}),
    (NET, {"mode": "Bridge", "bridge": "br0"}, {"mode": "Bridge", "bridge": "br1"}),
    (NET, {"mode": "Bridge", "bridge": "br0"}, {"mode": "Bridge", "bridge": "br0", "vlan": 7}),
    (IMAGE, {"source": {"path": "/a"}}, {"source": {"path": "/b"}}),
    (IMAGE, {"source": {"path": "/a"}}, {"source": {"url": "https://example.org/a"}}),
    (IMAGE, {"source": {"url": "https://a.example/a"}}, {"source": {"url": "https://b.example/a"}}),
    (IMAGE, {"source": {"upload": {}}}, {"source": {"upload": {"size": "1Gi"}}}),
    (IMAGE, {"source": {"upload": {"size": "1Gi"}}}, {"source": {"upload": {"size": "2Gi"}}}),
    (IMAGE, {"source": {"upload": {}}}, {"source": {"path": "/a"}}),
    (
        IMAGE,
        {"source": {"containerDisk": {"image": "quay.io/a"}}},
        {"source": {"containerDisk": {"image": "quay.io/b"}}},
    ),
    (
        IMAGE,
        {"source": {"containerDisk": {"image": "quay.io/a"}}},
        {"source": {"containerDisk": {"image": "quay.io/a", "path": "/disk/a"}}},
    ),
    (IMAGE, {"source": {"containerDisk": {"image": "quay.io/a"}}}, {"source": {"path": "/a"}}),
    (IMAGE, {"source": {"path": "/a"}}, {"source": {"path": "/a"}, "format": "raw"}),
    (IMAGE, {"source": {"path": "/a"}}, {"source": {"path": "/a"}, "compression": "Gzip"}),
    (IMAGE, {"source": {"path": "/a"}}, {"source": {"path": "/a"}, "checksum": f"sha256:{'0' * 64}"}),
    (IMAGE, {"source": {"path": "/a"}}, {"source": {"path": "/a"}, "pool": "other"}),
    (DISK, {"size": "1Gi"}, {"size": "1Gi", "source": {"image": "a"}}),
    (DISK, {"source": {"image": "a"}}, {"source": {"image": "b"}}),
    (DISK, {"source": {"clone": "a"}}, {"source": {"clone": "b"}}),
    (DISK, {"source": {"image": "a"}}, {"source": {"image": "a", "copy": "Full"}}),
    (DISK, {"size": "1Gi"}, {"size": "1Gi", "pool": "other"}),
    (DISK, {"size": "1Gi"}, {"size": "1Gi", "format": "raw"}),
    (DISK, {"size": "1Gi"}, {"size": "1Gi", "preallocation": "Full"}),
    (DISK, {"size": "1Gi"}, {"size": "1Gi", "host": "node-a"}),
    (VM, _sourced(image="a"), _sourced(image="b")),
    (VM, _sourced(disk="a"), _sourced(disk="b")),
    (VM, _sourced(clone="a"), _sourced(clone="b")),
    (VM, _sourced(path="/dev/sda"), _sourced(path="/dev/sdb")),
    (VM, _sourced(image="a"), _sourced(image="a", copy="Full")),
    (VM, _disk(), _disk(pool="other")),
    (VM, _disk(), _disk(format="raw")),
    (VM, _disk(), _disk(preallocation="Full")),
    (VM, _disk(), {**MEMORY, "disks": [{"name": "root", "device": "Cdrom", "bus": "sata"}]}),
    (
        VM,
        {**MEMORY, "disks": [{"name": "vda", "source": {"path": "/dev/sda"}}]},
        {**MEMORY, "disks": [{"name": "vda", "source": {"path": "/dev/sda"}, "adopted": True}]},
    ),
    (VM, _nic(), _nic(mac="02:00:5e:10:00:01")),
    (VM, _nic(mac="02:00:5e:10:00:01"), _nic(mac="02:00:5e:10:00:02")),
    (VM, _nic(mac="02:00:5e:10:00:01"), _nic(mac="02:00:5e:10:00:01", adopted=True)),
    (VM, {**MEMORY, "placement": {}}, {**MEMORY, "placement": {"host": "node-a"}}),
    (VM, MEMORY, {**MEMORY, "base": "Bare"}),
]


def refused_paths(kind: str, old: Any, new: Any) -> set[str]:
    """Of FIXED fields that a change touches, as the node refuses them."""
    before, after = (normalise(declare(kind, "a", "default", spec))["spec"] for spec in (old, new))
    return {item.path for item in field_changes(kind, before, after) if item.mutability is Mutability.FIXED}


@pytest.mark.parametrize(("kind", "old", "new"), CHANGES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_change_that_the_node_would_refuse_is_refused_at_the_same_path(
    api: Api, namespace: str, kind: str, old: Any, new: Any
) -> None:
    ours = refused_paths(kind, old, new)
    assert ours, "the case changes nothing that is fixed"
    document = declare(kind, f"fixed-{namespace}", namespace, old)
    try:
        made = api.create(document)
        with pytest.raises(ApiRefused, match="cannot be changed once set; delete and declare anew") as caught:
            api.replace({**made, "spec": new})
        # The API server counts entries of a list, the node names them.
        named = {re.sub(r"\[(root|vda|lan)\]", "[0]", path) for path in ours}
        theirs = paths_of(caught.value)
        assert all(any(is_near(path, own) for own in named) for path in theirs), (named, theirs)
    finally:
        if not is_namespaced(kind):
            api.delete(document)


def test_every_fixed_field_has_a_case() -> None:
    tried = {re.sub(r"\[\w+\]", "", path) for kind, old, new in CHANGES for path in refused_paths(kind, old, new)}
    for kind in KINDS:
        for place, item in fields(kind.spec, ("spec",)):
            path = re.sub(r"\[\d+\]", "", name_of(place))
            is_key = path in ("spec.disks.name", "spec.nics.name")
            if item.spec.mutability is Mutability.FIXED and not is_key:
                assert any(is_near(path, other) for other in tried), f"{kind.name}: {path}"


def test_a_change_that_is_allowed_is_taken(api: Api, namespace: str) -> None:
    document = declare(VM, "web", namespace, _nic())
    made = api.create(document)
    changed = {**MEMORY, "cpu": {"cores": 4}, "nics": [*made["spec"]["nics"], {"name": "wan", "network": "wan"}]}
    assert api.replace({**made, "spec": changed})["metadata"]["generation"] == 2
