"""What must not happen: foreign domains touched, names or MACs taken twice, a hung QEMU in everybody's way, strangers let in."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.declared import Declared, condition, empty_machine, is_ready, machine, reason, vm
from tests.lab.foreign import FOREIGN, fingerprint
from tools.lab import Lab, Node
from xvirt.client.blocking import NodeClient
from xvirt.client.pki import init_pki, issue_certificate
from xvirt.client.target import Target, TlsFiles
from xvirt.model.errors import Forbidden, PolicyRefused, Unavailable, XvirtError
from xvirt.model.exchange import ApplyCall, ObjectRef


@pytest.fixture
def declared(node: Node) -> Iterator[Declared]:
    client = Declared(node)
    yield client
    for view in client.client.list_objects("VirtualMachine"):
        client.client.delete(view.ref, force=True)
        client.wait_gone(view.ref)


def test_row_69_ten_foreign_domains_are_left_as_they_are(declared: Declared, foreign: dict[str, str]) -> None:
    assert len(foreign) == 10
    declared.apply(empty_machine("one"))
    declared.wait_ready(vm("one"))
    declared.node.stop_plugin()
    declared.node.start_plugin()
    declared.wait_ready(vm("one"))
    declared.delete(vm("one"))
    assert fingerprint(declared.node) == foreign


def test_a_name_that_a_foreign_domain_has_is_refused_by_name(declared: Declared) -> None:
    xml = FOREIGN.format(number=99).replace("foreign-99", "default_taken")
    declared.node.virsh("define", "/dev/stdin", stdin=xml)
    try:
        declared.apply(empty_machine("taken"))
        document = declared.wait(vm("taken"), lambda seen: condition(seen, "Stalled") == "True", "stalled")
        assert reason(document) == "NameTaken"
        assert "default_taken" in str(document["status"]["conditions"])
    finally:
        declared.node.virsh("undefine", "default_taken")
    declared.wait_ready(vm("taken"))


def test_a_missing_image_is_waited_for_and_said(declared: Declared) -> None:
    declared.apply(machine("hopeful", nics=[], disks=[{"name": "root", "source": {"image": "nowhere"}}]))
    document = declared.wait(vm("hopeful"), lambda seen: condition(seen, "Reconciling") == "True", "waiting")
    assert reason(document) == "ImageNotFound"
    assert "nowhere" in document["status"]["conditions"][0]["message"]


def test_two_machines_on_one_writable_disk_are_refused(declared: Declared) -> None:
    disk = {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "VirtualDisk",
        "metadata": {"name": "shared"},
        "spec": {"size": "16Mi", "deletionPolicy": "Delete"},
    }
    declared.apply(disk)
    disks = [{"name": "data", "source": {"disk": "shared"}}]
    declared.apply(empty_machine("first") | {"spec": {**empty_machine("first")["spec"], "disks": disks}})
    declared.wait_ready(vm("first"))
    declared.apply(empty_machine("second") | {"spec": {**empty_machine("second")["spec"], "disks": disks}})
    document = declared.wait(vm("second"), lambda seen: condition(seen, "Stalled") == "True", "stalled")
    assert reason(document) == "DiskInUse"
    assert "default_first" in str(document["status"]["conditions"])
    declared.delete(vm("first"))
    declared.wait_ready(vm("second"))
    declared.delete(vm("second"))
    declared.delete(ObjectRef(kind="VirtualDisk", namespace="default", name="shared"))


def test_a_hung_qemu_is_reported_and_costs_nobody_else(declared: Declared) -> None:
    declared.apply(empty_machine("hung"))
    declared.wait_ready(vm("hung"))
    pid = int(declared.node.run(["pidof", "-s", "qemu-system-x86_64"]).stdout)
    declared.node.run(["kill", "-STOP", str(pid)])
    try:
        declared.wait(vm("hung"), lambda seen: reason(seen) == "NotResponding", "reported")
        declared.apply(empty_machine("well"))
        declared.wait_ready(vm("well"))
    finally:
        declared.node.run(["kill", "-CONT", str(pid)])
    declared.wait(vm("hung"), is_ready, "well again")


def _target(lab: Lab, node: Node, pki: Path, client: str, name: str = "") -> Target:
    files = TlsFiles(pki / "ca.crt", pki / f"{client}.crt", pki / f"{client}.key")
    return Target(f"tcp://127.0.0.1:{node.tcp_port}", name or node.name, files)


def test_row_19_the_right_certificate_is_let_in(lab: Lab, node: Node) -> None:
    environment = lab.client_environment(node.name)
    with NodeClient(Target.from_environment(environment)) as client:
        assert client.node_info().document["metadata"]["name"] == node.name


def test_row_19_strangers_and_wrong_names_are_kept_out(lab: Lab, node: Node, tmp_path: Path) -> None:
    own = TlsFiles(*(Path(lab.client_environment(node.name)[f"XVIRT_TLS_{key}"]) for key in ("CA", "CERT", "KEY")))
    address = f"tcp://127.0.0.1:{node.tcp_port}"
    init_pki(tmp_path, ["node-z"], ["admin"])
    stranger = TlsFiles(own.ca, tmp_path / "admin.crt", tmp_path / "admin.key")
    for target in (
        Target(address, node.name, stranger),
        Target(address, "node-z", own),
        Target(address, node.name, TlsFiles(tmp_path / "ca.crt", own.certificate, own.key)),
    ):
        with NodeClient(target) as client, pytest.raises(Unavailable):
            client.node_info()


def test_row_19_expired_and_unknown_certificates_of_the_right_ca_are_refused(
    lab: Lab, node: Node, tmp_path: Path
) -> None:
    for name in ("ca.crt", "ca.key"):
        shutil.copy(lab.pki / name, tmp_path / name)
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    issue_certificate(tmp_path, "late", is_node=False, not_after=yesterday)
    with NodeClient(_target(lab, node, tmp_path, "late")) as client, pytest.raises(Unavailable):
        client.node_info()
    issue_certificate(tmp_path, "stranger", is_node=False)
    with NodeClient(_target(lab, node, tmp_path, "stranger")) as client, pytest.raises(Forbidden, match="stranger"):
        client.node_info()


def test_row_67_73_what_reaches_for_the_host_needs_a_profile(declared: Declared, lab: Lab, node: Node) -> None:
    emulator = {"devices": {"emulator": "/bin/true"}}
    document = empty_machine("reaching", domain=emulator)
    with pytest.raises(XvirtError) as caught:
        declared.client.apply(ApplyCall(document=document, profile="restricted"))
    assert isinstance(caught.value, PolicyRefused | Forbidden)
    assert "emulator" in caught.value.message
    assert "default_reaching" not in node.virsh("list", "--all")
