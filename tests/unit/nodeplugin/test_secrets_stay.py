"""A password that a host or a Secret holds is in nothing that the node says: answers, events, logs, metrics."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from nodeplugin.hypervisor.port import XmlView
from nodeplugin.metrics.definitions import Definitions
from nodeplugin.metrics.domains import DomainCollector
from nodeplugin.metrics.page import metrics_page
from tests.unit.nodeplugin.world import CALLER, World
from xvirt.model.errors import InvalidSpec
from xvirt.model.exchange import ApplyCall, ObjectRef, SecretContent

SECRET = "hunter2"
QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
REF = ObjectRef(kind="VirtualMachine", namespace="default", name="web")

BY_HAND = f"""<sysinfo type='fwcfg'><entry name='opt/x'>{SECRET}</entry></sysinfo>
<sysinfo type='smbios'><oemStrings><entry>io.systemd.credential:p={SECRET}</entry></oemStrings></sysinfo>
<q:commandline xmlns:q='{QEMU}'><q:env name='P' value='{SECRET}'/><q:arg value='x={SECRET}'/></q:commandline>"""
DEVICES_BY_HAND = f"""<graphics type='vnc' passwd='{SECRET}'/><graphics type='spice' passwd='{SECRET}'/>
<disk type='network' device='disk'><driver name='qemu' type='raw'/>
<source protocol='https' name='x' query='token={SECRET}'><host name='h'/><cookies><cookie name='a'>{SECRET}</cookie></cookies>
</source><target dev='vdy' bus='virtio'/></disk>"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.store.close()


def machine(**spec: Any) -> dict[str, Any]:
    base = {"memory": {"size": "64Mi"}, "runStrategy": "Always"}
    metadata = {"name": "web", "namespace": "default"}
    return {"apiVersion": "xvirt.io/v1alpha1", "kind": "VirtualMachine", "metadata": metadata, "spec": base | spec}


def everything_said(world: World) -> str:
    """All that callers, watchers, scrapers and readers of logs get."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(DomainCollector(world.hypervisor, Definitions(world.hypervisor)))
    said = [
        world.service.describe(CALLER, REF),
        world.service.list_objects(CALLER, "", ""),
        world.service.list_events(CALLER, None),
        world.service.node_info(CALLER),
        world.service.list_orphans(CALLER, ""),
    ]
    return "\n".join([*map(_text, said), metrics_page(registry)({}).body.decode()])


def _text(value: Any) -> str:
    plain = [dataclasses.asdict(item) for item in value] if isinstance(value, list) else dataclasses.asdict(value)
    return json.dumps(plain, default=repr)


@pytest.mark.parametrize("drift", ["Correct", "Report"])
def test_what_somebody_put_into_a_domain_by_hand_is_not_said(
    world: World, drift: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world.apply(machine(driftPolicy=drift))
    world.settle()
    (record,) = world.hypervisor.list_domains()
    xml = world.hypervisor.domain_xml(record.uuid, XmlView.INACTIVE)
    changed = xml.replace("</devices>", f"{DEVICES_BY_HAND}</devices>{BY_HAND}")
    assert changed.count(SECRET) == 8
    world.hypervisor.define_domain(changed)
    described = everything_said(world)
    assert "(hidden)" in described
    world.settle()
    assert SECRET not in described + everything_said(world) + caplog.text


def test_what_a_secret_holds_is_not_said(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    document = machine(cloudInit={"userData": {"secret": "init"}, "networkData": {"secret": "init"}})
    content = SecretContent(name="init", data={"userData": f"#{SECRET}".encode(), "networkData": SECRET.encode()})
    answer = world.service.apply(CALLER, ApplyCall(document=document, secrets=(content,)))
    world.settle()
    assert any(Path(world.host.settings.seed_directory).iterdir())
    said = everything_said(world) + _text(answer) + caplog.text
    assert SECRET not in said
    assert "StartDomain" in said


@pytest.mark.parametrize(
    ("devices", "place"),
    [
        ({"graphics": {"@type": "vnc", "@passwd": SECRET}}, "devices/graphics/@passwd"),
        (
            {"disk": {"source": {"@protocol": "https", "cookies": {"cookie": {"@name": "a", "#text": SECRET}}}}},
            "devices/disk/source/cookies/cookie",
        ),
    ],
)
def test_no_profile_takes_a_password_in_a_document(world: World, devices: dict[str, Any], place: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        world.apply(machine(domain={"devices": devices}))
    assert caught.value.reason == "SecretInDocument"
    assert f"spec.domain: says {place}" in str(caught.value)
    assert SECRET not in str(caught.value)
