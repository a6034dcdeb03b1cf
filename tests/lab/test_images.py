"""Images on a real node, with real disks and no guest: fetched from a server inside it, through a kill of the plugin, shared by disks,
and gone only after the last of them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.declared import Declared, Document, condition, reason
from tests.lab.image_server import STALL_BYTES
from tools.lab import Lab, Node
from tools.lab.node import module_command
from tools.lab.processes import wait_until
from xvirt.cli.main import main
from xvirt.model.errors import PolicyRefused
from xvirt.model.exchange import ApplyCall, ObjectRef
from xvirt.model.quantity import ByteSize

PORT = 8088
SERVER = "image-server"
MIB = 1 << 20


@pytest.fixture(scope="module")
def source(lab: Lab) -> Path:
    """A qcow2 image with 4 MiB of noise in it, where node and test can read it."""
    raw, made = lab.shared / "noise.raw", lab.shared / "noise.qcow2"
    raw.write_bytes(os.urandom(4 * MIB))
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(made)], check=True)
    return made


@pytest.fixture
def server(node: Node, source: Path) -> Iterator[str]:
    """A server inside the node; its first answer stalls."""
    before = node.log_text(SERVER).count("serving")
    node.start_service(SERVER, module_command("tests.lab.image_server", str(source), str(PORT)))
    wait_until(lambda: node.log_text(SERVER).count("serving") > before, 30, "the server to serve")
    yield f"http://127.0.0.1:{PORT}/noise.qcow2"
    node.kill_service(SERVER)


@pytest.fixture
def declared(node: Node) -> Iterator[Declared]:
    made = Declared(node)
    yield made
    for kind in ("VirtualDisk", "VirtualImage"):
        for view in made.client.list_objects(kind):
            made.client.delete(view.ref)
        for view in made.client.list_objects(kind):
            made.wait_gone(view.ref)


def _checksum(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def _document(kind: str, name: str, **spec: Any) -> Document:
    return {"apiVersion": "xvirt.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _ref(kind: str, name: str) -> ObjectRef:
    return ObjectRef(kind=kind, namespace="default", name=name)


def _info(node: Node, path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(node.run(["qemu-img", "info", "-f", "qcow2", "--output=json", path]).stdout)
    return found


def test_row_23_49_an_image_survives_a_killed_plugin_and_is_removed_after_its_last_disk(
    declared: Declared, node: Node, source: Path, server: str
) -> None:
    image = _ref("VirtualImage", "noise")
    disks = {copy: _ref("VirtualDisk", copy.lower()) for copy in ("Linked", "Full")}
    declared.apply(_document("VirtualImage", "noise", source={"url": server}, checksum=_checksum(source)))
    for copy in disks:
        origin = {"image": "noise", "copy": copy}
        declared.apply(_document("VirtualDisk", copy.lower(), source=origin, deletionPolicy="Delete"))
    seen = declared.wait(
        image, lambda found: ByteSize(found["status"]["transferred"]) == STALL_BYTES, "stalled in the middle"
    )
    assert reason(seen, "Reconciling") == "Downloading"
    assert ByteSize(seen["status"]["transferSize"]) == source.stat().st_size
    node.kill_plugin()
    node.start_plugin()
    path = declared.wait_ready(image)["status"]["path"]
    assert f"range: bytes={STALL_BYTES}-" in node.log_text(SERVER)
    paths = {copy: declared.wait_ready(ref)["status"]["path"] for copy, ref in disks.items()}
    assert _info(node, paths["Linked"])["full-backing-filename"] == path
    assert "backing-filename" not in _info(node, paths["Full"])
    node.run(["qemu-img", "compare", "-f", "qcow2", "-F", "qcow2", paths["Linked"], paths["Full"]])

    declared.client.delete(image)
    declared.wait(image, lambda found: reason(found, "Reconciling") == "Terminating", "being deleted")
    declared.delete(disks["Full"])
    assert "linked" in str(declared.get(image)["status"]["conditions"])
    node.run(["test", "-f", path])
    declared.delete(disks["Linked"])
    declared.wait_gone(image)
    listed = node.run(["ls", "-A", os.path.dirname(path)]).stdout
    assert "noise" not in listed
    assert ".image-" not in listed


def test_row_49_the_command_line_uploads_to_a_real_node(declared: Declared, node: Node, source: Path) -> None:
    arguments = ["--node", f"unix://{node.socket_path}", "image", "upload", "sent", str(source)]
    assert main([*arguments, "--checksum", _checksum(source)]) == 0
    found = declared.wait_ready(_ref("VirtualImage", "sent"))
    assert found["status"]["checksum"] == _checksum(source)
    assert node.run(["sha256sum", found["status"]["path"]]).stdout.startswith(_checksum(source).partition(":")[2])


def test_a_tenant_makes_the_host_fetch_nothing_from_itself(declared: Declared, node: Node, server: str) -> None:
    tenants = _document("VirtualImage", "tenants", source={"url": server})
    declared.client.apply(ApplyCall(document=tenants, profile="restricted"))
    found = declared.wait(_ref("VirtualImage", "tenants"), lambda seen: condition(seen, "Stalled") == "True", "stalled")
    assert reason(found, "Stalled") == "PrivateAddress"
    assert node.log_text(SERVER).rpartition("serving")[2].strip() == ""
    files = _document("VirtualImage", "files", source={"path": "/etc/shadow"})
    with pytest.raises(PolicyRefused):
        declared.client.apply(ApplyCall(document=files, profile="restricted"))
