"""What the node may rely on when it deals with domains."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from lxml import etree

from nodeplugin.hypervisor.port import DomainState, Hypervisor, Persistence, Scope, ShutdownMode, VolumeRequest, XmlView
from tests.contract.conftest import Subject
from tests.contract.documents import DomainDraft, disk_xml, network_xml, new_uuid, nic_xml
from xvirt.model.errors import (
    Busy,
    Conflict,
    DeadlineExceeded,
    InvalidSpec,
    NotFound,
    Refused,
    Unavailable,
    Unsupported,
)

MARK = "https://example.org/mark"
MAC = "52:54:00:aa:bb:01"


def _state(subject: Subject, identity: str) -> tuple[DomainState, str]:
    record = subject.hypervisor.find_domain(identity)
    assert record is not None
    return record.state, record.reason


def _root(subject: Subject, identity: str, view: XmlView = XmlView.CURRENT) -> etree._Element:
    return etree.fromstring(subject.hypervisor.domain_xml(identity, view).encode())


def _blank(subject: Subject, name: str, size_bytes: int = 4 << 20) -> str:
    path = f"{subject.directory}/{name}.raw"
    subject.volumes.create_volume(
        VolumeRequest(path=path, format="raw", capacity_bytes=size_bytes), lambda percent: None
    )
    return path


# definitions


def test_a_defined_domain_is_listed_as_off_and_persistent(subject: Subject) -> None:
    identity = subject.define(DomainDraft(name="one"))
    [record] = subject.hypervisor.list_domains()
    assert record == subject.hypervisor.find_domain(identity) == subject.hypervisor.find_domain_by_name("one")
    assert (record.uuid, record.name, record.state) == (identity, "one", DomainState.SHUTOFF)
    assert record.persistence is Persistence.PERSISTENT
    assert (record.is_active, record.is_autostarted, record.has_managed_save) == (False, False, False)
    assert record.domain_id is None


def test_one_look_shows_the_record_with_both_definitions(subject: Subject) -> None:
    identity = subject.define(DomainDraft(name="one"))
    look = subject.hypervisor.look_at_domain(identity)
    assert look is not None
    assert (look.record, look.live_xml) == (subject.hypervisor.find_domain(identity), None)
    assert look.config_xml == subject.hypervisor.domain_xml(identity, XmlView.INACTIVE)
    subject.hypervisor.start_domain(identity)
    look = subject.hypervisor.look_at_domain(identity)
    assert look is not None
    assert (look.record.is_active, look.live_xml) == (True, subject.hypervisor.domain_xml(identity, XmlView.CURRENT))
    assert look.config_xml == subject.hypervisor.domain_xml(identity, XmlView.INACTIVE)
    subject.hypervisor.undefine_domain(identity)
    look = subject.hypervisor.look_at_domain(identity)
    assert look is not None
    assert (look.record.persistence, look.config_xml) == (Persistence.TRANSIENT, None)


def test_a_domain_that_is_not_there_is_none_or_not_found(subject: Subject) -> None:
    assert subject.hypervisor.find_domain(new_uuid()) is None
    assert subject.hypervisor.look_at_domain(new_uuid()) is None
    assert subject.hypervisor.find_domain_by_name("nobody") is None
    with pytest.raises(NotFound):
        subject.hypervisor.domain_xml(new_uuid(), XmlView.CURRENT)


CALLS: list[Callable[[Hypervisor, str], object]] = [
    lambda hypervisor, identity: hypervisor.start_domain(identity),
    lambda hypervisor, identity: hypervisor.destroy_domain(identity),
    lambda hypervisor, identity: hypervisor.shutdown_domain(identity, ShutdownMode.ACPI),
    lambda hypervisor, identity: hypervisor.shutdown_domain(identity, ShutdownMode.AGENT),
    lambda hypervisor, identity: hypervisor.suspend_domain(identity),
    lambda hypervisor, identity: hypervisor.save_domain(identity),
    lambda hypervisor, identity: hypervisor.undefine_domain(identity),
    lambda hypervisor, identity: hypervisor.set_vcpus(identity, 1, Scope.LIVE),
    lambda hypervisor, identity: hypervisor.attach_device(identity, disk_xml("/x"), Scope.CONFIG),
    lambda hypervisor, identity: hypervisor.set_metadata(identity, f"<m:mark xmlns:m='{MARK}'/>", Scope.CONFIG),
    lambda hypervisor, identity: hypervisor.remove_metadata(identity, MARK),
    lambda hypervisor, identity: hypervisor.ping_monitor(identity),
    lambda hypervisor, identity: hypervisor.guest_addresses(identity),
    lambda hypervisor, identity: hypervisor.ask_agent(identity),
    lambda hypervisor, identity: hypervisor.ping_agent(identity),
    lambda hypervisor, identity: hypervisor.agent_version(identity),
    lambda hypervisor, identity: hypervisor.start_in_guest(identity, ["true"]),
    lambda hypervisor, identity: hypervisor.exit_code_in_guest(identity, 1),
    lambda hypervisor, identity: hypervisor.domain_stats(identity),
    lambda hypervisor, identity: hypervisor.console_stream(identity, force=False),
]


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_every_call_upon_a_missing_domain_says_not_found(subject: Subject, number: int) -> None:
    with pytest.raises(NotFound):
        CALLS[number](subject.hypervisor, new_uuid())


def test_defining_again_changes_the_definition(subject: Subject) -> None:
    draft = DomainDraft()
    identity = subject.define(draft)
    draft.memory_mib = 80
    subject.define(draft)
    assert len(subject.hypervisor.list_domains()) == 1
    assert int(_root(subject, identity, XmlView.INACTIVE).findtext("memory") or 0) in (80, 80 << 10)


def test_a_name_or_a_uuid_that_is_taken_is_a_conflict(subject: Subject) -> None:
    identity = subject.define(DomainDraft(name="first"))
    with pytest.raises(Conflict, match=identity):
        subject.define(DomainDraft(name="first"))
    with pytest.raises(Conflict):
        subject.define(DomainDraft(name="second", uuid=identity))
    assert [record.name for record in subject.hypervisor.list_domains()] == ["first"]


@pytest.mark.parametrize(
    "xml",
    [
        "<domain",
        "<network/>",
        DomainDraft(name="a/b").xml(),
        DomainDraft(name="x").xml().replace("<devices>", "<devices><bogus/>"),
        DomainDraft(name="x").xml().replace("<features>", "<bogus/><features>"),
        DomainDraft(name="x", devices=disk_xml("/a") + disk_xml("/b", alias="ua-b")).xml(),
    ],
)
def test_a_broken_definition_is_refused_whole(subject: Subject, xml: str) -> None:
    with pytest.raises(InvalidSpec):
        subject.hypervisor.define_domain(xml)
    assert subject.hypervisor.list_domains() == []


def test_a_running_domain_keeps_its_live_definition_when_it_is_redefined(subject: Subject) -> None:
    draft = DomainDraft(metadata=f"<metadata><m:mark xmlns:m='{MARK}'>old</m:mark></metadata>")
    identity = subject.running(draft)
    draft.metadata = f"<metadata><m:mark xmlns:m='{MARK}'>new</m:mark></metadata>"
    subject.define(draft)
    assert _root(subject, identity).findtext(f"metadata/{{{MARK}}}mark") == "old"
    assert _root(subject, identity, XmlView.INACTIVE).findtext(f"metadata/{{{MARK}}}mark") == "new"


def test_metadata_of_a_running_domain_is_set_apart_from_its_definitions(subject: Subject) -> None:
    other = "<o:other xmlns:o='https://example.org/other'/>"
    mark = "<xvirt:mark xmlns:xvirt='{0}'>{1}</xvirt:mark>"
    identity = subject.running(DomainDraft(metadata=f"<metadata>{mark.format(MARK, 'old')}{other}</metadata>"))
    for _ in range(2):
        subject.hypervisor.set_metadata(identity, mark.format(MARK, 'a "new" &lt;one>'), Scope.LIVE)
    live, config = _root(subject, identity), _root(subject, identity, XmlView.INACTIVE)
    assert [item.text for item in live.iterfind(f"metadata/{{{MARK}}}mark")] == ['a "new" <one>']
    assert [item.text for item in config.iterfind(f"metadata/{{{MARK}}}mark")] == ["old"]
    for root in (live, config):
        assert root.find("metadata/{https://example.org/other}other") is not None


def test_metadata_of_a_domain_that_is_off_is_not_set_live(subject: Subject) -> None:
    identity = subject.define(DomainDraft())
    with pytest.raises(Refused):
        subject.hypervisor.set_metadata(identity, f"<m:mark xmlns:m='{MARK}'/>", Scope.LIVE)


def test_metadata_is_removed_live_and_persistent_and_repeating_it_is_harmless(subject: Subject) -> None:
    other = "<o:other xmlns:o='https://example.org/other'/>"
    identity = subject.running(DomainDraft(metadata=f"<metadata><m:mark xmlns:m='{MARK}'/>{other}</metadata>"))
    subject.hypervisor.remove_metadata(identity, MARK)
    subject.hypervisor.remove_metadata(identity, MARK)
    for view in XmlView:
        tags = [str(item.tag) for item in _root(subject, identity, view).iterfind("metadata/*")]
        assert tags == ["{https://example.org/other}other"]


def test_undefining_an_inactive_domain_removes_it(subject: Subject) -> None:
    identity = subject.define(DomainDraft())
    subject.hypervisor.undefine_domain(identity)
    assert subject.hypervisor.find_domain(identity) is None


def test_undefining_a_running_domain_leaves_it_running_until_it_ends(subject: Subject) -> None:
    identity = subject.running()
    subject.hypervisor.undefine_domain(identity)
    record = subject.hypervisor.find_domain(identity)
    assert record is not None
    assert record.is_active
    assert record.persistence is Persistence.TRANSIENT
    [listed] = subject.hypervisor.list_domains()
    assert listed.persistence is Persistence.TRANSIENT
    subject.hypervisor.destroy_domain(identity)
    assert subject.hypervisor.find_domain(identity) is None


# power


def test_starting_and_powering_off(subject: Subject) -> None:
    identity = subject.running()
    record = subject.hypervisor.find_domain(identity)
    assert record is not None
    assert record.is_active
    assert record.domain_id is not None
    assert subject.hypervisor.list_domains() == [record]
    assert _state(subject, identity) == (DomainState.RUNNING, "booted")
    assert _root(subject, identity).get("id") == str(record.domain_id)
    assert _root(subject, identity, XmlView.INACTIVE).get("id") is None
    subject.hypervisor.destroy_domain(identity)
    assert _state(subject, identity) == (DomainState.SHUTOFF, "destroyed")


def test_each_start_has_another_domain_id(subject: Subject) -> None:
    identity = subject.running()
    first = subject.hypervisor.find_domain(identity)
    subject.hypervisor.destroy_domain(identity)
    subject.hypervisor.start_domain(identity)
    second = subject.hypervisor.find_domain(identity)
    assert first is not None
    assert second is not None
    assert first.domain_id != second.domain_id


def test_what_contradicts_the_power_state_is_refused(subject: Subject) -> None:
    identity = subject.define(DomainDraft())
    hypervisor = subject.hypervisor
    for call in (
        lambda: hypervisor.destroy_domain(identity),
        lambda: hypervisor.suspend_domain(identity),
        lambda: hypervisor.reset_domain(identity),
        lambda: hypervisor.save_domain(identity),
        lambda: hypervisor.shutdown_domain(identity, ShutdownMode.ACPI),
        lambda: hypervisor.ping_monitor(identity),
        lambda: hypervisor.set_memory(identity, 32 << 20, Scope.LIVE),
        lambda: hypervisor.attach_device(identity, disk_xml("/x"), Scope.LIVE),
        lambda: hypervisor.console_stream(identity, force=False),
    ):
        with pytest.raises(Refused):
            call()
    hypervisor.start_domain(identity)
    with pytest.raises(Refused):
        hypervisor.start_domain(identity)
    with pytest.raises(Refused):
        hypervisor.resume_domain(identity)


def test_pausing_and_resuming(subject: Subject) -> None:
    identity = subject.running()
    subject.hypervisor.suspend_domain(identity)
    assert _state(subject, identity) == (DomainState.PAUSED, "user")
    subject.hypervisor.resume_domain(identity)
    assert _state(subject, identity) == (DomainState.RUNNING, "unpaused")
    subject.hypervisor.reset_domain(identity)
    assert _state(subject, identity)[0] is DomainState.RUNNING
    subject.wait_event("reboot", identity)


def test_a_saved_domain_continues_and_a_dropped_save_boots(subject: Subject) -> None:
    identity = subject.running()
    assert subject.hypervisor.save_progress_percent(identity) is None
    subject.hypervisor.save_domain(identity)
    record = subject.hypervisor.find_domain(identity)
    assert record is not None
    assert (record.state, record.reason, record.has_managed_save) == (DomainState.SHUTOFF, "saved", True)
    assert subject.hypervisor.list_domains() == [record]
    subject.hypervisor.start_domain(identity)
    assert _state(subject, identity) == (DomainState.RUNNING, "restored")
    subject.hypervisor.save_domain(identity)
    subject.hypervisor.drop_managed_save(identity)
    subject.hypervisor.start_domain(identity)
    assert _state(subject, identity) == (DomainState.RUNNING, "booted")


def test_a_saved_domain_can_be_undefined(subject: Subject) -> None:
    identity = subject.running()
    subject.hypervisor.save_domain(identity)
    subject.hypervisor.undefine_domain(identity)
    assert subject.hypervisor.find_domain(identity) is None


def test_a_killed_qemu_is_seen_as_a_crash(subject: Subject) -> None:
    identity = subject.running()
    subject.kill(identity)
    subject.wait_event("lifecycle", identity, "stopped/failed")
    assert _state(subject, identity) == (DomainState.SHUTOFF, "crashed")


def test_a_hung_qemu_is_late_once_then_busy_and_can_be_powered_off(subject: Subject) -> None:
    hung, healthy = subject.running(), subject.running()
    subject.hang(hung)
    with pytest.raises(DeadlineExceeded):
        subject.hypervisor.ping_monitor(hung)
    with pytest.raises(Busy):
        subject.hypervisor.ping_monitor(hung)
    with pytest.raises(Busy):
        subject.hypervisor.suspend_domain(hung)
    assert {record.uuid for record in subject.hypervisor.list_domains()} == {hung, healthy}
    assert _state(subject, hung)[0] is DomainState.RUNNING
    subject.hypervisor.domain_xml(hung, XmlView.CURRENT)
    subject.hypervisor.ping_monitor(healthy)
    subject.hypervisor.destroy_domain(hung)
    assert _state(subject, hung) == (DomainState.SHUTOFF, "destroyed")
    subject.hypervisor.start_domain(hung)
    subject.hypervisor.ping_monitor(hung)


def test_a_lost_libvirtd_is_unavailable_at_once_and_domains_run_on(subject: Subject) -> None:
    identity = subject.running()
    subject.lose_connection()
    assert not subject.hypervisor.is_connected()
    with pytest.raises(Unavailable):
        subject.hypervisor.list_domains()
    with pytest.raises(Unavailable):
        subject.hypervisor.find_domain(identity)
    subject.wait_event("disconnected", "")
    subject.restore_connection()
    subject.wait_event("connected", "")
    assert _state(subject, identity)[0] is DomainState.RUNNING
    subject.hypervisor.destroy_domain(identity)
    subject.wait_event("lifecycle", identity, "stopped/destroyed")


# devices


def test_a_disk_is_attached_live_alone(subject: Subject) -> None:
    identity = subject.running()
    path = _blank(subject, "data")
    subject.hypervisor.attach_device(identity, disk_xml(path), Scope.LIVE)
    assert _root(subject, identity).find("devices/disk/alias[@name='ua-disk-data']") is not None
    assert _root(subject, identity, XmlView.INACTIVE).find("devices/disk") is None
    subject.wait_event("device-added", identity, "ua-disk-data")
    with pytest.raises(Unsupported, match="alias"):
        subject.hypervisor.attach_device(identity, disk_xml(path), Scope.LIVE)
    with pytest.raises(InvalidSpec, match="duplicated"):
        subject.hypervisor.attach_device(identity, disk_xml(path, alias="ua-disk-other"), Scope.LIVE)


def test_a_disk_without_its_file_is_refused(subject: Subject) -> None:
    identity = subject.running()
    with pytest.raises(Refused):
        subject.hypervisor.attach_device(identity, disk_xml(f"{subject.directory}/missing.raw"), Scope.LIVE)
    assert _root(subject, identity).find("devices/disk") is None


def test_a_domain_without_its_file_does_not_start(subject: Subject) -> None:
    identity = subject.define(DomainDraft(devices=disk_xml(f"{subject.directory}/missing.raw")))
    with pytest.raises(Refused):
        subject.hypervisor.start_domain(identity)
    assert _state(subject, identity)[0] is DomainState.SHUTOFF


def test_detaching_is_a_request_that_the_guest_may_ignore(subject: Subject) -> None:
    identity = subject.running()
    subject.ignore_unplug(identity)
    device = disk_xml(_blank(subject, "data"))
    subject.hypervisor.attach_device(identity, device, Scope.LIVE)
    subject.hypervisor.detach_device(identity, device, Scope.LIVE)
    assert _root(subject, identity).find("devices/disk") is not None


def test_detaching_from_the_definition_is_done_at_once(subject: Subject) -> None:
    identity = subject.define(DomainDraft())
    device = disk_xml(_blank(subject, "data"))
    subject.hypervisor.attach_device(identity, device, Scope.CONFIG)
    assert _root(subject, identity, XmlView.INACTIVE).find("devices/disk") is not None
    subject.hypervisor.detach_device(identity, device, Scope.CONFIG)
    assert _root(subject, identity, XmlView.INACTIVE).find("devices/disk") is None


@pytest.mark.parametrize("scope", [Scope.LIVE, Scope.CONFIG])
def test_detaching_what_is_not_there_is_not_found(subject: Subject, scope: Scope) -> None:
    identity = subject.running()
    with pytest.raises(NotFound):
        subject.hypervisor.detach_device(identity, disk_xml(f"{subject.directory}/none.raw"), scope)


def test_a_disk_grows_while_its_domain_runs(subject: Subject) -> None:
    path = _blank(subject, "data")
    identity = subject.running(DomainDraft(devices=disk_xml(path)))
    assert subject.hypervisor.block_size(identity, "vdb").capacity_bytes == 4 << 20
    subject.hypervisor.resize_block(identity, "vdb", 8 << 20)
    assert subject.hypervisor.block_size(identity, "vdb").capacity_bytes == 8 << 20
    facts = subject.volumes.find_volume(path, "raw")
    assert facts is not None
    assert facts.capacity_bytes == 8 << 20
    with pytest.raises(Refused):
        subject.hypervisor.resize_block(identity, "vdz", 8 << 20)


def test_one_image_cannot_be_written_by_two_domains(subject: Subject) -> None:
    path = _blank(subject, "shared")
    subject.running(DomainDraft(devices=disk_xml(path)))
    second = subject.define(DomainDraft(devices=disk_xml(path)))
    with pytest.raises(Busy) as caught:
        subject.hypervisor.start_domain(second)
    assert caught.value.reason == "ImageInUse"


def test_vcpus_change_within_their_bounds(subject: Subject) -> None:
    identity = subject.running(DomainDraft(vcpus=1, vcpus_max=3))
    subject.hypervisor.set_vcpus(identity, 2, Scope.LIVE)
    assert _root(subject, identity).xpath("string(vcpu/@current)") == "2"
    assert _root(subject, identity, XmlView.INACTIVE).xpath("string(vcpu/@current)") == "1"
    with pytest.raises(Refused):
        subject.hypervisor.set_vcpus(identity, 4, Scope.LIVE)
    subject.hypervisor.set_vcpus(identity, 3, Scope.CONFIG)
    assert _root(subject, identity, XmlView.INACTIVE).xpath("string(vcpu/@current)") in ("", "3")


def test_vcpus_that_were_there_at_boot_cannot_be_unplugged(subject: Subject) -> None:
    identity = subject.running(DomainDraft(vcpus=2, vcpus_max=4))
    with pytest.raises(Unsupported):
        subject.hypervisor.set_vcpus(identity, 1, Scope.LIVE)
    subject.hypervisor.set_vcpus(identity, 3, Scope.LIVE)
    flags = [
        (item.get("enabled"), item.get("hotpluggable")) for item in _root(subject, identity).iterfind("vcpus/vcpu")
    ]
    assert flags == [("yes", "no"), ("yes", "no"), ("yes", "yes"), ("no", "yes")]


def test_the_balloon_is_bounded_by_the_memory(subject: Subject) -> None:
    identity = subject.running()
    subject.hypervisor.set_memory(identity, 64 << 20, Scope.LIVE)
    with pytest.raises(Refused):
        subject.hypervisor.set_memory(identity, 128 << 20, Scope.LIVE)


# networks


def _network(subject: Subject, name: str) -> str:
    identity = new_uuid()
    subject.hypervisor.define_network(network_xml(name, identity))
    return identity


def test_a_nic_needs_its_network_running(subject: Subject) -> None:
    identity = subject.define(DomainDraft(devices=nic_xml(MAC, "lan")))
    with pytest.raises(NotFound):
        subject.hypervisor.start_domain(identity)
    network = _network(subject, "lan")
    with pytest.raises(Refused):
        subject.hypervisor.start_domain(identity)
    subject.hypervisor.start_network(network)
    subject.hypervisor.start_domain(identity)


def test_a_nic_is_attached_and_its_link_changed_live(subject: Subject) -> None:
    subject.hypervisor.start_network(_network(subject, "lan"))
    identity = subject.running()
    subject.hypervisor.attach_device(identity, nic_xml(MAC, "lan"), Scope.LIVE)
    subject.hypervisor.update_device(identity, nic_xml(MAC, "lan", link="down"), Scope.LIVE)
    assert _root(subject, identity).xpath("string(devices/interface/link/@state)") == "down"
    changed = nic_xml(MAC, "lan").replace("type='virtio'", "type='e1000'")
    with pytest.raises(Unsupported):
        subject.hypervisor.update_device(identity, changed, Scope.LIVE)
    with pytest.raises(NotFound):
        subject.hypervisor.update_device(identity, nic_xml("52:54:00:aa:bb:99", "lan", alias="ua-x"), Scope.LIVE)


# guests


def test_a_guest_without_an_agent_tells_nothing(subject: Subject) -> None:
    identity = subject.running()
    assert not subject.hypervisor.is_agent_connected(identity)
    assert subject.hypervisor.guest_addresses(identity) == []
    hypervisor = subject.hypervisor
    for ask in (
        hypervisor.ask_agent,
        hypervisor.ping_agent,
        hypervisor.agent_version,
        lambda identity: hypervisor.start_in_guest(identity, ["true"]),
        lambda identity: hypervisor.exit_code_in_guest(identity, 1),
    ):
        with pytest.raises(NotFound) as caught:
            ask(identity)
        assert caught.value.reason == "AgentNotConnected"
    assert hypervisor.domain_stats(identity)["state.state"] == 1


def test_a_console_has_one_user_unless_it_is_forced(subject: Subject) -> None:
    identity = subject.running()
    first = subject.hypervisor.console_stream(identity, force=False)
    with pytest.raises(Refused):
        subject.hypervisor.console_stream(identity, force=False)
    second = subject.hypervisor.console_stream(identity, force=True)
    assert _read_to_end(first) is None
    assert second.read(100, 0.01) is not None
    second.write(b"hello")
    second.close()
    assert second.read(100, 0.01) is None
    subject.hypervisor.console_stream(identity, force=False).close()


def _read_to_end(stream: object) -> bytes | None:
    data: bytes | None = b""
    for _ in range(500):
        data = stream.read(1000, 0.02)  # type: ignore[attr-defined]
        if data is None:
            break
    return data


# events


def test_events_tell_of_every_change(subject: Subject) -> None:
    identity = subject.running()
    subject.wait_event("lifecycle", identity, "defined/added")
    subject.wait_event("lifecycle", identity, "started/booted")
    subject.hypervisor.suspend_domain(identity)
    subject.wait_event("lifecycle", identity, "suspended/paused")
    subject.hypervisor.resume_domain(identity)
    subject.wait_event("lifecycle", identity, "resumed/unpaused")
    subject.hypervisor.destroy_domain(identity)
    subject.wait_event("lifecycle", identity, "stopped/destroyed")
    subject.hypervisor.undefine_domain(identity)
    subject.wait_event("lifecycle", identity, "undefined/removed")


# statistics


def _rows(subject: Subject) -> dict[str, dict[str, object]]:
    return {row.uuid: dict(row.values) for row in subject.hypervisor.all_domain_stats()}


def test_row_7_one_bulk_call_has_counters_of_every_domain(subject: Subject) -> None:
    subject.hypervisor.start_network(_network(subject, "lan"))
    devices = disk_xml(_blank(subject, "data")) + nic_xml(MAC, "lan")
    running, off = subject.running(DomainDraft(devices=devices)), subject.define(DomainDraft())
    rows = _rows(subject)
    assert set(rows) == {running, off}
    assert (rows[running]["state.state"], rows[off]["state.state"]) == (1, 5)
    assert rows[off]["balloon.maximum"] == rows[running]["balloon.maximum"] == 64 << 10
    assert rows[running]["vcpu.current"] == 1
    assert rows[running]["block.0.name"] == "vdb"
    wanted = {"cpu.time", "balloon.current", "balloon.rss", "block.0.rd.bytes", "block.0.wr.reqs", "net.0.name"}
    assert wanted | {"net.0.rx.bytes", "net.0.tx.pkts"} <= set(rows[running])
    assert "cpu.time" not in rows[off]


def test_a_qemu_that_hangs_does_not_keep_the_statistics_of_others_waiting(subject: Subject) -> None:
    hung, well = subject.running(), subject.running()
    subject.hang(hung)
    for _ in range(2):
        rows = _rows(subject)
        assert "balloon.rss" in rows[well]
        assert "balloon.rss" not in rows[hung]
        assert rows[hung]["state.state"] == 1
    with pytest.raises((Busy, DeadlineExceeded)):
        subject.hypervisor.ping_monitor(hung)


def test_the_event_thread_is_seen_to_turn(subject: Subject) -> None:
    assert subject.hypervisor.is_delivering()
    assert subject.hypervisor.lost_threads() == 0


VNC = "<graphics type='vnc' port='-1' autoport='yes' passwd='hunter2'><listen type='address' address='127.0.0.1'/></graphics>"


def test_row_10_a_password_outlives_a_new_definition_and_is_never_told(subject: Subject) -> None:
    draft = DomainDraft(devices=VNC)
    identity = subject.define(draft)
    told = subject.hypervisor.domain_xml(identity, XmlView.INACTIVE)
    assert "hunter2" not in told
    subject.hypervisor.define_domain(told.replace("<vcpu", "<description>changed</description><vcpu", 1))
    assert subject.secure_xml(identity).count("hunter2") == 1
    assert "changed" in subject.secure_xml(identity)
    assert "hunter2" not in subject.hypervisor.domain_xml(identity, XmlView.INACTIVE)
    look = subject.hypervisor.look_at_domain(identity)
    assert look is not None
    assert "hunter2" not in str(look)
