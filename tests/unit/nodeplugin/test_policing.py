"""Where documents are accepted, the policy is asked: of all that merging, typed fields and defaults make of them together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodeplugin.service import NodeIdentity, NodeService
from tests.unit.nodeplugin.world import World
from xvirt.model.errors import Forbidden, PolicyRefused
from xvirt.model.exchange import ApplyCall, ApplyResult, Caller, DryRun, ObjectRef, Token

QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
TENANT = Caller(name="tenant", authorities=("local",), namespaces=("red", "lab"), profiles=("restricted",))
ADMIN = Caller(
    name="admin", authorities=("local",), namespaces=("*",), profiles=("restricted", "baseline", "privileged")
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def service(world: World) -> NodeService:
    """A node that grants namespace lab the profile baseline."""
    identity = NodeIdentity(
        node_name="node-a",
        authorities=("local",),
        xvirt_version="0",
        accelerator="tcg",
        accelerator_reason="test",
        namespace_profiles={"lab": ("baseline",)},
    )
    return NodeService(identity, world.host, world.store, world.service._hub, world.converger)


def document(kind: str = "VirtualMachine", namespace: str = "red", /, **spec: Any) -> dict[str, Any]:
    metadata = {"name": "web"} if kind == "StoragePool" else {"name": "web", "namespace": namespace}
    base = {"memory": {"size": "64Mi"}} if kind == "VirtualMachine" else {}
    return {"apiVersion": "xvirt.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": base | spec}


def apply(service: NodeService, given: dict[str, Any], caller: Caller = TENANT, **call: Any) -> ApplyResult:
    return service.apply(caller, ApplyCall(document=given, **call))


def refusal(service: NodeService, given: dict[str, Any], caller: Caller = TENANT, **call: Any) -> str:
    with pytest.raises(PolicyRefused) as caught:
        apply(service, given, caller, **call)
    return str(caught.value)


PINNED = document(domain={"cputune": {"vcpupin": {"@vcpu": "0", "@cpuset": "0"}}})
BRIDGED = document("VirtualNetwork", mode="Bridge", bridge="br0")
POOL = document("StoragePool", path="/etc")
HOST_LOCAL = {
    "a disk by path": (
        document(domain={"devices": {"disk": {"@type": "file", "source": {"@file": "/etc/shadow"}}}}),
        "/domain/devices/disk",
    ),
    "a device": (
        document(domain={"devices": {"hostdev": {"@mode": "subsystem", "@type": "usb", "source": {}}}}),
        "/domain/devices/hostdev",
    ),
    "a bridge": (BRIDGED, "/network/bridge/@name"),
    "the host's routes": (
        document(
            "VirtualNetwork",
            subnets=[{"address": "192.0.2.1/24"}],
            routes=[{"destination": "0.0.0.0/0", "gateway": "192.0.2.2"}],
        ),
        "/network/route",
    ),
}


@pytest.mark.parametrize(("given", "path"), HOST_LOCAL.values(), ids=HOST_LOCAL)
@pytest.mark.parametrize("dry_run", list(DryRun))
def test_row_73_what_is_of_the_host_is_refused_by_path_and_nothing_is_stored(
    service: NodeService, given: dict[str, Any], path: str, dry_run: DryRun
) -> None:
    message = refusal(service, given, dry_run=dry_run)
    assert path in message
    assert "ask an administrator for profile privileged (`profiles` of the client or of the namespace" in message
    assert service.list_objects(ADMIN, "", "") == []


@pytest.mark.parametrize(("given", "path"), HOST_LOCAL.values(), ids=HOST_LOCAL)
def test_row_73_what_is_of_the_host_is_allowed_to_whom_it_is_granted(
    service: NodeService, given: dict[str, Any], path: str
) -> None:
    assert apply(service, given, ADMIN, profile="privileged").object.ref.name == "web"


def test_row_73_a_namespace_is_granted_more_than_its_clients(service: NodeService) -> None:
    assert "/domain/cputune" in refusal(service, PINNED)
    there = document("VirtualMachine", "lab", **PINNED["spec"])
    assert apply(service, there).object.ref.namespace == "lab"
    assert "/domain/cputune" in refusal(service, there, profile="restricted")


def test_nobody_raises_his_own_profile(service: NodeService) -> None:
    with pytest.raises(Forbidden, match="granted: restricted; an administrator grants it by `profiles`"):
        apply(service, PINNED, profile="baseline")
    with pytest.raises(Forbidden, match="granted: restricted, baseline;"):
        apply(service, document("VirtualMachine", "lab"), profile="privileged")


def test_what_an_administrator_made_is_judged_anew_when_a_tenant_applies_it(service: NodeService) -> None:
    apply(service, PINNED, ADMIN)
    assert "/domain/cputune" in refusal(service, PINNED)


def test_a_pool_belongs_to_no_tenant(service: NodeService) -> None:
    with pytest.raises(Forbidden, match="belongs to no namespace; the node's config grants namespace"):
        apply(service, POOL)
    everywhere = Caller(name="all", authorities=("local",), namespaces=("*",), profiles=("baseline",))
    assert "/pool/target/path: value '/etc'" in refusal(service, POOL, everywhere)
    apply(service, POOL, ADMIN)
    with pytest.raises(Forbidden, match="belongs to no namespace"):
        service.delete(TENANT, ObjectRef(kind="StoragePool", namespace="", name="web"), Token(), force=False)


COMBINED = {
    "a console logged into the machine's own disk": (
        document(
            disks=[{"name": "root", "source": {"size": "1Gi"}}],
            domain={
                "devices": {
                    "serial": {"@type": "pty", "log": {"@file": "/provisional/red_web_root.qcow2", "@append": "on"}}
                }
            },
        ),
        "a console may not be logged into a disk",
    ),
    "the volume of a typed disk attached once more in another format": (
        document(
            disks=[{"name": "root", "format": "raw", "source": {"size": "1Gi"}}],
            domain={
                "devices": {
                    "disk": {
                        "@type": "file",
                        "@device": "disk",
                        "driver": {"@name": "qemu", "@type": "qcow2"},
                        "source": {"@file": "/provisional/red_web_root.raw"},
                        "target": {"@dev": "vdz", "@bus": "virtio"},
                    }
                }
            },
        ),
        "a volume may only be attached by spec.disks",
    ),
    "more memory in cells than the typed size": (
        document(domain={"cpu": {"numa": {"cell": {"@id": "0", "@cpus": "0", "@memory": "4", "@unit": "GiB"}}}}),
        "spec.memory gives",
    ),
    "an attribute added to a device of the typed fields": (
        document(devices={"rng": True}, domain={"devices": {"rng": {"backend": {"#text": "/dev/sda"}}}}),
        "/domain/devices/rng/backend",
    ),
    "a namespace that the overlay declares under another name": (
        document(domain={"@xmlns:x": QEMU, "x:commandline": {"x:arg": {"@value": "-x"}}}),
        f"namespace {QEMU}",
    ),
    "a namespace by default": (
        document(domain={"commandline": {"@xmlns": QEMU, "arg": {"@value": "-x"}}}),
        f"namespace {QEMU}",
    ),
}


@pytest.mark.parametrize(("given", "message"), COMBINED.values(), ids=COMBINED)
def test_the_final_xml_is_judged_and_not_its_parts(service: NodeService, given: dict[str, Any], message: str) -> None:
    assert message in refusal(service, given)


SAFE_DEVICES = {
    "rng": {"@model": "virtio", "backend": {"@model": "random", "#text": "/dev/urandom"}},
    "watchdog": {"@model": "i6300esb", "@action": "reset"},
}
HOST_DEVICE = {"@mode": "subsystem", "@type": "usb", "source": {"vendor": {"@id": "0x1d6b"}}}


@pytest.mark.parametrize("device", SAFE_DEVICES)
def test_row_46_a_device_that_reaches_nothing_of_the_host_may_be_given_as_xml(
    service: NodeService, device: str
) -> None:
    apply(service, document(devices={"rng": False}, domain={"devices": {device: SAFE_DEVICES[device]}}))


def test_row_46_a_device_of_the_host_needs_a_namespace_that_is_granted_it(world: World) -> None:
    identity = NodeIdentity(
        node_name="node-a",
        authorities=("local",),
        xvirt_version="0",
        accelerator="tcg",
        accelerator_reason="test",
        namespace_profiles={"lab": ("privileged",)},
    )
    service = NodeService(identity, world.host, world.store, world.service._hub, world.converger)
    devices = {"devices": {"hostdev": HOST_DEVICE}}
    assert "/domain/devices/hostdev" in refusal(service, document("VirtualMachine", "red", domain=devices))
    assert apply(service, document("VirtualMachine", "lab", domain=devices)).object.ref.namespace == "lab"


@pytest.mark.parametrize("base", ["Standard", "Bare"])
@pytest.mark.parametrize("path", ["{logs}/{uid}.log", "{seeds}/{uid}.iso"])
def test_row_73_what_a_guest_writes_for_the_node_is_no_disk(world: World, base: str, path: str) -> None:
    """A guest fills its log; read as the header of a disk, it could name any file of the host."""
    uid = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
    settings = world.host.settings
    place = path.format(logs=settings.log_directory, seeds=settings.seed_directory, uid=uid)
    disk = {"name": "x", "source": {"path": place}, "format": "raw", "adopted": False}
    wished = document(disks=[disk], base=base, cloudInit={"userData": {"inline": "#cloud-config"}})
    wished["metadata"]["uid"] = uid
    assert "devices/disk" in refusal(world.service, wished)
