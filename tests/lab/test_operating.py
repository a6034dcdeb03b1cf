"""What an operator sees and does: metrics beside virsh's own numbers, health, stopping, a wrong config."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.lab.declared import Declared, empty_machine, has_agent, image, machine, network, vm
from tools.lab import Node
from tools.lab.processes import wait_until
from xvirt.model.exchange import WatchType

WAIT_S = 60.0
_FETCH = """
import sys, urllib.error, urllib.request
try:
    answer = urllib.request.urlopen(sys.argv[1], timeout=30)
except urllib.error.HTTPError as error:
    answer = error
except urllib.error.URLError:
    sys.exit(print(0))
sys.stdout.write(f"{answer.status}\\n" + answer.read().decode())
"""


def fetch(node: Node, path: str) -> tuple[int, str]:
    """Ask the monitoring port from inside the node: it listens on loopback alone. Code 0 where nobody listens."""
    text = node.run([sys.executable, "-c", _FETCH, f"http://127.0.0.1:9177{path}"]).stdout
    code, _, body = text.partition("\n")
    return int(code), body


Key = tuple[str, frozenset[tuple[str, str]]]


def scrape(node: Node) -> Callable[..., float]:
    """One scrape; returns a look-up by name and labels."""
    found: dict[Key, float] = {}
    for family in text_string_to_metric_families(fetch(node, "/metrics")[1]):
        for sample in family.samples:
            found[sample.name, frozenset(sample.labels.items())] = sample.value
    return lambda name, **labels: found[name, frozenset(labels.items())]


def domstats(node: Node, domain: str) -> dict[str, float]:
    """What virsh says."""
    lines = node.virsh("domstats", domain, "--nowait").splitlines()
    pairs = (line.strip().partition("=") for line in lines)
    return {key: float(value) for key, _, value in pairs if re.fullmatch(r"\d+", value)}


@pytest.fixture
def declared(node: Node) -> Iterator[Declared]:
    client = Declared(node)
    yield client
    for kind in ("VirtualMachine", "VirtualNetwork"):
        for view in client.client.list_objects(kind):
            client.client.delete(view.ref, force=True)
            client.wait_gone(view.ref)


def test_row_7_counters_of_a_busy_guest_are_those_of_virsh_domstats(declared: Declared, guest_image: Path) -> None:
    node = declared.node
    declared.apply(network())
    declared.apply(image(guest_image))
    declared.apply(machine("busy"))
    document = declared.wait(vm("busy"), has_agent, "agent connected")
    tap = document["status"]["interfaces"][0]["device"]
    node.guest_exec("default_busy", ["/bin/sh", "-c", "dd if=/dev/vda of=/dev/null bs=1M count=16"])
    before = domstats(node, "default_busy")
    found = scrape(node)
    after = domstats(node, "default_busy")
    one, disk = {"domain": "default_busy"}, {"domain": "default_busy", "target_device": "vda"}
    nic = {"domain": "default_busy", "target_device": tap}
    wanted = (
        ("libvirt_domain_info_cpu_time_seconds_total", one, "cpu.time", 1e9),
        ("libvirt_domain_block_stats_read_bytes_total", disk, "block.0.rd.bytes", 1),
        ("libvirt_domain_block_stats_read_requests_total", disk, "block.0.rd.reqs", 1),
        ("libvirt_domain_interface_stats_receive_bytes_total", nic, "net.0.rx.bytes", 1),
        ("libvirt_domain_interface_stats_transmit_packets_total", nic, "net.0.tx.pkts", 1),
    )
    for name, labels, key, unit in wanted:
        assert before[key] > 0
        assert before[key] <= round(found(name, **labels) * unit) <= after[key]  # a counter lies between its readings
    rss = found("libvirt_domain_memory_stats_rss_bytes", **one) / 1024
    assert rss == pytest.approx(before["balloon.rss"], rel=0.05)
    assert found("libvirt_domain_info_memory_usage_bytes", **one) == before["balloon.current"] * 1024
    assert found("xvirt_convergence_seconds_count", kind="VirtualMachine", outcome="ok") >= 1


def test_the_node_is_ready_while_libvirt_is_there_and_live_all_the_time(node: Node) -> None:
    wait_until(lambda: fetch(node, "/readyz")[0] == 200, WAIT_S, "the node to be ready")
    node.kill_libvirtd(signal.SIGTERM)
    try:
        wait_until(lambda: fetch(node, "/readyz")[0] == 503, WAIT_S, "the node to notice")
        assert "[-]libvirt failed" in fetch(node, "/readyz")[1]
        assert fetch(node, "/livez")[0] == 200
        assert "\nlibvirt_up 0.0\n" in fetch(node, "/metrics")[1]
    finally:
        node.start_libvirtd()
    wait_until(lambda: fetch(node, "/readyz")[0] == 200, WAIT_S, "the node to be ready again")


def test_sigterm_ends_streams_and_leaves_machines_running(declared: Declared) -> None:
    declared.apply(empty_machine("stays"))
    declared.wait_ready(vm("stays"))
    number = declared.node.virsh("domid", "default_stays")
    with declared.client.watch("VirtualMachine") as events:
        while next(events).type is not WatchType.SYNCED:
            pass
        declared.node.kill_plugin(signal.SIGTERM)
        assert declared.node.wait_plugin_exit() == 0
    assert declared.node.virsh("domid", "default_stays") == number
    assert declared.node.log_text("plugin").rstrip().endswith("stopped")
    declared.node.start_plugin()
    declared.wait_ready(vm("stays"))
    assert declared.node.virsh("domid", "default_stays") == number


def test_a_second_sigterm_ends_the_plugin_at_once_while_a_qemu_hangs(declared: Declared) -> None:
    node = declared.node
    declared.apply(empty_machine("hung"))
    declared.wait_ready(vm("hung"))
    pid = (node.paths.run_libvirt / "qemu" / "default_hung.pid").read_text().strip()
    seen = len(node.log_text("plugin"))
    node.run(["kill", "-STOP", pid])
    try:
        # An Apply that asks the monitor: a worker now waits for a QEMU that does not answer, and is not waited for long.
        grown = empty_machine("hung")
        grown["spec"]["memory"]["size"] = "24Mi"
        declared.apply(grown)
        plugin = node.plugin_pid
        os.kill(plugin, signal.SIGTERM)
        wait_until(lambda: "stopping;" in node.log_text("plugin")[seen:], WAIT_S, "the plugin to begin to stop")
        os.kill(plugin, signal.SIGTERM)
        assert node.wait_plugin_exit() == -signal.SIGTERM
    finally:
        node.run(["kill", "-CONT", pid])
        node.start_plugin()
    declared.wait_ready(vm("hung"))


def test_check_config_names_the_line_of_a_mistake(node: Node) -> None:
    program = str(Path(sys.executable).with_name("xvirt-node"))
    right = node.run([program, "--check-config", "--config", "/etc/xvirt/node.yaml"])
    assert right.stdout == "/etc/xvirt/node.yaml: right\n"
    text = (node.paths.root / "etc-xvirt" / "node.yaml").read_text().replace("stateDir:", "stateDirectory:")
    (node.paths.root / "etc-xvirt" / "wrong.yaml").write_text(text)
    wrong = node.run([program, "--check-config", "--config", "/etc/xvirt/wrong.yaml"], check=False)
    assert wrong.returncode == 1
    assert "/etc/xvirt/wrong.yaml:5: stateDirectory: is not a known field (did you mean stateDir?)" in wrong.stderr


def test_top_shows_what_a_machine_takes(declared: Declared) -> None:
    declared.apply(empty_machine("shown"))
    declared.wait_ready(vm("shown"))
    program = str(Path(sys.executable).with_name("xvirt"))
    text = declared.node.run([program, "top", "--once", "--interval", "1s"]).stdout
    heading, line = text.splitlines()
    assert heading.split()[:5] == ["NAME", "STATUS", "CPUS", "CPU%", "MEMORY"]
    assert line.split()[:3] == ["shown", "Running", "1"]
    assert float(line.split()[3]) >= 0
    assert line.split()[4].endswith("Mi")


UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "xvirt-node.service"
_READ_ONLY = 'mount -o remount,ro,bind / && exec "$@"'
"""As ProtectSystem=strict: the node's own directories are mounts of their own and stay writable."""


def test_the_plugin_does_its_work_with_the_rights_that_its_unit_leaves_it(
    declared: Declared, guest_image: Path
) -> None:
    node = declared.node
    [line] = [line for line in UNIT.read_text().splitlines() if line.startswith("CapabilityBoundingSet=")]
    rights = ",".join("+" + name.lower().removeprefix("cap_") for name in line.partition("=")[2].split())
    program = [str(Path(sys.executable).with_name("xvirt-node")), "--config", "/etc/xvirt/node.yaml"]
    limits = ["setpriv", f"--bounding-set=-all,{rights}", "--inh-caps=-all", "--no-new-privs"]
    node.stop_plugin()
    confine = [sys.executable, "-m", "tests.lab.confine", str(UNIT)]
    argv = ["unshare", "--mount", "sh", "-c", _READ_ONLY, "sh", *limits, *confine, *program]
    # TMPDIR: what PrivateTmp gives it.
    node.start_service("plugin", argv, {"TMPDIR": "/run/xvirt", "PYTHONPATH": str(UNIT.parents[2])})
    try:
        wait_until(lambda: fetch(node, "/readyz")[0] == 200, WAIT_S, "the plugin to serve")
        status = Path(f"/proc/{node.plugin_pid}/status").read_text()
        assert re.search(r"CapEff:\s+0+f\n", status)
        assert re.search(r"NoNewPrivs:\s+1\n", status)
        assert re.search(r"Seccomp:\s+2\n", status)
        declared.apply(network())
        declared.apply(image(guest_image))
        declared.apply(machine("limited", cloudInit={"userData": {"inline": "#cloud-config\n"}}))
        declared.wait_ready(vm("limited"))
        declared.delete(vm("limited"))
    finally:
        node.kill_plugin()
        node.start_plugin()
