"""What is written on a thing of the host to say whose it is (DESIGN law 3)."""

from __future__ import annotations

import hashlib

from lxml import etree

from nodeplugin.records import StoredObject
from xvirt.domainxml.mark import OwnershipMark
from xvirt.domainxml.tree import canonical


def ownership_mark(stored: StoredObject, root: etree._Element) -> OwnershipMark:
    """The mark of an object for its rendered definition, which has no mark yet."""
    return OwnershipMark(
        uid=stored.uid,
        authority=stored.authority,
        kind=stored.kind,
        namespace=stored.namespace,
        name=stored.name,
        generation=stored.generation,
        epoch=stored.epoch,
        spec_hash=hashlib.sha256(canonical(root)).hexdigest(),
        document=stored.document,
        power="off" if stored.run.is_held_off else "",
        profile=stored.profile,
    )
