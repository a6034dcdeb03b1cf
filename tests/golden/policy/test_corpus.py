"""libvirt's own test documents before the policy: thousands of files that people of libvirt thought of."""

from __future__ import annotations

import collections

import pytest
from lxml import etree

from tools.corpus import documents
from xvirt.domainxml.tree import parse_xml
from xvirt.model.errors import InvalidSpec
from xvirt.policy import PROFILES, check


def read(text: bytes) -> etree._Element | None:
    """None for what is broken on purpose, or no XML that is accepted."""
    try:
        return parse_xml(text)
    except InvalidSpec:
        return None


def test_every_document_of_libvirts_tests_is_judged_and_the_dangerous_ones_are_denied(
    capsys: pytest.CaptureFixture[str],
) -> None:
    judged: collections.Counter[str] = collections.Counter()
    passed: collections.Counter[str] = collections.Counter()
    wrong = []
    for path in documents():
        root = read(path.read_bytes())
        if root is None:
            continue
        kind = etree.QName(root).localname
        judged[kind] += 1
        for profile in PROFILES:
            violations = check(root, profile, frozenset())
            passed[f"{kind} {profile}"] += not violations
            if not violations and profile != "privileged" and is_dangerous(root):
                wrong.append(f"{path.name} passes {profile}")
            assert all(item.path.startswith(f"/{kind}") and item.rule and item.remedy for item in violations)
    assert wrong == []
    assert judged["domain"] > 2000
    with capsys.disabled():
        for kind in ("domain", "network", "pool", "volume", "filter", "domainsnapshot"):
            counts = ", ".join(f"{profile} {passed[f'{kind} {profile}']}" for profile in PROFILES)
            print(f"\n{kind}: {judged[kind]} documents; passed: {counts}", end="")
        print(f"\n{sum(judged.values())} documents of {len(judged)} kinds")


_DANGEROUS = (
    "devices/emulator",
    "devices/hostdev",
    "devices/filesystem",
    "devices/*/source[@path]",
    "devices/disk/source",
    "os/kernel",
    "os/loader",
    "seclabel",
    "bootloader",
    "source",
    "forward[@dev]",
    "bridge[@name]",
    "ip/tftp",
    "target/path",
    "backingStore/path",
    "memory[@file]",
)


def is_dangerous(root: etree._Element) -> bool:
    """What names something of the host, in short; not what the policy asks."""
    has_foreign = any(isinstance(item.tag, str) and etree.QName(item).namespace for item in root.iterfind("*"))
    return has_foreign or any(root.find(path) is not None for path in _DANGEROUS)
