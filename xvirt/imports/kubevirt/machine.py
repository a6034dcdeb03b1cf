"""A KubeVirt VirtualMachine or VirtualMachineInstance as a VirtualMachine of xVirt's."""

from __future__ import annotations

from typing import Any

from xvirt.imports.kubevirt.disks import read_disks
from xvirt.imports.kubevirt.hardware import (
    read_clock,
    read_cpu,
    read_features,
    read_firmware,
    read_machine_type,
    read_memory,
)
from xvirt.imports.kubevirt.nics import read_nics
from xvirt.imports.kubevirt.probes import read_probe
from xvirt.imports.kubevirt.volumes import Volumes, read_data_volume
from xvirt.imports.result import Document, Manifests, make, to_label
from xvirt.imports.source import Source
from xvirt.model.meta import DEFAULT_NAMESPACE
from xvirt.model.validation import SERVER_METADATA

_RUN_STRATEGIES = ("Always", "RerunOnFailure", "Once", "Manual", "Halted")
_OWN_ANNOTATIONS = ("kubevirt.io/", "vm.kubevirt.io/", "kubemacpool.io/", "kubectl.kubernetes.io/")
_PLACED = "places pods; a machine is placed by nodeSelector and tolerations"
_MIGRATION = "machines are not moved by themselves"
_PROFILE = "declare it in spec.domain under a profile that allows it"
_DEVICE_REASONS = {
    "gpus": ("the host's devices are its administrator's", _PROFILE),
    "hostDevices": ("the host's devices are its administrator's", _PROFILE),
    "filesystems": ("the host's folders are its administrator's", _PROFILE),
    "clientPassthrough": ("USB redirection needs a SPICE console, which xVirt has not", ""),
    "autoattachVSOCK": ("a machine has no vsock of its own", _PROFILE),
}


def read_machine(root: Source, manifests: Manifests) -> None:
    """A VirtualMachine: how it runs, its template, and the volumes that it brings along."""
    spec = root.enter("spec")
    name, namespace = _names(root)
    for item in spec.each("dataVolumeTemplates"):
        read_data_volume(item, manifests, namespace)
    for key in ("instancetype", "preference"):
        spec.miss(key, "sizes are the cluster's and not known here", "write cpu and memory into the document")
    spec.miss("updateVolumesStrategy", _MIGRATION)
    template = spec.enter("template")
    declared = _declare(template.enter("spec"), manifests, (name, namespace))
    strategy = _run_strategy(spec)
    if strategy is not None:
        declared["spec"]["runStrategy"] = strategy
    _copy_labels(declared, template.enter("metadata"), root.enter("metadata"))
    manifests.add(declared, root.ledger.subject)


def read_instance(root: Source, manifests: Manifests) -> None:
    """A VirtualMachineInstance: it is started once and not again."""
    declared = _declare(root.enter("spec"), manifests, _names(root))
    declared["spec"]["runStrategy"] = "Once"
    _copy_labels(declared, root.enter("metadata"))
    manifests.add(declared, root.ledger.subject)


def _names(root: Source) -> tuple[str, str]:
    metadata = root.enter("metadata")
    written = metadata.text("name") or metadata.text("generateName") or ""
    name = to_label(written)
    if name != written:
        metadata.note("name", f"is called {name} here")
    return name, metadata.text("namespace") or DEFAULT_NAMESPACE


def _run_strategy(spec: Source) -> str | None:
    running = spec.flag("running")
    strategy = spec.text("runStrategy")
    if strategy in _RUN_STRATEGIES:
        return strategy
    if strategy is not None:
        spec.ledger.miss(
            spec.at("runStrategy"), f"{strategy} waits for a live migration", "use one of " + ", ".join(_RUN_STRATEGIES)
        )
        return "Halted"
    if running is None:
        return None
    return "Always" if running else "Halted"


def _copy_labels(declared: Document, *sources: Source) -> None:
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    for metadata in sources:
        labels.update(metadata.strings("labels"))
        found = metadata.strings("annotations")
        annotations.update({key: value for key, value in found.items() if not key.startswith(_OWN_ANNOTATIONS)})
        for key in (*SERVER_METADATA, "uid", "generation", "namespace"):
            metadata.take(key)  # what an API server noted there
    if labels:
        declared["metadata"]["labels"] = {str(key): str(value) for key, value in labels.items()}
    if annotations:
        declared["metadata"]["annotations"] = {str(key): str(value) for key, value in annotations.items()}


def _declare(spec: Source, manifests: Manifests, names: tuple[str, str]) -> Document:
    name, namespace = names
    domain = spec.enter("domain")
    overlay: dict[str, Any] = {}
    cpu = read_cpu(domain)
    disks, cloud_init = read_disks(domain, spec, Volumes(manifests, namespace, spec.ledger))
    found: dict[str, Any] = {
        "cpu": cpu,
        "memory": read_memory(domain),
        "machine": read_machine_type(domain),
        "firmware": read_firmware(domain, overlay),
        "disks": disks,
        "nics": read_nics(domain, spec, manifests, namespace, vcpus=cpu.get("max") or cpu.get("cores") or 1),
        "cloudInit": _with_hostname(cloud_init, spec),
        "devices": _devices(domain.enter("devices"), overlay),
        "placement": _placement(spec),
        "readinessProbe": read_probe(spec, "readinessProbe"),
        "livenessProbe": read_probe(spec, "livenessProbe"),
    }
    read_features(domain, overlay)
    read_clock(domain, overlay)
    grace = spec.integer("terminationGracePeriodSeconds")
    if grace is not None:
        found["terminationGracePeriodSeconds"] = grace
    if found["memory"] is None:
        spec.ledger.miss(domain.at("memory"), "the document gives no memory", "set spec.memory.size")
        found["memory"] = {"size": "512Mi"}
    _miss_the_rest(spec, domain)
    found["domain"] = overlay
    return make(
        "VirtualMachine", name, {key: value for key, value in found.items() if value not in (None, {}, [])}, namespace
    )


def _with_hostname(cloud_init: dict[str, Any] | None, spec: Source) -> dict[str, Any] | None:
    hostname = spec.text("hostname")
    if cloud_init is None:
        if hostname:
            spec.ledger.miss(
                spec.at("hostname"), "the guest is told its name by cloud-init, which this machine has not"
            )
        return None
    return {**cloud_init, **({"hostname": hostname.lower()} if hostname else {})}


def _placement(spec: Source) -> dict[str, Any]:
    placement: dict[str, Any] = {}
    selector = spec.strings("nodeSelector")
    if selector:
        placement["nodeSelector"] = {str(key): str(value) for key, value in selector.items()}
    tolerations = []
    for item in spec.each("tolerations"):
        entry = {key: item.text(key) for key in ("key", "operator", "value", "effect")}
        item.miss("tolerationSeconds", "a machine is not moved when its host is lost")
        tolerations.append({key: value for key, value in entry.items() if value})
    if tolerations:
        placement["tolerations"] = tolerations
    priority = spec.text("priorityClassName")
    if priority:
        placement["priorityClassName"] = priority
    return placement


def _devices(devices: Source, overlay: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "tpm" in devices:
        devices.enter("tpm").take("persistent")  # its state always lives as long as the machine
        if devices.enter("tpm").flag("enabled") is not False:
            found["tpm"] = True
    if devices.flag("autoattachGraphicsDevice") is not False:
        found["graphics"] = "Vnc"
    watchdog = devices.enter("watchdog")
    watchdog.take("name")
    if "i6300esb" in watchdog:
        found["watchdog"] = watchdog.enter("i6300esb").text("action") or "reset"
    if "rng" in devices:
        devices.take("rng")  # every machine has one
    if devices.flag("autoattachSerialConsole") is False:
        devices.note("autoattachSerialConsole", "a machine always has a serial console")
    if devices.flag("autoattachMemBalloon") is False:
        devices.note("autoattachMemBalloon", "a machine always has a balloon")
    tree = _overlaid_devices(devices)
    if tree:
        overlay["devices"] = tree
    for key, (reason, remedy) in _DEVICE_REASONS.items():
        if devices.take(key) not in (None, False, []):
            devices.ledger.miss(devices.at(key), reason, remedy)
    return found


def _overlaid_devices(devices: Source) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    inputs = []
    for item in devices.each("inputs"):
        kind, bus = item.text("type") or "tablet", item.text("bus") or "usb"
        item.take("name")
        inputs.append({"@type": kind, "@bus": bus})
    if inputs:
        tree["input"] = inputs if len(inputs) > 1 else inputs[0]
    if "sound" in devices:
        sound = devices.enter("sound")
        sound.take("name")
        tree["sound"] = {"@model": sound.text("model") or "ich9"}
    return tree


def _miss_the_rest(spec: Source, domain: Source) -> None:
    domain.miss("launchSecurity", "memory encryption is the host's", _PROFILE)
    for key in ("affinity", "topologySpreadConstraints", "schedulerName"):
        spec.miss(key, _PLACED, "use placement.nodeSelector")
    if spec.text("evictionStrategy") not in (None, "None"):
        spec.ledger.miss(spec.at("evictionStrategy"), _MIGRATION)
    if spec.text("startStrategy") == "Paused":
        spec.ledger.miss(spec.at("startStrategy"), "a machine starts running", "use `xvirt pause vm NAME` once it runs")
    for key in ("dnsPolicy", "dnsConfig", "subdomain"):
        spec.miss(key, "names are the network's", "set dns of its VirtualNetwork")
    if spec.text("architecture") not in (None, "amd64"):
        spec.ledger.miss(spec.at("architecture"), "xVirt runs x86-64 guests")
