"""A Terraform or OpenTofu state with resources of the libvirt provider (dmacvicar/libvirt 0.6 to 0.8).

Attributes: https://registry.terraform.io/providers/dmacvicar/libvirt/0.8.1/docs; the state's form is version 4 of
https://developer.hashicorp.com/terraform/internals/json-format. The machines exist: their manifests say what they are, and
`xvirt adopt` takes them over as they run.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

from xvirt.imports.result import Imported, Manifests, Report, make, to_label
from xvirt.imports.source import Ledger, Source
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.quantity import ByteSize

STATE_VERSION = 4
PROVIDER = "dmacvicar/libvirt"
_HOSTS = "is the host's"
_PROFILE = "declare it in spec.domain under a profile that allows it"
_COMPUTED = ("id", "timeouts", "metadata", "type", "emulator", "running", "autostart", "qemu_agent")


@dataclasses.dataclass(frozen=True)
class _State:
    """All libvirt resources of a state, by their ids, which is how they name each other."""

    volumes: dict[str, str]
    images: set[str]
    """Volumes that were made from a file or URL."""
    networks: dict[str, str]
    seeds: dict[str, Mapping[str, Any]]


def is_state(document: Mapping[str, Any]) -> bool:
    """Whether a document is a Terraform state."""
    return "terraform_version" in document and "resources" in document


def read_state(document: Mapping[str, Any]) -> Imported:
    """xVirt's documents for a state. Raises InvalidSpec for a state of another version, and where what comes out would not be valid."""
    if document.get("version") != STATE_VERSION:
        raise InvalidSpec(
            [
                Problem(
                    "version",
                    f"{document.get('version')} is not read",
                    f"let a Terraform of today write it: version {STATE_VERSION}",
                )
            ],
            "Terraform state",
        )
    manifests = Manifests()
    found = [_Resource(item) for item in document.get("resources") or () if isinstance(item, Mapping)]
    state = _index(found)
    reports = [
        _read(resource, place, attributes, (manifests, state))
        for resource in sorted(found, key=lambda item: item.order)
        for place, attributes in enumerate(resource.instances)
    ]
    return Imported(manifests.checked(), tuple(reports))


class _Resource:
    """One resource block of a state."""

    def __init__(self, item: Mapping[str, Any]) -> None:
        self.type = str(item.get("type", ""))
        self.name = str(item.get("name", ""))
        self.is_managed = item.get("mode", "managed") == "managed"
        instances = item.get("instances") or ()
        if not isinstance(instances, list | tuple) or not all(isinstance(entry, Mapping) for entry in instances):
            raise InvalidSpec([Problem("instances", "must be a list of maps")], f"{self.type}.{self.name}")
        self.instances = [entry["attributes"] for entry in instances if isinstance(entry.get("attributes"), Mapping)]

    @property
    def order(self) -> int:
        """Machines last: they name the others."""
        return 1 if self.type == "libvirt_domain" else 0


def _index(resources: list[_Resource]) -> _State:
    state = _State({}, set(), {}, {})
    for resource in resources:
        for attributes in resource.instances:
            identity, name = str(attributes.get("id", "")), str(attributes.get("name", ""))
            if resource.type == "libvirt_volume":
                state.volumes[identity] = to_label(name)
                if attributes.get("source"):
                    state.images.add(to_label(name))
            elif resource.type == "libvirt_network":
                state.networks[identity] = to_label(name)
            elif resource.type == "libvirt_cloudinit_disk":
                state.seeds[identity.partition(";")[0]] = attributes
    return state


def _read(resource: _Resource, place: int, attributes: Mapping[str, Any], into: tuple[Manifests, _State]) -> Report:
    suffix = f"[{place}]" if len(resource.instances) > 1 else ""
    ledger = Ledger(f"{resource.type}.{resource.name}{suffix}")
    reader = _READERS.get(resource.type)
    if reader is None or not resource.is_managed:
        if resource.type.startswith("libvirt_"):
            ledger.miss("type", f"{resource.type} has no counterpart in xVirt")
        return Report.of(ledger)
    source = ledger.open(_without_empty(attributes))
    for key in _COMPUTED:
        if key != "running" or resource.type != "libvirt_domain":
            source.take(key)
    reader(source, *into)
    return Report.of(ledger)


def _without_empty(value: Any) -> Any:
    """Providers write every attribute, the empty ones too; they say nothing."""
    if isinstance(value, Mapping):
        cleaned = {key: _without_empty(item) for key, item in value.items()}
        return {key: item for key, item in cleaned.items() if item not in (None, "", [], {})}
    if isinstance(value, list):
        return [item for item in (_without_empty(item) for item in value) if item not in (None, "", [], {})]
    return value


def _pool(source: Source, manifests: Manifests, state: _State) -> None:
    del state
    kind = source.text("type")
    name = to_label(source.text("name") or "")
    path = source.text("path") or next((item.text("path") for item in source.each("target")), None)
    for key in ("allocation", "available", "capacity"):
        source.take(key)
    if kind not in (None, "dir"):
        source.ledger.miss("type", f"a pool of type {kind} has no counterpart")
        return
    manifests.add(make("StoragePool", name, {"path": path or ""}), source.ledger.subject)


def _volume(source: Source, manifests: Manifests, state: _State) -> None:
    name = to_label(source.text("name") or "")
    spec: dict[str, Any] = {}
    if size := source.integer("size"):
        spec["size"] = str(ByteSize(size))
    if (image_format := source.text("format")) not in (None, "qcow2"):
        spec["format"] = image_format
    if (pool := source.text("pool")) not in (None, "default"):
        spec["pool"] = to_label(pool or "")
    base = source.text("base_volume_id")
    base_name = source.text("base_volume_name")
    source.take("base_volume_pool")
    url = source.text("source")
    if url:
        _image(name, url, spec, (manifests, source.ledger.subject))
        return
    origin = state.volumes.get(base or "") or (to_label(base_name) if base_name else None)
    if base and origin is None:
        source.ledger.miss("base_volume_id", f"{base} is not in the state", "declare it as a VirtualImage")
    if origin is not None:
        spec["source"] = {"image" if origin in state.images else "clone": origin}
    manifests.add(make("VirtualDisk", name, spec), source.ledger.subject)


def _image(name: str, url: str, spec: dict[str, Any], into: tuple[Manifests, str]) -> None:
    """A volume that was made from a file or URL: an image, and a disk of its own where a machine uses it."""
    manifests, origin = into
    image: dict[str, Any] = {"source": {"url": url} if "://" in url else {"path": url}}
    image.update({key: spec[key] for key in ("format", "pool") if key in spec})
    manifests.add(make("VirtualImage", name, image))
    disk = {**spec, "source": {"image": name, "copy": "Full"}}
    manifests.add(make("VirtualDisk", name, disk), origin)


def _network(source: Source, manifests: Manifests, state: _State) -> None:
    del state
    name, mode = to_label(source.text("name") or ""), source.text("mode") or "nat"
    bridge = source.text("bridge")
    modes = {"nat": "Nat", "route": "Routed", "none": "Isolated", "bridge": "Bridge"}
    if mode not in modes:
        source.ledger.miss("mode", f"{mode} has no counterpart", "use nat, route, none or bridge")
        return
    spec: dict[str, Any] = {"mode": modes[mode]}
    if mode == "bridge":
        spec["bridge"] = bridge
    has_dhcp = all(item.flag("enabled") is not False for item in source.each("dhcp"))
    subnets = [_subnet(str(item), has_dhcp=has_dhcp) for item in source.take("addresses") or ()]
    if subnets and mode != "bridge":
        spec["subnets"] = subnets
    elif subnets:
        source.ledger.miss("addresses", "addresses on a bridge of the host are given by the host's network")
    if bridge and mode != "bridge":
        source.ledger.note("bridge", "xVirt names the bridges that it makes")
    if domain := source.text("domain"):
        spec["domainName"] = domain
    if mtu := source.integer("mtu"):
        spec["mtu"] = mtu
    manifests.add(make("VirtualNetwork", name, spec), source.ledger.subject)


def _subnet(text: str, *, has_dhcp: bool) -> dict[str, Any]:
    """The provider gives the host a network's first address, and hands out all that follow."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise InvalidSpec([Problem("addresses", str(error))], "libvirt_network") from error
    if network.num_addresses < 4:
        raise InvalidSpec(
            [Problem("addresses", f"{text} has no room for a guest", "use a larger network")], "libvirt_network"
        )
    first, second, last = network[1], network[2], network[-2]
    subnet: dict[str, Any] = {"address": f"{first}/{network.prefixlen}"}
    if has_dhcp and network.version == 4:
        subnet["dhcp"] = {"ranges": [{"start": str(second), "end": str(last)}]}
    return subnet


def _seed(source: Source, manifests: Manifests, state: _State) -> None:
    """Its content goes into the machines that have it."""
    del manifests, state
    for key in ("name", "pool", "user_data", "meta_data", "network_config"):
        source.take(key)


def _domain(source: Source, manifests: Manifests, state: _State) -> None:
    name = to_label(source.text("name") or "")
    spec: dict[str, Any] = {
        "cpu": {"cores": source.integer("vcpu") or 1},
        "memory": {"size": str(ByteSize(f"{source.integer('memory') or 512}Mi"))},
    }
    for item in source.each("cpu"):
        if mode := item.text("mode"):
            spec["cpu"]["model"] = mode
    if (machine := source.text("machine")) is not None:
        spec["machine"] = "q35" if "q35" in machine else "pc"
        source.note(
            "machine",
            f"{machine} is taken as {spec['machine']}; its newest version is fixed when the machine is first defined",
        )
    if source.text("firmware"):
        spec["firmware"] = {"type": "Uefi"}
        source.note("firmware", "the node's own OVMF is used")
        source.take("nvram")
    if (arch := source.text("arch")) not in (None, "x86_64"):
        source.ledger.miss("arch", f"{arch}: xVirt runs x86-64 guests")
    spec["disks"] = [_disk(item, place, state) for place, item in enumerate(source.each("disk"))]
    spec["nics"] = [
        nic for place, item in enumerate(source.each("network_interface")) if (nic := _nic(item, place, state))
    ]
    seed = source.text("cloudinit")
    if seed:
        spec["cloudInit"] = _cloud_init(seed, state, source)
    _rest(source, spec)
    if source.flag("running") is False:
        spec["runStrategy"] = "Halted"
    declared = {key: value for key, value in spec.items() if value not in ([], {}, None)}
    manifests.add(make("VirtualMachine", name, declared), source.ledger.subject)


def _disk(item: Source, place: int, state: _State) -> dict[str, Any]:
    volume = item.text("volume_id")
    known = state.volumes.get(volume or "")
    name = known or f"disk{place}"
    disk: dict[str, Any] = {"name": name, "source": {"disk": name}}
    if volume is not None and known is None:
        item.ledger.miss(item.at("volume_id"), f"{volume} is not in the state", f"declare VirtualDisk {name}")
    for key in ("file", "url", "block_device", "wwn"):
        if item.take(key):
            item.ledger.miss(
                item.at(key), f"a disk outside the pools {_HOSTS}", f"declare VirtualDisk {name} and bring its content"
            )
    if item.flag("scsi"):
        disk["bus"] = "scsi"
    return disk


def _nic(item: Source, place: int, state: _State) -> dict[str, Any] | None:
    network = state.networks.get(item.text("network_id") or "") or to_label(item.text("network_name") or "")
    item.take("wait_for_lease")
    addresses, hostname = item.take("addresses"), item.text("hostname")
    for key in ("bridge", "macvtap", "vepa", "passthrough"):
        item.miss(key, f"a device of the host {_HOSTS}", "declare a VirtualNetwork of mode Bridge for it")
    if addresses or hostname:
        item.ledger.miss(
            item.at("addresses"),
            "a reserved address is the network's",
            f"add it to dhcp.hosts of VirtualNetwork {network or '...'}",
        )
    if not network:
        return None
    nic: dict[str, Any] = {"name": f"nic{place}", "network": network}
    if mac := item.text("mac"):
        nic["mac"] = mac.lower()
    return nic


def _cloud_init(identity: str, state: _State, source: Source) -> dict[str, Any] | None:
    seed = state.seeds.get(identity.partition(";")[0])
    if seed is None:
        source.ledger.miss("cloudinit", f"{identity} is not in the state", "declare cloudInit")
        return None
    found: dict[str, Any] = {"userData": seed.get("user_data"), "networkData": seed.get("network_config")}
    if seed.get("meta_data"):
        source.ledger.miss(
            "cloudinit", "meta data is xVirt's: the instance's id and its host name", "set cloudInit.hostname"
        )
    return {key: {"inline": text} for key, text in found.items() if text}


def _rest(source: Source, spec: dict[str, Any]) -> None:
    devices: dict[str, Any] = {}
    for item in source.each("graphics"):
        for key in ("autoport", "listen_address", "listen_type", "websocket"):
            item.take(key)
        if item.text("type") == "vnc":
            devices["graphics"] = "Vnc"
            item.ledger.note(item.path, "VNC is on a socket of the host, never on a network address")
        else:
            item.ledger.miss(item.path, "only VNC is had", "set devices.graphics: Vnc")
    for item in source.each("tpm"):
        item.take_all()
        devices["tpm"] = True
    if devices:
        spec["devices"] = devices
    for item in source.each("console"):
        item.take_all()  # a machine has a serial console
    for key in ("kernel", "initrd", "cmdline", "filesystem", "xml", "coreos_ignition", "fw_cfg_name"):
        source.miss(key, _HOSTS, _PROFILE)
    if source.take("boot_device"):
        source.note("boot_device", "the first disk is booted from")
    source.miss("video")
    if source.text("description"):
        source.miss("description", "a machine has none", "write it as an annotation")


_READERS: dict[str, Callable[[Source, Manifests, _State], None]] = {
    "libvirt_pool": _pool,
    "libvirt_volume": _volume,
    "libvirt_network": _network,
    "libvirt_cloudinit_disk": _seed,
    "libvirt_domain": _domain,
}
