"""Images in a whole node without threads and time: what is planned, what the status says, what a dying plugin leaves."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.faults import Moment
from tests.fakes.volumes import FakeImage
from tests.unit.nodeplugin.world import CALLER, World
from xvirt.model.errors import Exhausted, InvalidSpec, Problem, RetryLater
from xvirt.model.exchange import ApplyCall, ObjectRef

GUEST = ObjectRef(kind="VirtualImage", namespace="default", name="guest")
DISK = ObjectRef(kind="VirtualDisk", namespace="default", name="data")
URL = "https://images.example/guest.qcow2?signature=secret"


def _image(name: str = "guest", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "VirtualImage",
        "metadata": {"name": name},
        "spec": {"source": {"url": URL}} | spec,
    }


def _disk() -> dict[str, Any]:
    spec = {"source": {"image": "guest"}}
    return {"apiVersion": "xvirt.io/v1alpha1", "kind": "VirtualDisk", "metadata": {"name": "data"}, "spec": spec}


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.volumes.images[URL] = FakeImage("qcow2", 64 << 20)
    return made


def _status(world: World, ref: ObjectRef = GUEST) -> dict[str, Any]:
    return dict(world.service.get(CALLER, ref).document["status"])


def _visit(world: World, ref: ObjectRef = GUEST) -> dict[str, Any]:
    stored = world.store.find_named(ref.kind, ref.namespace, ref.name)
    assert stored is not None
    world.converger.work(stored.uid)
    return _status(world, ref)


def _condition(status: dict[str, Any], kind: str) -> tuple[str, str]:
    return next((item["status"], item["reason"]) for item in status["conditions"] if item["type"] == kind)


def test_row_49_a_download_is_reconciling_with_bytes_and_percent(world: World) -> None:
    world.images.is_held = True
    world.apply(_image())
    status = _visit(world)
    assert _condition(status, "Reconciling") == ("True", "Downloading")
    assert status["printableStatus"] == "Downloading"
    assert (status["transferred"], status["transferSize"], status["progressPercent"]) == ("50", "100", 50)
    assert "secret" not in str(status["conditions"])
    world.images.is_held = False
    status = _visit(world)
    assert _condition(status, "Ready") == ("True", "Ready")
    assert {"transferred", "transferSize", "progressPercent"} & set(status) == set()
    assert status["checksum"] == world.volumes.images[URL].checksum


def test_the_status_is_written_only_when_something_changed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.images.is_held = True
    world.apply(_image())
    _visit(world)
    written: list[str] = []
    monkeypatch.setattr(world.store, "set_status", lambda uid, status: written.append(uid))
    _visit(world)
    assert written == []


@pytest.mark.parametrize(
    ("error", "kind", "word"),
    [
        (Exhausted("no space", reason="NoSpace"), "Reconciling", "Retrying"),
        (RetryLater("broken", reason="Truncated"), "Reconciling", "Retrying"),
        (InvalidSpec([Problem("spec.checksum", "differs")], reason="ChecksumDiffers"), "Stalled", "Failed"),
    ],
)
def test_row_49_a_failure_says_whether_it_goes_on_by_itself(
    world: World, error: RetryLater, kind: str, word: str
) -> None:
    world.images.is_held = True
    world.apply(_image())
    _visit(world)
    stored = world.store.find_named("VirtualImage", "default", "guest")
    assert stored is not None
    world.images.fail(stored.uid, error)
    status = _visit(world)
    assert _condition(status, kind) == ("True", error.reason)
    assert status["printableStatus"] == word
    assert status["lastError"]["reason"] == error.reason
    assert "progressPercent" not in status


def test_a_disk_waits_for_its_image_and_is_made_once_it_is_there(world: World) -> None:
    world.images.is_held = True
    world.apply(_image())
    world.apply(_disk())
    world.settle()
    assert _condition(_status(world, DISK), "Ready") == ("False", "ImageNotReady")
    world.images.is_held = False
    world.settle()
    assert _condition(_status(world, DISK), "Ready")[0] == "True"


def test_an_image_goes_only_after_the_last_that_is_based_on_it(world: World) -> None:
    world.apply(_image())
    world.apply(_disk())
    world.settle()
    path, disk_path = _status(world)["path"], _status(world, DISK)["path"]
    Path(disk_path).touch()  # the pool's directory itself is looked through
    world.delete(GUEST)
    world.settle()
    assert path in world.volumes.files
    assert _status(world)["usedBy"] == [Path(disk_path).name]
    assert Path(disk_path).name in _condition_message(_status(world), "Reconciling")
    world.delete(DISK)
    world.settle()
    assert path in world.volumes.files
    world.volumes.delete_volume(disk_path)
    world.settle()
    assert path not in world.volumes.files


def _condition_message(status: dict[str, Any], kind: str) -> str:
    return next(str(item["message"]) for item in status["conditions"] if item["type"] == kind)


def test_row_49_a_second_image_of_the_same_declared_content_is_offered_the_first(world: World) -> None:
    checksum = world.volumes.images[URL].checksum
    world.apply(_image(checksum=checksum))
    world.settle()
    world.apply(_image("second", checksum=checksum))
    world.settle()
    begun = [arguments[0] for name, arguments in world.faults.mutations if name == "_begin"]
    assert [item.twin_path for item in begun] == [None, _status(world)["path"]]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "other", [{"checksum": None}, {"format": "raw"}, {"compression": "Gzip"}, {"profile": "restricted"}]
)
def test_what_is_not_the_same_in_everything_is_fetched_for_itself(world: World, other: dict[str, Any]) -> None:
    checksum = world.volumes.images[URL].checksum
    world.apply(_image(checksum=checksum))
    world.settle()
    profile = other.pop("profile", "privileged")
    spec = {key: value for key, value in ({"checksum": checksum} | other).items() if value is not None}
    world.service.apply(CALLER, ApplyCall(document=_image("second", **spec), profile=profile))
    stored = world.store.find_named("VirtualImage", "default", "second")
    assert stored is not None
    world.converger.work(stored.uid)
    begun = [arguments[0] for name, arguments in world.faults.mutations if name == "_begin"]
    assert begun[-1].twin_path is None  # type: ignore[attr-defined]


@pytest.mark.parametrize("moment", list(Moment))
def test_a_plugin_that_dies_while_an_image_comes_finds_the_same_end(
    world: World, tmp_path: Path, moment: Moment
) -> None:
    world.faults.crash_after(1, moment)
    world.apply(_image())
    world.settle()
    assert world.deaths == 1
    assert _condition(_status(world), "Ready")[0] == "True"
    assert world.images.partials == {}


def test_what_a_deleted_image_left_is_collected(world: World) -> None:
    world.images.is_held = True
    world.apply(_image())
    _visit(world)
    world.boot()
    assert len(world.images.partials) == 1
    world.converger.collect_images()
    assert len(world.images.partials) == 1
    world.delete(GUEST)
    world.settle()
    assert world.images.partials == {}


def test_an_image_that_waits_for_an_upload_says_how(world: World) -> None:
    before = copy.deepcopy(world.volumes.files)
    world.apply(_image(source={"upload": {}}))
    world.images.is_held = True
    stored = world.store.find_named("VirtualImage", "default", "guest")
    assert stored is not None
    world.images.await_upload(stored.uid)
    status = _visit(world)
    assert _condition(status, "Reconciling") == ("True", "AwaitingUpload")
    assert "xvirt image upload guest" in _condition_message(status, "Reconciling")
    assert world.volumes.files == before
