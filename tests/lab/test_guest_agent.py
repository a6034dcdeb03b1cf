"""What a real guest's agent tells, and what it costs when it hangs or lies. The tests build on each other's guest, in order."""

from __future__ import annotations

import base64
import copy
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.declared import (
    DEADLINE_S,
    Declared,
    Document,
    condition,
    has_agent,
    image,
    is_ready,
    machine,
    network,
    reason,
    vm,
)
from tools.lab import Node

WEB = vm("told")
DOMAIN = "default_told"
HOSTILE = (Path(__file__).parent / "hostile_agent.sh").read_bytes()


@pytest.fixture(scope="module")
def web() -> Document:
    document = machine("told", nics=[{"name": "lan", "network": "told"}])
    document["spec"]["disks"][0]["deletionPolicy"] = "Delete"
    return document


@pytest.fixture(scope="module")
def declared(node: Node, guest_image: Path, web: Document) -> Iterator[Declared]:
    client = Declared(node)
    client.apply(network("told", third=161))
    client.apply(image(guest_image))
    client.apply(web)
    client.wait(WEB, has_agent, "with its agent")
    yield client
    client.client.delete(WEB, force=True)
    client.wait_gone(WEB)


def _shell(declared: Declared, line: str, sign: str = "done") -> str:
    """What is printed when one runs a line in the guest's shell on its console: the one way in that needs no agent."""
    with declared.client.console(WEB, force=True) as console:
        late = threading.Timer(DEADLINE_S, console.close)
        late.start()
        console.write(f"\n{line}; echo {sign}-$((40+2))\n".encode())
        seen = b""
        while f"{sign}-42".encode() not in seen:
            data = console.read()
            assert data is not None, seen
            seen += data
        late.cancel()
    return seen.decode(errors="replace")


def test_row_92_the_agent_tells_system_host_name_file_systems_and_addresses(declared: Declared) -> None:
    def is_told(seen: Document) -> bool:
        guest = seen["status"]["guest"]
        sources = {item["source"] for item in seen["status"]["interfaces"][0]["addresses"]}
        return bool(guest["fileSystems"]) and "agent" in sources

    status = declared.wait(WEB, is_told, "told")["status"]
    guest = status["guest"]
    kernel = declared.node.guest_exec(DOMAIN, ["uname", "-r"]).strip()
    assert guest["os"]["kernel"] == kernel
    assert guest["hostName"] == declared.node.guest_exec(DOMAIN, ["hostname"]).strip()
    assert guest["timeZone"].endswith("(+00:00)")
    data = next(item for item in guest["fileSystems"] if item["mountPoint"] == "/data")
    assert data["type"] == "ext4"
    assert data["disks"] == ["vda"]
    assert data["used"]
    assert status["interfaces"][0]["addresses"][0]["address"].startswith("192.168.161.")


def test_named_calls_alone_do_not_taint_the_domain(declared: Declared) -> None:
    log = declared.node.run(["sh", "-c", f"cat /var/log/libvirt/qemu/{DOMAIN}.log"]).stdout
    assert "custom-ga-command" in log, "the tests' own commands do: the log would show the node's, too"
    fresh = machine("fresh", nics=[{"name": "lan", "network": "told"}])
    fresh["spec"]["disks"][0]["deletionPolicy"] = "Delete"
    declared.apply(fresh)
    declared.wait(vm("fresh"), lambda seen: seen["status"]["guest"]["os"]["kernel"], "told")
    log = declared.node.run(["sh", "-c", "cat /var/log/libvirt/qemu/default_fresh.log"]).stdout
    assert "custom-ga-command" not in log
    declared.client.delete(vm("fresh"), force=True)
    declared.wait_gone(vm("fresh"))


def test_row_92_a_frozen_agent_is_said_so_and_nothing_waits_for_it(declared: Declared, web: Document) -> None:
    _shell(declared, "kill -STOP $(pidof qemu-ga)", "stopped")
    declared.node.virsh("qemu-agent-command", DOMAIN, '{"execute":"guest-ping"}', "--timeout", "1", check=False)
    document = declared.wait(WEB, lambda seen: reason(seen, "AgentConnected") == "NotResponding", "silent")
    assert is_ready(document)
    assert document["status"]["guest"]["os"]["kernel"], "what it told stays"
    web["spec"]["nics"].append({"name": "two", "network": "told"})
    web["spec"]["cpu"]["cores"] = 2
    declared.apply(web)
    grown = declared.wait(WEB, lambda seen: is_ready(seen) and seen["status"]["cpus"] == 2, "changed all the same")
    assert len(grown["status"]["interfaces"]) == 2
    assert condition(grown, "AgentConnected") == "False"
    _shell(declared, "kill -CONT $(pidof qemu-ga)", "continued")
    declared.wait(WEB, has_agent, "answering again")


def test_row_92_a_guest_that_lies_is_cut_and_its_machine_stays_as_it_is(declared: Declared, web: Document) -> None:
    before = copy.deepcopy(declared.get(WEB)["spec"])
    text = base64.b64encode(HOSTILE).decode()
    _shell(declared, f"echo {text[:600]} >/run/h64", "first")
    for start in range(600, len(text), 600):
        _shell(declared, f"echo {text[start : start + 600]} >>/run/h64", "more")
    _shell(
        declared,
        "base64 -d /run/h64 >/run/hostile; killall run-agent; killall qemu-ga",
        "ended",
    )
    _shell(declared, "{ sh /run/hostile >/run/hostile.log 2>&1 & }", "lying")

    def is_lying(seen: Document) -> bool:
        return str(seen["status"]["guest"]["hostName"]).startswith("evil")

    document = declared.wait(WEB, is_lying, "lying")
    guest = document["status"]["guest"]
    assert guest["hostName"].isprintable()
    assert len(guest["users"]) <= 64
    addresses = [item["address"] for nic in document["status"]["interfaces"] for item in nic["addresses"]]
    assert "203.0.113.9" in addresses, "what is an address is told, with its source"
    assert "127.0.0.1" not in addresses
    assert document["spec"] == before
    assert is_ready(document)
