"""The unit of `deploy/systemd` under a running systemd: what an administrator of a Debian host sees and does."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import yaml

from tests.lab.declared import empty_machine, network
from tools.lab.booted import BootedHost
from tools.lab.processes import wait_until

WAIT_S = 60.0
UNIT = "xvirt-node"
RIGHT = {"apiVersion": "xvirt.io/v1alpha1", "kind": "NodeConfig", "nodeName": "host-a"}
DISK = {"name": "root", "source": {"image": "small", "copy": "Linked"}}
IMAGE = {
    "apiVersion": "xvirt.io/v1alpha1",
    "kind": "VirtualImage",
    "metadata": {"name": "small"},
    "spec": {"source": {"path": "/var/lib/xvirt/images/small.raw"}, "format": "raw"},
}
WEB = empty_machine(
    "web",
    disks=[DISK],
    nics=[{"name": "lan", "network": "lan"}],
    cloudInit={"userData": {"inline": "#cloud-config\n{}"}},
)


@pytest.fixture(scope="module")
def host(lab_prefix: str) -> Iterator[BootedHost]:
    """A host whose plugin runs, with a network and a machine from an image."""
    with BootedHost.up(f"{lab_prefix}-systemd") as up:
        up.boot()
        write_config(up)
        up.run(["systemctl", "enable", "--now", UNIT])
        images = up.path("var/lib/xvirt/images")
        images.mkdir(exist_ok=True)
        (images / "small.raw").write_bytes(bytes(1 << 20))
        up.path("root/all.yaml").write_text(yaml.safe_dump_all([network(), IMAGE, WEB]))
        up.run(["xvirt", "apply", "-f", "/root/all.yaml", "--wait", "--timeout", "90s"])
        yield up


def write_config(host: BootedHost, **changes: object) -> None:
    host.path("etc/xvirt/node.yaml").write_text(yaml.safe_dump(RIGHT | changes, sort_keys=False))


def shown(host: BootedHost, name: str) -> str:
    """A property of the unit."""
    return host.run(["systemctl", "show", "--value", "-p", name, UNIT]).stdout.strip()


def journal(host: BootedHost) -> str:
    return host.run(["journalctl", "-u", UNIT, "--no-pager", "-o", "cat"]).stdout


def qemu(host: BootedHost) -> str:
    """Pid and start time of the machine's QEMU: another one where it was started anew."""
    pid = host.run(["pgrep", "-f", "guest=default_web"]).stdout.strip()
    assert pid.isdigit(), pid
    return f"{pid} {host.run(['ps', '-o', 'lstart=', '-p', pid]).stdout.strip()}"


def power(host: BootedHost, name: str = "web") -> str:
    answer = host.run(["xvirt", "get", "vm", name, "-o", "json"], check=False).stdout
    return str(json.loads(answer)["status"]["powerState"]) if answer else ""


def wait_running(host: BootedHost, other_than: str = "") -> None:
    """Until systemd has the plugin running (as another process), and it says that the machine is."""

    def is_met() -> bool:
        return (
            shown(host, "ActiveState") == "active" and shown(host, "MainPID") != other_than and power(host) == "Running"
        )

    wait_until(is_met, WAIT_S, f"the plugin and its machine to run; journal:\n{journal(host)[-2000:]}")


def test_the_unit_is_started_once_the_plugin_serves(host: BootedHost) -> None:
    assert shown(host, "StatusText") == "node host-a serves"
    assert shown(host, "NRestarts") == "0"
    assert "the mode is different" not in host.run(["journalctl", "--no-pager", "-o", "cat"]).stdout


def test_machines_are_not_in_the_units_group(host: BootedHost) -> None:
    group = host.run(["cat", f"/proc/{qemu(host).split()[0]}/cgroup"]).stdout
    assert "xvirt-node" not in group
    assert "machine" in group


def test_the_plugin_has_the_rights_that_the_unit_leaves_it_and_no_more(host: BootedHost) -> None:
    pid = shown(host, "MainPID")
    status = dict(
        line.split(":\t", 1) for line in host.run(["cat", f"/proc/{pid}/status"]).stdout.splitlines() if ":\t" in line
    )
    assert int(status["CapBnd"], 16) == 0b1111, "chown, dac_override, dac_read_search, fowner: capabilities 0 to 3"
    assert int(status["CapEff"], 16) == 0b1111
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    inside = ["nsenter", "--target", pid, "--mount", "--"]
    for path in ("/etc/made", "/usr/made", "/etc/libvirt/made"):
        assert "Read-only" in host.run([*inside, "touch", path], check=False).stderr
    for path in ("/var/lib/xvirt/made", "/var/lib/libvirt/images/made"):
        host.run([*inside, "touch", path])
    assert host.run([*inside, "ls", "/root"], check=False).stdout == ""


@pytest.mark.parametrize("act", ["restart", "stop-start"])
def test_row_75_machines_outlive_the_service(host: BootedHost, act: str) -> None:
    before, pid = qemu(host), shown(host, "MainPID")
    if act == "restart":
        host.run(["systemctl", "restart", UNIT])
    else:
        host.run(["systemctl", "stop", UNIT])
        assert shown(host, "Result") == "success"
        assert qemu(host) == before
        host.run(["systemctl", "start", UNIT])
    wait_running(host, pid)
    assert qemu(host) == before


def test_a_killed_plugin_is_started_again_and_machines_do_not_notice(host: BootedHost) -> None:
    before, pid = qemu(host), shown(host, "MainPID")
    host.run(["kill", "-KILL", pid])
    wait_running(host, pid)
    assert qemu(host) == before


def test_a_plugin_that_hangs_is_ended_by_the_watchdog(host: BootedHost) -> None:
    shorter = host.path(f"etc/systemd/system/{UNIT}.service.d")
    shorter.mkdir()
    (shorter / "watchdog.conf").write_text("[Service]\nWatchdogSec=3s\n")
    host.run(["systemctl", "daemon-reload"])
    host.run(["systemctl", "restart", UNIT])
    before, pid = qemu(host), shown(host, "MainPID")
    host.run(["kill", "-STOP", pid])
    wait_running(host, pid)
    assert "watchdog" in host.run(["journalctl", "-u", UNIT, "--no-pager"]).stdout.lower()
    assert qemu(host) == before


def test_a_wrong_config_says_the_line_and_a_mended_one_is_taken_without_a_word(host: BootedHost) -> None:
    before = qemu(host)
    write_config(host, resyncIntervalSeconds="soon")
    assert host.run(["systemctl", "restart", UNIT], check=False).returncode != 0
    assert "/etc/xvirt/node.yaml:4: resyncIntervalSeconds" in journal(host)
    write_config(host)
    wait_running(host)
    assert qemu(host) == before


def test_a_restart_of_libvirtd_by_systemd_is_lived_through(host: BootedHost) -> None:
    before, pid = qemu(host), shown(host, "MainPID")
    host.run(["systemctl", "restart", "libvirtd"])
    host.run(["xvirt", "wait", "vm/web", "--for=condition=Ready", "--timeout", "60s"])
    assert (qemu(host), shown(host, "MainPID")) == (before, pid)


@pytest.mark.parametrize("way", ["shut down", "power cut"])
def test_row_26_a_booted_host_runs_what_it_ran(host: BootedHost, way: str) -> None:
    host.path("root/off.yaml").write_text(yaml.safe_dump(empty_machine("off", runStrategy="Halted")))
    host.run(["xvirt", "apply", "-f", "/root/off.yaml", "--wait"])
    uuid = host.run(["virsh", "-c", "qemu:///system", "domuuid", "default_web"]).stdout
    if way == "shut down":
        host.shut_down()
    else:
        host.cut_power()
    host.boot()
    wait_running(host)
    assert host.run(["virsh", "-c", "qemu:///system", "domuuid", "default_web"]).stdout == uuid
    assert power(host, "off") == "Stopped"


def test_a_disabled_service_leaves_a_host_that_libvirt_alone_runs(host: BootedHost) -> None:
    before = qemu(host)
    host.run(["systemctl", "disable", "--now", UNIT])
    assert qemu(host) == before
    assert "default_web" in host.run(["virsh", "-c", "qemu:///system", "list", "--name"]).stdout
    host.run(["systemctl", "enable", "--now", UNIT])
    wait_running(host)
