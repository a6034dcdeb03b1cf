"""Trees and large specs, through a real API server: what was written is what is read back."""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.documents import TRIED, declare
from tests.cluster.kubectl import Kubectl
from tools.cluster.api import Api, ApiRefused, collection_path
from tools.corpus import documents
from xvirt import API_VERSION
from xvirt.domainxml.tree import parse_xml
from xvirt.domainxml.tree_documents import document_element, document_tree
from xvirt.domainxml.tree_yaml import write_yaml
from xvirt.domainxml.xmltext import canonical_document
from xvirt.model.documents import load_tree
from xvirt.model.errors import InvalidSpec

ROOT = Path(__file__).resolve().parents[2]
OURS = sorted([*(ROOT / "docs" / "convert").glob("*.xml"), *(ROOT / "tests" / "golden" / "domainxml").glob("*.xml")])
KIB = 1 << 10
BUNDLE_BYTES = 200 * KIB


def machine(namespace: str, tree: Any, name: str = "tree") -> dict[str, Any]:
    return declare("VirtualMachine", name, namespace, {"memory": {"size": "1Gi"}, "domain": tree})


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_row_20_a_document_survives_the_api_server(api: Api, namespace: str, path: Path) -> None:
    root = parse_xml(path.read_bytes())
    document = machine(namespace, load_tree(write_yaml(document_tree(root))))
    api.create(document)
    stored = api.read(document)["spec"]["domain"]
    assert canonical_document(document_element(stored)) == canonical_document(root)


def test_row_20_and_21_libvirts_own_documents_survive_the_api_server(api: Api, namespace: str) -> None:
    """All 3,300 of them, many in one request, and tried only: the answer is what would be stored, encoded as it would be."""
    path = collection_path(API_VERSION, "VirtualMachine", namespace)
    different, total = [], 0
    for bundle in _bundles():
        trees = {name: document_tree(root) for name, root in bundle.items()}
        answer = api.call("POST", path, machine(namespace, trees), query=TRIED)["spec"]["domain"]
        different += [
            name
            for name, root in bundle.items()
            if canonical_document(document_element(answer[name])) != canonical_document(root)
        ]
        total += len(bundle)
    assert different == []
    assert total > 3000


def _bundles() -> Iterator[dict[str, Any]]:
    """The roots of libvirt's documents by their file, as many as a request may well have."""
    bundle: dict[str, Any] = {}
    size = 0
    for file in documents():
        text = file.read_bytes()
        with contextlib.suppress(InvalidSpec):
            bundle[f"x{len(bundle)}-{file.name}"] = parse_xml(text)
            size += len(text)
        if size > BUNDLE_BYTES:
            yield bundle
            bundle, size = {}, 0
    yield bundle


def test_order_and_prefixes_survive_server_side_apply_of_yaml(kubectl: Kubectl, api: Api, namespace: str) -> None:
    text = """<domain xmlns:b="urn:b" xmlns:a="urn:a"><!-- first --><z/><a/><z x="1"/><a:own>
      <b:deep>  kept  </b:deep></a:own><!-- last --><a/></domain>"""
    root = parse_xml(text)
    document = machine(namespace, document_tree(root))
    kubectl("apply", "--server-side", "-f", "-", stdin=[document])
    stored = api.read(document)["spec"]["domain"]
    assert canonical_document(document_element(stored)) == canonical_document(root)
    kubectl("apply", "--server-side", "-f", "-", stdin=[document])
    assert api.read(document)["metadata"]["generation"] == 1


def large(size_bytes: int) -> dict[str, Any]:
    """A tree of that size which does not compress."""
    text = base64.b64encode(os.urandom(size_bytes * 3 // 4)).decode()
    return {"domain": {"metadata": {"x": {"#text": text}}}}


def test_row_65_a_spec_of_300_kib_is_accepted_and_not_copied_into_an_annotation(
    kubectl: Kubectl, api: Api, namespace: str
) -> None:
    document = machine(namespace, large(300 * KIB))
    kubectl("apply", "--server-side", "-f", "-", stdin=[document])
    stored = api.read(document)
    assert stored["spec"]["domain"] == document["spec"]["domain"]
    assert "annotations" not in stored["metadata"]
    assert sum(len(str(entry)) for entry in stored["metadata"]["managedFields"]) < 4 * KIB


def test_row_65_kubectl_apply_without_server_side_says_that_it_is_too_long(kubectl: Kubectl, namespace: str) -> None:
    refused = kubectl("apply", "-f", "-", stdin=[machine(namespace, large(300 * KIB))], check=False)
    assert refused.returncode != 0
    assert "metadata.annotations: Too long: may not be more than 262144 bytes" in refused.stderr


@pytest.mark.parametrize(
    ("size_bytes", "words"),
    [(1700 * KIB, "etcdserver: request is too large"), (3200 * KIB, "Request entity too large: limit is 3145728")],
)
def test_row_65_a_spec_beyond_the_limit_is_refused_by_size(
    api: Api, namespace: str, size_bytes: int, words: str
) -> None:
    document = machine(namespace, large(size_bytes))
    with pytest.raises(ApiRefused, match=words):
        api.create(document)
    assert api.find(document) is None
