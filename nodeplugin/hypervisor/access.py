"""What the parts of `LibvirtHypervisor` share: calls upon one domain."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import libvirt

from nodeplugin.hypervisor.calls import Lane, LaneKind
from nodeplugin.hypervisor.connection import Connection, HypervisorOptions
from nodeplugin.hypervisor.port import XmlView

T = TypeVar("T")


class LibvirtAccess:
    """Base of the parts."""

    _link: Connection

    @property
    def _options(self) -> HypervisorOptions:
        return self._link.options

    def _on_domain(
        self,
        action: str,
        uuid: str,
        work: Callable[[libvirt.virDomain], T],
        *,
        kind: LaneKind = LaneKind.MONITOR,
        timeout_s: float | None = None,
    ) -> T:
        """Look a domain up and work on it; `kind` says who must answer. Errors read `<action> domain <uuid>: ...`."""
        return self._link.call(
            f"{action} domain {uuid}",
            lambda connection: work(connection.lookupByUUIDString(uuid)),
            Lane(kind, uuid),
            timeout_s=timeout_s,
        )

    def domain_xml(self, uuid: str, view: XmlView) -> str:
        """A definition, without secure fields."""
        flags = libvirt.VIR_DOMAIN_XML_INACTIVE if view is XmlView.INACTIVE else 0
        text: str = self._on_domain("read", uuid, lambda domain: domain.XMLDesc(flags), kind=LaneKind.READ)
        return text
