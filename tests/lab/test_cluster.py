"""Real guests and all that they use, declared to a real API server, on one of two real hosts. The tests from `furnished` on build on one
guest, in order: booting it anew for each would cost ten seconds a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.documents import declare
from tests.cluster.kubectl import Kubectl
from tests.lab.declared import Document, network, reason
from tools.cluster.cluster import Cluster, bring_up, take_down
from tools.cluster.controlplane import KUBELET, ControlPlane
from tools.cluster.hosts import IMAGE, lab_directory, parse_hosts
from tools.cluster.processes import OPERATOR, ProcessSpec, start_operator
from tools.cluster.services import wait_for
from tools.cluster.spec import Lifetime
from tools.controlplane import Part
from tools.lab import Lab, Node
from tools.lab.spec import BASE_DIRECTORY
from xvirt.model.quantity import ByteSize

PLACE = "guests"
DOMAIN = f"{PLACE}_web"
STORE = f"{PLACE}_store"
FAST = "/srv/fast"
_WAIT_S = 90.0
_WAIT = f"--timeout={_WAIT_S:g}s"


@pytest.fixture(scope="module")
def cluster(lab_prefix: str) -> Iterator[Cluster]:
    """Two hosts, with a namespace that may use files of theirs."""
    directory = BASE_DIRECTORY / f"{lab_prefix}-c"
    made = bring_up(directory, parse_hosts("lab:2"), Lifetime.OWNER, lambda _text: None)
    labels = {"xvirt.io/policy-profile": "privileged"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE, "labels": labels}}
    ControlPlane.attach(directory).api.create(namespace)
    yield made
    take_down(directory)


@pytest.fixture(scope="module")
def plane(cluster: Cluster) -> ControlPlane:
    return ControlPlane.attach(cluster.directory)


@pytest.fixture(scope="module")
def nodes(cluster: Cluster) -> dict[str, Node]:
    return Lab.attach(lab_directory(cluster.directory)).nodes


@pytest.fixture(scope="module")
def kubectl(cluster: Cluster) -> Kubectl:
    return Kubectl(cluster.kubeconfig, PLACE)


def machine(name: str = "web", **spec: Any) -> Document:
    root = {"name": "root", "source": {"path": f"/{IMAGE}"}}
    declared = {"memory": {"size": "160Mi"}, "disks": [root], "terminationGracePeriodSeconds": 30, **spec}
    return declare("VirtualMachine", name, PLACE, declared)


@pytest.fixture
def host(kubectl: Kubectl, nodes: dict[str, Node]) -> Iterator[Node]:
    """Of a guest that has booted."""
    kubectl("apply", "-f", "-", stdin=[machine(cpu={"cores": 1, "max": 2})])
    kubectl("wait", "--for=condition=AgentConnected", "vm/web", _WAIT)
    yield nodes[kubectl.json("get", "vm", "web")["status"]["nodeName"]]
    kubectl("delete", "vm", "web", "--ignore-not-found", _WAIT)


def defined(node: Node) -> list[str]:
    return [name for name in node.virsh("list", "--all", "--name").split() if name == DOMAIN]


def booted(node: Node, domain: str = DOMAIN) -> str:
    """What tells one boot of the guest from another."""
    return node.guest_exec(domain, ["cat", "/proc/sys/kernel/random/boot_id"]).strip()


def ended_by(node: Node) -> str:
    """How the domain's last life ended, as libvirt wrote it down."""
    log = (node.paths.log / "qemu" / f"{DOMAIN}.log").read_text()
    return log.rpartition("shutting down, reason=")[2].strip()


def test_row_02_24_70_and_82_a_guest_is_on_its_host_alone_and_gone_with_its_object(
    kubectl: Kubectl, nodes: dict[str, Node], host: Node
) -> None:
    others = [node for node in nodes.values() if node.name != host.name]
    assert defined(host) == [DOMAIN]
    assert [defined(node) for node in others] == [[]]
    pod = kubectl.json("get", "pods")["items"][0]
    assert pod["spec"]["nodeName"] == host.name
    assert host.virsh("domuuid", DOMAIN).strip() == kubectl.json("get", "vm", "web")["metadata"]["uid"]
    kubectl("delete", "vm", "web", _WAIT)
    assert ended_by(host) == "shutdown", "the guest was given time to end by itself"
    assert [defined(node) for node in nodes.values()] == [[], []]
    assert kubectl.json("get", "pods")["items"] == []


def test_a_change_by_kubectl_reaches_the_running_guest(kubectl: Kubectl, host: Node) -> None:
    before = booted(host)
    kubectl("apply", "-f", "-", stdin=[machine(cpu={"cores": 2, "max": 2})])
    wait_for(lambda: host.guest_exec(DOMAIN, ["nproc"]).strip() == "2", _WAIT_S, "the second vCPU")
    assert booted(host) == before


def test_row_70_a_guest_that_does_not_end_within_its_grace_period_is_ended(kubectl: Kubectl, host: Node) -> None:
    host.guest_exec(DOMAIN, ["touch", "/run/ignore-shutdown"])
    kubectl("patch", "vm", "web", "--type=merge", "-p", '{"spec": {"terminationGracePeriodSeconds": 2}}')
    kubectl("delete", "vm", "web", _WAIT)
    assert ended_by(host) == "destroyed"


def test_row_75_a_guest_runs_on_while_everything_above_it_is_killed(
    kubectl: Kubectl, plane: ControlPlane, host: Node, cluster: Cluster
) -> None:
    before = booted(host)
    pki = Lab.attach(lab_directory(cluster.directory)).pki
    plane.services.kill(OPERATOR)
    plane.services.kill(KUBELET)
    plane.restart(Part.ETCD)
    plane.restart(Part.API_SERVER)
    host.kill_plugin()
    host.start_plugin()
    plane.start_kubelet()
    start_operator(plane, ProcessSpec(OPERATOR, pki))
    kubectl("apply", "-f", "-", stdin=[machine(cpu={"cores": 1, "max": 2}, terminationGracePeriodSeconds=20)])

    def is_taken_up() -> bool:
        found = kubectl.json("get", "vm", "web")
        return bool(found["status"]["observedGeneration"] == found["metadata"]["generation"])

    wait_for(is_taken_up, _WAIT_S, "the change to reach the host through all that was started anew")
    kubectl("wait", "--for=condition=Ready", "vm/web", _WAIT)
    assert booted(host) == before
    assert len(kubectl.json("get", "pods")["items"]) == 1


# what a guest uses


class Furnished:
    """A guest whose disk comes from a VirtualImage, with a card in a VirtualNetwork, and room for disks in a StoragePool."""

    def __init__(self, kubectl: Kubectl, nodes: dict[str, Node]) -> None:
        self.kubectl = kubectl
        self.nodes = nodes

    @property
    def node(self) -> Node:
        return self.nodes[self.status("vm", "store")["nodeName"]]

    @property
    def other(self) -> Node:
        return next(node for node in self.nodes.values() if node.name != self.node.name)

    def status(self, kind: str, name: str) -> Document:
        return dict(self.kubectl.json("get", kind, name).get("status") or {})

    def apply(self, *documents: Document) -> None:
        self.kubectl("apply", "-f", "-", stdin=documents)

    def wait(self, name: str, what: str = "condition=Ready") -> None:
        self.kubectl("wait", f"--for={what}", name, _WAIT)

    def attach(self, *disks: str) -> None:
        """Have these disks, and no others, beside its own."""
        root = {"name": "root", "source": {"image": "guest", "size": "128Mi"}, "deletionPolicy": "Delete"}
        more = [{"name": name, "source": {"disk": name}} for name in disks]
        self.apply(machine("store", disks=[root, *more], nics=[{"name": "lan", "network": "lan"}]))
        self.wait("vm/store")

    def device(self, disk: str) -> str:
        """What the guest calls it."""
        return next(f"/dev/{item['target']}" for item in self.status("vm", "store")["disks"] if item["name"] == disk)

    def guest(self, script: str) -> str:
        return self.node.guest_exec(STORE, ["sh", "-c", script]).strip()

    def wait_guest(self, script: str, wanted: str) -> None:
        wait_for(lambda: self.guest(f"{script}; true") == wanted, _WAIT_S, f"{wanted!r} of {script!r} in the guest")

    def wait_size(self, device: str, size: str) -> None:
        self.wait_guest(f"cat /sys/block/{device.removeprefix('/dev/')}/size 2>&1", str(ByteSize(size) // 512))

    def wait_reason(self, kind: str, name: str, wanted: str) -> str:
        """The message that comes with it."""

        def says() -> bool:
            return reason(self.kubectl.json("get", kind, name)) == wanted

        wait_for(says, _WAIT_S, f"{kind} {name} to say {wanted}")
        found = self.status(kind, name)["conditions"]
        return next(str(item["message"]) for item in found if item["type"] == "Ready")

    def events(self, wanted: str, namespace: str = PLACE) -> list[str]:
        found = self.kubectl.json("get", "events.events.k8s.io", "-n", namespace)["items"]
        return [str(event["note"]) for event in found if event["reason"] == wanted]


def disk(name: str, size: str, **spec: Any) -> Document:
    return declare("VirtualDisk", name, PLACE, {"size": size, "pool": "fast", **spec})


@pytest.fixture(scope="module")
def furnished(kubectl: Kubectl, nodes: dict[str, Node]) -> Iterator[Furnished]:
    made = Furnished(kubectl, nodes)
    made.apply(
        declare("StoragePool", "fast", "", {"path": FAST}),
        declare("VirtualImage", "guest", PLACE, {"source": {"path": f"/{IMAGE}"}}),
        declare("VirtualNetwork", "lan", PLACE, network()["spec"]),
    )
    made.attach()
    made.wait("vm/store", "condition=AgentConnected")
    yield made
    kubectl("delete", "vm,vdisk,vimage,vnet", "--all", _WAIT)


def test_row_23_27_a_guest_boots_from_an_image_and_gets_its_address_in_a_network_of_the_cluster(
    furnished: Furnished,
) -> None:
    node, other = furnished.node, furnished.other
    for kind, name in (("vimage", "guest"), ("vnet", "lan")):
        furnished.wait(f"{kind}/{name}")
        assert [item["name"] for item in furnished.status(kind, name)["hosts"]] == [node.name]
    image = furnished.status("vimage", "guest")["path"]
    (root,) = furnished.status("vm", "store")["disks"]
    told = node.run(["qemu-img", "info", "--force-share", root["path"]]).stdout
    assert f"backing file: {image}" in told
    assert f"{PLACE}_lan" in node.virsh("net-list", "--name").split()
    furnished.wait_guest("ip -4 -o address show dev eth0 | grep -c 192.168.150.", "1")
    assert f"{PLACE}_lan" not in other.virsh("net-list", "--all", "--name").split()
    assert other.run(["test", "-e", image], check=False).returncode != 0


def test_row_47_a_pool_is_active_on_both_hosts_with_their_capacity_in_its_status(furnished: Furnished) -> None:
    furnished.wait("vpool/fast")
    status = furnished.status("vpool", "fast")
    assert {entry["name"]: entry["state"] for entry in status["hosts"]} == dict.fromkeys(furnished.nodes, "Active")
    for entry in status["hosts"]:
        size = furnished.nodes[entry["name"]].run(["df", "-B1", "--output=size", FAST]).stdout.split()[-1]
        assert ByteSize(entry["capacity"]) == int(size)
    assert ByteSize(status["capacity"]) == sum(ByteSize(entry["capacity"]) for entry in status["hosts"])


@pytest.mark.parametrize(("volume_format", "policy"), [("qcow2", "Retain"), ("raw", "Delete")])
def test_row_17_35_42_48_a_disk_of_the_cluster_is_plugged_in_grows_and_leaves_while_the_guest_runs(
    furnished: Furnished, volume_format: str, policy: str
) -> None:
    name, before = f"data-{volume_format}", booted(furnished.node, STORE)
    spec = {"format": volume_format, "deletionPolicy": policy}
    furnished.apply(disk(name, "64Mi", **spec))
    furnished.wait(f"vdisk/{name}")
    assert furnished.status("vdisk", name).get("nodeName") is None
    furnished.attach(name)
    device = furnished.device(name)
    furnished.wait_size(device, "64Mi")
    furnished.guest(f"printf %s {name} | dd of={device} conv=fsync")
    furnished.apply(disk(name, "96Mi", **spec))
    furnished.wait_size(device, "96Mi")
    furnished.wait(f"vdisk/{name}")
    seen = furnished.status("vdisk", name)
    assert (seen["size"], seen["nodeName"], seen["usedBy"]) == ("96Mi", furnished.node.name, [STORE])
    furnished.kubectl("delete", "vdisk", name, "--wait=false")
    assert f"used by VirtualMachine {PLACE}/store;" in furnished.wait_reason("vdisk", name, "InUse")
    furnished.wait_size(device, "96Mi")
    furnished.attach()
    furnished.wait_guest(f"test -e {device} || echo gone", "gone")
    furnished.wait(f"vdisk/{name}", "delete")
    path = f"{FAST}/{PLACE}_{name}.{volume_format}"
    assert furnished.node.run(["test", "-e", path], check=False).returncode == (0 if policy == "Retain" else 1)
    if policy == "Retain":
        wait_for(lambda: any(path in note for note in furnished.events("VolumeRetained")), _WAIT_S, "the event")
    assert booted(furnished.node, STORE) == before


def test_row_47_48_a_disk_that_was_kept_comes_back_with_its_content_and_its_pool_goes_after_it(
    furnished: Furnished,
) -> None:
    name = "data-qcow2"
    furnished.apply(disk(name, "96Mi", deletionPolicy="Delete"))
    furnished.attach(name)
    assert furnished.guest(f"head -c {len(name)} {furnished.device(name)}") == name
    wait_for(lambda: bool(furnished.events("VolumeTakenBack")), _WAIT_S, "the event")
    furnished.kubectl("delete", "vpool", "fast", "--wait=false")
    assert f"used by VirtualDisk {PLACE}/{name};" in furnished.wait_reason("vpool", "fast", "InUse")
    for node in furnished.nodes.values():
        assert "fast" in node.virsh("pool-list", "--name").split()
    furnished.attach()
    furnished.kubectl("delete", "vdisk", name, _WAIT)
    furnished.wait("vpool/fast", "delete")
    for node in furnished.nodes.values():
        assert "fast" not in node.virsh("pool-list", "--all", "--name").split()
        assert node.run(["ls", FAST]).stdout == ""


def test_row_17_a_namespace_that_is_deleted_leaves_a_disk_that_is_to_stay_on_its_host_and_says_so(
    furnished: Furnished,
) -> None:
    place, node = "passing", furnished.other
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place}}
    spec = {"size": "16Mi", "host": node.name}
    stays = declare("VirtualDisk", "stays", place, spec)
    goes = declare("VirtualDisk", "goes", place, {**spec, "deletionPolicy": "Delete"})
    every = Kubectl(furnished.kubectl.kubeconfig, "")
    every("apply", "-f", "-", stdin=[namespace, stays, goes])
    every("wait", "--for=jsonpath={.status.printableStatus}=Ready", "vdisk", "--all", "-n", place, _WAIT)
    paths = {
        item["metadata"]["name"]: item["status"]["path"] for item in every.json("get", "vdisk", "-n", place)["items"]
    }
    every("delete", "namespace", place, _WAIT)
    node.run(["test", "-e", paths["stays"]])
    assert node.run(["test", "-e", paths["goes"]], check=False).returncode == 1
    wait_for(lambda: bool(furnished.events("VolumeRetained", "default")), _WAIT_S, "the event")
    (note,) = furnished.events("VolumeRetained", "default")
    assert note.startswith(f"VirtualDisk {place}/stays: {node.name}: volume {paths['stays']} stays")
