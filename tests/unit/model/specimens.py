"""Documents made from the model itself: every field set, random ones, and the way to each field."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from xvirt import API_VERSION
from xvirt.model.captions import choices, nested_class
from xvirt.model.fields import (
    Attribute,
    FieldSpec,
    Format,
    attributes,
    element_type,
    is_spec_class,
    is_string_map,
    is_tree,
)
from xvirt.model.kinds import Kind
from xvirt.model.meta import ObjectMeta
from xvirt.model.quantity import ByteSize
from xvirt.model.wording import join

Path = tuple[str | int, ...]
Map = dict[str, Any]

SAMPLES = {
    Format.TEXT: "some text",
    Format.LABEL: "web",
    Format.LABEL_VALUE: "web_1",
    Format.MAC: "02:00:5e:10:00:01",
    Format.IP: "192.0.2.7",
    Format.INTERFACE_CIDR: "192.0.2.1/24",
    Format.UUID: "6ba7b810-9dad-41d1-80b4-00c04fd430c8",
    Format.CHECKSUM: f"sha256:{'0' * 64}",
    Format.HOST_PATH: "/var/lib/xvirt",
    Format.VOLUME_GROUP: "vg-guests",
    Format.CONTAINER_IMAGE: "quay.io/containerdisks/debian:12",
    Format.URL: "https://example.org/image.qcow2",
    Format.DEVICE_NAME: "br0",
    Format.CPU_MODEL: "host-model",
    Format.DOMAIN_NAME: "example.org",
    Format.SERIAL: "disk-1",
    Format.PRINTABLE: "some value",
    Format.URL_PATH: "/healthz",
    Format.SSH_KEY: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExample",
    Format.DNS_TEXT: "v=spf1 -all",
    Format.TIMESTAMP: "2024-01-31T12:00:00Z",
}


def full(cls: Any) -> Map:
    """A map with every field set to something that is valid by itself; rules across fields are not heeded."""
    return {item.json_name: sample(item.annotation, item.spec) for item in attributes(cls)}


def sample(annotation: Any, spec: FieldSpec) -> Any:
    inner = element_type(annotation)
    if inner is not None:
        return [sample(inner, spec)]
    if is_spec_class(annotation):
        return full(annotation)
    if is_string_map(annotation):
        return {"example.org/key": SAMPLES[spec.format]}
    if is_tree(annotation):
        return {"devices": {"rng": {"@model": "virtio", "backend": {"#text": "/dev/urandom"}}}}
    if annotation is bool:
        return True
    if annotation is int:
        return spec.minimum or 0
    if annotation is ByteSize:
        return str(ByteSize(spec.minimum or 0))
    return SAMPLES[spec.format] if annotation is str else next(iter(annotation)).value


def full_document(kind: Kind) -> Map:
    """A document whose fields are all set; it may break rules across fields."""
    return {"apiVersion": API_VERSION, "kind": kind.name, "metadata": full(ObjectMeta), "spec": full(kind.spec)}


def fields(cls: Any, path: Path) -> Iterator[tuple[Path, Attribute]]:
    """Every field below a class, with the place of its value in `full`."""
    for item in attributes(cls):
        place = (*path, item.json_name)
        yield place, item
        inner = nested_class(item.annotation)
        if inner is not None:
            yield from fields(inner, (*place, 0) if element_type(item.annotation) else place)


def scalars(kind: Kind, wanted: Any) -> list[tuple[Path, Attribute]]:
    """Places of all values of a type in a kind's document, entries of lists among them."""
    found = []
    for path, item in [*fields(ObjectMeta, ("metadata",)), *fields(kind.spec, ("spec",))]:
        if item.annotation is wanted:
            found.append((path, item))
        elif element_type(item.annotation) is wanted:
            found.append(((*path, 0), item))
    return found


def enums(kind: Kind) -> list[tuple[Path, Attribute]]:
    return [(path, item) for path, item in fields(kind.spec, ("spec",)) if choices(item)]


def name_of(path: Path) -> str:
    """The path as a problem writes it."""
    return functools.reduce(join, path, "")


def with_value(document: Map, path: Path, value: Any) -> Map:
    """A copy with one value replaced."""
    changed = copy.deepcopy(document)
    place: Any = changed
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return changed


def at(document: Any, path: Path) -> Any:
    for part in path:
        document = document[part]
    return document


# Random valid documents


def documents(kind: Kind) -> st.SearchStrategy[Map]:
    """Valid documents of a kind."""
    metadata = _maps(ObjectMeta)
    return st.builds(
        lambda meta, spec: {"apiVersion": API_VERSION, "kind": kind.name, "metadata": meta, "spec": spec},
        metadata,
        _maps(kind.spec),
    )


def _maps(cls: Any) -> st.SearchStrategy[Map]:
    required = {item.json_name: _values(item.annotation, item.spec) for item in attributes(cls) if item.is_required}
    optional = {item.json_name: _values(item.annotation, item.spec) for item in attributes(cls) if not item.is_required}
    repair = REPAIRS.get(cls.__name__, lambda value: value)
    return st.fixed_dictionaries(required, optional=optional).map(repair)


def _values(annotation: Any, spec: FieldSpec) -> st.SearchStrategy[Any]:
    inner = element_type(annotation)
    if inner is not None:
        unique = (lambda entry: entry[spec.list_key]) if spec.list_key else None
        return st.lists(_values(inner, spec), min_size=spec.min_items, max_size=3, unique_by=unique)
    if is_spec_class(annotation):
        return _maps(annotation)
    if is_string_map(annotation):
        return st.dictionaries(st.from_regex(r"\A[a-z]{1,8}(/[A-Za-z]{1,8})?\Z"), _texts(spec), max_size=3)
    if is_tree(annotation):
        return _trees()
    if annotation is bool:
        return st.booleans()
    if annotation is int:
        return st.integers(spec.minimum or 0, spec.maximum)
    if annotation is ByteSize:
        return _sizes(spec)
    return _texts(spec) if annotation is str else st.sampled_from([member.value for member in annotation])


def _sizes(spec: FieldSpec) -> st.SearchStrategy[int | str]:
    sizes = st.integers(spec.minimum or 0, spec.maximum)
    return st.one_of(sizes, sizes.map(str), sizes.map(lambda size: str(ByteSize(size >> 30 << 30 or size))))


def _texts(spec: FieldSpec) -> st.SearchStrategy[str]:
    if spec.format is Format.TEXT:
        alphabet = st.characters(exclude_categories=("Cc", "Cs", "Cn", "Co"), include_characters="\n\t")
        return st.text(alphabet, max_size=min(spec.max_length, 40))
    letters = st.text("abcdefxyz0123456789", min_size=1, max_size=12)
    numbers = st.integers(0, 255)
    made: dict[Format, st.SearchStrategy[str]] = {
        Format.LABEL: letters,
        Format.LABEL_VALUE: letters,
        Format.SERIAL: letters,
        Format.DEVICE_NAME: letters,
        Format.CPU_MODEL: letters,
        Format.DOMAIN_NAME: letters,
        Format.HOST_PATH: letters.map("/var/{}".format),
        Format.VOLUME_GROUP: letters.map("vg{}".format),
        Format.CONTAINER_IMAGE: letters.map("registry.example/{}".format),
        Format.URL: letters.map("https://example.org/{}".format),
        Format.MAC: numbers.map(lambda number: f"02:00:5e:10:00:{number:02x}"),
        Format.IP: numbers.map("192.0.2.{}".format),
        Format.INTERFACE_CIDR: numbers.map("192.0.2.{}/24".format),
    }
    return made.get(spec.format, st.just(SAMPLES[spec.format]))


def _trees() -> st.SearchStrategy[Map]:
    names = st.from_regex(r"\A@?[a-z]{1,8}\Z")
    nodes = st.recursive(
        st.just("text"), lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(names, inner))
    )
    return st.dictionaries(names, nodes, max_size=3)


def _keep_one(value: Map, names: tuple[str, ...]) -> Map:
    present = [name for name in names if name in value]
    return {name: entry for name, entry in value.items() if name not in present[1:]}


_IMAGE_SOURCES = ("path", "url", "upload", "containerDisk")


def _repair_image(value: Map) -> Map:
    is_container = "containerDisk" in value["source"]
    return {key: entry for key, entry in value.items() if key != "compression"} if is_container else value


def _repair_cpu(value: Map) -> Map:
    cores = value.get("cores", 1)
    if "max" in value:
        value = value | {"max": max(value["max"], cores)}
    if "topology" in value:
        value = value | {"topology": {"sockets": value.get("max", cores), "cores": 1}}
    return value if "model" in value else {key: entry for key, entry in value.items() if key != "features"}


def _repair_memory(value: Map) -> Map:
    return value | {"max": max(value["max"], value["size"], key=ByteSize)} if "max" in value else value


def _repair_disk_source(value: Map) -> Map:
    value = _keep_one(value, ("image", "disk", "clone", "path"))
    if {"disk", "path"} & set(value):
        return {key: entry for key, entry in value.items() if key != "size"}
    return value if {"image", "clone"} & set(value) else {"size": "10Gi"} | value


def _repair_preallocation(value: Map) -> Map:
    source = value.get("source", {})
    is_raw, is_full = value.get("format") == "raw", source.get("copy") == "Full"
    is_wrong = value.get("preallocation") == "Metadata" if is_raw else "image" in source and not is_full
    return _without(value, "preallocation") if is_wrong else value


def _repair_disk(value: Map) -> Map:
    value = _repair_preallocation(value)
    if "source" not in value:
        value = value | {"device": "Cdrom"}
    if value.get("adopted"):
        value = value | {"name": "vd" + "".join(letter for letter in value["name"] if letter.isalpha())[:2] + "a"}
    if value.get("device") == "Cdrom":
        value = _without(value, "ioLimits") | {"bus": "sata"}
        if "source" in value:
            value = value | {"source": _without(value["source"], "size", "clone")}
            value = value if {"image", "disk"} & set(value["source"]) else _without(value, "source")
    if value.get("bus", "virtio") != "virtio":
        value = _without(value, "queues", "ioThread")
    if value.get("io") == "native":
        value = value | {"cache": "none"}
    return value | {"discard": "unmap"} if value.get("detectZeroes") == "unmap" else value


def _repair_rate(value: Map) -> Map:
    if "burst" not in value:
        return _without(value, "burstSeconds")
    return value | {"burst": max(value["burst"], value["perSecond"], key=ByteSize)}


def _repair_limits(value: Map) -> Map:
    for unit in ("Bytes", "Iops"):
        if f"total{unit}" in value:
            value = _without(value, f"read{unit}", f"write{unit}")
    if not {"totalIops", "readIops", "writeIops"} & set(value):
        value = _without(value, "iopsSize")
    return value if set(value) - {"group", "iopsSize"} else _without(value, "group")


def _repair_text_source(value: Map) -> Map:
    return _keep_one(value, ("inline", "secret")) if {"inline", "secret"} & set(value) else value | {"inline": ""}


def _repair_machine(value: Map) -> Map:
    nics = []
    macs: set[str] = set()
    for nic in value.get("nics", []):
        mac = nic.get("mac")
        nics.append(_without(_without(nic, "mac"), "adopted") if mac in macs else nic)
        macs.add(mac)
    disks = [_without(disk, "ioLimits") if number else disk for number, disk in enumerate(value.get("disks", []))]
    threads = max([value.get("ioThreads", 0), *(disk.get("ioThread", 0) for disk in disks)])
    devices = {key: entry for key, entry in value.get("devices", {}).items() if key != "guestAgent"}
    return value | {"nics": nics, "disks": disks, "ioThreads": threads, "devices": devices}


_QUESTIONS = ("tcpSocket", "httpGet", "exec", "guestAgentPing")


def _repair_probe(value: Map) -> Map:
    return _keep_one(value, _QUESTIONS) if set(_QUESTIONS) & set(value) else value | {"tcpSocket": {"port": 22}}


def _repair_network(value: Map) -> Map:
    mode = value.get("mode", "Nat")
    if mode == "Bridge":
        return _without(value, "subnets", "dns", "routes", "network") | {"bridge": "br0"}
    value = _without(value, "bridge", "vlan")
    if mode in ("Nat", "Routed") and not value.get("subnets"):
        value = value | {"subnets": [{"address": "198.51.100.1/24"}]}
    if not value.get("subnets"):
        return _without(value, "dns", "routes")
    first, *others = value["subnets"]
    is_near = first["address"].startswith("192.0.2.")
    value = value | {"subnets": [first, *(_without(subnet, "dhcp") for subnet in others)]}
    return value if is_near else _without(value, "routes")


def _without(value: Map, *names: str) -> Map:
    return {key: entry for key, entry in value.items() if key not in names}


def _repair_nic(value: Map) -> Map:
    value = _keep_one(value, ("network", "libvirtNetwork", "bridge"))
    if not {"network", "libvirtNetwork", "bridge"} & set(value):
        value = value | {"network": "lan"}
    if "mac" not in value:
        value = _without(value, "adopted")
    return value if value.get("model", "virtio") == "virtio" else _without(value, "queues")


def _repair_range(value: Map) -> Map:
    start, end = sorted((value["start"], value["end"]), key=lambda text: int(text.rpartition(".")[2]))
    return {"start": start, "end": end}


def _repair_volume(value: Map) -> Map:
    value = _repair_preallocation(value)
    return value if {"image", "clone"} & set(value.get("source", {})) else {"size": "1Gi"} | value


def _repair_pool(value: Map) -> Map:
    if value.get("type") == "Lvm":
        return {"volumeGroup": "vg0"} | _without(value, "path")
    return {"path": "/var/pool"} | _without(value, "volumeGroup", "devices")


REPAIRS: dict[str, Any] = {
    "Cpu": _repair_cpu,
    "Memory": _repair_memory,
    "Firmware": lambda value: value | {"type": "Uefi"} if value.get("secureBoot") else value,
    "DiskSource": _repair_disk_source,
    "Disk": _repair_disk,
    "ByteRate": _repair_rate,
    "OperationRate": _repair_rate,
    "DiskLimits": _repair_limits,
    "TextSource": _repair_text_source,
    "Probe": _repair_probe,
    "LivenessProbe": lambda value: _without(_repair_probe(value), "successThreshold"),
    "VirtualMachineSpec": _repair_machine,
    "VirtualNetworkSpec": _repair_network,
    "Nic": _repair_nic,
    "DhcpRange": _repair_range,
    "VolumeSource": lambda value: _keep_one(value, ("image", "clone")),
    "VirtualDiskSpec": _repair_volume,
    "StoragePoolSpec": _repair_pool,
    "VirtualHostSpec": lambda value: value | ({"address": "192.0.2.10:9443"} if "address" in value else {}),
    "ImageSource": lambda value: _keep_one(value, _IMAGE_SOURCES) if value else {"path": "/images/a.qcow2"},
    "VirtualImageSpec": _repair_image,
}
"""What makes a random map keep the rules across fields of its class."""
