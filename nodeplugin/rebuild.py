"""Fills a lost store from the domains' metadata (DESIGN section 5). Secrets do not stand there: seeds are kept as they are."""

from __future__ import annotations

import logging

from nodeplugin.hypervisor.port import Hypervisor, XmlView
from nodeplugin.records import RunRecord, StoredObject
from nodeplugin.store import Store
from xvirt.domainxml.mark import OwnershipMark, read_mark
from xvirt.domainxml.tree import parse_xml
from xvirt.model.codec import parse, to_document
from xvirt.model.errors import XvirtError

logger = logging.getLogger(__name__)


def rebuild_store(hypervisor: Hypervisor, store: Store) -> list[str]:
    """Take over the documents of owned domains that the store does not know. Returns the names of those whose document cannot be
    read: they stay as they are, undeclared."""
    unreadable = []
    for record in hypervisor.list_domains():
        if store.find(record.uuid) is not None or store.tombstone(record.uuid) is not None:
            continue
        mark = read_mark(parse_xml(hypervisor.domain_xml(record.uuid, XmlView.INACTIVE)))
        if mark is None or mark.uid != record.uuid:
            continue
        try:
            store.put(_recover(mark))
            logger.warning("domain %s: its document was not in the store; taken over from its metadata", record.name)
        except XvirtError as error:
            unreadable.append(record.name)
            logger.error("domain %s is Undeclared: its document cannot be read: %s", record.name, error.message)
    return unreadable


def _recover(mark: OwnershipMark) -> StoredObject:
    resource = parse(mark.document or {})
    document = to_document(resource)
    needs_secrets = bool(resource.kind == "VirtualMachine" and resource.spec.cloud_init is not None)
    return StoredObject(
        uid=mark.uid,
        authority=mark.authority,
        kind=resource.kind,
        namespace=resource.metadata.namespace,
        name=resource.metadata.name,
        document=document,
        generation=mark.generation,
        epoch=mark.epoch,
        has_secrets=not needs_secrets,
        run=RunRecord(is_held_off=mark.power == "off", has_started=True),
    )
