"""`python -m tools.demo [--cluster]`"""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml

from tools.demo.adoption import show_adoption
from tools.demo.waiting import until
from tools.guest import image_path
from tools.lab import Lab, LabSpec, Node
from tools.lab.node import module_command

ROOT = Path(__file__).resolve().parents[2]
XVIRT = Path(sys.executable).with_name("xvirt")
DOMAIN = "default_web"
IMAGE_PORT = 8088


class Demo:
    """Prints commands and runs them."""

    def __init__(self, lab: Lab, node: Node) -> None:
        self.lab = lab
        self.node = node
        shown = {"NO_COLOR": "1", "XVIRT_PROGRESS": "lines"}
        self.environment = {**os.environ, **lab.client_environment(node.name), **shown}

    def say(self, text: str) -> None:
        print(f"\n# {text}", flush=True)

    def xvirt(self, line: str, stdin: str | None = None) -> str:
        """Run `xvirt LINE` as a user would."""
        print(f"$ xvirt {line}", flush=True)
        answer = subprocess.run(
            [str(XVIRT), *shlex.split(line)],
            env=self.environment,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        print(answer.stdout, end="", flush=True)
        if answer.returncode not in (0, 1):
            raise SystemExit(f"demo: `xvirt {line}` ended with {answer.returncode}")
        return answer.stdout

    def apply(self, documents: list[dict[str, object]], options: str = "") -> None:
        """Apply from standard input."""
        self.xvirt(f"apply -f - {options}".strip(), yaml.safe_dump_all(documents, sort_keys=False))

    def guest(self, line: str) -> str:
        """Run a command in the guest, through its agent."""
        print(f"guest# {line}", flush=True)
        text = self.node.guest_exec(DOMAIN, ["sh", "-c", line])
        print(text.rstrip(), flush=True)
        return text

    def on_host(self, line: str) -> str:
        """Run a command on the node, past xVirt."""
        print(f"host# {line}", flush=True)
        text = self.node.run(shlex.split(line)).stdout
        print(text.rstrip(), flush=True)
        return text

    def ask_guest(self, line: str) -> str:
        """Quietly; empty where the agent does not answer yet."""
        try:
            return self.node.guest_exec(DOMAIN, ["sh", "-c", line])
        except Exception:  # noqa: BLE001 - asked again until the deadline
            return ""

    def wait_addressed(self) -> None:
        """Until the agent is there and has reported an address."""
        self.xvirt("wait vm web --for=condition=AgentConnected --timeout=90s")
        until(lambda: "192.168.150." in self._quiet("get vm web -o yaml"), "an address")

    def _quiet(self, line: str) -> str:
        argv = [str(XVIRT), *shlex.split(line)]
        return subprocess.run(argv, env=self.environment, capture_output=True, text=True, check=False).stdout


def main() -> None:
    """Run the demo that is asked for."""
    parser = argparse.ArgumentParser(prog="./dev demo", description="xVirt's main job on a real guest")
    parser.add_argument("--cluster", action="store_true", help="in a cluster of two hosts, by kubectl")
    if parser.parse_args().cluster:
        from tools.demo.cluster import main as show_cluster

        show_cluster()
    else:
        show_node()


def show_node() -> None:
    """One host, by xVirt's command line; leaves nothing behind."""
    began = time.monotonic()
    print("# building the test guest (once)", flush=True)
    image = image_path()
    with Lab.up(LabSpec(name=f"demo-{os.getpid()}")) as lab:
        node = lab.nodes["node-a"]
        target = lab.shared / "guest.qcow2"
        shutil.copyfile(image, target)
        node.start_service("image-server", module_command("tools.demo.image_server", str(target), str(IMAGE_PORT)))
        documents = list(yaml.safe_load_all((ROOT / "examples/01-first-machine/machine.yaml").read_text()))
        checksum = f"sha256:{hashlib.sha256(target.read_bytes()).hexdigest()}"
        documents[1]["spec"] = {"source": {"url": f"http://127.0.0.1:{IMAGE_PORT}/guest.qcow2"}, "checksum": checksum}
        show(Demo(lab, node), documents)
    print(f"\n# done in {time.monotonic() - began:.0f} s; nothing is left behind", flush=True)


def show(demo: Demo, documents: list[dict[str, object]]) -> None:
    """The main job, step by step."""
    show_creation(demo, documents)
    show_live_changes(demo, documents[2])
    show_resilience(demo)
    show_deletion(demo)
    show_adoption(demo)


def show_creation(demo: Demo, documents: list[dict[str, object]]) -> None:
    """From documents to a guest with an address."""
    demo.say("declare a network, an image from a web server and a machine (examples/01-first-machine)")
    demo.xvirt("version")
    demo.apply(documents, "--wait")
    demo.wait_addressed()
    demo.xvirt("get all")
    demo.say("the boot log")
    demo.xvirt("logs web --tail 4")
    demo.guest("cat /proc/uptime; nproc; ls /sys/class/net | tr '\\n' ' '")


def show_live_changes(demo: Demo, web: dict[str, object]) -> None:
    """Hot-plug, seen from inside."""
    demo.say("memory, a vCPU, a disk and a NIC added live")
    spec = web["spec"]
    assert isinstance(spec, dict)
    spec["cpu"]["cores"] = 2
    spec["memory"]["size"] = "256Mi"
    spec["disks"].append({"name": "data", "source": {"size": "64Mi"}})
    spec["nics"].append({"name": "second", "network": "lan"})
    text = yaml.safe_dump(web, sort_keys=False)
    demo.xvirt("diff -f -", text)
    demo.apply([web], "--wait")
    until(
        lambda: "eth1" in demo.ask_guest("ls /sys/class/net") and " 65536 " in demo.ask_guest("cat /proc/partitions"),
        "the NIC and the disk",
    )
    until(lambda: demo.ask_guest("nproc").strip() == "2", "the second vCPU")
    demo.guest("cat /proc/uptime; nproc; ls /sys/class/net | tr '\\n' ' '; grep ' vd[a-z]$' /proc/partitions")
    demo.xvirt("get vm -o wide")


def show_resilience(demo: Demo) -> None:
    """Killed behind our back, stopped and started, the plugin killed."""
    demo.say("somebody destroys the domain behind our back: it comes back")
    demo.on_host(f"virsh destroy {DOMAIN}")
    until(lambda: "running" in demo.node.virsh("list"), "the machine again")
    demo.wait_addressed()
    demo.xvirt("events vm web")

    demo.say("stop, start: same UUID, same MACs")
    before = identity(demo)
    demo.xvirt("stop web")
    demo.xvirt("get vm web")
    demo.xvirt("start web")
    demo.wait_addressed()
    after = identity(demo)
    print(f"# before {before}\n# after  {after}", flush=True)
    if before != after:
        raise SystemExit("demo: the machine's identity changed")

    demo.say("the node plugin dies by SIGKILL and is started again: the guest does not notice")
    demo.guest("cat /proc/uptime")
    demo.node.kill_plugin(signal.SIGKILL)
    demo.node.wait_plugin_exit()
    demo.node.start_plugin()
    demo.guest("cat /proc/uptime")
    demo.xvirt("get vm web")


def show_deletion(demo: Demo) -> None:
    """What is left."""
    demo.say("delete: nothing is left but the retained disks and the image that they are based on")
    demo.xvirt("delete vm web")
    demo.xvirt("delete vnet lan")
    demo.on_host("virsh list --all")
    demo.on_host("virsh net-list --all")
    demo.on_host("ls /var/lib/xvirt/pool")


def identity(demo: Demo) -> tuple[str, tuple[str, ...]]:
    """UUID and MACs."""
    status = yaml.safe_load(demo._quiet("get vm web -o yaml"))["status"]
    return status["uuid"], tuple(nic["mac"] for nic in status["interfaces"])


if __name__ == "__main__":
    main()
