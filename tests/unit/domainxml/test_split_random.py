"""Any spec of base Bare, rendered and split, is the spec again."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from xvirt.domainxml.assemble import assemble_domain
from xvirt.domainxml.context import DomainContext
from xvirt.domainxml.split import split_domain
from xvirt.model.machine.disk import Disk, DiskBus, DiskCache, DiskDevice, DiskDiscard, DiskFormat, DiskSource
from xvirt.model.machine.hardware import (
    Cpu,
    CpuFeature,
    CpuTopology,
    Devices,
    FeaturePolicy,
    Firmware,
    FirmwareType,
    GraphicsType,
    Memory,
    MemoryHotplug,
    WatchdogAction,
)
from xvirt.model.machine.nic import LinkState, Nic, NicBandwidth, NicModel, TrafficLimit
from xvirt.model.meta import ObjectMeta, Resource
from xvirt.model.quantity import ByteSize
from xvirt.model.virtualmachine import MachineBase, MachineDeletionPolicy, RunStrategy, VirtualMachineSpec

MIB = 1 << 20
CONTEXT = DomainContext(
    uuid="6ba7b810-9dad-41d1-80b4-00c04fd430c8",
    name="old",
    domain_type="kvm",
    architecture="x86_64",
    disks={},
    networks={},
)
_names = st.text("abcdefgh", min_size=1, max_size=6)


@st.composite
def cpus(draw: Any) -> Cpu:
    possible, cores = draw(st.integers(1, 16)), draw(st.integers(1, 16))
    model = draw(st.sampled_from([None, "host-model", "host-passthrough", "qemu64"]))
    policies = draw(st.dictionaries(_names, st.sampled_from(FeaturePolicy), max_size=3)) if model else {}
    return Cpu(
        cores=min(cores, possible),
        max=possible if possible > cores else None,
        topology=draw(st.sampled_from([None, CpuTopology(sockets=1, cores=max(possible, min(cores, possible)))])),
        model=model,
        features=tuple(CpuFeature(name=name, policy=policy) for name, policy in policies.items()),
    )


@st.composite
def memories(draw: Any) -> Memory:
    size, more = draw(st.integers(16, 4096)) * MIB, draw(st.integers(0, 64)) * MIB
    if not more:
        return Memory(size=ByteSize(size))
    return Memory(size=ByteSize(size), max=ByteSize(size + more), hotplug=MemoryHotplug.BALLOON)


@st.composite
def disks(draw: Any) -> tuple[Disk, ...]:
    names = draw(st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=4))
    return tuple(draw(_disk(letter, number + 1)) for number, letter in enumerate(names))


@st.composite
def _disk(draw: Any, letter: str, order: int) -> Disk:
    device, is_adopted = draw(st.sampled_from(DiskDevice)), draw(st.booleans())
    buses = [DiskBus.VIRTIO, DiskBus.SATA] if device is DiskDevice.DISK else [DiskBus.SATA]
    bus = draw(st.sampled_from(buses))
    path = draw(st.sampled_from([f"/srv/{letter}.img", f"/dev/vg/{letter}"]))
    is_empty = device is DiskDevice.CDROM and draw(st.booleans())
    return Disk(
        name=("vd" if bus is DiskBus.VIRTIO else "sd") + letter,
        adopted=is_adopted,
        source=None if is_empty else DiskSource(path=path),
        device=device,
        bus=bus,
        format=DiskFormat.RAW if is_empty else draw(st.sampled_from(DiskFormat)),
        read_only=device is DiskDevice.DISK and draw(st.booleans()),
        cache=draw(st.none() | st.sampled_from(DiskCache)),
        discard=draw(st.sampled_from(DiskDiscard)) if device is DiskDevice.DISK else DiskDiscard.UNMAP,
        serial=draw(st.sampled_from([None, "S-1"])),
        boot_order=draw(st.sampled_from([None, order])),
    )


@st.composite
def nics(draw: Any) -> tuple[Nic, ...]:
    found = []
    for number in range(draw(st.integers(0, 3))):
        is_adopted, model = draw(st.booleans()), draw(st.sampled_from(NicModel))
        limit = TrafficLimit(average=ByteSize(5000), burst=ByteSize(2048))
        is_bridge = draw(st.booleans())
        found.append(
            Nic(
                name=f"net{number}",
                adopted=is_adopted,
                mac=f"52:54:00:00:00:{number:02x}",
                bridge="br0" if is_bridge else None,
                libvirt_network=None if is_bridge else "lab net",
                model=model,
                link_state=draw(st.sampled_from(LinkState)),
                bandwidth=draw(st.sampled_from([None, NicBandwidth(inbound=limit)])),
                queues=2 if model is NicModel.VIRTIO and draw(st.booleans()) else None,
                mtu=draw(st.sampled_from([None, 1400])),
            )
        )
    return tuple(found)


specs = st.builds(
    VirtualMachineSpec,
    base=st.just(MachineBase.BARE),
    cpu=cpus(),
    memory=memories(),
    machine=st.sampled_from(["pc-q35-7.2", "pc-i440fx-7.2"]),
    firmware=st.sampled_from(
        [Firmware(), Firmware(type=FirmwareType.UEFI), Firmware(type=FirmwareType.UEFI, secure_boot=True)]
    ),
    disks=disks(),
    nics=nics(),
    devices=st.builds(
        Devices,
        guest_agent=st.booleans(),
        rng=st.booleans(),
        tpm=st.booleans(),
        graphics=st.sampled_from(GraphicsType),
        watchdog=st.none() | st.sampled_from(WatchdogAction),
        hotplug_ports=st.just(0),
    ),
    run_strategy=st.just(RunStrategy.MANUAL),
    deletion_policy=st.just(MachineDeletionPolicy.DETACH),
)


@given(specs)
def test_row_10_what_is_rendered_is_split_into_its_spec_without_an_overlay(spec: VirtualMachineSpec) -> None:
    root = assemble_domain(Resource("VirtualMachine", ObjectMeta(name="old"), spec), CONTEXT)
    split = split_domain(root)
    assert split.overlay == {}
    assert split.spec == dataclasses.replace(spec, domain=None)
