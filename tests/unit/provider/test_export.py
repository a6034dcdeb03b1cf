"""`xvirt export --to pulumi`: the program that it writes takes over what runs, and its first `up` changes nothing on the host."""

from __future__ import annotations

from typing import Any

import pytest

from nodeplugin.hypervisor.port import VolumeRequest, XmlView
from tests.unit.cli.live_node import MACHINE, NETWORK, LiveNode, eventually
from tests.unit.cli.test_adopt import FIRST, SECOND, define
from tests.unit.nodeplugin.test_adoption import XML as RICH
from tests.unit.provider.conftest import STACK
from tests.unit.provider.programs import Registered, run_program
from tests.unit.provider.test_adopting import bare
from xvirt.client.blocking import NodeClient
from xvirt.model.exchange import ObjectRef
from xvirt_provider import core

WEB = ObjectRef(kind="VirtualMachine", namespace="default", name="web")
FULL = """
apiVersion: xvirt.io/v1alpha1
kind: VirtualMachine
metadata: {name: web, labels: {app: web}, annotations: {note: "it's \\"here\\""}}
spec:
  cpu: {cores: 1, max: 2}
  memory: {size: 64Mi, max: 128Mi}
  disks: [{name: root, source: {size: 64Mi}}]
  nics: [{name: lan, network: lan}]
  cloudInit:
    hostname: web
    userData:
      inline: |
        #cloud-config
        runcmd: ["echo \\"it's\\""]
"""


def registered(text: str, config: dict[str, str] | None = None) -> list[Registered]:
    """What an exported program registers."""

    def program() -> None:
        exec(compile(text, "__main__.py", "exec"), {"__name__": "__main__"})

    return run_program(program, project_config=config)


def up(client: NodeClient, text: str, config: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """The program's first `up`, without an engine: check and create each."""
    made = []
    for item in registered(text, config):
        assert not core.check(item.inputs), core.check(item.inputs)
        made.append(core.create(client, item.inputs))
    return made


def export(node: LiveNode, *words: str) -> str:
    """What the command writes."""
    outcome = node.xvirt("export", "--to", "pulumi", *words)
    assert outcome.code == 0, outcome
    return outcome.out


def host(node: LiveNode, uuid: str) -> tuple[Any, ...]:
    """All that libvirt knows of a domain but the mark."""
    return node.hypervisor.find_domain(uuid), [bare(node, view, uuid) for view in XmlView]


def test_row_103_foreign_domains_go_on_under_a_stack_as_they_are(client: NodeClient, node: LiveNode) -> None:
    path = "/srv/old/old server.qcow2"
    node.volumes.create_volume(VolumeRequest(path=path, format="qcow2", capacity_bytes=8 << 20), lambda percent: None)
    node.hypervisor.define_domain(RICH.format(name="old server", uuid=FIRST))
    node.hypervisor.start_domain(FIRST)
    define(node, "second", SECOND, runs=False)
    before = [host(node, uuid) for uuid in (FIRST, SECOND)]
    text = export(node, "old server", SECOND)
    assert "xvirt release" not in text
    assert [host(node, uuid) for uuid in (FIRST, SECOND)] == before
    made = up(client, text)
    assert {item["uuid"] for item in made} == {FIRST, SECOND}  # the engine's order is its own
    eventually(lambda: all(item.document.get("status") for item in client.list_objects("VirtualMachine")))
    assert [host(node, uuid) for uuid in (FIRST, SECOND)] == before
    olds = {item["metadata"]["name"]: item for item in made}
    news = {item.inputs["metadata"]["name"]: item.inputs for item in registered(text)}
    assert len(news) == 2
    assert not any(core.compare(olds[name], inputs).is_changed for name, inputs in news.items())


def test_row_103_a_machine_of_this_host_is_released_and_goes_on_under_a_stack(
    client: NodeClient, node: LiveNode
) -> None:
    node.declare(NETWORK, FULL)
    uid = node.uid()
    before, macs = host(node, uid), client.get(WEB).document["status"]["interfaces"]
    text = export(node, "web")
    assert "    xvirt release web  # declared by local\n" in text
    assert "# Declared elsewhere, and not taken over: VirtualNetwork lan.\n" in text
    assert node.xvirt("release", "web").code == 0
    made = up(client, text)
    assert made[0]["uuid"] == uid
    assert client.get(WEB).ref.authority == STACK
    assert host(node, uid) == before
    eventually(lambda: client.get(WEB).document.get("status", {}).get("interfaces"))
    assert client.get(WEB).document["status"]["interfaces"] == macs
    assert client.get(WEB).document["metadata"]["labels"] == {"app": "web"}


def test_row_103_before_it_is_released_the_program_is_refused_by_name(client: NodeClient, node: LiveNode) -> None:
    node.declare(MACHINE)
    text = export(node, "web")
    with pytest.raises(Exception, match=r"default/web is owned by authority local; release it there first"):
        up(client, text)


def test_row_103_the_contents_of_secrets_come_from_the_stacks_configuration(client: NodeClient, node: LiveNode) -> None:
    secret = "\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: init}\nstringData: {userData: '#cloud-config'}\n"
    machine = MACHINE + "  cloudInit: {userData: {secret: init}}\n  deletionPolicy: Detach\n"
    node.declare(machine + secret)
    uid, text = node.uid(), export(node, "web")
    before = host(node, uid)
    assert "# pulumi config set --secret init-userData  # the node tells nobody what it is\n" in text
    assert 'secrets={"init": {"userData": config.require_secret("init-userData")}},' in text
    assert node.xvirt("release", "web").code == 0
    assert up(client, text, {"init-userData": "#cloud-config"})[0]["uuid"] == uid
    assert host(node, uid) == before


def test_row_103_a_machine_that_was_stopped_is_not_started(client: NodeClient, node: LiveNode) -> None:
    node.declare(MACHINE)
    assert node.xvirt("stop", "web").code == 0
    eventually(lambda: client.get(WEB).document["status"]["powerState"] == "Stopped")
    uid, text = node.uid(), export(node, "web")
    assert "# It is off now." in text
    before = host(node, uid)
    assert node.xvirt("release", "web").code == 0
    assert up(client, text)[0]["uuid"] == uid
    assert host(node, uid) == before


def test_row_104_what_is_not_there_is_told_and_the_others_are_written(node: LiveNode) -> None:
    define(node, "old", FIRST)
    outcome = node.xvirt("export", "--to", "pulumi", "nothing", "old")
    assert outcome.code == 4
    assert "nothing is neither a machine of namespace default nor a domain that could be adopted" in outcome.err
    assert f'adopt="{FIRST}",' in outcome.out
    assert node.xvirt("export", "--to", "coffee", "old").code == 2


def test_row_103_machines_of_one_name_are_told_apart(client: NodeClient, node: LiveNode) -> None:
    other = MACHINE.replace("{name: web,", "{name: web, namespace: red,")
    node.declare(MACHINE, other)
    text = node.xvirt("export", "--to", "pulumi", "web").out
    assert registered(text)[0].inputs["metadata"] == {"name": "web", "labels": {"app": "web"}}
    red = node.xvirt("-n", "red", "export", "--to", "pulumi", "web").out
    assert "    xvirt release web -n red  # declared by local\n" in red
    assert registered(red)[0].inputs["metadata"]["namespace"] == "red"
