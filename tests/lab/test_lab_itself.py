"""The lab keeps its promises: real nodes, and nothing of them on the machine, during and after."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tools.guest import image_path
from tools.lab import Lab, LabError, LabSpec, Lifetime, Node, Services
from tools.lab.lab import is_up, take_down
from tools.lab.processes import Process, find_process, read_record, wait_until
from tools.lab.spec import BASE_DIRECTORY, PLUGIN_PORT

_NAMESPACES = ("mnt", "net", "pid", "uts")


@dataclass(frozen=True)
class Machine:
    """What the lab must not change."""

    links: str
    mounts: str
    places: tuple[bool, ...]


def machine() -> Machine:
    """Network devices, mounts and the directories that a node has at places of its own."""
    links = subprocess.run(["ip", "-brief", "link"], check=True, capture_output=True, text=True).stdout
    places = ("/etc/xvirt", "/var/lib/xvirt", "/run/xvirt", "/run/netns")
    return Machine(links, Path("/proc/self/mountinfo").read_text(), tuple(Path(place).exists() for place in places))


def namespaces_of(pid: int | str) -> set[str]:
    """The namespaces a process is in; empty when it is gone or not ours to see."""
    try:
        return {os.readlink(f"/proc/{pid}/ns/{kind}") for kind in _NAMESPACES}
    except OSError:
        return set()


def processes_inside(namespaces: set[str]) -> list[Process]:
    """The processes that are in one of these namespaces. A namespace's number may be used again once it is gone."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    found = [find_process(pid) for pid in pids if namespaces_of(pid) & namespaces]
    return [process for process in found if process is not None and process.is_alive()]


def lab_namespaces(*processes: Process) -> set[str]:
    """The namespaces of these processes that this process is not in."""
    return set().union(*(namespaces_of(process.pid) for process in processes)) - namespaces_of("self")


def processes_naming(directory: Path) -> list[str]:
    """The command lines that name this directory."""
    lines = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_text(errors="replace") if entry.name.isdigit() else ""
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if str(directory) in line:
            lines.append(line)
    return lines


@pytest.fixture(scope="module")
def bare(lab_prefix: str) -> Iterator[Lab]:
    """Two nodes without plugins."""
    with Lab.up(LabSpec(f"{lab_prefix}-bare", nodes=2, services=Services.LIBVIRT)) as lab:
        yield lab


@pytest.fixture
def first(bare: Lab) -> Node:
    """The first of the two."""
    return bare.nodes["node-a"]


@pytest.fixture
def directory(lab_prefix: str) -> Iterator[Path]:
    """The place of a lab that a test brings up by itself."""
    path = BASE_DIRECTORY / f"{lab_prefix}-own"
    yield path
    take_down(path)


def test_nothing_is_changed_while_a_lab_is_up_and_nothing_is_left_after_down(directory: Path) -> None:
    before = machine()
    lab = Lab.up(LabSpec(directory.name, nodes=2, services=Services.LIBVIRT))
    assert machine() == before
    inside = lab_namespaces(lab.nodes["node-a"].init, lab.nodes["node-b"].init, lab.nodes["node-a"].fabric)
    assert len(inside) == 10  # four per node, and the fabric's PID and network namespace
    assert len(processes_inside(inside)) >= 7  # three PID 1, two libvirtd, two forwarders
    lab.down()
    assert processes_inside(inside) == []
    assert machine() == before
    assert not directory.exists()


def test_a_lab_ends_with_the_process_that_made_it(directory: Path) -> None:
    program = (
        "import sys; from tools.lab import *; l = Lab.up(LabSpec(sys.argv[1], services=Services.LIBVIRT)); input()"
    )
    owner = subprocess.Popen([sys.executable, "-c", program, directory.name], stdin=subprocess.PIPE)
    wait_until(lambda: is_up(directory), 60, "the lab to be up")
    inside = lab_namespaces(Lab.attach(directory).nodes["node-a"].init)
    owner.kill()
    owner.communicate()
    wait_until(lambda: not processes_inside(inside), 20, "the node to end with its owner")
    wait_until(lambda: not processes_naming(directory), 20, "the fabric to end with its owner")


def _begin_up(directory: Path, moment: Callable[[], bool]) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "tools.lab", "up", "--name", directory.name, "--services", Services.LIBVIRT]
    child = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: moment() or child.poll() is not None, 60, "the moment to interrupt `up` at")
    return child


_MOMENTS = ("pids/fabric", "pids/node-a", "node-a/control.sock", "node-a/run-libvirt/libvirt-sock", "lab.json")


@pytest.mark.parametrize("moment", _MOMENTS)
def test_down_clears_what_a_killed_up_has_left(directory: Path, moment: str) -> None:
    before = machine()
    child = _begin_up(directory, (directory / moment).exists)
    child.kill()
    child.communicate()
    processes = [read_record(record) for record in (directory / "pids").glob("*") if record.suffix != ".new"]
    assert take_down(directory)
    assert not [process for process in processes if process is not None and process.is_alive()]
    assert processes_naming(directory) == []
    assert not directory.exists()
    assert machine() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_up_clears_up_after_itself(directory: Path, number: signal.Signals) -> None:
    child = _begin_up(directory, (directory / "node-a/control.sock").exists)
    child.send_signal(number)
    child.communicate(timeout=60)
    assert child.returncode == 128 + number
    assert processes_naming(directory) == []
    assert not directory.exists()


def test_down_can_be_repeated_and_up_refuses_a_second_time(directory: Path) -> None:
    spec = LabSpec(directory.name, services=Services.LIBVIRT, lifetime=Lifetime.DETACHED)
    with Lab.up(spec) as lab:
        with pytest.raises(LabError, match="up already"):
            Lab.up(spec)
        assert is_up(directory)
        lab.down()
    assert not take_down(directory)


def test_a_directory_that_is_not_a_labs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    with pytest.raises(LabError, match="not a lab"):
        Lab.up(LabSpec("other", directory=tmp_path))
    with pytest.raises(LabError, match="not a lab"):
        take_down(tmp_path)
    assert (tmp_path / "precious").read_text() == "kept"


def test_each_node_has_its_own_libvirt_network_and_name(bare: Lab) -> None:
    uuids = {node.virsh("capabilities").split("<uuid>")[1].split("<")[0] for node in bare.nodes.values()}
    assert len(uuids) == 2
    assert [node.run(["hostname"]).stdout.strip() for node in bare.nodes.values()] == ["node-a", "node-b"]
    devices = bare.nodes["node-a"].run(["ls", "/sys/class/net"]).stdout.split()
    assert {"lo", "eth0"} <= set(devices) <= {"lo", "eth0", "sit0", "tunl0", "gre0", "gretap0", "erspan0", "ip6tnl0"}
    bare.nodes["node-a"].run(["bash", "-c", "exec 3<>/dev/tcp/node-b/16509"])  # node-b's libvirtd
    assert bare.nodes["node-a"].virsh("pool-list", "--all").strip() == ""
    (bare.shared / "note").write_text("from outside")
    assert bare.nodes["node-b"].run(["cat", str(bare.shared / "note")]).stdout == "from outside"


def test_loopback_leads_to_the_plugins_port_inside_the_node(first: Node) -> None:
    first.start_service("stand-in", ["python3", "-m", "http.server", str(PLUGIN_PORT), "--bind", first.address])
    host, port = first.tls_address.split(":")

    def answer() -> bytes:
        """Nothing where nobody listens inside: whether that is an end or a reset is a matter of who was first."""
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            try:
                connection.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
                return connection.recv(100)
            except (ConnectionResetError, BrokenPipeError):
                return b""

    wait_until(lambda: answer().startswith(b"HTTP/1.0 200"), 20, "an answer from inside the node")
    first.kill_service("stand-in")
    assert answer() == b""


def test_a_reboot_keeps_disks_definitions_and_addresses(first: Node) -> None:
    first.virsh("define", "/dev/stdin", stdin=_domain("kept", first.paths.root))
    first.run(["touch", "/var/lib/xvirt/kept", "/run/libvirt/lost", "/etc/lost"])
    before, port = processes_inside(lab_namespaces(first.init)), first.tcp_port
    assert first.init in before
    first.reboot()
    assert not [process for process in before if process.is_alive()]
    assert first.tcp_port == port
    assert first.virsh("list", "--all", "--name").split() == ["kept"]
    first.virsh("undefine", "kept")
    kept = first.run(["ls", "/var/lib/xvirt/kept", "/run/libvirt/lost", "/etc/lost"], check=False).stdout
    assert kept.split() == ["/var/lib/xvirt/kept"]
    first.run(["bash", "-c", "exec 3<>/dev/tcp/node-b/16509"])


def test_libvirtd_is_killed_frozen_and_restarted_apart_from_its_node(first: Node) -> None:
    pid = first.libvirt_pid
    first.kill_libvirtd()
    with pytest.raises(LabError, match="not running"):
        _ = first.libvirt_pid
    first.start_libvirtd()
    first.kill_libvirtd(signal.SIGSTOP)
    frozen = find_process(first.libvirt_pid)
    assert frozen is not None
    assert frozen.pid != pid
    wait_until(lambda: "\nState:\tT" in Path(f"/proc/{frozen.pid}/status").read_text(), 10, "libvirtd to be frozen")
    first.kill_libvirtd(signal.SIGCONT)
    first.restart_libvirtd()
    assert not frozen.is_alive()


def _domain(name: str, root: Path) -> str:
    return f"""<domain type='qemu'><name>{name}</name><memory unit='MiB'>128</memory><vcpu>1</vcpu>
      <os><type machine='q35'>hvm</type></os><features><acpi/><tcg><tb-cache unit='MiB'>64</tb-cache></tcg></features>
      <devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/var/lib/xvirt/{name}.qcow2'/>
      <target dev='vda' bus='virtio'/></disk><interface type='network'><source network='lan'/><model type='virtio'/></interface>
      <serial type='file'><source path='{root}/log/{name}.console'/></serial>
      <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel></devices></domain>"""


_NETWORK = """<network><name>lan</name><forward mode='nat'/><bridge name='vbr-lan' stp='off' delay='0'/>
  <ip address='192.168.77.1' netmask='255.255.255.0'><dhcp><range start='192.168.77.10' end='192.168.77.99'/></dhcp></ip>
  </network>"""


@pytest.fixture
def guest(first: Node) -> Iterator[str]:
    """A running test guest on a NAT network, its agent answering."""
    overlay = str(first.paths.binds["/var/lib/xvirt"] / "web.qcow2")
    backing = ["-b", str(image_path()), "-F", "qcow2"]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *backing, overlay], check=True)
    first.virsh("net-create", "/dev/stdin", stdin=_NETWORK)
    first.virsh("define", "--validate", "/dev/stdin", stdin=_domain("web", first.paths.root))
    first.virsh("start", "web")
    first.wait_for_agent("web")
    yield "web"
    first.virsh("destroy", "web", check=False)
    first.virsh("undefine", "web")
    first.virsh("net-destroy", "lan")


def test_a_guest_gets_an_address_keeps_its_data_and_obeys_the_power_button(first: Node, guest: str) -> None:
    wait_until(lambda: "192.168.77." in first.virsh("domifaddr", guest, "--source", "agent"), 30, "the guest's address")
    assert "192.168.77." in first.virsh("net-dhcp-leases", "lan")
    first.guest_exec(guest, ["ping", "-c", "1", "192.168.77.1"])
    with pytest.raises(LabError, match="No such file"):
        first.guest_exec(guest, ["cat", "/data/note"])
    first.guest_exec(guest, ["sh", "-c", "echo kept >/data/note; touch /run/ignore-shutdown"])
    console = first.paths.log / f"{guest}.console"
    first.virsh("shutdown", guest, "--mode", "acpi")
    wait_until(lambda: "shutdown ignored" in console.read_text(errors="replace"), 30, "the guest to ignore the button")
    assert first.virsh("domstate", guest).strip() == "running"
    first.guest_exec(guest, ["rm", "/run/ignore-shutdown"])
    first.virsh("shutdown", guest, "--mode", "acpi")
    wait_until(lambda: first.virsh("domstate", guest).strip() == "shut off", 30, "the guest to power off")
    first.virsh("start", guest)
    first.wait_for_agent(guest)
    assert first.guest_exec(guest, ["cat", "/data/note"]) == "kept\n"
    assert "xvirt-guest ready" in console.read_text(errors="replace")


def test_a_node_that_is_killed_takes_its_guests_along(first: Node, guest: str) -> None:
    inside = lab_namespaces(first.init)
    names = [Path(f"/proc/{process.pid}/comm").read_text().strip() for process in processes_inside(inside)]
    assert "qemu-system-x86" in names
    first.power_off()
    assert processes_inside(inside) == []
    first.boot()
    assert first.virsh("domstate", guest).strip() == "shut off"
    first.virsh("net-create", "/dev/stdin", stdin=_NETWORK)  # a transient network does not survive; the fixture ends it
