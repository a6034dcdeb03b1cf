"""Fills a lost store from the metadata of domains and networks (DESIGN section 5). Secrets do not stand there: seeds are kept as they are.

Disks, images and pools have no metadata in libvirt; their files and pools are taken up again, as they are, when their documents are
applied again.
"""

from __future__ import annotations

import dataclasses
import logging

from nodeplugin.hypervisor.port import DomainState, Hypervisor, XmlView
from nodeplugin.records import RunRecord, StoredObject
from nodeplugin.store import Store
from xvirt.domainxml.mark import OwnershipMark, read_mark
from xvirt.domainxml.tree import parse_xml
from xvirt.model.codec import parse, to_document
from xvirt.model.errors import RetryLater, XvirtError
from xvirt.model.secrets import secret_names
from xvirt.policy import PROFILES

logger = logging.getLogger(__name__)


def rebuild_store(hypervisor: Hypervisor, store: Store) -> list[str]:
    """Take over the documents of owned domains and networks that the store does not know. Returns the names of those whose document
    cannot be read: they stay as they are, undeclared. Raises RetryLater where the store takes nothing now."""
    unreadable = []
    for network in hypervisor.list_networks():
        if _is_unknown(network.uuid, store) and not _take_over("VirtualNetwork", network.uuid, network.xml, store):
            unreadable.append(network.name)
    for domain in hypervisor.list_domains():
        if _is_unknown(domain.uuid, store):
            xml = hypervisor.domain_xml(domain.uuid, XmlView.INACTIVE)
            is_paused = domain.state is DomainState.PAUSED and domain.reason == "user"
            if not _take_over("VirtualMachine", domain.uuid, xml, store, is_paused=is_paused, domain_name=domain.name):
                unreadable.append(domain.name)
    return unreadable


def _is_unknown(uuid: str, store: Store) -> bool:
    return store.find(uuid) is None and store.tombstone(uuid) is None


def _take_over(kind: str, uuid: str, xml: str, store: Store, *, is_paused: bool = False, domain_name: str = "") -> bool:
    """False where the thing is ours and its document cannot be read. What is foreign is passed over. Who paused a machine is not
    known any more: it stays paused until somebody resumes it."""
    mark = read_mark(parse_xml(xml))
    if mark is None or mark.uid != uuid or mark.kind != kind:
        return True
    name = f"{kind} {mark.namespace}/{mark.name}"
    try:
        stored = _recover(mark, is_paused=is_paused)
        if domain_name not in ("", stored.domain_name):
            stored = dataclasses.replace(stored, run=dataclasses.replace(stored.run, domain_name=domain_name))
        store.put(stored)
    except RetryLater:  # the disk is full: nothing is wrong with the document
        raise
    except XvirtError as error:
        logger.error("%s is Undeclared: its document cannot be read: %s", name, error.message)
        return False
    logger.warning("%s: its document was not in the store; taken over from its metadata", name)
    return True


def _recover(mark: OwnershipMark, *, is_paused: bool) -> StoredObject:
    resource = parse(mark.document or {})
    document = to_document(resource)
    return StoredObject(
        uid=mark.uid,
        authority=mark.authority,
        kind=resource.kind,
        namespace=resource.metadata.namespace,
        name=resource.metadata.name,
        document=document,
        generation=mark.generation,
        epoch=mark.epoch,
        profile=mark.profile if mark.profile in PROFILES else PROFILES[0],
        has_secrets=not secret_names(resource),
        run=RunRecord(is_held_off=mark.power == "off", is_paused=is_paused, has_started=True),
    )
