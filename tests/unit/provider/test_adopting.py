"""`adopt`: a resource takes over what is there, as it is, or is told who has it."""

from __future__ import annotations

from typing import Any

import pytest

from nodeplugin.hypervisor.port import XmlView
from tests.unit.cli.live_node import LiveNode, eventually
from tests.unit.cli.test_adopt import FIRST, define, is_marked
from tests.unit.provider.conftest import STACK, inputs
from xvirt.client.blocking import NodeClient
from xvirt.domainxml.mark import remove_mark
from xvirt.domainxml.tree import canonical, parse_xml
from xvirt.model.errors import Conflict, NotFound, Refused
from xvirt.model.exchange import AdoptCall, ApplyCall, DryRun, ObjectRef, Token
from xvirt_provider import core
from xvirt_provider.adoption import OWNER

WEB = ObjectRef(kind="VirtualMachine", namespace="default", name="web")


def declared(client: NodeClient, uuid: str = FIRST) -> dict[str, Any]:
    """The spec that stands for a foreign domain."""
    found = client.adopt(AdoptCall(domain_uuid=uuid, dry_run=DryRun.PLAN, token=Token(authority=STACK)))
    return dict(found.object.document["spec"])


def wished(spec: dict[str, Any], name: str = "web", **more: Any) -> dict[str, Any]:
    """Inputs of a machine of this spec alone."""
    return {**inputs(name, **more), "spec": spec}


def bare(node: LiveNode, view: XmlView, uuid: str = FIRST) -> bytes:
    """A domain's definition without the mark."""
    root = parse_xml(node.hypervisor.domain_xml(uuid, view))
    remove_mark(root)
    return canonical(root)


@pytest.mark.parametrize("word", [FIRST, "old server"])
def test_row_103_a_foreign_domain_is_taken_over_without_a_change(client: NodeClient, node: LiveNode, word: str) -> None:
    define(node, "old server", FIRST)
    before = [bare(node, view) for view in XmlView]
    record = node.hypervisor.find_domain(FIRST)
    wish = wished(declared(client), adopt=word)
    outputs = core.create(client, wish)
    assert outputs["uuid"] == FIRST
    assert outputs["conditions"]["Ready"] == "True"
    eventually(lambda: is_marked(node, FIRST))
    assert [bare(node, view) for view in XmlView] == before
    assert node.hypervisor.find_domain(FIRST) == record
    assert not core.compare(outputs, wish).is_changed
    found = core.read(client, outputs)
    assert found is not None
    assert not core.compare(found[0], wish).is_changed
    assert core.create(client, wish)["uid"] == FIRST


def test_row_103_what_would_change_the_domain_is_refused_and_nothing_is_done(
    client: NodeClient, node: LiveNode
) -> None:
    define(node, "old", FIRST)
    spec = {**declared(client), "memory": {"size": "32Mi"}}
    with pytest.raises(Refused, match="would not stay as it is"):
        core.create(client, wished(spec, adopt="old"))
    assert not is_marked(node, FIRST)
    assert client.list_objects("VirtualMachine") == []


def test_row_103_the_input_may_stay_or_go_once_it_is_adopted(client: NodeClient, node: LiveNode) -> None:
    define(node, "old", FIRST)
    wish = wished(declared(client), adopt="old")
    outputs = core.create(client, wish)
    without = {key: value for key, value in wish.items() if key != "adopt"}
    assert not core.compare(outputs, without).is_changed
    assert core.update(client, {**wish, "adopt": "whatever"})["uid"] == FIRST


def test_row_103_a_domain_that_is_gone_is_told_and_not_made_anew(client: NodeClient, node: LiveNode) -> None:
    with pytest.raises(NotFound, match="Where it is gone, take `adopt` out"):
        core.create(client, inputs(adopt="old"))
    assert client.list_objects("VirtualMachine") == []


def test_row_103_what_another_authority_has_is_refused_by_name(client: NodeClient, node: LiveNode) -> None:
    define(node, "old", FIRST)
    spec = declared(client)
    client.adopt(AdoptCall(domain_uuid=FIRST, name="kept", token=Token(authority="local")))
    eventually(lambda: client.get(ObjectRef(uid=FIRST)).document.get("status", {}).get("domainName"))
    for word in ("old", FIRST):
        with pytest.raises(
            Conflict, match=r"VirtualMachine default/kept is owned by authority local; release it there"
        ):
            core.create(client, wished(spec, adopt=word))
    with pytest.raises(Conflict, match="owned by authority local; release"):
        core.create(client, wished(spec, "kept", adopt="old"))


def test_row_103_what_another_resource_of_the_stack_has_is_refused_by_name(client: NodeClient, node: LiveNode) -> None:
    define(node, "old", FIRST)
    spec = declared(client)
    core.create(client, wished(spec, adopt="old"))
    with pytest.raises(Conflict, match="default/web is declared by resource web of this stack; give one of the two"):
        core.create(client, wished(spec, "web", owner="other", adopt="old"))
    with pytest.raises(Conflict, match="default/web is declared by resource web of this stack"):
        core.create(client, wished(spec, "other", adopt="old"))
    with pytest.raises(Conflict, match="is declared already and is not somewhere"):
        core.create(client, wished(spec, adopt="somewhere"))


def test_row_103_all_comes_back_without_a_change_after_the_state_was_lost(client: NodeClient, node: LiveNode) -> None:
    disk = {**inputs("data"), "kind": "VirtualDisk", "spec": {"size": "1Gi"}}
    machine = inputs(spec={"disks": [{"name": "data", "source": {"disk": "data"}}]})
    made = [core.create(client, item) for item in (disk, machine)]
    generations = [item.token.generation for item in client.list_objects()]
    again = [core.create(client, {**item, "adopt": item["metadata"]["name"]}) for item in (disk, machine)]
    assert [item["uid"] for item in again] == [item["uid"] for item in made]
    assert [core.create(client, item)["uid"] for item in (disk, machine)] == [item["uid"] for item in made]
    assert [item.token.generation for item in client.list_objects()] == generations
    changed = {**machine, "spec": {**machine["spec"], "memory": {"size": "96Mi", "max": "128Mi"}}, "adopt": "web"}
    with pytest.raises(Refused, match=r"spec.memory.size: 64Mi is declared as 96Mi. Nothing was done"):
        core.create(client, changed)


def test_an_object_of_the_stack_that_no_resource_declares_needs_adopt(client: NodeClient) -> None:
    document = core.document_of(inputs())
    document["metadata"].pop("annotations")
    client.apply(ApplyCall(document=document, token=Token(authority=STACK)))
    with pytest.raises(Conflict, match='no resource of this stack declares it; take it over with adopt="web"'):
        core.create(client, inputs())
    outputs = core.create(client, inputs(adopt="web"))
    assert client.get(WEB).document["metadata"]["annotations"] == {OWNER: "web"}
    assert outputs["uid"] == client.get(WEB).ref.uid


def test_only_machines_are_adopted_from_what_others_made(client: NodeClient) -> None:
    disk = {**inputs("data"), "kind": "VirtualDisk", "spec": {"size": "1Gi"}}
    with pytest.raises(NotFound, match="a VirtualDisk can be taken over from this stack only"):
        core.create(client, {**disk, "adopt": "data"})


def test_adopt_must_be_text() -> None:
    assert [item.path for item in core.check(inputs(adopt=1.0))] == ["adopt"]


def test_row_103_a_machine_that_was_released_goes_on_under_a_stack_by_its_own_document(
    client: NodeClient, node: LiveNode
) -> None:
    local = inputs(
        spec={
            "cloudInit": {"hostname": "web", "userData": {"secret": "init"}},
            "disks": [{"name": "root", "source": {"size": "64Mi"}}],
            "nics": [{"name": "lan", "network": "lan"}],
            "deletionPolicy": "Detach",
        },
        secrets={"init": {"userData": "#cloud-config"}},
    )
    lan = {**inputs("lan"), "kind": "VirtualNetwork", "spec": {"mode": "Isolated"}, "authority": "local"}
    core.create(client, lan)
    before = core.create(client, {**local, "authority": "local"})
    definition = bare(node, XmlView.INACTIVE, before["uid"])
    record = node.hypervisor.find_domain(before["uid"])
    node.xvirt("release", "web")
    moved = {
        **local,
        "adopt": before["uid"],
        "spec": {**local["spec"], "cloudInit": {"hostname": "web", "userData": {"secret": "web-cloud-init"}}},
        "secrets": {"web-cloud-init": {"userData": "#cloud-config"}},
    }
    with pytest.raises(Refused, match="would not stay as it is"):
        core.create(client, {**moved, "secrets": {"web-cloud-init": {"userData": "#another"}}})
    outputs = core.create(client, moved)
    assert (outputs["uid"], outputs["macs"]) == (before["uid"], before["macs"])
    assert bare(node, XmlView.INACTIVE, before["uid"]) == definition
    assert node.hypervisor.find_domain(before["uid"]) == record
    assert client.get(WEB).ref.authority == STACK
