"""What /metrics says of a host whose numbers are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from nodeplugin.hypervisor.port import EventKind, HypervisorEvent
from nodeplugin.metrics.definitions import Definitions, read_meta
from nodeplugin.metrics.domains import DomainCollector
from nodeplugin.metrics.instruments import Instruments, NodeCollector
from nodeplugin.metrics.page import metrics_page
from nodeplugin.telemetry import Work
from tests.contract.documents import DomainDraft, disk_xml, nic_xml, pool_xml
from tests.fakes.hypervisor import FakeHypervisor
from tests.unit.nodeplugin.world import World
from xvirt.domainxml.tree import parse_xml
from xvirt.model.errors import Unavailable

UUID = "11111111-0000-4000-8000-000000000001"
POOL = "22222222-0000-4000-8000-000000000002"
NAME = "default_web"


class Scrape:
    """One scrape, parsed as Prometheus does."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.answer = metrics_page(registry)({})
        self.samples = [
            sample for family in text_string_to_metric_families(self.answer.body.decode()) for sample in family.samples
        ]

    def value(self, name: str, /, **labels: str) -> float:
        """The one sample with these labels among its own."""
        [found] = [
            sample.value
            for sample in self.samples
            if sample.name == name and all(sample.labels.get(key) == value for key, value in labels.items())
        ]
        return float(found)

    def names(self) -> set[str]:
        """Names of all samples."""
        return {sample.name for sample in self.samples}


@pytest.fixture
def hypervisor() -> FakeHypervisor:
    """One running domain with a disk and a NIC."""
    made = FakeHypervisor()
    devices = disk_xml("/pool/web.raw", "vda") + nic_xml("52:54:00:aa:bb:01", "lan").replace("network", "bridge")
    made.define_domain(DomainDraft(name=NAME, uuid=UUID, devices=devices, vcpus=1, vcpus_max=4).xml())
    made.start_domain(UUID)
    return made


def scrape(hypervisor: FakeHypervisor) -> Scrape:
    """Scrape a hypervisor's domains."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(DomainCollector(hypervisor, Definitions(hypervisor)))
    return Scrape(registry)


def test_row_7_counters_are_those_of_libvirt_in_seconds_and_bytes(hypervisor: FakeHypervisor) -> None:
    hypervisor.domain(UUID).counters = {
        "cpu.time": 2_500_000_000,
        "vcpu.0.state": 1,
        "vcpu.0.time": 1_000_000_000,
        "block.0.rd.bytes": 4096,
        "block.0.wr.times": 3_000_000_000,
        "net.0.rx.bytes": 77,
        "net.0.tx.drop": 2,
        "balloon.available": 1000,
        "balloon.usable": 250,
    }
    found = scrape(hypervisor)
    assert found.value("libvirt_up") == 1
    assert found.value("libvirt_domains") == 1
    assert found.value("libvirt_domain_info_vstate", domain=NAME) == 1
    assert found.value("libvirt_domain_info_maximum_memory_bytes", domain=NAME) == 64 << 20
    assert found.value("libvirt_domain_info_virtual_cpus", domain=NAME) == 1
    assert found.value("libvirt_domain_info_cpu_time_seconds_total", domain=NAME) == 2.5
    assert found.value("libvirt_domain_vcpu_time_seconds_total", domain=NAME, vcpu="0") == 1
    assert found.value("libvirt_domain_block_stats_read_bytes_total", domain=NAME, target_device="vda") == 4096
    assert found.value("libvirt_domain_block_stats_write_time_seconds_total", target_device="vda") == 3
    assert found.value("libvirt_domain_interface_stats_receive_bytes_total", target_device="vnet0") == 77
    assert found.value("libvirt_domain_interface_stats_transmit_drops_total", target_device="vnet0") == 2
    assert found.value("libvirt_domain_memory_stats_available_bytes", domain=NAME) == 1000 << 10
    assert found.value("libvirt_domain_memory_stats_used_percent", domain=NAME) == 75


def test_row_63_series_have_the_names_that_dashboards_for_libvirt_exporters_ask_for(hypervisor: FakeHypervisor) -> None:
    wanted = """libvirt_up libvirt_domains libvirt_domain_info_maximum_memory_bytes libvirt_domain_info_memory_usage_bytes
    libvirt_domain_info_virtual_cpus libvirt_domain_info_cpu_time_seconds_total libvirt_domain_info_vstate
    libvirt_domain_info_meta libvirt_domain_block_meta libvirt_domain_block_stats_read_bytes_total
    libvirt_domain_block_stats_write_requests_total libvirt_domain_interface_meta libvirt_versions_info
    libvirt_domain_interface_stats_receive_packets_total libvirt_domain_memory_stats_rss_bytes
    libvirt_domain_memory_stats_actual_balloon_bytes libvirt_storage_pool_info_capacity_bytes"""
    hypervisor.define_pool(pool_xml("default", POOL, "/nowhere/pool"))
    assert set(wanted.split()) <= scrape(hypervisor).names()


def test_row_63_a_directory_pool_tells_its_file_systems_room(hypervisor: FakeHypervisor, tmp_path: Path) -> None:
    hypervisor.define_pool(pool_xml("default", POOL, str(tmp_path)))
    hypervisor.start_pool(POOL)
    found = scrape(hypervisor)
    capacity = found.value("libvirt_storage_pool_info_capacity_bytes", pool="default")
    available = found.value("libvirt_storage_pool_info_available_bytes", pool="default")
    assert 0 < available <= capacity
    assert found.value("libvirt_storage_pool_info_allocation_bytes", pool="default") == capacity - available
    assert found.value("libvirt_storage_pool_info_state", pool="default") == 2


def test_a_hung_qemu_costs_its_own_monitor_series_only(hypervisor: FakeHypervisor) -> None:
    hypervisor.hang(UUID)
    found = scrape(hypervisor)
    assert found.value("libvirt_domain_info_vstate", domain=NAME) == 1
    assert "libvirt_domain_memory_stats_rss_bytes" not in found.names()


def test_libvirt_being_away_is_a_value_and_not_an_error(hypervisor: FakeHypervisor) -> None:
    hypervisor.lose_connection()
    found = scrape(hypervisor)
    assert found.answer.code == 200
    assert found.value("libvirt_up") == 0
    assert "libvirt_domains" not in found.names()


def test_definitions_are_read_once_and_again_after_an_event(hypervisor: FakeHypervisor) -> None:
    definitions = Definitions(hypervisor)
    before = definitions.meta(UUID)
    hypervisor.faults.fail_next("domain_xml", Unavailable("gone"))
    assert definitions.meta(UUID) is before
    hypervisor.tell(EventKind.DEVICE_ADDED, UUID, "x")
    hypervisor.behind(lambda: None)
    assert definitions.meta(UUID).disks == ()  # the planned fault: it was read again
    assert definitions.meta(UUID) == before
    definitions.keep(set())
    assert definitions.meta(UUID) is not before


def test_a_network_event_makes_no_definition_be_read_again(hypervisor: FakeHypervisor) -> None:
    definitions = Definitions(hypervisor)
    before = definitions.meta(UUID)
    definitions._on_event(HypervisorEvent(kind=EventKind.NETWORK, subject=UUID))
    assert definitions.meta(UUID) is before


def test_all_definitions_are_read_again_after_libvirt_was_away(hypervisor: FakeHypervisor) -> None:
    definitions = Definitions(hypervisor)
    before = definitions.meta(UUID)
    hypervisor.lose_connection()
    hypervisor.restore_connection()
    assert definitions.meta(UUID) == before
    assert definitions.meta(UUID) is not before


def test_a_disk_that_is_told_twice_is_one_series(hypervisor: FakeHypervisor) -> None:
    # Prometheus refuses a whole scrape for one series that comes twice.
    twice: dict[str, Any] = {"block.0.rd.bytes": 1, "block.1.rd.bytes": 2, "block.1.name": "vda"}
    hypervisor.domain(UUID).counters = twice
    assert scrape(hypervisor).value("libvirt_domain_block_stats_read_bytes_total", target_device="vda") == 1


def test_disk_meta_and_io_limits_come_from_the_definition() -> None:
    xml = """<domain><devices><disk type='block' device='cdrom'><driver type='raw' cache='none' discard='unmap'/>
    <source dev='/dev/x'/><target dev='sda' bus='scsi'/><serial>S1</serial>
    <iotune><total_iops_sec>500</total_iops_sec><read_bytes_sec>oops</read_bytes_sec></iotune></disk>
    <disk/><interface><virtualport><parameters interfaceid='abc'/></virtualport><source bridge='br0'/></interface>
    </devices></domain>"""
    meta = read_meta(parse_xml(xml))
    assert meta.disks[0].labels == ("sda", "/dev/x", "S1", "scsi", "cdrom", "raw", "none", "unmap")
    assert meta.disks[0].limits == (("limit_total_requests", 500.0),)
    assert meta.disks[1].limits == ()
    assert meta.nics == (("br0", "", "abc"),)


# the node's own


def test_row_63_machines_are_joined_to_their_owner_by_one_info_series(tmp_path: Path) -> None:
    world = World(tmp_path)
    spec = {"memory": {"size": "64Mi"}}
    head = {"apiVersion": "xvirt.io/v1alpha1", "kind": "VirtualMachine", "metadata": {"name": "web"}}
    world.apply({**head, "spec": spec})
    world.settle()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(NodeCollector("node-a", world.store, {"xvirt_watchers": ("Open Watch streams.", lambda: 3.0)}))
    registry.register(DomainCollector(world.hypervisor, Definitions(world.hypervisor)))
    found = Scrape(registry)
    [domain] = world.hypervisor.list_domains()
    labels = {"namespace": "default", "name": "web", "node": "node-a", "authority": "local"}
    assert found.value("xvirt_vm_info", **labels, domain=domain.name, uuid=domain.uuid, uid=domain.uuid) == 1
    assert found.value("libvirt_domain_info_vstate", domain=domain.name) == 1
    assert found.value("libvirt_domain_info_meta", instance_name="web", project_name="default") == 1
    assert found.value("xvirt_vm_status", name="web", status="Running") == 1
    assert found.value("xvirt_objects", kind="VirtualMachine", ready="true") == 1
    assert found.value("xvirt_watchers") == 3


def test_row_63_disks_tell_their_size_and_what_they_take_by_owner_and_pool(tmp_path: Path) -> None:
    world = World(tmp_path)
    disk = {"apiVersion": "xvirt.io/v1alpha1", "kind": "VirtualDisk", "metadata": {"name": "data"}}
    world.apply({**disk, "spec": {"size": "8Mi"}})
    world.settle()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(NodeCollector("node-a", world.store, {}))
    found = Scrape(registry)
    labels = {"kind": "VirtualDisk", "namespace": "default", "name": "data", "pool": "default"}
    assert found.value("xvirt_volume_size_bytes", **labels) == 8 << 20
    assert found.value("xvirt_volume_allocation_bytes", **labels) == 200 << 10


def test_work_is_counted_by_subject_and_outcome() -> None:
    instruments = Instruments()
    instruments.ended(Work.STEP, "define-domain", "ok", 0.2)
    instruments.ended(Work.STEP, "define-domain", "Refused", 0.3)
    instruments.ended(Work.RPC, "Apply", "ok", 0.01)
    found = Scrape(instruments.registry)
    assert found.value("xvirt_step_seconds_count", step="define-domain", outcome="ok") == 1
    assert found.value("xvirt_step_seconds_sum", step="define-domain", outcome="Refused") == 0.3
    assert found.value("xvirt_rpc_seconds_bucket", method="Apply", le="0.01") == 1
    assert {"process_resident_memory_bytes", "python_info"} <= found.names()


def test_every_kind_of_work_has_a_histogram() -> None:
    instruments = Instruments()
    for work in Work:
        instruments.ended(work, "x", "ok", 1.0)
    counts = [name for name in Scrape(instruments.registry).names() if name.startswith("xvirt_") and "_count" in name]
    assert len(counts) == len(Work)
