"""Verbs upon whole machines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xvirt.imports.result import to_label
from xvirt.imports.source import Source
from xvirt.imports.univirt.devices import declare_network, find_source, size_of, vlan_of, whole
from xvirt.imports.univirt.stage import Stage, take_flags
from xvirt.imports.univirt.storage import declare_image
from xvirt.imports.univirt.words import read_options, stem
from xvirt.model.quantity import ByteSize

_HOW_IT_RAN = (
    "noautoconsole",
    "wait",
    "check",
    "noreboot",
    "dry_run",
    "os_variant",
    "name",
    "virt_type",
    "hvm",
    "autostart",
)
"""Ways of virt-install, and what the host decides: nothing of the machine."""
_RUNNING, _OFF = "Always", "Halted"


def create(stage: Stage, name: str, params: Source) -> None:
    """createAndStartVMFromISO: virt-install's options."""
    for key in _HOW_IT_RAN:
        params.take(key)
    stage.forget_targets(name)
    spec: dict[str, Any] = {"cpu": _cpu(params), "memory": _memory(params)}
    disks = [_disk(stage, item, params, name) for item in _items(params, "disk")]
    if (medium := params.text("cdrom")) is not None:
        for place, disk in enumerate(disks, 1):
            disk["bootOrder"] = place
        image = declare_image(stage, medium)
        disks.append(
            {"name": "cdrom", "source": {"image": image}, "device": "Cdrom", "bus": "sata", "bootOrder": len(disks) + 1}
        )
    spec["disks"] = disks
    spec["nics"] = [
        nic for place, item in enumerate(_items(params, "network")) if (nic := _nic(stage, item, place, params))
    ]
    if (machine := params.text("machine")) is not None:
        spec["machine"] = machine
    if (arch := params.text("arch")) not in (None, "x86_64"):
        params.ledger.miss(params.at("arch"), f"{arch}: xVirt runs x86-64 guests")
    if (boot := params.text("boot")) is not None:
        _boot(boot, spec, params)
    devices = _devices(params)
    if devices:
        spec["devices"] = devices
    spec["runStrategy"] = _RUNNING
    stage.declare("VirtualMachine", name, {key: value for key, value in spec.items() if value not in (None, [], {})})


def _cpu(params: Source) -> dict[str, Any]:
    options = read_options(params.text("vcpus") or "1", "vcpus")
    cpu: dict[str, Any] = {"cores": whole(params, "vcpus", options.get("vcpus", "1"))}
    if "maxvcpus" in options:
        cpu["max"] = whole(params, "vcpus", options["maxvcpus"])
    topology = {key: whole(params, "vcpus", options[key]) for key in ("sockets", "cores", "threads") if key in options}
    if topology:
        cpu["topology"] = {"sockets": 1, "cores": 1, **topology}
    model = read_options(params.text("cpu") or "", "model")
    if model.get("model"):
        cpu["model"] = model["model"]
        signs = {"+": "require", "-": "disable"}
        features = [{"name": key[1:], "policy": signs[key[0]]} for key in model if key[0] in signs]
        if features:
            cpu["features"] = features
    return cpu


def _memory(params: Source) -> dict[str, Any]:
    options = read_options(params.text("memory") or "512", "memory")
    found = {"size": f"{whole(params, 'memory', options.get('memory', '512'))}Mi"}
    if "maxmemory" in options:
        found["max"] = f"{whole(params, 'memory', options['maxmemory'])}Mi"
    return {key: str(ByteSize(value)) for key, value in found.items()}


def _items(params: Source, key: str) -> list[str]:
    value = params.take(key)
    if value is None:
        return []
    items = value if isinstance(value, list) else str(value).replace("--" + key, ";").split(";")
    return [str(item).strip() for item in items if str(item).strip()]


def _disk(stage: Stage, text: str, params: Source, machine: str) -> dict[str, Any]:
    options = read_options(text, "path")
    path = options.pop("path", "") or options.pop("vol", "")
    name = to_label(stem(path)) or "disk"
    disk: dict[str, Any] = {"name": name}
    if options.pop("device", "disk") == "cdrom":
        disk.update(source={"image": declare_image(stage, path)}, device="Cdrom", bus="sata")
    elif "size" in options and stage.find("VirtualDisk", name) is None and not path:
        disk["source"] = {"size": f"{whole(params, 'disk', options.pop('size'))}Gi"}
    else:
        options.pop("size", None)
        disk["source"] = find_source(stage, path, params)
    if target := options.pop("target", None):
        stage.name_target(machine, target, name)
    for key in ("format", "driver_type", "sparse"):
        options.pop(key, None)
    for key, ours in (("bus", "bus"), ("cache", "cache"), ("io", "io"), ("serial", "serial"), ("discard", "discard")):
        if key in options and "device" not in disk:
            disk[ours] = options.pop(key)
    if disk.get("bus") == "ide" and not (params.text("machine") or "").startswith("pc"):
        disk["bus"] = "sata"
        params.ledger.note(params.at("disk"), f"{path}: IDE is machine pc's; taken as sata")
    if options.pop("readonly", "no") in ("yes", "on"):
        disk["readOnly"] = True
    for key in sorted(options):
        params.ledger.miss(params.at("disk"), f"{key}={options[key]} of {path} has no counterpart in xVirt")
    return disk


def _nic(stage: Stage, text: str, place: int, params: Source) -> dict[str, Any] | None:
    options = read_options(text, "type")
    if options.get("type") == "none":
        return None
    kind = options.pop("type", "network")
    if "network" in options:
        kind, options["source"] = "network", options.pop("network")
    if "bridge" in options:
        kind, options["source"] = "bridge", options.pop("bridge")
    if "bridge" not in kind and kind != "network":
        params.ledger.miss(
            params.at("network"),
            f"a card of type {kind} is the host's",
            "declare it in spec.domain under a profile that allows it",
        )
        return None
    nic: dict[str, Any] = {
        "name": f"nic{place}",
        "network": declare_network(
            stage, kind, options.pop("source", "default"), vlan_of(params, "network", options.pop("vlan", None))
        ),
    }
    if "mac" in options:
        nic["mac"] = options.pop("mac").lower()
    if (model := options.pop("model", "virtio")) != "virtio":
        nic["model"] = model
    for key in sorted(options):
        params.ledger.miss(params.at("network"), f"{key}={options[key]} has no counterpart in xVirt")
    return nic


def _boot(text: str, spec: dict[str, Any], params: Source) -> None:
    if text == "uefi" or text.startswith("uefi,"):
        spec["firmware"] = {"type": "Uefi"}
        text = text.removeprefix("uefi").lstrip(",")
    if text:
        order_devices(text, spec, params, "boot")


def order_devices(text: str, spec: dict[str, Any], params: Source, key: str) -> None:
    """`hd,cdrom,network` as bootOrder of the devices of each class."""
    place = 1
    classes: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "hd": lambda: [item for item in spec.get("disks", []) if item.get("device") != "Cdrom"],
        "cdrom": lambda: [item for item in spec.get("disks", []) if item.get("device") == "Cdrom"],
        "network": lambda: spec.get("nics", []),
    }
    for item in (*spec.get("disks", []), *spec.get("nics", [])):
        item.pop("bootOrder", None)
    for word in (part.strip() for part in text.split(",")):
        if word not in classes:
            params.ledger.miss(
                params.at(key), f"{word} is no class of devices to boot from", "use hd, cdrom and network"
            )
            continue
        for device in classes[word]():
            device["bootOrder"] = place
            place += 1


def _devices(params: Source) -> dict[str, Any]:
    devices: dict[str, Any] = {}
    graphics = read_options(params.text("graphics") or "none", "type")
    if graphics.get("type") == "vnc":
        devices["graphics"] = "Vnc"
        if graphics.get("listen"):
            params.ledger.note(params.at("graphics"), "VNC is on a socket of the host, never on a network address")
        if graphics.get("password"):
            params.ledger.miss(
                params.at("graphics"),
                "a password stands in the document",
                "the console is reached through the node, which knows who asks",
            )
    elif graphics.get("type") != "none":
        params.ledger.miss(params.at("graphics"), f"{graphics.get('type')} is not had", "use vnc")
    if "tpm" in params:
        params.take("tpm")
        devices["tpm"] = True
    if (watchdog := params.text("watchdog")) is not None:
        devices["watchdog"] = read_options(watchdog, "model").get("action", "reset")
    params.take("rng")  # every machine has one
    for key in ("serial", "console"):
        if (text := params.text(key)) not in (None, "pty"):
            params.ledger.miss(params.at(key), f"{text}: a machine has one serial console, xVirt's")
    return devices


# power


def start(stage: Stage, name: str, params: Source) -> None:
    _power(stage, name, params, _RUNNING, "start")


def stop(stage: Stage, name: str, params: Source) -> None:
    _power(stage, name, params, _OFF, "stop")


def _power(stage: Stage, name: str, params: Source, strategy: str, verb: str) -> None:
    _take_ways(params)
    found = stage.find("VirtualMachine", name)
    if found is None:
        stage.acts.append(f"xvirt {verb} vm {name}")
    else:
        found["spec"]["runStrategy"] = strategy


def _take_ways(params: Source) -> None:
    """How the guest was to be asked; the node knows."""
    take_flags(params)
    for key in ("mode", "graceful"):
        params.take(key)


def act(verb: str) -> Callable[[Stage, str, Source], None]:
    """A verb that leaves no state to declare."""

    def note_act(stage: Stage, name: str, params: Source) -> None:
        _take_ways(params)
        stage.acts.append(f"xvirt {verb} vm {name}")

    return note_act


def delete(stage: Stage, name: str, params: Source) -> None:
    for key in ("domain", "managed-save", "snapshots-metadata", "nvram"):
        params.take(key)
    for key in ("storage", "remove-all-storage", "delete-snapshots", "wipe-storage"):
        if params.take(key):
            params.ledger.miss(
                params.at(key),
                "disks are kept unless they say otherwise",
                "delete its VirtualDisks, or set their deletionPolicy",
            )
    params.miss("keep-nvram", "a deleted machine leaves no variables")
    stage.forget_targets(name)
    stage.drop("VirtualMachine", "vm", name)


def set_vcpus(stage: Stage, name: str, params: Source) -> None:
    spec = stage.machine(name, params)
    if spec is None:
        return
    for key in ("guest", "hotpluggable"):
        params.take(key)
    cpu = spec.setdefault("cpu", {})
    cpu["max" if params.flag("maximum") else "cores"] = params.integer("count") or 1


def set_memory(stage: Stage, name: str, params: Source) -> None:
    _resize(stage, name, params, "size")


def set_max_memory(stage: Stage, name: str, params: Source) -> None:
    _resize(stage, name, params, "max")


def _resize(stage: Stage, name: str, params: Source, field: str) -> None:
    spec = stage.machine(name, params)
    if spec is None:
        return
    spec.setdefault("memory", {})[field] = size_of(params, "size", "k")


def set_boot_order(stage: Stage, name: str, params: Source) -> None:
    spec = stage.machine(name, params)
    if spec is None:
        return
    words = [word.strip() for word in (params.text("order") or "").split(",") if word.strip()]
    for item in (*spec.get("disks", []), *spec.get("nics", [])):
        item.pop("bootOrder", None)
    for place, word in enumerate(words, 1):
        device = stage.disk_at(name, spec, word) or next(
            (nic for nic in spec.get("nics", []) if word in (nic["name"], nic.get("mac"))), None
        )
        if device is None:
            params.ledger.miss(
                params.at("order"), f"VirtualMachine {name} has no device {word}", "look at its disks and nics"
            )
        else:
            device["bootOrder"] = place
