"""Storage pools, by libvirt."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TypeVar

import libvirt
from lxml import etree

from nodeplugin.hypervisor.access import LibvirtAccess
from nodeplugin.hypervisor.calls import Lane, LaneKind
from nodeplugin.hypervisor.domains import definition_uuid
from nodeplugin.hypervisor.networks import present
from nodeplugin.hypervisor.port import PoolRecord

T = TypeVar("T")


class LibvirtPools(LibvirtAccess):
    """Implements `nodeplugin.hypervisor.port.Pools`."""

    def _on_pool(self, action: str, uuid: str, work: Callable[[libvirt.virStoragePool], T]) -> T:
        return self._link.call(
            f"{action} pool {uuid}",
            lambda connection: work(connection.storagePoolLookupByUUIDString(uuid)),
            Lane(LaneKind.HOST, uuid),
            timeout_s=self._options.host_timeout_s,
        )

    def list_pools(self) -> list[PoolRecord]:
        def work(connection: libvirt.virConnect) -> list[PoolRecord]:
            return present(connection.listAllStoragePools(), _read_pool, libvirt.VIR_ERR_NO_STORAGE_POOL)

        return self._link.call("list pools", work, Lane(LaneKind.READ, "pools"))

    def define_pool(self, xml: str) -> None:
        uuid = definition_uuid(xml)
        action, lane = f"define pool {uuid}", Lane(LaneKind.HOST, uuid)
        self._link.call(action, lambda connection: connection.storagePoolDefineXML(xml, 0), lane)

    def start_pool(self, uuid: str) -> None:
        def work(pool: libvirt.virStoragePool) -> None:
            try:
                pool.create(0)
            except libvirt.libvirtError as error:
                is_missing = error.get_error_code() == libvirt.VIR_ERR_SYSTEM_ERROR and error.get_int1() == errno.ENOENT
                if not is_missing:
                    raise
                pool.build(0)  # makes the directory, mode 0711 unless its XML says otherwise
                pool.create(0)

        self._on_pool("start", uuid, work)

    def stop_pool(self, uuid: str) -> None:
        self._on_pool("stop", uuid, lambda pool: pool.destroy())

    def undefine_pool(self, uuid: str) -> None:
        self._on_pool("undefine", uuid, lambda pool: pool.undefine())

    def autostart_pool(self, uuid: str, *, enabled: bool) -> None:
        self._on_pool("autostart", uuid, lambda pool: pool.setAutostart(int(enabled)))

    def refresh_pool(self, uuid: str) -> None:
        self._on_pool("refresh", uuid, lambda pool: pool.refresh(0))


def _read_pool(pool: libvirt.virStoragePool) -> PoolRecord:
    _, capacity, _, available = pool.info()
    live = etree.fromstring(pool.XMLDesc(0).encode())
    return PoolRecord(
        uuid=pool.UUIDString(),
        name=pool.name(),
        type=live.get("type", ""),
        is_active=bool(pool.isActive()),
        is_autostarted=bool(pool.autostart()),
        path=live.findtext("target/path") or "",
        capacity_bytes=capacity,
        available_bytes=available,
        xml=pool.XMLDesc(libvirt.VIR_STORAGE_XML_INACTIVE),
    )
