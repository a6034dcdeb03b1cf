"""Each field of each kind in specs that differ in it alone: without it, with a value, with another value.

Made from the model as `specimens` are. What a field cannot be without, by a rule across fields, stands in `COMPANIONS`; a new field that
needs something and has no row there yields a spec that is not valid, and its tests say so.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from tests.unit.model.specimens import REPAIRS, SAMPLES, Map, Path, fields, name_of, sample
from xvirt import API_VERSION
from xvirt.model.captions import choices, nested_class
from xvirt.model.fields import Attribute, Format, attributes, element_type, is_string_map, is_tree
from xvirt.model.kinds import Kind
from xvirt.model.quantity import ByteSize
from xvirt.model.validation import validate

OTHERS = {
    Format.TEXT: "other text",
    Format.LABEL: "db",
    Format.LABEL_VALUE: "db_2",
    Format.MAC: "02:00:5e:10:00:02",
    Format.IP: "192.0.2.8",
    Format.INTERFACE_CIDR: "192.0.2.2/25",
    Format.UUID: "6ba7b811-9dad-41d1-80b4-00c04fd430c8",
    Format.CHECKSUM: f"sha256:{'1' * 64}",
    Format.HOST_PATH: "/var/lib/others",
    Format.VOLUME_GROUP: "vg-others",
    Format.CONTAINER_IMAGE: "quay.io/containerdisks/fedora:41",
    Format.URL: "https://example.org/other.qcow2",
    Format.DEVICE_NAME: "br1",
    Format.CPU_MODEL: "maximum",
    Format.DOMAIN_NAME: "example.net",
    Format.SERIAL: "disk-2",
    Format.PRINTABLE: "other value",
    Format.URL_PATH: "/readyz",
    Format.SSH_KEY: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAnotherAnotherAnotherAnotherAnotherAnother",
    Format.DNS_TEXT: "v=spf1 mx -all",
    Format.TIMESTAMP: "2024-02-29T12:00:00Z",
}
"""Beside `SAMPLES`."""

_RNG: Map = {"@model": "virtio", "backend": {"@model": "random", "#text": "/dev/urandom"}}
VALUES: dict[str, tuple[Any, Any]] = {
    "VirtualHostSpec.address": ("192.0.2.10:9443", "[2001:db8::1]:9443"),
    "VirtualMachineSpec.machine": ("pc", "pc-q35-7.2"),
    "VirtualMachineSpec.domain": ({"title": "one"}, {"devices": {"rng": [_RNG, _RNG]}}),
    "Probe.initialDelaySeconds": (10, 20),
    "LivenessProbe.initialDelaySeconds": (10, 20),
    "VirtualNetworkSpec.network": ({"title": "one"}, {"title": "other"}),
    "StoragePoolSpec.pool": (
        {"target": {"permissions": {"mode": "0711"}}},
        {"target": {"permissions": {"mode": "0700"}}},
    ),
}
"""Of fields whose grammar is not all that is asked of their value."""

_TWELVE = 12
"""vCPUs, which can be sockets, cores and threads in several ways."""

_CARDS = [{"name": name, "network": "lan"} for name in ("first", SAMPLES[Format.LABEL], OTHERS[Format.LABEL])]
Companions = Map | Callable[[Any], Map]
COMPANIONS: dict[str, Companions] = {
    "Cpu.topology": {"cores": _TWELVE},
    "Cpu.features": {"model": "host-model"},
    "CpuTopology.sockets": lambda count: {"cores": _TWELVE // count},
    "CpuTopology.cores": lambda count: {"sockets": _TWELVE // count},
    "CpuTopology.threads": lambda count: {"sockets": 1, "cores": _TWELVE // (count or 1)},
    "Memory.hotplug": {"max": "1Gi"},
    "Firmware.secureBoot": {"type": "Uefi"},
    "VirtualMachineSpec.disks": {"ioThreads": 4},
    "VirtualMachineSpec.readinessProbe": {"nics": _CARDS},
    "VirtualMachineSpec.livenessProbe": {"nics": _CARDS},
    "Disk": {"source": {"size": "1Gi"}},
    "Disk.adopted": {"name": "vda"},
    "Disk.forceEject": {"device": "Cdrom", "bus": "sata", "source": {"image": "web"}},
    "DiskSource.copy": {"image": "web"},
    "VolumeSource.copy": {"image": "web"},
    "DiskLimits.group": {"totalIops": {"perSecond": 100}},
    "DiskLimits.iopsSize": {"totalIops": {"perSecond": 100}},
    "ByteRate.burstSeconds": {"burst": "1Mi"},
    "OperationRate.burstSeconds": {"burst": 1000},
    "Nic.adopted": {"mac": SAMPLES[Format.MAC]},
    "TextSource.key": {"secret": "web"},
    "VirtualNetworkSpec": {"subnets": [{"address": "192.0.2.1/24"}]},
    "VirtualNetworkSpec.bridge": {"mode": "Bridge"},
    "VirtualNetworkSpec.vlan": {"mode": "Bridge", "bridge": "br0"},
    "DhcpRange": {"start": "192.0.2.5", "end": "192.0.2.9"},
    "Route": {"destination": "203.0.113.0/24"},
    "StoragePoolSpec.volumeGroup": {"type": "Lvm"},
    "StoragePoolSpec.devices": {"type": "Lvm"},
}
"""What stands beside a field in all of its specs, or what its value makes of its neighbours; of a class: unless it says so itself."""


@dataclasses.dataclass(frozen=True)
class Variant:
    """One field. `absent`: None where a spec cannot be without it."""

    kind: Kind
    path: Path
    item: Attribute
    value: Any
    other: Any
    absent: Map | None
    given: Map
    changed: Map

    @property
    def name(self) -> str:
        return f"{self.kind.name}-{name_of(self.path)}"

    @property
    def specs(self) -> list[Map]:
        """All that there are."""
        return [spec for spec in (self.absent, self.given, self.changed) if spec is not None]


def variants(kind: Kind) -> list[Variant]:
    """Of all fields that hold a value of their own."""
    return [_vary(kind, path, item) for path, item in fields(kind.spec, ("spec",)) if _is_leaf(item)]


def document(kind: Kind, spec: Map, name: str = "a") -> Map:
    """Of a spec."""
    return {"apiVersion": API_VERSION, "kind": kind.name, "metadata": {"name": name}, "spec": spec}


def _is_leaf(item: Attribute) -> bool:
    inner = nested_class(item.annotation)
    return inner is None or not attributes(inner)


def _vary(kind: Kind, path: Path, item: Attribute) -> Variant:
    value, other = _values(kind, path, item)
    given, changed = (_grow(kind.spec, path[1:], each) for each in (value, other))
    bare = _without(_grow(kind.spec, path[1:], None), path[1:])
    absent = None if validate(document(kind, bare)) else bare
    return Variant(kind, path, item, value, other, absent, given, changed)


def _values(kind: Kind, path: Path, item: Attribute) -> tuple[Any, Any]:
    """Two values, none of which is the default where there are enough."""
    own = VALUES.get(f"{_owner(kind.spec, path[1:]).__name__}.{item.json_name}")
    if own is not None:
        return own
    inner = element_type(item.annotation)
    one, two = _scalars(inner or item.annotation, item)
    return ([one], [two]) if inner is not None else (one, two)


def _scalars(annotation: Any, item: Attribute) -> tuple[Any, Any]:
    spec = item.spec
    if choices(item):
        default = getattr(item.default, "value", None)
        found = [each for each in choices(item) if each != default]
        return (*found, default)[:2]  # type: ignore[return-value]
    if annotation is bool:
        return item.default is not True, item.default is True
    if annotation is int:
        first = max(spec.minimum or 0, 1)
        numbers = [number for number in range(first, first + 4) if number not in (item.default, 1)]
        return numbers[0], numbers[1]
    if annotation is ByteSize:
        least = spec.minimum or 1
        return str(ByteSize(least * 2)), str(ByteSize(least * 4))
    if annotation is str:
        return SAMPLES[spec.format], OTHERS[spec.format]
    if is_string_map(annotation):
        return {"example.org/key": SAMPLES[spec.format]}, {"example.org/key": OTHERS[spec.format]}
    assert not is_tree(annotation), f"{item.name} is a tree: give VALUES two that libvirt could take"
    return {}, {}  # a question without fields


def _owner(cls: Any, path: Path) -> Any:
    """The class whose field a path ends at."""
    item = next(item for item in attributes(cls) if item.json_name == path[0])
    rest = path[2:] if path[1:2] == (0,) else path[1:]
    return _owner(nested_class(item.annotation), rest) if rest else cls


def _grow(cls: Any, path: Path, value: Any) -> Map:
    """The least map with a value at a place; without it where the value is None."""
    item = next(item for item in attributes(cls) if item.json_name == path[0])
    is_entry = path[1:2] == (0,)
    rest = path[2:] if is_entry else path[1:]
    child = _grow(nested_class(item.annotation), rest, value) if rest else value
    child = [child] if is_entry else child
    own = {} if child is None else {item.json_name: child}
    beside = COMPANIONS.get(f"{cls.__name__}.{item.json_name}", {})
    beside = beside(child) if callable(beside) and child is not None else {} if callable(beside) else beside
    made = _least(cls) | COMPANIONS.get(cls.__name__, {}) | beside | own  # type: ignore[operator]
    return dict(_repair(cls, made) | beside | own)


def _least(cls: Any) -> Map:
    """What a map of a class cannot be without."""
    made: Map = {}
    for item in attributes(cls):
        if item.is_required:
            inner = nested_class(item.annotation)
            entry = sample(item.annotation, item.spec) if inner is None else _repair(inner, _least(inner))
            made[item.json_name] = [entry] if inner is not None and element_type(item.annotation) else entry
    return made


def _repair(cls: Any, value: Map) -> Map:
    repair: Callable[[Map], Map] = REPAIRS.get(cls.__name__, lambda each: each)
    return repair(value)


def _without(spec: Map, path: Path) -> Map:
    *places, last = path
    place: Any = spec
    for part in places:
        place = place[part]
    place.pop(last, None)
    return spec


def every_variant(kinds: tuple[Kind, ...]) -> Iterator[Variant]:
    """Of all kinds."""
    for kind in kinds:
        yield from variants(kind)
