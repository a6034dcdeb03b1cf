"""The rules of a domain as tables: element path below `domain` -> its attributes and text, each with the predicate that it must meet.

An element, attribute or text that stands in no table is denied, so what a new libvirt brings is denied until it gets a row here.
`restricted` holds what concerns the guest alone; `baseline` adds what shares the host's CPUs, memory and I/O otherwise; neither names
a file, device, program or address of the host, unless the node computed it. The dangers that are kept out are listed by
`xvirt.policy.dangers`.
"""

from __future__ import annotations

from collections.abc import Mapping

from xvirt.model.limits import IO_THREADS_MAX
from xvirt.policy.allowed import Allowed, below, element, leaves, settings
from xvirt.policy.device_rules import DEVICES, SHARED_DEVICES
from xvirt.policy.predicates import anything, number, one_of, plain, signed, switch, up_to

_SIZE = element(number, unit=plain)
_STATE = element(state=switch)
_AFTER = element(one_of("destroy", "restart", "preserve", "rename-restart"))

_GENERAL: dict[str, Allowed] = {
    "": element(type=one_of("kvm", "qemu")),
    "name": element(anything),
    "uuid": element(plain),
    "genid": element(plain),
    "title": element(anything),
    "description": element(anything),
    "memory": element(number, unit=plain, dumpCore=one_of("off")),
    "currentMemory": _SIZE,
    "maxMemory": element(number, unit=plain, slots=number),
    "vcpu": element(number, placement=one_of("static"), current=number),
    "iothreads": element(up_to(IO_THREADS_MAX)),
    "vcpus": element(),
    "vcpus/vcpu": element(id=number, enabled=switch, hotpluggable=switch, order=number),
    "cpu": element(mode=plain, match=plain, check=plain, migratable=switch),
    "cpu/model": element(plain, fallback=plain, vendor_id=plain),
    "cpu/vendor": element(plain),
    "cpu/topology": element(sockets=number, dies=number, clusters=number, cores=number, threads=number),
    "cpu/feature": element(policy=plain, name=plain),
    "cpu/cache": element(level=number, mode=plain),
    "cpu/maxphysaddr": element(mode=plain, bits=number),
    "cpu/numa": element(),
    "cpu/numa/cell": element(id=number, cpus=plain, memory=number, unit=plain),
    "cpu/numa/cell/distances": element(),
    "cpu/numa/cell/distances/sibling": settings("id value", number),
    "os": element(firmware=one_of("efi", "bios")),
    "os/type": element(one_of("hvm"), arch=plain, machine=plain),
    "os/firmware": element(),
    "os/firmware/feature": element(enabled=switch, name=plain),
    "os/boot": element(dev=plain),
    "os/bootmenu": element(enable=switch, timeout=number),
    "os/bios": element(useserial=switch, rebootTimeout=plain),
    "os/smbios": element(mode=one_of("emulate", "sysinfo")),
    "features": element(),
    "clock": element(offset=plain, adjustment=plain, basis=plain, timezone=plain, start=number),
    "clock/timer": settings("name track tickpolicy present frequency mode", plain),
    "clock/timer/catchup": settings("threshold slew limit", number),
    "on_poweroff": _AFTER,
    "on_reboot": _AFTER,
    "on_crash": _AFTER,
    "pm": element(),
    "pm/suspend-to-mem": element(enabled=switch),
    "pm/suspend-to-disk": element(enabled=switch),
    "devices": element(),
}

_FEATURES: dict[str, Allowed] = {
    **leaves("acpi pae", element()),
    **leaves("hap pvspinlock pmu vmport vmcoreinfo", _STATE),
    "apic": element(eoi=switch),
    "hyperv": element(mode=plain),
    **below(
        "hyperv",
        leaves(
            "relaxed vapic vpindex runtime synic reset frequencies reenlightenment ipi evmcs avic emsr_bitmap xmm_input",
            _STATE,
        ),
    ),
    "hyperv/spinlocks": element(state=switch, retries=number),
    "hyperv/stimer": _STATE,
    "hyperv/stimer/direct": _STATE,
    "hyperv/tlbflush": _STATE,
    "hyperv/tlbflush/direct": _STATE,
    "hyperv/tlbflush/extended": _STATE,
    "hyperv/vendor_id": element(state=switch, value=plain),
    "kvm": element(),
    **below("kvm", leaves("hidden hint-dedicated poll-control pv-ipi", _STATE)),
    "kvm/dirty-ring": element(state=switch, size=number),
    "smm": _STATE,
    "smm/tseg": _SIZE,
    "ioapic": element(driver=plain),
    "msrs": element(unknown=plain),
    "tcg": element(),
    "tcg/tb-cache": _SIZE,
}

RESTRICTED: Mapping[str, Allowed] = {**_GENERAL, **below("features", _FEATURES), **DEVICES}

_TUNING: dict[str, Allowed] = {
    "cputune": element(),
    "cputune/shares": element(number),
    **below("cputune", leaves("global_period period emulator_period iothread_period", element(number))),
    **below("cputune", leaves("global_quota quota emulator_quota iothread_quota", element(signed))),
    "cputune/vcpupin": element(vcpu=number, cpuset=plain),
    "cputune/emulatorpin": element(cpuset=plain),
    "cputune/iothreadpin": element(iothread=number, cpuset=plain),
    "memtune": element(),
    **below("memtune", leaves("hard_limit soft_limit min_guarantee swap_hard_limit", _SIZE)),
    "numatune": element(),
    "numatune/memory": settings("mode placement nodeset", plain),
    "numatune/memnode": settings("cellid mode nodeset", plain),
    "blkiotune": element(),
    "blkiotune/weight": element(number),
    "perf": element(),
    "perf/event": element(name=plain, enabled=switch),
}

_SHARES: dict[str, Allowed] = {
    "vcpu": element(number, placement=one_of("static", "auto"), current=number, cpuset=plain),
    "iothreads": element(number),
    "iothreadids": element(),
    "iothreadids/iothread": settings("id thread_pool_min thread_pool_max", number),
    "defaultiothread": settings("thread_pool_min thread_pool_max", number),
    "cpu/numa/cell": element(id=number, cpus=plain, memory=number, unit=plain, memAccess=plain, discard=switch),
    "memoryBacking": element(),
    "memoryBacking/hugepages": element(),
    "memoryBacking/hugepages/page": settings("size unit nodeset", plain),
    "memoryBacking/nosharepages": element(),
    "memoryBacking/discard": element(),
    "sysinfo": element(type=one_of("smbios")),
}

_SMBIOS = {
    path: allowed
    for table in ("bios", "system", "baseBoard", "chassis")
    for path, allowed in (
        (f"sysinfo/{table}", element()),
        (f"sysinfo/{table}/entry", element(anything, name=plain)),
    )
} | {"sysinfo/oemStrings": element(), "sysinfo/oemStrings/entry": element(anything)}

BASELINE: Mapping[str, Allowed] = {**RESTRICTED, **_TUNING, **_SHARES, **_SMBIOS, **SHARED_DEVICES}
