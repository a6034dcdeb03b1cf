"""What people do with virsh, tried on a machine that really runs: a sample of the table in tests/unit/nodeplugin/test_by_hand.py. One
machine for all of it: after each act it is as it was before."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pytest

from tests.lab.declared import Declared, Document, empty_machine, is_ready, vm
from tools.lab import Lab, LabSpec
from tools.lab.errors import LabError
from xvirt.domainxml.tree import canonical, parse_xml
from xvirt.model.exchange import OperationState, Verb

WEB = vm("web")
DOMAIN = "default_web"
NETWORK: Document = {
    "apiVersion": "xvirt.io/v1alpha1",
    "kind": "VirtualNetwork",
    "metadata": {"name": "lan"},
    "spec": {"mode": "Isolated"},
}
CARD = """<interface type='network'><mac address='52:54:00:00:00:77'/><source network='default_lan'/><model type='virtio'/></interface>"""


@pytest.fixture(scope="module")
def declared(lab_prefix: str) -> Iterator[Declared]:
    with Lab.up(LabSpec(f"{lab_prefix}-hand")) as up:
        declared = Declared(up.nodes["node-a"])
        declared.apply(NETWORK)
        declared.apply(
            empty_machine(
                "web",
                cpu={"cores": 1, "max": 2},
                memory={"size": "64Mi", "max": "128Mi"},
                disks=[{"name": "root", "source": {"size": "1Mi"}, "deletionPolicy": "Delete"}],
                nics=[{"name": "lan", "network": "lan"}],
            )
        )
        declared.wait_ready(WEB)
        yield declared


@pytest.fixture(params=["running", "paused", "stopped", "saved"], scope="module")
def state(request: pytest.FixtureRequest, declared: Declared) -> Iterator[str]:
    """The machine in a state, for all acts that are tried in it; afterwards it runs."""
    there = {"paused": Verb.PAUSE, "stopped": Verb.STOP, "saved": Verb.SAVE}
    back = {"paused": Verb.RESUME, "stopped": Verb.START, "saved": Verb.RESTORE}
    if request.param in there:
        assert declared.operate(WEB, there[request.param]).state is OperationState.SUCCEEDED
    declared.wait_ready(WEB)
    yield request.param
    if request.param in back:
        done = declared.operate(WEB, back[request.param])
        assert done.state is OperationState.SUCCEEDED, done.message
    declared.wait_ready(WEB)


ACTS: dict[str, tuple[str, ...]] = {
    "edit": (
        "sh",
        "-c",
        f"virsh dumpxml --inactive {DOMAIN} | sed 's,<metadata,<title>by hand</title><metadata,' | virsh define /dev/stdin",
    ),
    "attach-device": ("sh", "-c", f'echo "{CARD}" | virsh attach-device {DOMAIN} /dev/stdin --config'),
    "undefine": ("virsh", "undefine", DOMAIN, "--managed-save", "--nvram"),
    "destroy": ("virsh", "destroy", DOMAIN),
    "suspend": ("virsh", "suspend", DOMAIN),
    "resume": ("virsh", "resume", DOMAIN),
    "start": ("virsh", "start", DOMAIN),
    "setvcpus": ("virsh", "setvcpus", DOMAIN, "2", "--config"),
    "metadata": ("virsh", "metadata", DOMAIN, "--uri", "https://xvirt.io/xmlns/domain/1", "--remove", "--config"),
    "net-destroy": ("virsh", "net-destroy", "default_lan"),
    "net-undefine": ("sh", "-c", "virsh net-destroy default_lan; virsh net-undefine default_lan"),
    "pool-destroy": ("virsh", "pool-destroy", "default"),
    "pool-undefine": ("sh", "-c", "virsh pool-destroy default; virsh pool-undefine default; true"),
}


def _picture(declared: Declared) -> dict[str, str]:
    node = declared.node
    root = parse_xml(node.virsh("dumpxml", "--inactive", DOMAIN))
    for devices in root.findall(
        "devices"
    ):  # libvirt lists controllers in another order once it has read its own file again
        devices[:] = sorted(devices, key=canonical)
    text = canonical(root).decode()
    networks = node.virsh("net-list", "--all")
    return {
        "state": node.virsh("domstate", DOMAIN).strip(),
        "saved": re.sub(".*managed save: *(yes|no).*", r"\1", node.virsh("dominfo", DOMAIN).lower(), flags=re.DOTALL),
        "definition": text,
        "networks": " ".join(networks.split()),
        "pools": " ".join(node.virsh("pool-list", "--all").split()),
        "disk": node.run(["ls", "/var/lib/xvirt/pool"]).stdout,
    }


TRIED = {
    "running": tuple(ACTS),
    "paused": ("edit", "resume", "undefine"),
    "stopped": ("edit", "undefine"),
    "saved": ("edit",),
}
"""libvirt tells nobody of `setvcpus --config` and the like: a machine that is off is looked at again within five minutes, too long here."""


def test_row_61_what_is_done_by_hand_is_as_it_was_before(declared: Declared, state: str) -> None:
    for act in TRIED[state]:
        before = _picture(declared)
        done = declared.node.run(ACTS[act], check=False)
        if done.returncode != 0:
            assert state == "running", (act, done.stderr)
            assert act in ("resume", "start"), (act, done.stderr)
            continue

        def is_back(seen: Document, before: dict[str, str] = before) -> bool:
            with contextlib.suppress(LabError):  # undefined, and not defined again yet
                return is_ready(seen) and seen["status"]["drift"] == [] and _picture(declared) == before
            return False

        declared.wait(WEB, is_back, f"as it was before {act}")
