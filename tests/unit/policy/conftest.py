"""Domains to judge."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from lxml import etree

from xvirt.domainxml.tree import parse_xml
from xvirt.policy import log_path

OWN = frozenset({"/pool/root", log_path("/log/console"), "/seed/x.iso", "default_lan", "br0"})


@pytest.fixture
def own() -> frozenset[str]:
    """What the node computed for the machine."""
    return OWN


@pytest.fixture
def domain() -> Callable[..., etree._Element]:
    """A domain with something more in it, or in its devices."""

    def make(text: str = "", devices: str = "") -> etree._Element:
        return parse_xml(
            f"<domain type='kvm'><name>default_web</name><memory>1024</memory>{text}"
            f"<devices><memballoon model='virtio'/>{devices}</devices></domain>"
        )

    return make
