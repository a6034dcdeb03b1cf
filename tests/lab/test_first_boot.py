"""First-boot data reaches a real guest: user data by Secret, SSH keys, network data, host name; and the Secret stands nowhere else."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.declared import Declared, has_agent, image, machine, network, reason, vm
from tools.lab import Node
from xvirt.model.exchange import ApplyCall, ObjectRef, SecretContent, Verb

APP = vm("seeded")
DOMAIN = "default_seeded"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExample admin@example.org"
ON_CALL = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOtherOtherOtherOtherOtherOtherOtherOther on call"
PASSWORD = "correct-horse-battery-staple"
USER_DATA = f"#!/bin/sh\necho {PASSWORD} >/run/marker\n".encode()
NETWORK_DATA = "version: 2\nethernets: {any: {match: {name: 'e*'}, dhcp4: true}}\n"
INIT = SecretContent(name="init", data={"userData": USER_DATA})
WHO = SecretContent(name="who", data={"sshAuthorizedKeys": f"# on call\n{ON_CALL}\n".encode()})


@pytest.fixture(scope="module")
def declared(node: Node, guest_image: Path) -> Iterator[Declared]:
    client = Declared(node)
    client.apply(network("seeded", third=154))
    client.apply(image(guest_image))
    yield client
    for ref in (APP, ObjectRef(kind="VirtualNetwork", namespace="default", name="seeded")):
        client.client.delete(ref, force=True)
        client.wait_gone(ref)


DOCUMENT = machine(
    "seeded",
    nics=[{"name": "lan", "network": "seeded"}],
    terminationGracePeriodSeconds=5,
    cloudInit={
        "hostname": "app.example.org",
        "userData": {"secret": "init"},
        "networkData": {"inline": NETWORK_DATA},
        "sshAuthorizedKeys": [KEY],
        "sshAuthorizedKeysFrom": {"secret": "who"},
    },
)
DOCUMENT["spec"]["disks"][0]["deletionPolicy"] = "Delete"


def _apply(declared: Declared, *secrets: SecretContent) -> None:
    declared.client.apply(ApplyCall(document=copy.deepcopy(DOCUMENT), secrets=secrets))


def test_row_80_a_missing_secret_is_waited_for_and_mends_itself_when_applied(declared: Declared) -> None:
    _apply(declared, WHO)
    declared.wait(APP, lambda seen: reason(seen, "Stalled") == "SecretMissing", "waiting for its Secret")
    assert DOMAIN not in declared.node.virsh("list", "--all", "--name")
    _apply(declared, INIT, WHO)
    declared.wait(APP, has_agent, "booted")


def test_row_80_43_the_guest_has_marker_keys_network_data_and_host_name(declared: Declared) -> None:
    assert declared.output_after_seed(DOMAIN, ["cat", "/run/marker"]) == PASSWORD
    keys = declared.output_after_seed(DOMAIN, ["cat", "/root/.ssh/authorized_keys"])
    assert keys.splitlines() == [KEY, ON_CALL]
    assert declared.output_after_seed(DOMAIN, ["cat", "/run/cidata/network-config"]) == NETWORK_DATA.strip()
    assert declared.output_after_seed(DOMAIN, ["hostname"]) == "app.example.org"


def test_row_80_the_secret_is_in_no_document_event_log_or_definition(declared: Declared) -> None:
    node = declared.node
    told = [repr(declared.client.describe(APP)), repr(declared.get(APP)), repr(list(declared.client.list_events()))]
    told += [node.virsh("dumpxml", DOMAIN), node.virsh("dumpxml", "--inactive", DOMAIN)]
    told += [node.log_text(service) for service in ("plugin", "libvirtd")]
    assert not [text for text in told if PASSWORD in text]
    search = ["sh", "-c", f"grep -rlF {PASSWORD} /var/lib/xvirt /var/log/libvirt /etc/libvirt /run/libvirt 2>/dev/null"]
    files = [line for line in node.run(search, check=False).stdout.split() if "/seeds/" not in line]
    assert all("/store.db" in file for file in files), "beside the seed, the store alone knows it"
    modes = node.run(["sh", "-c", "stat -c %a /var/lib/xvirt/store.db* /var/lib/xvirt/seeds/*"]).stdout.split()
    assert set(modes) == {"600"}


def test_row_80_changed_data_is_seen_at_the_next_start_and_not_run_again(declared: Declared) -> None:
    before = declared.node.run(["ls", "/var/lib/xvirt/seeds"]).stdout.split()
    changed = SecretContent(name="init", data={"userData": USER_DATA.replace(b"marker", b"other-marker")})
    _apply(declared, changed, WHO)
    declared.wait(APP, lambda seen: reason(seen, "RestartRequired") == "FieldsWait", "waiting for a restart")
    declared.operate(APP, Verb.RESTART)
    declared.wait(APP, lambda seen: has_agent(seen) and seen["status"]["restartRequired"] == [], "restarted")
    assert "other-marker" in declared.output_after_seed(DOMAIN, ["cat", "/run/cidata/user-data"])
    assert "marker" not in declared.output_after_seed(DOMAIN, ["ls", "/run"]).split()
    after = declared.node.run(["ls", "/var/lib/xvirt/seeds"]).stdout.split()
    assert len(after) == 1
    assert after != before
