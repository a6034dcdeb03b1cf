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
