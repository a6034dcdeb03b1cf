"""The hosts of a dev cluster: real nodes of a lab, or fake ones in one process."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tools.cluster.controlplane import ControlPlane
from tools.cluster.errors import ClusterError
from tools.cluster.fakehosts.__main__ import HOSTS_FILE
from tools.cluster.nodes import NodeSpec
from tools.guest import image_path
from tools.lab import Lab, LabSpec, Lifetime, Node
from tools.lab.lab import take_down
from tools.lab.node import module_command
from tools.lab.spec import MAX_NODES

FAKE_MAX = 1000
IMAGE = "var/lib/xvirt/images/guest.qcow2"
"""Where each lab node has the test guest's image, as the examples name it."""
_FAKE_ROOM = {"cpu": "64", "memory": "256Gi", "pods": "500"}
_FAKE_HOSTS = "fake-hosts"
_START_TIMEOUT_S = 120.0
_KIB = 1 << 10


class HostKind(StrEnum):
    """What the hosts are."""

    LAB = "lab"
    FAKE = "fake"


@dataclass(frozen=True)
class HostsSpec:
    """`lab:2`, `fake:100`."""

    kind: HostKind
    count: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.count}"


def parse_hosts(text: str) -> HostsSpec:
    """Of an option's value. Raises ValueError with what is possible."""
    found = re.fullmatch(r"(lab|fake):([0-9]{1,4})", text)
    if found is None:
        raise ValueError(f"{text!r} names no hosts; write lab:N or fake:N, such as lab:2")
    spec = HostsSpec(HostKind(found.group(1)), int(found.group(2)))
    most = MAX_NODES if spec.kind is HostKind.LAB else FAKE_MAX
    if not 1 <= spec.count <= most:
        raise ValueError(f"{text}: 1 to {most} {spec.kind} hosts are possible")
    return spec


@dataclass(frozen=True)
class Hosts:
    """Hosts that run: the cluster's nodes that they are, and the CA with the operator's certificate."""

    nodes: list[NodeSpec]
    pki: Path


def start_hosts(plane: ControlPlane, spec: HostsSpec) -> Hosts:
    """Start hosts that serve a cluster. Raises ClusterError, LabError."""
    return _start_lab(plane, spec) if spec.kind is HostKind.LAB else _start_fake(plane, spec)


def end_hosts(directory: Path) -> None:
    """End a lab's nodes in a cluster's directory; fake ones are a service of the cluster."""
    take_down(lab_directory(directory))


def lab_directory(directory: Path) -> Path:
    """Where the lab of a cluster is."""
    return directory / "lab"


def _start_lab(plane: ControlPlane, spec: HostsSpec) -> Hosts:
    directory = lab_directory(plane.spec.directory)
    lifetime = Lifetime(plane.spec.lifetime)
    lab = Lab.up(LabSpec("cluster", spec.count, directory, lifetime, cluster=plane.uid))
    image = image_path()
    for node in lab.nodes.values():
        target = node.paths.root / "var-lib-xvirt" / "images" / Path(IMAGE).name
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(image, target)
    return Hosts([_lab_node(node) for node in lab.nodes.values()], lab.pki)


def _lab_node(node: Node) -> NodeSpec:
    """Each says that it has the whole machine, which is what its libvirt says."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // _KIB
    room = {"cpu": str(os.cpu_count() or 1), "memory": f"{memory}Ki", "pods": "110"}
    return NodeSpec(node.name, room, host_port=node.tcp_port)


def _start_fake(plane: ControlPlane, spec: HostsSpec) -> Hosts:
    directory = plane.spec.directory / _FAKE_HOSTS
    directory.mkdir(exist_ok=True)
    said = directory / HOSTS_FILE
    said.unlink(missing_ok=True)
    options = ("--authority", plane.uid, "--count", str(spec.count))
    plane.services.start(_FAKE_HOSTS, module_command("tools.cluster.fakehosts", str(directory), *options))
    plane.services.wait(_FAKE_HOSTS, said.exists, _START_TIMEOUT_S)
    ports: dict[str, int] = json.loads(said.read_text())
    if len(ports) != spec.count:
        raise ClusterError(f"{len(ports)} of {spec.count} fake hosts started")
    return Hosts([NodeSpec(name, _FAKE_ROOM, host_port=port) for name, port in ports.items()], directory / "pki")
