"""The demo in a cluster: kubectl to a running guest on one of two real hosts, a change, drift, and the way back."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tools.cluster.cluster import bring_up, say, take_down
from tools.cluster.hosts import lab_directory, parse_hosts
from tools.cluster.install import kubectl_program
from tools.cluster.spec import Lifetime
from tools.demo.waiting import until
from tools.lab import Lab, LabError, Node
from tools.lab.spec import BASE_DIRECTORY

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = "examples/01-first-machine"
DOMAIN = "default_web"


class ClusterDemo:
    """Prints commands and runs them."""

    def __init__(self, kubeconfig: Path, lab: Lab) -> None:
        self.lab = lab
        self._environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(kubeconfig.parent)}

    def say(self, text: str) -> None:
        """What comes next."""
        print(f"\n# {text}", flush=True)

    def kubectl(self, line: str, stdin: str | None = None) -> str:
        """Run `kubectl LINE` as a user would."""
        print(f"$ kubectl {line}", flush=True)
        answer = self._run(line, stdin)
        print(answer.stdout, end="" if answer.stdout.endswith("\n") else "\n", flush=True)
        if answer.returncode not in (0, 1) or (answer.returncode and not line.startswith("diff")):
            raise SystemExit(f"demo: `kubectl {line}` ended with {answer.returncode}")
        return answer.stdout

    def read(self, what: str) -> Any:
        """An object, quietly."""
        return json.loads(self._run(f"get {what} -o json", None).stdout)

    def on_host(self, node: Node, line: str) -> str:
        """Run a command on a host, past xVirt."""
        print(f"{node.name}# {line}", flush=True)
        text = node.run(shlex.split(line)).stdout.rstrip()
        print(text, flush=True)
        return text

    def guest(self, node: Node, line: str) -> str:
        """Run a command in the guest, through its agent."""
        print(f"guest# {line}", flush=True)
        text = node.guest_exec(DOMAIN, ["sh", "-c", line])
        print(text.rstrip(), flush=True)
        return text

    def _run(self, line: str, stdin: str | None) -> subprocess.CompletedProcess[str]:
        argv = [kubectl_program(), *shlex.split(line)]
        return subprocess.run(
            argv,
            cwd=ROOT,
            env=self._environment,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


def main() -> None:
    """Run the demo; leaves nothing behind."""
    began = time.monotonic()
    with _cluster() as demo:
        print(f"# the cluster is up after {time.monotonic() - began:.0f} s", flush=True)
        node = show_creation(demo)
        show_change(demo, node)
        show_drift(demo, node)
        show_deletion(demo, node)
    print(f"\n# done in {time.monotonic() - began:.0f} s; nothing is left behind", flush=True)


@contextlib.contextmanager
def _cluster() -> Iterator[ClusterDemo]:
    directory = BASE_DIRECTORY / f"demo-cluster-{os.getpid()}"
    try:
        cluster = bring_up(directory, parse_hosts("lab:2"), Lifetime.OWNER, say)
        yield ClusterDemo(cluster.kubeconfig, Lab.attach(lab_directory(directory)))
    finally:
        take_down(directory)
        if directory.exists():
            shutil.rmtree(directory)


def show_creation(demo: ClusterDemo) -> Node:
    """From manifests to a guest; the host that it is on."""
    demo.say(f"two hosts; a network, an image and a machine are declared ({EXAMPLE})")
    demo.kubectl("get vhost -o wide")
    demo.kubectl(f"apply -f {EXAMPLE}")
    demo.kubectl("wait --for=condition=Ready vm/web --timeout=90s")
    demo.kubectl("get vm,vnet,vimage,pod -o wide")
    name = demo.read("vm web")["status"]["nodeName"]
    demo.say("kube-scheduler chose the host; the other one has nothing of it")
    for node in demo.lab.nodes.values():
        demo.on_host(node, "virsh list --all")
    chosen = demo.lab.nodes[name]
    demo.kubectl("wait --for=condition=AgentConnected vm/web --timeout=90s")
    demo.guest(chosen, "cat /proc/uptime; nproc")
    return chosen


def show_change(demo: ClusterDemo, node: Node) -> None:
    """Hot-plug by `kubectl apply`."""
    demo.say("a second vCPU and more memory, live")
    documents = list(yaml.safe_load_all((ROOT / EXAMPLE / "machine.yaml").read_text()))
    web = next(item for item in documents if item["kind"] == "VirtualMachine")
    web["spec"]["cpu"]["cores"] = 2
    web["spec"]["memory"]["size"] = "256Mi"
    text = yaml.safe_dump(web, sort_keys=False)
    demo.kubectl("diff -f -", text)
    demo.kubectl("apply -f -", text)
    until(lambda: _ask(node, "nproc") == "2", "the second vCPU")
    demo.guest(node, "cat /proc/uptime; nproc")
    demo.kubectl("wait --for=condition=Ready vm/web --timeout=90s")
    demo.kubectl("get vm")


def show_drift(demo: ClusterDemo, node: Node) -> None:
    """What is changed behind xVirt's back is put right, also while nobody above the node looks."""
    demo.say("somebody destroys the domain behind our back: it comes back, with the same UUID")
    before = demo.read("vm web")["status"]["uuid"]
    demo.on_host(node, f"virsh destroy {DOMAIN}")
    until(lambda: "running" in node.virsh("list"), "the machine again")
    demo.kubectl("wait --for=condition=AgentConnected vm/web --timeout=90s")
    shown = "{.status.uuid}: {.status.powerState}, restarted {.status.restartCount} times"
    demo.kubectl(f"get vm web -o jsonpath='{shown}'")
    if demo.read("vm web")["status"]["uuid"] != before:
        raise SystemExit("demo: the machine's identity changed")


def show_deletion(demo: ClusterDemo, node: Node) -> None:
    """What is left."""
    demo.say(
        "delete: an object is gone when its host has let it go; the retained disk and the image that it is based on stay"
    )
    demo.kubectl("delete vm web --timeout=90s")
    demo.kubectl("delete vnet lan --timeout=90s")
    demo.kubectl("get vm,vnet,vimage,pod")
    demo.on_host(node, "virsh list --all")
    demo.on_host(node, "ls /var/lib/xvirt/pool")


def _ask(node: Node, line: str) -> str:
    """Of the guest, quietly; empty where its agent does not answer yet."""
    try:
        return node.guest_exec(DOMAIN, ["sh", "-c", line]).strip()
    except LabError:
        return ""
