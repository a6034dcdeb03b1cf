"""What the node may rely on when it changes the disks and drives of running domains."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from lxml import etree

from nodeplugin.hypervisor.port import VolumeRequest, XmlView
from tests.contract.conftest import Subject
from tests.contract.documents import DomainDraft, disk_xml
from xvirt.domainxml.facts import DomainFacts, read_domain
from xvirt.domainxml.iotune import DiskTune
from xvirt.model.errors import Refused, Unsupported


def _blank(subject: Subject, name: str) -> str:
    path = f"{subject.directory}/{name}.raw"
    subject.volumes.create_volume(VolumeRequest(path=path, format="raw", capacity_bytes=4 << 20), lambda percent: None)
    return path


def _facts(subject: Subject, identity: str, view: XmlView = XmlView.CURRENT) -> DomainFacts:
    return read_domain(etree.fromstring(subject.hypervisor.domain_xml(identity, view)))


def _tunes(subject: Subject, identity: str) -> dict[str, DiskTune]:
    return {disk.target: disk.tune for disk in _facts(subject, identity).disks}


@pytest.fixture
def two_disks(subject: Subject) -> str:
    """A running domain with `vdb` and `vdc`."""
    first, second = (disk_xml(_blank(subject, name), f"vd{name}", alias=f"ua-disk-{name}") for name in "bc")
    return subject.running(DomainDraft(devices=first + second))


def test_row_36_limits_are_set_whole_and_taken_away(subject: Subject, two_disks: str) -> None:
    steps: list[Mapping[str, int | str]] = [
        {
            "total_bytes_sec": 1 << 20,
            "total_bytes_sec_max": 2 << 20,
            "total_bytes_sec_max_length": 5,
            "read_iops_sec": 9,
            "size_iops_sec": 4096,
        },
        {"write_bytes_sec": 1 << 20, "write_bytes_sec_max": 1 << 21},
        {"total_iops_sec": 10},
        {},
        {"total_iops_sec": 11},
    ]
    for tune in steps:
        subject.hypervisor.tune_disk(two_disks, "vdb", tune)
        assert _tunes(subject, two_disks) == {"vdb": tune, "vdc": {}}
    assert [disk.tune for disk in _facts(subject, two_disks, XmlView.INACTIVE).disks] == [{}, {}]


def test_row_36_disks_of_a_group_are_limited_together_until_they_leave_it(subject: Subject, two_disks: str) -> None:
    first: DiskTune = {"total_iops_sec": 10, "group_name": "g"}
    second: DiskTune = {"total_iops_sec": 20, "group_name": "g"}
    subject.hypervisor.tune_disk(two_disks, "vdb", first)
    subject.hypervisor.tune_disk(two_disks, "vdc", first)
    subject.hypervisor.tune_disk(two_disks, "vdc", second)
    assert _tunes(subject, two_disks) == {"vdb": second, "vdc": second}
    subject.hypervisor.tune_disk(two_disks, "vdc", {"total_iops_sec": 30})
    third = {"total_iops_sec": 30, "group_name": "g"}
    assert _tunes(subject, two_disks) == {"vdb": third, "vdc": third}, "a group is not left by not naming it"
    subject.hypervisor.tune_disk(two_disks, "vdc", {})
    subject.hypervisor.tune_disk(two_disks, "vdc", {"total_iops_sec": 40})
    assert _tunes(subject, two_disks) == {"vdb": third, "vdc": {"total_iops_sec": 40}}


def test_limits_that_contradict_each_other_are_refused_whole(subject: Subject, two_disks: str) -> None:
    with pytest.raises(Refused):
        subject.hypervisor.tune_disk(two_disks, "vdb", {"total_bytes_sec": 5000, "read_bytes_sec": 5000})
    with pytest.raises(Unsupported):
        subject.hypervisor.tune_disk(two_disks, "vdb", {"total_iops_sec": 10, "total_iops_sec_max": 5})
    with pytest.raises(Refused):
        subject.hypervisor.tune_disk(two_disks, "vdz", {"total_iops_sec": 10})
    assert _tunes(subject, two_disks) == {"vdb": {}, "vdc": {}}


def test_io_threads_are_numbered_and_one_that_serves_a_disk_stays(subject: Subject) -> None:
    pinned = disk_xml(_blank(subject, "b")).replace("type='raw'", "type='raw' iothread='1'")
    draft = DomainDraft(devices=pinned, more="<iothreads>1</iothreads>")
    identity = subject.running(draft)
    assert _facts(subject, identity).io_threads == {1}
    assert _facts(subject, identity).disks[0].io_thread == 1
    for number in (2, 4):
        subject.hypervisor.add_io_thread(identity, number)
    assert _facts(subject, identity).io_threads == {1, 2, 4}
    assert _facts(subject, identity, XmlView.INACTIVE).io_threads == {1}
    with pytest.raises(Refused):
        subject.hypervisor.add_io_thread(identity, 2)
    subject.hypervisor.remove_io_thread(identity, 2)
    assert _facts(subject, identity).io_threads == {1, 4}
    for number in (1, 2):
        with pytest.raises(Refused):
            subject.hypervisor.remove_io_thread(identity, number)


CD = """<disk type='file' device='cdrom'><driver name='qemu' type='raw'/>{}<target dev='hda' bus='ide'/><readonly/>
<alias name='ua-disk-cd'/></disk>"""


@pytest.mark.parametrize("force", [False, True])
def test_row_40_a_medium_is_changed_ejected_and_inserted(subject: Subject, force: bool) -> None:
    first, second = (f"<source file='{_blank(subject, name)}'/>" for name in ("first", "second"))
    identity = subject.running(DomainDraft(devices=CD.format(first)))
    subject.hypervisor.suspend_domain(identity)  # the BIOS would close the tray between libvirt's two commands
    for source in (second, "", first):
        subject.hypervisor.change_medium(identity, CD.format(source), force=force)
        shown = _facts(subject, identity).disks[0]
        assert (shown.path or "") in source
        assert (shown.path is None) == (not source)
        assert not shown.has_open_tray
        subject.wait_event("other", identity, "ua-disk-cd/0")
    assert (_facts(subject, identity, XmlView.INACTIVE).disks[0].path or "") in first


def test_a_medium_without_its_file_is_refused(subject: Subject) -> None:
    identity = subject.running(DomainDraft(devices=CD.format("")))
    with pytest.raises(Refused):
        subject.hypervisor.change_medium(
            identity, CD.format(f"<source file='{subject.directory}/none.raw'/>"), force=False
        )
    assert _facts(subject, identity).disks[0].path is None
