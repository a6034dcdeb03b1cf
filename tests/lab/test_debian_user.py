"""As Debian's packages set libvirt up: QEMU has a user of its own, which gets only the files that libvirt hands over, and virtlogd
writes the consoles."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.declared import Declared, has_agent, image, machine, network, vm
from tools.guest import image_path
from tools.lab import Lab, LabSpec, QemuUser
from xvirt.model.exchange import Verb

WEB = vm("web")


@pytest.fixture(scope="module")
def declared(lab_prefix: str) -> Iterator[Declared]:
    with Lab.up(LabSpec(f"{lab_prefix}-debian", qemu_user=QemuUser.DEBIAN)) as lab:
        target = lab.shared / "guest.qcow2"
        target.write_bytes(image_path().read_bytes())
        client = Declared(lab.nodes["node-a"])
        client.apply(network())
        client.apply(image(target))
        yield client


def _owner(declared: Declared, path: str) -> str:
    return declared.node.run(["stat", "-c", "%U", path]).stdout.strip()


def test_a_machine_runs_as_the_qemu_user_with_its_disks_seed_and_console(declared: Declared) -> None:
    extra = {"name": "scratch", "source": {"size": "16Mi"}, "deletionPolicy": "Delete"}
    web = machine("web", cloudInit={"userData": {"inline": "#!/bin/sh\necho hello > /run/hello\n"}})
    declared.apply(web)
    declared.wait(WEB, has_agent, "with its agent")
    assert declared.output_after_seed("default_web", ["cat", "/run/hello"]) == "hello"
    assert declared.node.run(["ps", "-C", "qemu-system-x86_64", "-o", "user:20="]).stdout.strip() == "libvirt-qemu"
    assert _owner(declared, "/var/lib/xvirt/pool/default_web_root.qcow2") == "libvirt-qemu"

    web["spec"]["disks"].append(extra)
    web["spec"]["devices"] = {"tpm": True}
    declared.apply(web)
    declared.wait(WEB, lambda seen: "scratch" in str(seen["status"]["disks"]), "with its second disk")
    assert b"xvirt-guest" in b"".join(declared.client.console_log(WEB))

    declared.operate(WEB, Verb.STOP)
    declared.wait(WEB, lambda seen: seen["status"]["powerState"] == "Stopped", "off")
    declared.operate(WEB, Verb.START)
    declared.wait(WEB, has_agent, "with its agent again")
    declared.delete(WEB)
    assert declared.node.run(["ls", "/var/lib/xvirt/pool"]).stdout.split() == [
        "default_guest.image.qcow2",
        "default_web_root.qcow2",
    ]


def _can_read(declared: Declared, name: str) -> bool:
    """Whether a process of QEMU's user opens a machine's disk."""
    path = f"/var/lib/xvirt/pool/default_{name}_root.qcow2"
    as_qemu = [
        "setpriv",
        "--reuid=libvirt-qemu",
        "--regid=libvirt-qemu",
        "--clear-groups",
        "dd",
        "of=/dev/null",
        "count=1",
        f"if={path}",
    ]
    return declared.node.run(as_qemu, check=False).returncode == 0


def test_row_83_a_machine_tells_what_holds_its_qemu_and_its_disk_is_closed_while_it_is_off(declared: Declared) -> None:
    other = vm("other")
    for name in ("web", "other"):
        declared.apply(machine(name))
    try:
        for ref in (WEB, other):
            seen = declared.wait(ref, lambda seen: seen["status"]["powerState"] == "Running", "running")
        (confined,) = [item for item in seen["status"]["conditions"] if item["type"] == "Confined"]
        assert (confined["status"], confined["reason"]) == ("False", "NoSecurityDriver")
        uid = declared.node.run(["id", "-u", "libvirt-qemu"]).stdout.strip()
        assert f"user and group +{uid}:" in confined["message"]
        assert _can_read(declared, "web")
        declared.operate(other, Verb.STOP)
        declared.wait(other, lambda seen: seen["status"]["powerState"] == "Stopped", "off")
        assert not _can_read(declared, "other")
        assert _can_read(declared, "web")
    finally:
        for ref in (WEB, other):
            declared.delete(ref)
