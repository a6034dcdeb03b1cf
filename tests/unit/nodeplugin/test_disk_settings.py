"""What changes of a running machine's disks in place: limits, I/O threads, media."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nodeplugin.hypervisor.port import XmlView
from tests.fakes.faults import Moment
from tests.fakes.volumes import FakeImage
from tests.unit.nodeplugin.world import World
from xvirt.domainxml.facts import DiskFacts, DomainFacts, read_domain
from xvirt.domainxml.tree import parse_xml
from xvirt.model.errors import Refused
from xvirt.model.exchange import ObjectRef, Verb

Map = dict[str, Any]
WEB = ObjectRef(kind="VirtualMachine", namespace="default", name="web")
ROOT = {"name": "root", "source": {"size": "8Mi"}}


def _machine(*disks: Map, **spec: Any) -> Map:
    return {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "VirtualMachine",
        "metadata": {"name": "web"},
        "spec": {"memory": {"size": "64Mi"}, "disks": copy.deepcopy(list(disks)), **spec},
    }


def _limited(**limits: Any) -> Map:
    return ROOT | {"ioLimits": limits} if limits else ROOT


def _image(name: str) -> Map:
    return {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "VirtualImage",
        "metadata": {"name": name},
        "spec": {"source": {"path": f"/images/{name}.iso"}, "format": "raw"},
    }


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    for name in ("setup", "drivers"):
        world.volumes.images[f"/images/{name}.iso"] = FakeImage("raw", 4 << 20)
        world.apply(_image(name))
    world.settle()
    return world


def _applied(world: World, document: Map) -> Mapping[str, Any]:
    world.apply(document)
    world.settle()
    return _status(world)


def _status(world: World) -> Mapping[str, Any]:
    stored = world.store.find_named("VirtualMachine", "default", "web")
    assert stored is not None
    return stored.status


def _condition(world: World, kind: str) -> Mapping[str, Any]:
    return next((item for item in _status(world)["conditions"] if item["type"] == kind), {"status": "False"})


def _uuid(world: World) -> str:
    return world.hypervisor.list_domains()[0].uuid


def _live(world: World, view: XmlView = XmlView.CURRENT) -> DomainFacts:
    return read_domain(parse_xml(world.hypervisor.domain_xml(_uuid(world), view)))


def _disk(world: World, name: str, view: XmlView = XmlView.CURRENT) -> DiskFacts:
    return next(disk for disk in _live(world, view).disks if disk.name == name)


# limits


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"totalBytes": {"perSecond": "1M"}}),
        ({"totalBytes": {"perSecond": "1M", "burst": "2M", "burstSeconds": 5}}, {"readIops": {"perSecond": 10}}),
        ({"totalBytes": {"perSecond": "1M"}}, {}),
        ({"totalBytes": {"perSecond": "1M"}, "group": "g"}, {"totalBytes": {"perSecond": "1M"}}),
        ({"totalBytes": {"perSecond": "1M"}, "group": "g"}, {}),
    ],
    ids=["given", "changed", "taken away", "out of a group", "out of a group with its limits"],
)
def test_row_36_limits_follow_the_document_live_and_in_the_definition(world: World, before: Map, after: Map) -> None:
    _applied(world, _machine(_limited(**before)))
    wanted = _disk(world, "root").tune
    assert bool(wanted) == bool(before)
    status = _applied(world, _machine(_limited(**after)))
    assert bool(_disk(world, "root").tune) == bool(after)
    assert _disk(world, "root").tune == _disk(world, "root", XmlView.INACTIVE).tune
    assert status["restartRequired"] == []
    assert status["drift"] == []
    assert _condition(world, "Ready")["status"] == "True"


def test_row_36_limits_of_a_group_change_together(world: World) -> None:
    def machine(rate: int) -> Map:
        limits = {"totalIops": {"perSecond": rate}, "group": "g"}
        return _machine(_limited(**limits), {"name": "two", "source": {"size": "8Mi"}, "ioLimits": limits})

    _applied(world, machine(10))
    _applied(world, machine(20))
    for name in ("root", "two"):
        assert _disk(world, name).tune == {"total_iops_sec": 20, "group_name": "g"}


def test_row_36_61_limits_changed_by_hand_are_said_and_set_back(world: World) -> None:
    _applied(world, _machine(_limited(totalIops={"perSecond": 10})))
    _applied(world, _machine(_limited(totalIops={"perSecond": 20})))
    world.hypervisor.tune_disk(_uuid(world), "vda", {"total_iops_sec": 99})
    seen: list[str] = []
    for stored in world.store.list_objects("VirtualMachine"):
        seen += world.converger.preview(stored).drift
    assert seen == ["the limits of disk root were changed by hand"]
    world.settle()
    assert _disk(world, "root").tune == {"total_iops_sec": 20}
    assert _status(world)["drift"] == []


def test_row_36_61_limits_changed_by_hand_stay_where_drift_is_only_reported(world: World) -> None:
    _applied(world, _machine(_limited(totalIops={"perSecond": 10}), driftPolicy="Report"))
    world.hypervisor.tune_disk(_uuid(world), "vda", {})
    world.settle()
    assert _disk(world, "root").tune == {}
    assert _condition(world, "Drifted")["message"] == "the limits of disk root were changed by hand"
    _applied(world, _machine(_limited(totalIops={"perSecond": 30}), driftPolicy="Report"))
    assert _disk(world, "root").tune == {"total_iops_sec": 30}
    assert _condition(world, "Drifted")["status"] == "False"


@pytest.mark.parametrize("moment", list(Moment))
def test_row_75_a_death_around_a_change_of_limits_is_no_drift(tmp_path: Path, moment: Moment) -> None:
    grouped = {"totalIops": {"perSecond": 10}, "group": "g"}
    for deadly in range(1, 6):
        (tmp_path / str(deadly)).mkdir()
        world = World(tmp_path / str(deadly))
        _applied(world, _machine(_limited(**grouped), driftPolicy="Report"))
        world.faults.crash_after(deadly, moment)
        _applied(world, _machine(_limited(totalIops={"perSecond": 20}), driftPolicy="Report"))
        assert _disk(world, "root").tune == {"total_iops_sec": 20}, deadly
        assert _status(world)["drift"] == [], deadly
    assert world.deaths == 0, "the last death would come after the last step: all were tried"


def test_limits_that_the_overlay_gives_stay(world: World) -> None:
    overlay = {"devices": {"disk": {"alias": {"@name": "ua-disk-root"}, "iotune": {"total_iops_sec": "7"}}}}
    _applied(world, _machine(ROOT, domain=overlay))
    assert _disk(world, "root").tune == {"total_iops_sec": 7}
    assert _applied(world, _machine(ROOT, domain=overlay))["drift"] == []
    assert "tune_disk" not in world.faults.names()


# I/O threads


def test_io_threads_come_and_go_with_the_disks_that_they_serve(world: World) -> None:
    fast = {"name": "fast", "source": {"size": "8Mi"}, "ioThread": 2}
    _applied(world, _machine(ROOT))
    _applied(world, _machine(ROOT, fast, ioThreads=2))
    assert _live(world).io_threads == {1, 2}
    assert _disk(world, "fast").io_thread == 2
    status = _applied(world, _machine(ROOT))
    assert _live(world).io_threads == frozenset()
    assert status["restartRequired"] == []


def test_an_io_thread_that_still_serves_a_disk_goes_at_the_next_start(world: World) -> None:
    pinned = ROOT | {"ioThread": 1}
    _applied(world, _machine(pinned, ioThreads=2))
    status = _applied(world, _machine(ROOT))
    assert sorted(status["restartRequired"]) == ["spec.disks[root].ioThread", "spec.ioThreads"]
    assert _live(world).io_threads == {1}
    world.operate(WEB, Verb.RESTART)
    world.settle()
    assert _live(world).io_threads == frozenset()
    assert _status(world)["restartRequired"] == []


# media


def _drive(image: str | None = None, **fields: Any) -> Map:
    drive = {"name": "cd", "device": "Cdrom", "bus": "sata", **fields}
    return drive | {"source": {"image": image}} if image else drive


def test_row_40_a_drive_shows_the_image_itself_and_two_machines_share_it(world: World) -> None:
    _applied(world, _machine(ROOT, _drive("setup", deletionPolicy="Delete")))
    path = f"{world.directory}/pool/default_setup.image.raw"
    assert (_disk(world, "cd").path, _disk(world, "cd").format) == (path, "raw")
    second = _machine(_drive("setup"))
    second["metadata"]["name"] = "other"
    world.apply(second)
    world.settle()
    assert all(record.is_active for record in world.hypervisor.list_domains())
    world.delete(WEB)
    world.settle()
    assert path in world.volumes.files


def test_row_40_a_medium_is_inserted_changed_and_ejected_live(world: World) -> None:
    status = _applied(world, _machine(ROOT, _drive()))
    assert status["disks"][1] == {"name": "cd", "target": "sda", "device": "Cdrom", "path": "", "tray": "Closed"}
    for image in ("setup", "drivers", None):
        status = _applied(world, _machine(ROOT, _drive(image)))
        assert status["disks"][1]["path"] == (f"{world.directory}/pool/default_{image}.image.raw" if image else "")
        assert status["restartRequired"] == []
        assert _disk(world, "cd").path == _disk(world, "cd", XmlView.INACTIVE).path
    assert "stop" not in " ".join(world.faults.names())


def test_row_40_the_source_of_a_disk_stays_fixed(world: World) -> None:
    _applied(world, _machine({"name": "root", "source": {"image": "setup"}}))
    with pytest.raises(Refused, match=r"spec.disks\[root\].source.image: cannot be changed"):
        world.apply(_machine({"name": "root", "source": {"image": "drivers"}}))


def test_row_40_a_locked_tray_is_waited_for_and_says_what_forces_it(world: World) -> None:
    _applied(world, _machine(ROOT, _drive("setup")))
    domain = world.hypervisor.domain(_uuid(world))
    domain.locked_trays.add("sda")
    _applied(world, _machine(ROOT | {"ioLimits": {"totalIops": {"perSecond": 5}}}, _drive()))
    ready = _condition(world, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "TrayLocked")
    assert "forceEject: true" in ready["message"]
    assert _condition(world, "Stalled")["status"] == "False"
    assert _disk(world, "root").tune == {"total_iops_sec": 5}, "a locked tray keeps nothing else waiting"
    domain.locked_trays.clear()
    world.settle()
    assert _disk(world, "cd").path is None
    assert _condition(world, "Ready")["status"] == "True"


def test_row_40_a_locked_tray_is_forced_where_the_document_says_so(world: World) -> None:
    _applied(world, _machine(ROOT, _drive("setup")))
    world.hypervisor.domain(_uuid(world)).locked_trays.add("sda")
    _applied(world, _machine(ROOT, _drive("drivers", forceEject=True)))
    assert (_disk(world, "cd").path or "").endswith("default_drivers.image.raw")


def test_row_40_a_medium_that_is_not_there_is_waited_for_and_the_old_one_stays(world: World) -> None:
    _applied(world, _machine(ROOT, _drive("setup")))
    _applied(world, _machine(ROOT, _drive("missing")))
    assert _condition(world, "Ready")["reason"] == "ImageNotFound"
    assert (_disk(world, "cd").path or "").endswith("default_setup.image.raw")


def test_an_image_that_is_in_a_drive_outlives_its_deletion(world: World) -> None:
    _applied(world, _machine(ROOT, _drive("setup")))
    world.delete(ObjectRef(kind="VirtualImage", namespace="default", name="setup"))
    world.settle()
    path = f"{world.directory}/pool/default_setup.image.raw"
    assert path in world.volumes.files
    _applied(world, _machine(ROOT, _drive()))
    assert path not in world.volumes.files


@pytest.mark.parametrize("policy", ["Correct", "Report"])
def test_row_40_61_a_medium_changed_by_hand_is_said_and_put_back_unless_drift_is_only_reported(
    world: World, policy: str
) -> None:
    _applied(world, _machine(ROOT, _drive("setup"), driftPolicy=policy))
    _applied(world, _machine(ROOT, _drive("drivers"), driftPolicy=policy))
    empty = "<disk type='file' device='cdrom'><target dev='sda' bus='sata'/><alias name='ua-disk-cd'/></disk>"
    world.hypervisor.change_medium(_uuid(world), empty, force=False)
    stored = world.store.find_named("VirtualMachine", "default", "web")
    assert stored is not None
    assert world.converger.preview(stored).drift == ("the medium of Cdrom cd was changed by hand",)
    world.settle()
    assert (_disk(world, "cd").path is None) == (policy == "Report")
    assert _condition(world, "Drifted")["status"] == ("True" if policy == "Report" else "False")
    _applied(world, _machine(ROOT, _drive("setup"), driftPolicy=policy))
    assert (_disk(world, "cd").path or "").endswith("default_setup.image.raw")
    assert _condition(world, "Drifted")["status"] == "False"
