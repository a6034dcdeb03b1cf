"""Every QEMU domain among libvirt's own test documents, split and put together again."""

from __future__ import annotations

import collections

import pytest
from lxml import etree

from tools.corpus import documents
from xvirt.domainxml.split import join_domain, split_domain
from xvirt.domainxml.tree import canonical, parse_xml
from xvirt.model.errors import InvalidSpec

LEAST_FILES = 1000
"""libvirt 9.0 has 1696; a corpus that has not been found is no pass."""


def without_comments(root: etree._Element) -> etree._Element:
    etree.strip_tags(root, etree.Comment, etree.ProcessingInstruction)
    return root


def test_row_10_every_domain_of_libvirts_own_tests_is_given_back(capsys: pytest.CaptureFixture[str]) -> None:
    counts: collections.Counter[str] = collections.Counter()
    wrong, surprising = [], []
    for path in documents():
        try:
            root = without_comments(parse_xml(path.read_bytes()))
        except InvalidSpec:
            continue
        if root.tag != "domain" or root.get("type") not in ("kvm", "qemu"):
            continue
        counts["files"] += 1
        try:
            split = split_domain(root)
        except InvalidSpec as error:
            reason = _refusal(error)
            counts[f"refused: {reason}"] += 1
            if reason not in _EXPECTED:
                surprising.append(f"{path.name}: {error}")
            continue
        is_exact = canonical(join_domain(split, root)) == canonical(root)
        counts["exact"] += is_exact
        counts["disks"] += len(root.findall("devices/disk"))
        counts["typed disks"] += len(split.spec.disks)
        counts["interfaces"] += len(root.findall("devices/interface"))
        counts["typed interfaces"] += len(split.spec.nics)
        if not is_exact:
            wrong.append(path.name)
    with capsys.disabled():
        print(f"\nlibvirt's domains split: {dict(sorted(counts.items()))}")
    assert wrong == []
    assert surprising == []
    assert counts["files"] > LEAST_FILES


_EXPECTED = frozenset({"memory beyond the model's bounds", "two prefixes for one namespace"})


def _refusal(error: InvalidSpec) -> str:
    if all(problem.path.startswith("spec.memory") for problem in error.problems):
        return "memory beyond the model's bounds"
    return "two prefixes for one namespace" if error.reason == "NotReversible" else str(error)
