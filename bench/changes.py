"""Twenty machines at once, and devices attached to a running one, each beside raw libvirt."""

from __future__ import annotations

import statistics
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import libvirt
from lxml import etree

from bench.fleet import Fleet, document, fleet, is_ready, machine, median_ms, progress, timed
from bench.result import Result
from xvirt.domainxml.tree import parse_xml, to_text
from xvirt.model.exchange import ApplyCall, WatchType

BURST = 20
BURST_ROUNDS = 3
ATTACH_ROUNDS_MIN = 10


def burst_20(rounds: int) -> Result:
    """Goal: no slower than libvirt itself starts them + 2 s."""
    repeats = max(BURST_ROUNDS, rounds // 10)
    ours, raw = [], []
    with fleet("burst") as made:
        template = defined_xml(made, "template")
        for number in range(repeats):
            ours.append(_burst(made))
            raw.append(_raw_burst(made, template))
            progress(number + 1, repeats)
    return Result(
        name="burst-20",
        ratio=statistics.median(ours) / statistics.median(raw),
        goal="<= libvirt + 2 s",
        method=(
            f"One lab node. xVirt: {BURST} Applies one after the other, until Watch has said Running of all. Peer: the same definitions,"
            f" defineXMLFlags(VALIDATE) and create() by libvirt-python in 8 threads with a connection each. Alternating, {repeats} rounds;"
            " removal is not timed."
        ),
        samples={"xvirt": ours, "libvirt": raw},
        summary=f"median {statistics.median(ours):.2f} s, libvirt alone {statistics.median(raw):.2f} s",
    )


def _burst(made: Fleet) -> float:
    names = [f"burst-{number}" for number in range(BURST)]
    waiting = set(names)
    with made.client.watch("VirtualMachine") as events:
        while next(events).type is not WatchType.SYNCED:
            pass
        began = time.perf_counter()
        feeder = threading.Thread(
            target=lambda: [made.client.apply(ApplyCall(document=_running(name))) for name in names]
        )
        feeder.start()
        for event in events:
            if event.object and (event.object.document.get("status") or {}).get("powerState") == "Running":
                waiting.discard(event.object.ref.name)
            if not waiting:
                break
        elapsed = time.perf_counter() - began
    feeder.join()
    for name in names:
        made.client.delete(machine(name), force=True)
    made.wait(lambda views: not any(view.ref.name in names for view in views), "the burst to be gone")
    return elapsed


def _running(name: str) -> dict[str, Any]:
    return document(name, "Always")


def _raw_burst(made: Fleet, template: str) -> float:
    connections = threading.local()

    def start(xml: str) -> str:
        if not hasattr(connections, "own"):
            connections.own = libvirt.open(made.node.libvirt_uri)
        domain = connections.own.defineXMLFlags(xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
        domain.create()
        return str(domain.name())

    copies = [renamed(template, f"raw-{number}") for number in range(BURST)]
    with ThreadPoolExecutor(8) as pool:
        began = time.perf_counter()
        names = list(pool.map(start, copies))
        elapsed = time.perf_counter() - began
    for name in names:
        drop(made.libvirt.lookupByName(name))
    return elapsed


def attach(rounds: int) -> Result:
    """Goal <= 1.2."""
    samples: dict[str, list[float]] = {"xvirt-disk": [], "libvirt-disk": [], "xvirt-nic": [], "libvirt-nic": []}
    repeats = max(ATTACH_ROUNDS_MIN, rounds // 2)
    with fleet("attach") as made:
        _declare_network(made)
        for number in range(repeats):
            _attach_round(made, samples, number)
            progress(number + 1, repeats)
    ratios = [
        statistics.median(samples[f"xvirt-{what}"]) / statistics.median(samples[f"libvirt-{what}"])
        for what in ("disk", "nic")
    ]
    return Result(
        name="attach",
        ratio=max(ratios),
        goal="<= 1.2",
        method=(
            "One lab node, a fresh running machine (q35, TCG) for each round. xVirt: Apply of the spec with one VirtualDisk (made before)"
            " or one NIC more, until Watch says Ready at that generation. Peer: attachDeviceFlags(LIVE|CONFIG) by libvirt-python of the"
            " same device XML upon a second running domain with the same definition. Alternating. The ratio is the worse of both."
        ),
        samples=samples,
        summary="; ".join(
            f"{what} {ratio:.2f}: {median_ms(samples[f'xvirt-{what}']):.0f} ms, libvirt alone {median_ms(samples[f'libvirt-{what}']):.0f} ms"
            for what, ratio in zip(("disk", "nic"), ratios, strict=True)
        ),
    )


def _declare_network(made: Fleet) -> None:
    spec = {"mode": "Isolated", "subnets": [{"address": "192.168.177.1/24"}]}
    made.client.apply(ApplyCall(document=_document("VirtualNetwork", "lan", spec)))


def _document(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "xvirt.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _attach_round(made: Fleet, samples: dict[str, list[float]], number: int) -> None:
    name, disk = f"vm-{number}", f"data-{number}"
    made.client.apply(ApplyCall(document=_document("VirtualDisk", disk, {"size": "8Mi"})))
    _apply_and_wait(made, _running(name), name)
    ours = made.libvirt.lookupByName(f"default_{name}")
    peer = made.libvirt.defineXMLFlags(renamed(ours.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE), f"raw-{number}"), 0)
    peer.create()
    disks, nics = [{"name": "data", "source": {"disk": disk}}], [{"name": "lan", "network": "lan"}]
    _wait_disk(made, disk)
    samples["xvirt-disk"].append(_apply_and_wait(made, document(name, "Always", disks=disks), name))
    samples["libvirt-disk"].append(_raw_attach(peer, _device(ours, "disk", _copy_volume(made, ours))))
    samples["xvirt-nic"].append(_apply_and_wait(made, document(name, "Always", disks=disks, nics=nics), name))
    samples["libvirt-nic"].append(_raw_attach(peer, _device(ours, "interface")))
    drop(peer)
    made.remove(name)


def _wait_disk(made: Fleet, name: str) -> None:
    deadline = time.monotonic() + 60
    while not any(view.ref.name == name and is_ready(view) for view in made.client.list_objects("VirtualDisk")):
        if time.monotonic() > deadline:
            raise SystemExit(f"disk {name} is not there")
        time.sleep(0.02)


def _apply_and_wait(made: Fleet, wanted: dict[str, Any], name: str) -> float:
    with made.client.watch("VirtualMachine") as events:
        while next(events).type is not WatchType.SYNCED:
            pass
        began = time.perf_counter()
        generation = made.client.apply(ApplyCall(document=wanted)).object.token.generation
        for event in events:
            view = event.object
            if view and view.ref.name == name and view.token.generation == generation and is_ready(view):
                break
        return time.perf_counter() - began


def _copy_volume(made: Fleet, domain: libvirt.virDomain) -> str:
    """A copy of the machine's disk for the peer: two guests cannot have the same one. Its path inside the node."""
    root = parse_xml(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    path = str(root.xpath("string(devices/disk/source/@file)"))
    made.node.run(["cp", path, f"{path}.peer"])
    return f"{path}.peer"


def _device(domain: libvirt.virDomain, tag: str, path: str = "") -> str:
    """The device as xVirt attached it, without the place that libvirt gave it."""
    root = parse_xml(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    [device] = root.findall(f"devices/{tag}")
    _take_out(device, "address")
    _take_out(device, "boot")  # the peer was defined without devices to boot from, by <os>
    for source in device.iterfind("source"):
        if path:
            source.set("file", path)
    for mac in device.iterfind("mac"):
        mac.set("address", "02:00:00:00:00:01")
    return str(etree.tostring(device, encoding="unicode"))


def _take_out(parent: etree._Element, tag: str) -> None:
    for found in parent.findall(tag):
        parent.remove(found)


def _raw_attach(peer: libvirt.virDomain, device: str) -> float:
    flags = libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_AFFECT_CONFIG
    return timed(lambda: peer.attachDeviceFlags(device, flags))


def defined_xml(made: Fleet, name: str) -> str:
    """What xVirt defines for a running machine."""
    _apply_and_wait(made, _running(name), name)
    xml = made.libvirt.lookupByName(f"default_{name}").XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    made.remove(name)
    return str(xml)


def renamed(xml: str, name: str) -> str:
    """The same domain with another name and UUID."""
    root = parse_xml(xml)
    for path, value in (("name", name), ("uuid", str(uuid.uuid4()))):
        element = root.find(path)
        assert element is not None
        element.text = value
    return to_text(root)


def drop(domain: libvirt.virDomain) -> None:
    """Destroy and undefine."""
    domain.destroy()
    domain.undefine()
