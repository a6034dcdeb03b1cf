"""`libvirt_*`: one bulk call for all domains, one for all pools."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from nodeplugin.hypervisor.port import DomainStats, Hypervisor, PoolRecord
from nodeplugin.metrics.definitions import Definitions, DomainMeta
from nodeplugin.metrics.names import (
    BLOCK,
    BLOCK_META,
    DOMAIN,
    INFO_META,
    INTERFACE,
    INTERFACE_META,
    USED_PERCENT,
    VCPU,
    Series,
    Shape,
)
from xvirt.domainxml.tree import parse_xml
from xvirt.model.errors import XvirtError

logger = logging.getLogger(__name__)
_DIRECTORIES = frozenset({"dir", "fs"})
_MEMBER = re.compile(r"(vcpu|block|net)\.(\d+)\.(.+)")


class _Families:
    """The series of one scrape, made as they are needed."""

    def __init__(self) -> None:
        self.found: dict[str, Metric] = {}

    def add(self, series: Series, labels: tuple[str, ...], values: tuple[str, ...], value: float) -> None:
        family = self.found.get(series.name)
        if family is None:
            cls = CounterMetricFamily if series.shape is Shape.COUNTER else GaugeMetricFamily
            family = self.found[series.name] = cls(series.name, series.doc, labels=labels)
        family.add_metric(values, value * series.factor)  # type: ignore[attr-defined]

    def gauge(self, name: str, doc: str, labels: Mapping[str, str], value: float = 1.0) -> None:
        self.add(Series("", name, Shape.GAUGE, doc), tuple(labels), tuple(labels.values()), value)


class DomainCollector:
    """A collector for prometheus-client. One scrape at a time; libvirt being away is a value, not an error."""

    def __init__(self, hypervisor: Hypervisor, definitions: Definitions) -> None:
        self._hypervisor = hypervisor
        self._definitions = definitions
        self._lock = threading.Lock()

    def describe(self) -> Iterable[Metric]:
        """Nothing: naming the series would need a scrape."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All series."""
        families = _Families()
        with self._lock:
            is_up = self._collect(families)
        families.gauge("libvirt_up", "Whether libvirt answered this scrape.", {}, float(is_up))
        yield from families.found.values()

    def _collect(self, families: _Families) -> bool:
        try:
            rows = self._hypervisor.all_domain_stats()
        except XvirtError as error:
            logger.warning("metrics: %s", error.message)
            return False
        families.gauge("libvirt_domains", "Domains, own and foreign, running and not.", {}, float(len(rows)))
        for row in rows:
            add_domain(families, row, self._definitions.meta(row.uuid))
        self._definitions.keep({row.uuid for row in rows})
        with contextlib.suppress(XvirtError):
            self._add_versions(families)
            for pool in self._hypervisor.list_pools():
                add_pool(families, pool)
        return True

    def _add_versions(self, families: _Families) -> None:
        facts = self._hypervisor.facts()
        labels = {
            "hypervisor_running": facts.qemu_version,
            "libvirtd_running": facts.libvirt_version,
            "libvirt_library": facts.libvirt_version,
        }
        families.gauge("libvirt_versions_info", "Versions.", labels)


def add_domain(families: _Families, row: DomainStats, meta: DomainMeta) -> None:
    """One domain's series."""
    domain = (row.name,)
    for series in DOMAIN:
        _add(families, series, row.values, series.key, ("domain",), domain)
    _add_used_percent(families, row)
    namespace, _, name = row.name.partition("_")
    words = dict.fromkeys(INFO_META, "") | {"domain": row.name, "uuid": row.uuid}
    words |= {"instance_name": name, "project_name": namespace} if name else {"instance_name": row.name}
    families.gauge("libvirt_domain_info_meta", "The domain by its names; see xvirt_vm_info.", words)
    members = _members(row.values)
    _add_members(families, VCPU, members["vcpu"], ("domain", "vcpu"), domain)
    _add_members(families, BLOCK, members["block"], ("domain", "target_device"), domain)
    _add_members(families, INTERFACE, members["net"], ("domain", "target_device"), domain)
    _add_meta(families, row.name, meta)


def _add(
    families: _Families,
    series: Series,
    values: Mapping[str, object],
    key: str,
    labels: tuple[str, ...],
    label_values: tuple[str, ...],
) -> None:
    value = values.get(key)
    if isinstance(value, int | float):
        families.add(series, labels, label_values, float(value))


def _members(values: Mapping[str, object]) -> dict[str, dict[str, dict[str, Any]]]:
    """`block.0.rd.bytes` -> ["block"]["0"]["rd.bytes"]."""
    found: dict[str, dict[str, dict[str, Any]]] = {"vcpu": {}, "block": {}, "net": {}}
    for key, value in values.items():
        match = _MEMBER.fullmatch(key)
        if match is not None:
            found[match[1]].setdefault(match[2], {})[match[3]] = value
    return found


def _add_members(
    families: _Families,
    table: tuple[Series, ...],
    members: Mapping[str, Mapping[str, Any]],
    labels: tuple[str, str],
    domain: tuple[str],
) -> None:
    seen: set[str] = set()
    for number, values in members.items():
        name = str(values.get("name", number))
        if name in seen:
            continue  # layers of a backing chain have the name of their disk; the first is the top one
        seen.add(name)
        for series in table:
            _add(families, series, values, series.key, labels, (*domain, name))


def _add_used_percent(families: _Families, row: DomainStats) -> None:
    available, usable = row.values.get("balloon.available"), row.values.get("balloon.usable")
    if isinstance(available, int) and isinstance(usable, int) and available > 0:
        percent = (available - usable) * 100.0 / available
        doc = "Memory the guest cannot spare, of what it has, in percent."
        families.gauge(USED_PERCENT, doc, {"domain": row.name}, percent)


def _add_meta(families: _Families, domain: str, meta: DomainMeta) -> None:
    for disk in meta.disks:
        labels = dict(zip(BLOCK_META, (domain, *disk.labels), strict=True))
        families.gauge("libvirt_domain_block_meta", "What a disk is.", labels)
        where = {"domain": domain, "target_device": disk.labels[0]}
        for suffix, value in disk.limits:
            families.gauge(f"libvirt_domain_block_stats_{suffix}", "I/O limit of a disk.", where, value)
    for nic in meta.nics:
        labels = dict(zip(INTERFACE_META, (domain, *nic), strict=True))
        families.gauge("libvirt_domain_interface_meta", "What a NIC is connected to.", labels)


def add_pool(families: _Families, pool: PoolRecord) -> None:
    """One pool's series. libvirt knows sizes as of its last refresh; a directory is asked itself."""
    labels = {"pool": pool.name}
    capacity, available = pool.capacity_bytes, pool.available_bytes
    if pool.is_active and parse_xml(pool.xml).get("type") in _DIRECTORIES:
        with contextlib.suppress(OSError):
            found = os.statvfs(pool.path)
            capacity, available = found.f_frsize * found.f_blocks, found.f_frsize * found.f_bavail
    # virStoragePoolState: 0 inactive, 2 running.
    families.gauge("libvirt_storage_pool_info_state", "2: active, 0: not.", labels, 2.0 if pool.is_active else 0.0)
    families.gauge("libvirt_storage_pool_info_capacity_bytes", "Size.", labels, float(capacity))
    families.gauge("libvirt_storage_pool_info_allocation_bytes", "Taken.", labels, float(capacity - available))
    families.gauge("libvirt_storage_pool_info_available_bytes", "Free.", labels, float(available))
