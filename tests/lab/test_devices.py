"""Firmware and devices of a running machine: UEFI with its variables, TPM, VNC, watchdog, random numbers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lxml import etree

from tests.lab.declared import Declared, empty_machine, is_ready, vm
from tools.lab import Node
from xvirt.model.exchange import OperationState, Verb

NAME = "equipped"
DOMAIN = f"default_{NAME}"
REF = vm(NAME)
DEVICES = {"tpm": True, "graphics": "Vnc", "watchdog": "poweroff", "rng": True}


@pytest.fixture(scope="module")
def declared(node: Node) -> Iterator[Declared]:
    client = Declared(node)
    client.apply(empty_machine(NAME, memory={"size": "96Mi"}, firmware={"type": "Uefi"}, devices=DEVICES))
    client.wait_ready(REF)
    yield client
    client.client.delete(REF, force=True)
    client.wait_gone(REF)


def _root(declared: Declared) -> etree._Element:
    return etree.fromstring(declared.node.virsh("dumpxml", DOMAIN).encode())


def _inode(declared: Declared, path: str) -> str:
    return declared.node.run(["stat", "-c", "%i", path]).stdout.strip()


def _states(declared: Declared) -> tuple[str, str]:
    """Files of the UEFI variables and of the TPM."""
    root = _root(declared)
    return root.findtext("os/nvram") or "", f"/var/lib/libvirt/swtpm/{root.findtext('uuid')}/tpm2/tpm2-00.permall"


def test_row_41_a_uefi_machine_with_a_tpm_has_what_it_declares(declared: Declared) -> None:
    root = _root(declared)
    assert root.get("id") is not None
    assert "OVMF" in (root.findtext("os/loader") or "")
    assert root.xpath("string(devices/tpm/backend/@version)") == "2.0"
    assert root.xpath("string(devices/watchdog/@action)") == "poweroff"
    assert root.xpath("string(devices/rng/backend)") == "/dev/urandom"
    for path in _states(declared):
        assert _inode(declared, path)


def test_row_72_vnc_listens_on_a_socket_of_the_host_alone(declared: Declared) -> None:
    root = _root(declared)
    assert root.xpath("string(devices/graphics/@type)") == "vnc"
    socket = str(root.xpath("string(devices/graphics/listen/@socket)"))
    listening = declared.node.run(["ss", "-lxH"]).stdout
    assert socket
    assert socket in listening
    tcp = declared.node.run(["ss", "-ltnpH"]).stdout
    assert "qemu-system" not in tcp


def test_row_41_variables_and_tpm_state_outlive_stop_change_and_start(declared: Declared) -> None:
    before = {path: _inode(declared, path) for path in _states(declared)}
    assert declared.operate(REF, Verb.STOP).state is OperationState.SUCCEEDED
    changed = empty_machine(NAME, memory={"size": "112Mi"}, firmware={"type": "Uefi"}, devices=DEVICES)
    declared.apply(changed)
    declared.wait_ready(REF)
    assert declared.operate(REF, Verb.START).state is OperationState.SUCCEEDED
    declared.wait(REF, lambda seen: is_ready(seen) and seen["status"]["powerState"] == "Running", "running")
    assert {path: _inode(declared, path) for path in _states(declared)} == before
    assert declared.get(REF)["status"]["memory"] == "112Mi"


def test_row_04_delete_leaves_no_variables_and_no_tpm_state(declared: Declared) -> None:
    paths = _states(declared)
    declared.delete(REF)
    for path in paths:
        assert declared.node.run(["stat", path], check=False).returncode != 0
    declared.apply(empty_machine(NAME))
    declared.wait_ready(REF)
