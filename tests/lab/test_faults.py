"""The plugin is killed, or libvirtd restarted, in the middle of create, live change, stop, start and delete on real libvirt and QEMU.
The end of each chapter is that of an undisturbed run: nothing is there twice, nothing is left."""

from __future__ import annotations

import copy
import difflib
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lxml import etree

from tests.lab.declared import DEADLINE_S, Declared, Document, empty_machine, is_ready, vm
from tests.lab.foreign import fingerprint
from tests.lab.held_plugin import HELD, HOLD_AFTER
from tools.lab import Node
from xvirt.domainxml.elements import alias_of
from xvirt.domainxml.mark import remove_mark
from xvirt.domainxml.tree import canonical, parse_xml
from xvirt.model.errors import NotFound, Unavailable
from xvirt.model.exchange import ObjectRef, OperateCall, Verb

WEB = vm("story")
LAN = ObjectRef(kind="VirtualNetwork", namespace="default", name="story")
DOMAIN = "default_story"
STORIES = 6
"""A sample: in story N the plugin dies after the N-th step of each chapter. All steps are walked through in
tests/unit/nodeplugin/test_crash_walk.py, without libvirt."""

NETWORK: Document = {
    "apiVersion": "xvirt.io/v1alpha1",
    "kind": "VirtualNetwork",
    "metadata": {"name": "story"},
    "spec": {"mode": "Isolated"},
}
MACHINE = empty_machine(
    "story",
    cpu={"cores": 1, "max": 3},
    disks=[{"name": "root", "source": {"size": "16Mi"}, "deletionPolicy": "Delete"}],
    nics=[{"name": "lan", "network": "story"}],
    cloudInit={"userData": {"inline": "#cloud-config\n{}\n"}},
)


def _changed() -> Document:
    document = copy.deepcopy(MACHINE)
    spec = document["spec"]
    spec["cpu"]["cores"] = 2
    spec["disks"][0]["source"]["size"] = "32Mi"
    spec["disks"].append({"name": "more", "source": {"size": "8Mi"}, "deletionPolicy": "Delete"})
    spec["nics"].append({"name": "second", "network": "story"})
    return document


class Story:
    """Chapters over one node whose plugin can be held after any step."""

    def __init__(self, declared: Declared) -> None:
        self.declared = declared
        self.node = declared.node
        self.held: list[str] = []

    def tell(self, steps: int, disturb: Callable[[Node], None]) -> list[dict[str, Any]]:
        """Each chapter's end; in each, `disturb` is done to the node after that many steps, if it has so many."""
        return [self._chapter(act, is_done, steps, disturb) for act, is_done in self._chapters()]

    def _chapters(self) -> list[tuple[Callable[[], Any], Callable[[], bool]]]:
        declared = self.declared

        def create() -> None:
            declared.apply(NETWORK)
            declared.apply(MACHINE)

        def operate(verb: Verb) -> None:
            declared.client.operate(OperateCall(ref=WEB, verb=verb, operation_id=str(uuid.uuid4())))

        return [
            (create, lambda: is_ready(declared.get(WEB)) and is_ready(declared.get(LAN))),
            (lambda: declared.apply(_changed()), lambda: is_ready(declared.get(WEB))),
            (lambda: operate(Verb.STOP), lambda: self._power() == "Stopped"),
            (lambda: operate(Verb.START), lambda: self._power() == "Running"),
            (lambda: declared.client.delete(WEB), lambda: self._is_gone(WEB)),
            (lambda: declared.client.delete(LAN), lambda: self._is_gone(LAN)),
        ]

    def _power(self) -> str:
        document = self.declared.get(WEB)
        return str(document["status"]["powerState"]) if is_ready(document) else ""

    def _is_gone(self, ref: ObjectRef) -> bool:
        try:
            self.declared.get(ref)
        except NotFound:
            return True
        return False

    def _chapter(
        self, act: Callable[[], Any], is_done: Callable[[], bool], steps: int, disturb: Callable[[Node], None]
    ) -> dict[str, Any]:
        (self.node.paths.run_xvirt / HOLD_AFTER).write_text(str(steps))
        act()
        held = self.node.paths.run_xvirt / HELD
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            if held.exists() and (name := held.read_text()):
                self.held.append(name)
                disturb(self.node)
                held.unlink(missing_ok=True)
            try:
                if is_done():
                    break
            except (NotFound, Unavailable, KeyError):
                pass
            time.sleep(0.02)
        else:
            raise AssertionError(f"no end: {self._last_words()}")
        (self.node.paths.run_xvirt / HOLD_AFTER).unlink(missing_ok=True)
        return self._state()

    def _last_words(self) -> str:
        return str([view.document for view in self.declared.client.list_objects()])[:4000]

    def _state(self) -> dict[str, Any]:
        node = self.node
        names = [name for name in node.virsh("list", "--all", "--name").split() if not name.startswith("foreign-")]
        return {
            "domains": {name: self._definition(name) for name in names},
            "networks": sorted(node.virsh("net-list", "--all", "--name").split()),
            "volumes": sorted(node.run(["ls", "-A", "/var/lib/xvirt/pool"]).stdout.split()),
            "seeds": len(node.run(["ls", "-A", "/var/lib/xvirt/seeds"]).stdout.split()),
            "objects": sorted(view.ref.name for view in self.declared.client.list_objects()),
        }

    def _definition(self, name: str) -> tuple[list[str], list[str]]:
        """The definition without what a new identity changes, and the devices of what runs."""
        root = parse_xml(self.node.virsh("dumpxml", "--inactive", name))
        uid = root.findtext("uuid") or ""
        remove_mark(root)
        for devices in root.findall("devices"):
            devices[:] = sorted(devices, key=lambda device: (str(device.tag), alias_of(device), canonical(device)))
        text = canonical(root).decode().replace(uid, "UID").replace("><", ">\n<")
        text = re.sub(r"02(:[0-9a-f]{2}){5}", "MAC", text)
        text = re.sub(r"UID-[0-9a-f]{12}\.iso", "UID-SEED.iso", text)
        live = etree.fromstring(self.node.virsh("dumpxml", name).encode())
        aliases = sorted(item.get("name", "") for item in live.iterfind("devices/*/alias"))
        vcpus = live.xpath("string(vcpu/@current)")
        ours = [alias for alias in aliases if alias.startswith("ua-")]
        return text.split("\n"), [*ours, str(vcpus), "running" if live.get("id") else "off"]


@pytest.fixture(scope="module")
def story(node: Node, foreign: dict[str, str]) -> Iterator[Story]:
    node.stop_plugin()
    node.start_plugin(module="tests.lab.held_plugin")
    declared = Declared(node)
    yield Story(declared)
    for ref in (WEB, LAN):
        try:
            declared.client.delete(ref, force=True)
        except NotFound:
            continue
        declared.wait_gone(ref)
    node.stop_plugin()
    node.start_plugin()


@pytest.fixture(scope="module")
def undisturbed(story: Story) -> list[dict[str, Any]]:
    return story.tell(1000, lambda node: None)


def _differences(told: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> str:
    before, after = (json.dumps(states, indent=1, sort_keys=True).splitlines() for states in (wanted, told))
    return "\n".join(difflib.unified_diff(before, after, "undisturbed", "told", lineterm=""))


def _kill_plugin(node: Node) -> None:
    node.kill_plugin()
    (node.paths.run_xvirt / HELD).unlink()
    node.start_plugin(module="tests.lab.held_plugin")


def test_the_undisturbed_story_is_what_it_says(undisturbed: list[dict[str, Any]]) -> None:
    created, changed, stopped, started, deleted, ended = undisturbed
    assert created["domains"][DOMAIN][1] == ["ua-disk-root", "ua-nic-lan", "ua-seed", "1", "running"]
    grown = ["ua-disk-more", "ua-disk-root", "ua-nic-lan", "ua-nic-second", "ua-seed", "2"]
    assert changed["domains"][DOMAIN][1] == [*grown, "running"]
    assert stopped["domains"][DOMAIN][1][-1] == "off"
    assert started["domains"][DOMAIN][1] == [*grown, "running"]
    assert DOMAIN not in deleted["domains"]
    assert [name for name in ended["volumes"] if "story" in name] == []
    assert ended["seeds"] == 0
    assert "story" not in ended["objects"]
    assert "default_story" not in ended["networks"]


@pytest.mark.parametrize("steps", range(1, STORIES + 1))
def test_row_74_75_the_plugin_killed_after_any_step_leads_to_the_same_end(
    story: Story, undisturbed: list[dict[str, Any]], steps: int
) -> None:
    story.held.clear()
    found = _differences(story.tell(steps, _kill_plugin), undisturbed)
    assert not found, found
    assert story.held


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_row_74_75_libvirtd_restarted_after_any_step_leads_to_the_same_end(
    story: Story, undisturbed: list[dict[str, Any]], steps: int
) -> None:
    story.held.clear()
    found = _differences(story.tell(steps, lambda node: node.restart_libvirtd()), undisturbed)
    assert not found, found
    assert story.held


def test_row_69_foreign_domains_went_through_all_of_it_untouched(story: Story, foreign: dict[str, str]) -> None:
    assert len(foreign) == 10
    assert fingerprint(story.node) == foreign
