"""Apply to running, over raw libvirt define + create of the same XML on the same libvirtd, alternating."""

from __future__ import annotations

import os
import statistics
import sys
import time
import uuid
from typing import Any

import libvirt

from bench.result import Result
from tools.lab import Lab, LabSpec, Node
from xvirt.client.blocking import NodeClient
from xvirt.client.target import Target
from xvirt.domainxml.tree import parse_xml, to_text
from xvirt.model.errors import NotFound
from xvirt.model.exchange import ApplyCall, ObjectRef, WatchType

_METHOD = (
    "One lab node. A machine of 64 MiB without disks. xVirt: Apply over the Unix socket until its Watch says power state Running."
    " Peer: libvirt-python in this process on the same libvirtd, defineXMLFlags(VALIDATE) and create() of the XML that"
    " xVirt had defined, with another name and UUID. Sides alternate; each domain is destroyed and undefined in between,"
    " untimed. Ratio of medians."
)


def apply_overhead(rounds: int) -> Result:
    """Goal <= 1.10."""
    with Lab.up(LabSpec(name=f"bench-{os.getpid()}")) as lab:
        node = lab.nodes["node-a"]
        connection = libvirt.open(node.libvirt_uri)
        with NodeClient(Target(f"unix://{node.socket_path}")) as client:
            _once(client, "warm-up")
            xml = _defined_xml(client, connection, node)
            ours, raw = [], []
            for number in range(rounds):
                ours.append(_once(client, f"round-{number}"))
                raw.append(_raw(connection, xml, f"raw-{number}"))
                print(f"\r{number + 1}/{rounds}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        connection.close()
    ratio = statistics.median(ours) / statistics.median(raw)
    summary = f"median {statistics.median(ours) * 1000:.0f} ms, libvirt alone {statistics.median(raw) * 1000:.0f} ms"
    return Result(
        name="apply-overhead",
        ratio=ratio,
        goal="<= 1.10",
        method=_METHOD,
        samples={"xvirt": ours, "libvirt": raw},
        summary=summary,
    )


def _document(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "VirtualMachine",
        "metadata": {"name": name},
        "spec": {"memory": {"size": "64Mi"}, "terminationGracePeriodSeconds": 0},
    }


def _once(client: NodeClient, name: str) -> float:
    with client.watch("VirtualMachine") as events:
        while next(events).type is not WatchType.SYNCED:
            pass
        began = time.perf_counter()
        client.apply(ApplyCall(document=_document(name)))
        for event in events:
            status = (event.object.document.get("status") or {}) if event.object else {}
            if event.object and event.object.ref.name == name and status.get("powerState") == "Running":
                break
        elapsed = time.perf_counter() - began
    _remove(client, name)
    return elapsed


def _remove(client: NodeClient, name: str) -> None:
    ref = ObjectRef(kind="VirtualMachine", namespace="default", name=name)
    client.delete(ref, force=True)
    while True:
        try:
            client.get(ref)
        except NotFound:
            return
        time.sleep(0.02)


def _defined_xml(client: NodeClient, connection: libvirt.virConnect, node: Node) -> str:
    client.apply(ApplyCall(document=_document("template")))
    while True:
        try:
            xml = connection.lookupByName("default_template").XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
            break
        except libvirt.libvirtError:
            time.sleep(0.05)
    _remove(client, "template")
    return str(xml)


def _raw(connection: libvirt.virConnect, xml: str, name: str) -> float:
    root = parse_xml(xml)
    for path, value in (("name", name), ("uuid", str(uuid.uuid4()))):
        element = root.find(path)
        assert element is not None
        element.text = value
    text = to_text(root)
    began = time.perf_counter()
    domain = connection.defineXMLFlags(text, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    domain.create()
    elapsed = time.perf_counter() - began
    domain.destroy()
    domain.undefine()
    return elapsed
