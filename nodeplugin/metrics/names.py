"""The `libvirt_*` family, named as Tinkoff/libvirt-exporter names it, so that its dashboards and rules go on working.

Each table maps libvirt's name of a statistic (virConnectGetAllDomainStats) to a series and the factor to its unit.
"""

from __future__ import annotations

import dataclasses
import enum

NS = 1e-9
KIB = 1024.0


class Shape(enum.Enum):
    """How Prometheus takes a series."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclasses.dataclass(frozen=True)
class Series:
    """One series. `factor` turns libvirt's unit into bytes or seconds."""

    key: str
    name: str
    shape: Shape
    doc: str
    factor: float = 1.0


_C, _G = Shape.COUNTER, Shape.GAUGE

DOMAIN = (
    Series(
        "state.state", "libvirt_domain_info_vstate", _G, "virDomainState: 1 running, 3 paused, 5 shut off, 6 crashed."
    ),
    Series("balloon.maximum", "libvirt_domain_info_maximum_memory_bytes", _G, "Memory the domain may have.", KIB),
    Series("balloon.current", "libvirt_domain_info_memory_usage_bytes", _G, "Memory the domain has.", KIB),
    Series("vcpu.current", "libvirt_domain_info_virtual_cpus", _G, "vCPUs online."),
    Series("cpu.time", "libvirt_domain_info_cpu_time_seconds_total", _C, "CPU time of QEMU and its guest.", NS),
    Series("cpu.user", "libvirt_domain_info_cpu_user_seconds_total", _C, "Of it: in user mode.", NS),
    Series("cpu.system", "libvirt_domain_info_cpu_system_seconds_total", _C, "Of it: in the host's kernel.", NS),
    Series("balloon.current", "libvirt_domain_memory_stats_actual_balloon_bytes", _G, "Balloon's value.", KIB),
    Series("balloon.rss", "libvirt_domain_memory_stats_rss_bytes", _G, "Resident memory of QEMU.", KIB),
    Series("balloon.unused", "libvirt_domain_memory_stats_unused_bytes", _G, "Free memory, as the guest says.", KIB),
    Series(
        "balloon.available", "libvirt_domain_memory_stats_available_bytes", _G, "The guest's memory, as it says.", KIB
    ),
    Series("balloon.usable", "libvirt_domain_memory_stats_usable_bytes", _G, "Memory the guest could spare.", KIB),
    Series("balloon.disk_caches", "libvirt_domain_memory_stats_disk_cache_bytes", _G, "The guest's page cache.", KIB),
    Series("balloon.major_fault", "libvirt_domain_memory_stats_major_fault_total", _C, "Faults that needed a disk."),
    Series("balloon.minor_fault", "libvirt_domain_memory_stats_minor_fault_total", _C, "Faults that needed none."),
    Series("balloon.swap_in", "libvirt_domain_memory_stats_swap_in_bytes_total", _C, "Swapped in by the guest.", KIB),
    Series(
        "balloon.swap_out", "libvirt_domain_memory_stats_swap_out_bytes_total", _C, "Swapped out by the guest.", KIB
    ),
)
"""Labels: domain."""

USED_PERCENT = "libvirt_domain_memory_stats_used_percent"

VCPU = (
    Series("state", "libvirt_domain_vcpu_state", _G, "0 offline, 1 running, 2 blocked."),
    Series("time", "libvirt_domain_vcpu_time_seconds_total", _C, "CPU time of the vCPU.", NS),
    Series("wait", "libvirt_domain_vcpu_wait_seconds_total", _C, "Time it waited for I/O.", NS),
    Series("delay", "libvirt_domain_vcpu_delay_seconds_total", _C, "Time it waited for a host CPU: steal.", NS),
)
"""Labels: domain, vcpu."""

BLOCK = (
    Series("rd.bytes", "libvirt_domain_block_stats_read_bytes_total", _C, "Bytes read."),
    Series("rd.reqs", "libvirt_domain_block_stats_read_requests_total", _C, "Requests to read."),
    Series("rd.times", "libvirt_domain_block_stats_read_time_seconds_total", _C, "Time spent reading.", NS),
    Series("wr.bytes", "libvirt_domain_block_stats_write_bytes_total", _C, "Bytes written."),
    Series("wr.reqs", "libvirt_domain_block_stats_write_requests_total", _C, "Requests to write."),
    Series("wr.times", "libvirt_domain_block_stats_write_time_seconds_total", _C, "Time spent writing.", NS),
    Series("fl.reqs", "libvirt_domain_block_stats_flush_requests_total", _C, "Requests to flush."),
    Series("fl.times", "libvirt_domain_block_stats_flush_time_seconds_total", _C, "Time spent flushing.", NS),
    Series("allocation", "libvirt_domain_block_stats_allocation", _G, "Highest byte written."),
    Series("capacity", "libvirt_domain_block_stats_capacity_bytes", _G, "Size that the guest sees."),
    Series("physical", "libvirt_domain_block_stats_physicalsize_bytes", _G, "Size of the file or device."),
    Series("threshold", "libvirt_domain_block_stats_threshold_bytes", _G, "Write threshold that is watched."),
)
"""Labels: domain, target_device."""

INTERFACE = tuple(
    Series(f"{way}.{key}", f"libvirt_domain_interface_stats_{word}_{what}_total", _C, f"{what} {word}d.".capitalize())
    for way, word in (("rx", "receive"), ("tx", "transmit"))
    for key, what in (("bytes", "bytes"), ("pkts", "packets"), ("errs", "errors"), ("drop", "drops"))
)
"""Labels: domain, target_device."""

LIMITS = {
    "total_bytes_sec": "limit_total_bytes",
    "write_bytes_sec": "limit_write_bytes",
    "read_bytes_sec": "limit_read_bytes",
    "total_iops_sec": "limit_total_requests",
    "write_iops_sec": "limit_write_requests",
    "read_iops_sec": "limit_read_requests",
    "total_bytes_sec_max": "limit_burst_total_bytes",
    "write_bytes_sec_max": "limit_burst_write_bytes",
    "read_bytes_sec_max": "limit_burst_read_bytes",
    "total_iops_sec_max": "limit_burst_total_requests",
    "write_iops_sec_max": "limit_burst_write_requests",
    "read_iops_sec_max": "limit_burst_read_requests",
    "size_iops_sec": "size_iops_bytes",
}
"""Element of `<iotune>` -> `libvirt_domain_block_stats_...`."""

INFO_META = (
    *("domain", "uuid", "instance_name", "flavor", "user_name", "user_uuid"),
    *("project_name", "project_uuid", "root_type", "root_uuid"),
)
BLOCK_META = (
    *("domain", "target_device", "source_file", "serial", "bus", "disk_type", "driver_type", "cache", "discard"),
)
INTERFACE_META = ("domain", "source_bridge", "target_device", "virtual_interface")
