"""libvirt's documents as trees and back, beside plain lxml and xmltodict on the same documents."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import xmltodict
from lxml import etree

from bench.result import Result
from tools.corpus import corpus_path, documents
from xvirt.domainxml.tree_documents import Form, document_element, document_tree, read_document, write_document
from xvirt.domainxml.xmltext import document_text, parse_xml
from xvirt.model.errors import InvalidSpec

ROUNDS_MAX = 10
"""A round handles every document seven times."""


def convert(rounds: int) -> Result:
    """Goal: each way <= 3 times what lxml takes to parse and write."""
    texts = [data for path in documents() if is_xml(data := path.read_bytes())]
    trees = [document_tree(parse_xml(text)) for text in texts]
    yamls = [write_document(parse_xml(text), Form.YAML).encode() for text in texts]
    sides: dict[str, tuple[Callable[[Any], object], Sequence[Any]]] = {
        "lxml": (lambda text: etree.tostring(etree.fromstring(text)), texts),
        "xml-to-tree": (lambda text: document_tree(parse_xml(text)), texts),
        "tree-to-xml": (lambda tree: document_text(document_element(tree)), trees),
        "xmltodict": (lambda text: xmltodict.unparse(xmltodict.parse(text)), texts),
        "xml-to-yaml": (lambda text: write_document(parse_xml(text), Form.YAML), texts),
        "yaml-to-xml": (lambda text: document_text(read_document(text, Form.YAML)), yamls),
    }
    gc.freeze()  # the inputs are no garbage, and looking at them again and again is no part of any side
    samples: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(min(rounds, ROUNDS_MAX)):
        for name, (act, inputs) in sides.items():
            samples[name].append(cpu_seconds(act, inputs))
    median = {name: statistics.median(values) for name, values in samples.items()}
    ratios = {name: value / median["lxml"] for name, value in median.items()}
    return Result(
        name="convert",
        ratio=max(ratios["xml-to-tree"], ratios["tree-to-xml"]),
        goal="<= 3 each way",
        method=(
            f"All {len(texts)} readable documents of libvirt {corpus_path().name}'s tests, {sum(map(len, texts))} bytes, in one process; CPU"
            " time. Peers: lxml, parse and write; xmltodict, parse and unparse. xVirt with all its checks. Alternating; medians."
        ),
        samples=samples,
        summary=", ".join(f"{name} {median[name] * 1000:.0f} ms ({ratios[name]:.1f})" for name in sides),
    )


def is_xml(text: bytes) -> bool:
    """False for the corpus' broken ones."""
    try:
        parse_xml(text)
    except InvalidSpec:
        return False
    return True


def cpu_seconds(act: Callable[[Any], object], inputs: Sequence[Any]) -> float:
    """What one pass over all inputs takes of the CPU."""
    start = time.process_time()
    for item in inputs:
        act(item)
    return time.process_time() - start
