"""Probes of a real guest, over its real wire and by its real agent; liveness, and a watchdog that nobody feeds. In order: the tests build
on each other's guest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.declared import Declared, Document, has_agent, image, is_ready, machine, network, reason, vm
from tools.lab import Node
from xvirt.model.exchange import ObjectRef, Verb

WEB = vm("probed")
DOMAIN = "default_probed"
PATIENT = {"periodSeconds": 1, "timeoutSeconds": 10}
"""A guest under TCG on a busy machine takes its time; what is shown is what is answered, not how fast."""


@pytest.fixture(scope="module")
def web() -> Document:
    document = machine(
        "probed",
        nics=[{"name": "lan", "network": "probed"}],
        devices={"watchdog": "reset"},
        terminationGracePeriodSeconds=5,
        readinessProbe={"httpGet": {"port": 8080, "path": "/healthz"}, **PATIENT, "failureThreshold": 1},
        cloudInit={"userData": {"inline": "#!/bin/sh\nmkdir -p /run/www; httpd -p 8080 -h /run/www\n"}},
    )
    document["spec"]["disks"][0]["deletionPolicy"] = "Delete"
    return document


@pytest.fixture(scope="module")
def declared(node: Node, guest_image: Path, web: Document) -> Iterator[Declared]:
    client = Declared(node)
    client.apply(network("probed", third=152))
    client.apply(image(guest_image))
    client.apply(web)
    yield client
    for ref in (WEB, ObjectRef(kind="VirtualNetwork", namespace="default", name="probed")):
        client.client.delete(ref, force=True)
        client.wait_gone(ref)


def _agent(declared: Declared) -> None:
    declared.node.wait_for_agent(DOMAIN)


def _apply(declared: Declared, web: Document, **spec: Any) -> None:
    web["spec"].update(spec)
    declared.apply(web)


def _events(declared: Declared) -> list[str]:
    return [event.reason for event in declared.client.list_events(WEB)]


def _domain_id(declared: Declared) -> str:
    return declared.node.virsh("domid", DOMAIN).strip()


def test_row_93_http_flips_ready(declared: Declared, web: Document) -> None:
    _agent(declared)
    seen = declared.wait(WEB, lambda seen: reason(seen) == "ReadinessProbeFailed", "unready")
    assert seen["status"]["printableStatus"] == "NotReady"
    declared.output_after_seed(DOMAIN, ["touch", "/run/www/healthz"])
    declared.wait(WEB, is_ready, "ready once the page is there")
    declared.node.guest_exec(DOMAIN, ["rm", "/run/www/healthz"])
    seen = declared.wait(WEB, lambda seen: reason(seen) == "ReadinessProbeFailed", "unready again")
    message = next(item["message"] for item in seen["status"]["conditions"] if item["type"] == "Ready")
    assert "/healthz at 192.168.152." in message
    assert message.endswith(":8080: status 404")


def test_row_93_tcp_flips_ready(declared: Declared, web: Document) -> None:
    _apply(declared, web, readinessProbe={"tcpSocket": {"port": 8080}, **PATIENT, "failureThreshold": 1})
    declared.wait(WEB, is_ready, "accepting")
    declared.node.guest_exec(DOMAIN, ["killall", "httpd"])
    declared.wait(WEB, lambda seen: reason(seen) == "ReadinessProbeFailed", "refusing")
    assert "connection refused" in str(declared.get(WEB)["status"]["conditions"])


def test_row_93_exec_flips_ready_and_tells_the_agents_version(declared: Declared, web: Document) -> None:
    command = {"exec": {"command": ["test", "-e", "/run/well"]}, **PATIENT, "failureThreshold": 1}
    _apply(declared, web, readinessProbe=command)
    declared.wait(WEB, lambda seen: reason(seen) == "ReadinessProbeFailed", "unwell")
    declared.node.guest_exec(DOMAIN, ["touch", "/run/well"])
    declared.wait(WEB, is_ready, "well")
    seen = declared.wait(WEB, lambda seen: seen["status"]["guest"]["agentVersion"], "with its agent's version")
    assert seen["status"]["guest"]["agentVersion"] in str(seen["status"]["conditions"])


def test_what_a_guest_claims_as_its_address_takes_no_probe_to_the_host(declared: Declared, web: Document) -> None:
    """The guest says it has the address of the node's own bridge, where something listens."""
    listener = ["sh", "-c", "python3 -m http.server 8099 --bind 192.168.152.1 >/dev/null 2>&1 & echo $!"]
    pid = declared.node.run(listener).stdout.strip()
    _agent(declared)
    declared.node.guest_exec(
        DOMAIN, ["sh", "-c", "killall udhcpc; ip addr flush dev eth0; ip addr add 192.168.152.1/24 dev eth0"]
    )
    probe = {"tcpSocket": {"port": 8099}, **PATIENT, "failureThreshold": 1}
    _apply(declared, web, readinessProbe=probe)
    seen = declared.wait(WEB, lambda seen: "address of the host" in str(seen["status"]["conditions"]), "refused")
    assert reason(seen) == "ReadinessProbeFailed"
    declared.node.run(["kill", pid])


def test_row_93_liveness_restarts_a_guest_whose_agent_hangs(declared: Declared, web: Document) -> None:
    del web["spec"]["readinessProbe"]
    probe = {"guestAgentPing": {}, **PATIENT, "failureThreshold": 2, "terminationGracePeriodSeconds": 0}
    _apply(declared, web, livenessProbe=probe)
    declared.wait(WEB, has_agent, "answering")
    before, restarts = _domain_id(declared), declared.get(WEB)["status"]["restartCount"]
    declared.node.guest_exec(DOMAIN, ["sh", "-c", "(sleep 1; kill -STOP $(pidof qemu-ga)) >/dev/null 2>&1 &"])
    seen = declared.wait(
        WEB,
        lambda seen: has_agent(seen) and _domain_id(declared) not in (before, "-"),
        "restarted with its agent",
    )
    assert "LivenessProbeFailed" in _events(declared)
    assert seen["status"]["restartCount"] == restarts + 1


def test_a_paused_guest_is_not_restarted_by_its_liveness_probe(declared: Declared) -> None:
    before = _domain_id(declared)
    count = _events(declared).count("LivenessProbeFailed")
    declared.operate(WEB, Verb.PAUSE)
    declared.wait(WEB, lambda seen: seen["status"]["powerState"] == "Paused" and is_ready(seen), "paused")
    declared.operate(WEB, Verb.RESUME)
    declared.wait(WEB, has_agent, "answering again")
    assert _domain_id(declared) == before
    assert _events(declared).count("LivenessProbeFailed") == count


ARM = r"""
for device in /sys/bus/pci/devices/*; do
  read -r vendor <"$device/vendor"; read -r id <"$device/device"
  [ "$vendor $id" = "0x8086 0x25ab" ] && found=$device
done
printf '\004\000' | dd of="$found/config" bs=2 seek=48 conv=notrunc
printf '\002' | dd of="$found/config" bs=1 seek=104 conv=notrunc
"""
"""Starts an i6300esb without a driver: scale of 1 MHz (ESB_CONFIG_REG, 0x60), then enable (ESB_LOCK_REG, 0x68); QEMU's
hw/watchdog/wdt_i6300esb.c gives it two stages of a second each."""


def _arm(declared: Declared) -> None:
    _agent(declared)
    declared.node.guest_exec(DOMAIN, ["sh", "-c", f"(sleep 1; {ARM}) >/run/arm.log 2>&1 &"])


def _unwatched(declared: Declared, web: Document, action: str, **spec: Any) -> None:
    """The machine anew, with another action and without probes."""
    web["spec"].pop("livenessProbe", None)
    _apply(declared, web, devices={"watchdog": action}, **spec)
    declared.operate(WEB, Verb.STOP, force=True)
    declared.operate(WEB, Verb.START)
    declared.wait(WEB, has_agent, "booted")


def test_row_93_a_watchdog_that_is_not_fed_resets_the_guest(declared: Declared, web: Document) -> None:
    _unwatched(declared, web, "reset")
    declared.node.guest_exec(DOMAIN, ["touch", "/run/before-the-reset"])
    before = _domain_id(declared)
    _arm(declared)
    declared.wait(WEB, lambda seen: "WatchdogExpired" in _events(declared), "expired")
    _agent(declared)
    declared.wait(WEB, has_agent, "booted again")
    assert "before-the-reset" not in declared.node.guest_exec(DOMAIN, ["ls", "/run"])
    assert _domain_id(declared) == before


def test_row_93_a_watchdog_that_powers_off_counts_as_a_crash(declared: Declared, web: Document) -> None:
    _unwatched(declared, web, "poweroff", runStrategy="RerunOnFailure")
    before = _domain_id(declared)
    _arm(declared)
    declared.wait(WEB, lambda seen: has_agent(seen) and _domain_id(declared) not in (before, "-"), "started anew")
    assert declared.get(WEB)["status"]["restartCount"] == 1


def test_row_93_a_watchdog_that_pauses_says_so(declared: Declared, web: Document) -> None:
    _unwatched(declared, web, "pause", runStrategy="Always")
    _arm(declared)
    seen = declared.wait(WEB, lambda seen: reason(seen) == "Paused", "paused")
    assert "watchdog" in str(seen["status"]["conditions"])
