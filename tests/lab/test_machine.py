"""One machine's life on a real node with a real guest, from first Apply to deletion. The tests of this module build on each other's
guest, in order: booting it anew for each would cost five seconds a time."""

from __future__ import annotations

import copy
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.declared import Declared, Document, condition, has_agent, image, is_ready, machine, network, vm
from tools.lab import Node
from xvirt.model.errors import Refused
from xvirt.model.exchange import Impact, ObjectRef, OperationState, Verb

WEB = vm("web")
DOMAIN = "default_web"


@pytest.fixture(scope="module")
def declared(node: Node, guest_image: Path) -> Iterator[Declared]:
    client = Declared(node)
    client.apply(network())
    client.apply(image(guest_image))
    yield client
    for ref in (WEB, ObjectRef(kind="VirtualNetwork", namespace="default", name="lan")):
        try:
            client.client.delete(ref, force=True)
            client.wait_gone(ref)
        except Exception as error:  # noqa: BLE001 - the lab ends anyway
            print(error)


@pytest.fixture(scope="module")
def web() -> Document:
    return machine("web", cloudInit={"userData": {"inline": "#!/bin/sh\necho hello > /run/hello\n"}})


def test_row_01_04_27_a_declared_machine_runs_and_gets_an_address(declared: Declared, web: Document) -> None:
    declared.apply(web)
    document = declared.wait(
        WEB, lambda seen: is_ready(seen) and seen["status"]["interfaces"][0]["addresses"], "addressed"
    )
    status = document["status"]
    assert status["uuid"] == document["metadata"]["uid"]
    assert status["uuid"] in declared.node.virsh("list", "--all", "--uuid")
    address = status["interfaces"][0]["addresses"][0]
    assert address["address"].startswith("192.168.150.")
    assert address["source"] in ("agent", "lease")
    declared.wait(WEB, has_agent, "with its agent")
    assert declared.output_after_seed(DOMAIN, ["cat", "/run/hello"]) == "hello"


def test_the_console_carries_bytes_both_ways(declared: Declared) -> None:
    with declared.client.console(WEB) as console:
        console.write(b"\necho xvirt-$((40+2))\n")
        seen = b""
        while b"xvirt-42" not in seen:
            data = console.read()
            assert data is not None, seen
            seen += data
    assert b"xvirt-guest" in b"".join(declared.client.console_log(WEB))


def test_applying_the_same_again_changes_nothing(declared: Declared, web: Document) -> None:
    domain_id = declared.node.virsh("domid", DOMAIN)
    before = declared.get(WEB)
    result = declared.apply(web)
    assert (result.plan, result.changes) == ((), ())
    assert declared.get(WEB) == before
    assert declared.node.virsh("domid", DOMAIN) == domain_id


def test_row_04_34_35_vcpus_memory_disk_and_nic_arrive_live(declared: Declared, web: Document) -> None:
    before = declared.node.virsh("domid", DOMAIN)
    web["spec"]["cpu"]["cores"] = 2
    web["spec"]["memory"]["size"] = "256Mi"
    web["spec"]["disks"].append({"name": "data", "source": {"size": "64Mi"}, "deletionPolicy": "Delete"})
    web["spec"]["nics"].append({"name": "two", "network": "lan"})
    result = declared.apply(web)
    assert {change.impact for change in result.changes} == {Impact.LIVE}
    document = declared.wait(WEB, lambda seen: is_ready(seen) and seen["status"]["memory"] == "256Mi", "grown")
    assert document["status"]["restartRequired"] == []
    assert document["status"]["cpus"] == 2
    assert {disk["name"] for disk in document["status"]["disks"]} == {"root", "data", ""}
    assert declared.node.virsh("domid", DOMAIN) == before
    seen = ""
    for _ in range(100):
        seen = declared.node.guest_exec(DOMAIN, ["sh", "-c", "nproc; cat /proc/partitions; ls /sys/class/net"])
        if seen.startswith("2") and " 65536 " in seen and "eth1" in seen:
            break
    assert seen.startswith("2")
    assert " 65536 vd" in seen
    assert "eth1" in seen


def test_row_35_42_what_is_taken_away_leaves_live_and_a_disk_grows(declared: Declared, web: Document) -> None:
    web["spec"]["disks"].pop()
    web["spec"]["nics"].pop()
    web["spec"]["disks"][0]["source"]["size"] = "160Mi"
    declared.apply(web)
    document = declared.wait(
        WEB, lambda seen: is_ready(seen) and len(seen["status"]["interfaces"]) == 1, "without the NIC"
    )
    assert {disk["name"] for disk in document["status"]["disks"]} == {"root", ""}
    assert next(d["size"] for d in document["status"]["disks"] if d["name"] == "root") == "160Mi"
    partitions = declared.node.guest_exec(DOMAIN, ["cat", "/proc/partitions"])
    assert " 163840 vda" in partitions
    assert " 65536 " not in partitions
    declared.wait(WEB, is_ready, "settled")
    pool = declared.node.run(["ls", "/var/lib/xvirt/pool"]).stdout
    assert "default_web_data.qcow2" not in pool, "deletionPolicy Delete of a removed disk"


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [("size", "100Mi", "cannot shrink"), ("image", "other", "cannot be changed")],
)
def test_row_42_shrinking_and_fixed_fields_are_refused_before_anything_is_done(
    declared: Declared, web: Document, path: str, value: str, words: str
) -> None:
    before = declared.get(WEB)
    wrong = copy.deepcopy(web)
    wrong["spec"]["disks"][0]["source"][path] = value
    with pytest.raises(Refused, match=words):
        declared.apply(wrong)
    assert declared.get(WEB) == before


def test_a_change_that_needs_a_restart_names_its_field(declared: Declared, web: Document) -> None:
    web["spec"]["cpu"]["max"] = 3
    result = declared.apply(web)
    assert [change.impact for change in result.changes] == [Impact.RESTART]
    document = declared.wait(WEB, lambda seen: condition(seen, "RestartRequired") == "True", "waiting")
    assert document["status"]["restartRequired"] == ["spec.cpu.max"]
    assert is_ready(declared.wait(WEB, is_ready, "ready all the same"))


def test_row_26_61_a_machine_destroyed_by_hand_comes_back_with_the_staged_change(declared: Declared) -> None:
    before = declared.node.virsh("domid", DOMAIN).strip()
    declared.node.virsh("destroy", DOMAIN)
    document = declared.wait(
        WEB,
        lambda seen: (
            has_agent(seen)
            and seen["status"]["restartRequired"] == []
            and declared.node.virsh("domid", DOMAIN).strip() not in (before, "-")
        ),
        "back",
    )
    assert document["status"]["restartCount"] == 1
    assert "<vcpu placement='static' current='2'>3</vcpu>" in declared.node.virsh("dumpxml", DOMAIN)


def test_row_61_what_is_done_by_hand_is_undone(declared: Declared) -> None:
    declared.node.virsh("suspend", DOMAIN)
    declared.wait(WEB, lambda seen: seen["status"]["powerState"] == "Running" and is_ready(seen), "resumed")
    declared.node.virsh("schedinfo", DOMAIN, "--config", "--set", "cpu_shares=77", check=False)
    declared.node.virsh("desc", DOMAIN, "--config", "changed by hand")
    declared.wait(
        WEB, lambda seen: "changed by hand" not in declared.node.virsh("dumpxml", "--inactive", DOMAIN), "corrected"
    )


def test_row_61_a_card_plugged_in_by_hand_is_taken_out_again(declared: Declared) -> None:
    card = ["network", "default_lan", "--model", "virtio", "--mac", "52:54:00:00:00:77"]
    declared.node.virsh("attach-interface", DOMAIN, *card, "--live")
    declared.wait(WEB, lambda seen: "NIC 52:54:00:00:00:77 was attached by hand" in seen["status"]["drift"], "seen")
    declared.wait(WEB, lambda seen: is_ready(seen) and seen["status"]["drift"] == [], "corrected")
    assert "52:54:00:00:00:77" not in declared.node.virsh("dumpxml", DOMAIN)


def test_row_24_81_stop_and_start_keep_uuid_macs_and_disks(declared: Declared) -> None:
    before = declared.get(WEB)["status"]
    assert declared.operate(WEB, Verb.STOP).state is OperationState.SUCCEEDED
    stopped = declared.wait(WEB, lambda seen: seen["status"]["powerState"] == "Stopped", "stopped")
    assert is_ready(stopped), "stopped as asked is Ready"
    assert declared.operate(WEB, Verb.START).state is OperationState.SUCCEEDED
    after = declared.wait(WEB, has_agent, "started")["status"]
    assert after["uuid"] == before["uuid"]
    assert after["interfaces"][0]["mac"] == before["interfaces"][0]["mac"]
    assert after["disks"] == before["disks"]


def test_row_27_an_address_reserved_while_the_guest_runs_is_what_it_gets_at_its_next_boot(declared: Declared) -> None:
    status = declared.get(WEB)["status"]
    lan = network()
    reserved = {"mac": status["interfaces"][0]["mac"], "name": "web", "ip": "192.168.150.200"}
    lan["spec"]["subnets"][0]["dhcp"]["hosts"] = [reserved]
    declared.apply(lan)
    declared.wait(ObjectRef(kind="VirtualNetwork", namespace="default", name="lan"), is_ready, "changed")
    assert declared.node.virsh("domid", DOMAIN).strip() != "-"
    assert declared.operate(WEB, Verb.RESTART).state is OperationState.SUCCEEDED

    def has_it(seen: Document) -> bool:
        return "192.168.150.200" in [item["address"] for item in seen["status"]["interfaces"][0]["addresses"]]

    declared.wait(WEB, has_it, "at its reserved address")
    declared.wait(WEB, has_agent, "with its agent")


def test_row_24_pause_resume_save_and_restore(declared: Declared) -> None:
    assert declared.operate(WEB, Verb.PAUSE).state is OperationState.SUCCEEDED
    assert declared.node.virsh("domstate", DOMAIN).strip() == "paused"
    assert declared.operate(WEB, Verb.RESUME).state is OperationState.SUCCEEDED
    declared.node.guest_exec(DOMAIN, ["touch", "/run/kept-in-memory"])
    assert declared.operate(WEB, Verb.SAVE).state is OperationState.SUCCEEDED
    declared.wait(WEB, lambda seen: seen["status"]["powerState"] == "Saved", "saved")
    assert declared.operate(WEB, Verb.RESTORE).state is OperationState.SUCCEEDED
    declared.wait(WEB, has_agent, "restored")
    assert "kept" in declared.node.guest_exec(DOMAIN, ["ls", "/run"])


def test_row_75_sigkill_of_the_plugin_leaves_the_guest_running(declared: Declared) -> None:
    before = declared.node.virsh("domid", DOMAIN)
    document = declared.get(WEB)
    declared.node.kill_plugin(signal.SIGKILL)
    declared.node.wait_plugin_exit()
    declared.node.start_plugin()
    again = declared.wait(WEB, has_agent, "seen again")
    assert declared.node.virsh("domid", DOMAIN) == before
    assert again["metadata"] == document["metadata"]


def test_row_75_a_restart_of_libvirtd_leaves_the_guest_running(declared: Declared) -> None:
    before = declared.node.virsh("domid", DOMAIN)
    declared.node.restart_libvirtd()
    declared.wait(WEB, has_agent, "seen again")
    assert declared.node.virsh("domid", DOMAIN) == before


def test_row_18_a_wiped_store_finds_the_same_machine(declared: Declared) -> None:
    before = declared.node.virsh("domid", DOMAIN)
    lan = ObjectRef(kind="VirtualNetwork", namespace="default", name="lan")
    old, old_lan = declared.get(WEB), declared.get(lan)
    declared.node.stop_plugin()
    declared.node.run(["sh", "-c", "rm /var/lib/xvirt/store.db*"])
    declared.node.start_plugin()
    document = declared.wait(WEB, is_ready, "rebuilt")
    assert document["metadata"] == old["metadata"]
    assert document["spec"] == old["spec"]
    assert declared.wait(lan, is_ready, "rebuilt")["spec"] == old_lan["spec"]
    assert declared.node.virsh("domid", DOMAIN) == before


def test_row_04_delete_leaves_nothing_but_the_retained_disk(declared: Declared) -> None:
    declared.delete(WEB)
    assert DOMAIN not in declared.node.virsh("list", "--all")
    pool = declared.node.run(["ls", "/var/lib/xvirt/pool"]).stdout.split()
    assert pool == ["default_guest.image.qcow2", "default_web_root.qcow2"]
    assert declared.node.run(["ls", "/var/lib/xvirt/seeds"]).stdout == ""
