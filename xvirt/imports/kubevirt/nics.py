"""Interfaces of a KubeVirt domain, each with its network."""

from __future__ import annotations

from typing import Any

from xvirt.imports.result import Manifests, make, to_label
from xvirt.imports.source import Source

POD_NETWORK = "pod"
"""VirtualNetwork that stands for the cluster's pod network."""
_POD_SUBNET = "192.168.150.1/24"
_POD_RANGE = {"start": "192.168.150.100", "end": "192.168.150.250"}
_MODELS = ("virtio", "e1000", "e1000e", "rtl8139")
_BINDINGS = ("masquerade", "bridge", "passt", "passtBinding", "slirp", "sriov", "macvtap", "binding")


def read_nics(
    domain: Source, template: Source, manifests: Manifests, namespace: str, *, vcpus: int
) -> list[dict[str, Any]]:
    """`spec.nics`. The pod network becomes a NAT network on the host, which is declared with the machine."""
    devices = domain.enter("devices")
    networks = {network.text("name") or "": network for network in template.each("networks")}
    interfaces = devices.each("interfaces")
    has_pod = devices.flag("autoattachPodInterface") is not False
    read = [_nic(item, networks, (manifests, namespace)) for item in interfaces]
    nics = [nic for nic in read if nic is not None]
    if not interfaces and not networks and has_pod:
        _declare_pod_network(manifests, namespace)
        nics = [{"name": "default", "network": POD_NETWORK}]
    if devices.flag("networkInterfaceMultiqueue"):
        for nic in nics:
            if "model" not in nic:
                nic["queues"] = vcpus
    return nics


def _nic(interface: Source, networks: dict[str, Source], where: tuple[Manifests, str]) -> dict[str, Any] | None:
    name = interface.text("name") or ""
    binding = next((key for key in _BINDINGS if key in interface), None)
    network = networks.get(name)
    if network is None:
        interface.ledger.miss(interface.path, f"network {name} is not in the document", "add it to networks")
        return None
    if interface.text("state") == "absent":
        interface.note("state", "is not plugged, so the card is left out")
        interface.take_all()
        network.take_all()
        return None
    if binding in ("sriov", "slirp", "macvtap", "binding"):
        interface.miss(
            binding, "this way of attaching is the host's", "declare it in spec.domain under a profile that allows it"
        )
    elif binding is not None:
        interface.take(binding)
    nic: dict[str, Any] = {"name": to_label(name), "network": _plug(network, interface, where)}
    nic.update(_settings(interface))
    if binding == "bridge" and "pod" in network:
        interface.ledger.miss(
            interface.at("bridge"), "no pod's address is handed to the guest; it gets one of the network's"
        )
    return nic


def _plug(network: Source, interface: Source, where: tuple[Manifests, str]) -> str:
    manifests, namespace = where
    if "multus" in network:
        multus = network.enter("multus")
        written = multus.text("networkName") or ""
        multus.take("default")
        name = to_label(written.rpartition("/")[2])
        if manifests.find("VirtualNetwork", namespace, name) is None:
            multus.note("networkName", f"declare VirtualNetwork {name}, of mode Bridge where it was a bridge")
        return name
    pod = network.enter("pod")
    pod.miss(
        "vmNetworkCIDR", "guests get addresses of the host's network", f"set subnets of VirtualNetwork {POD_NETWORK}"
    )
    pod.take("vmIPv6NetworkCIDR")
    _declare_pod_network(manifests, namespace)
    interface.ledger.note(
        network.path, f"becomes VirtualNetwork {POD_NETWORK}: NAT on the host, not the cluster's pod network"
    )
    return POD_NETWORK


def _declare_pod_network(manifests: Manifests, namespace: str) -> None:
    if manifests.find("VirtualNetwork", namespace, POD_NETWORK) is None:
        subnet = {"address": _POD_SUBNET, "dhcp": {"ranges": [dict(_POD_RANGE)]}}
        manifests.add(make("VirtualNetwork", POD_NETWORK, {"mode": "Nat", "subnets": [subnet]}, namespace))


def _settings(interface: Source) -> dict[str, Any]:
    found: dict[str, Any] = {}
    mac = interface.text("macAddress")
    if mac:
        found["mac"] = mac.lower().replace("-", ":")
    model = interface.text("model")
    if model and model != "virtio":
        if model in _MODELS:
            found["model"] = model
        else:
            interface.note("model", f"{model} is not had here; taken as e1000")
            found["model"] = "e1000"
    order = interface.integer("bootOrder")
    if order:
        found["bootOrder"] = order
    if interface.text("state") == "down":
        found["linkState"] = "Down"
    interface.miss(
        "ports",
        "ports of a guest are all reachable from its network",
        "forward ports on the host where the world is to reach it",
    )
    return found
