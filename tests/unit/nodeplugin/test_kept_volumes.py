"""Of every volume that stays, or may stay, when its object goes there is a word; what is to go is waited for, but by force."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nodeplugin.hypervisor.port import VolumeFacts
from nodeplugin.plan.outcome import KEPT_BYTES_MAX, Kept, kept_message
from tests.unit.nodeplugin.world import CALLER, World
from xvirt.model.exchange import ObjectRef, Token, Verb

API = "xvirt.io/v1alpha1"
WEB = ObjectRef(kind="VirtualMachine", namespace="default", name="web")
DATA = ObjectRef(kind="VirtualDisk", namespace="default", name="data")
POOL = "99999999-2222-4333-8444-555555555555"
NEIGHBOUR = "6b4c1d9e-0000-4000-8000-000000000001"


def _document(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _machine(*disks: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return _document("VirtualMachine", "web", memory={"size": "64Mi"}, disks=list(disks), **spec)


def _own(policy: str) -> dict[str, Any]:
    return {"name": "root", "pool": "fast", "source": {"size": "4Mi"}, "deletionPolicy": policy}


class Scene:
    """A host with pool fast, and what is told on it."""

    def __init__(self, directory: Path) -> None:
        self.world = World(directory)
        self.directory = str(directory / "fast")
        self.path = f"{self.directory}/default_web_root.qcow2"
        self.world.apply(_document("StoragePool", "fast", path=self.directory))
        self.world.settle()
        self._watch = self.world.service.watch(CALLER, "", "")

    def declare(self, document: dict[str, Any]) -> None:
        self.world.apply(document)
        self.world.settle()

    def stop(self) -> None:
        self.world.operate(WEB, Verb.STOP)
        self.world.settle()

    def delete(self, ref: ObjectRef = WEB, *, force: bool = False) -> None:
        self.world.service.delete(CALLER, ref, Token(), force=force)
        self.world.settle()

    def vanish(self) -> dict[str, VolumeFacts]:
        """What holds the pool is not mounted any more. The volumes, to be given back."""
        files = self.world.volumes.files
        self.world.volumes.vanished.add(self.directory)
        return {path: files.pop(path) for path in list(files) if path.startswith(f"{self.directory}/")}

    def come_back(self, held: dict[str, VolumeFacts]) -> None:
        self.world.volumes.vanished.clear()
        self.world.volumes.files.update(held)
        self.world.settle()

    def lend(self, path: str) -> None:
        """Somebody else's domain has a volume."""
        self.world.hypervisor.define_domain(
            f"<domain type='qemu'><name>neighbour</name><uuid>{NEIGHBOUR}</uuid><memory unit='MiB'>16</memory>"
            "<os><type arch='x86_64' machine='pc'>hvm</type></os><devices><disk type='file' device='disk'>"
            f"<driver name='qemu' type='qcow2'/><source file='{path}'/><target dev='vda' bus='virtio'/></disk>"
            "</devices></domain>"
        )
        self.world.settle()

    def give_back(self) -> None:
        self.world.hypervisor.undefine_domain(NEIGHBOUR)
        self.world.settle()

    def is_there(self, ref: ObjectRef = WEB) -> bool:
        return self.world.store.find_named(ref.kind, ref.namespace, ref.name) is not None

    def ready(self) -> tuple[str, str]:
        stored = self.world.store.find_named(WEB.kind, WEB.namespace, WEB.name)
        assert stored is not None
        found = next(item for item in stored.status["conditions"] if item["type"] == "Ready")
        return found["reason"], found["message"]

    def told(self) -> list[str]:
        items = iter(lambda: self._watch.next_event(0), None)
        events = [item.event for item in items if item is not None and item.event is not None]
        return [event.message for event in events if event.reason == "VolumeRetained"]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def _may_stay(path: str) -> list[str]:
    return [f"volume {path} may stay: what holds it cannot be seen now"]


def test_a_retained_volume_in_a_pool_that_vanished_is_told_of_when_its_machine_goes(scene: Scene) -> None:
    scene.declare(_machine(_own("Retain")))
    scene.stop()
    held = scene.vanish()
    scene.delete()
    assert not scene.is_there()
    assert scene.told() == _may_stay(scene.path)
    scene.come_back(held)
    assert scene.path in scene.world.volumes.files


@pytest.mark.parametrize("ref", [WEB, DATA], ids=lambda ref: ref.kind)
def test_a_retained_volume_that_was_lost_in_a_pool_that_is_there_is_told_of(scene: Scene, ref: ObjectRef) -> None:
    scene.declare(_machine(_own("Retain")))
    scene.declare(_document("VirtualDisk", "data", pool="fast", size="4Mi"))
    scene.stop()
    path = scene.path if ref == WEB else f"{scene.directory}/default_data.qcow2"
    del scene.world.volumes.files[path]
    scene.delete(ref)
    assert not scene.is_there(ref)
    assert scene.told() == _may_stay(path)


def test_of_a_machine_that_was_never_made_nothing_is_told(scene: Scene) -> None:
    scene.declare(_machine({**_own("Retain"), "pool": "absent"}))
    scene.delete()
    assert not scene.is_there()
    assert scene.told() == []


def test_a_volume_whose_pool_nobody_knows_any_more_is_told_of_by_its_disk(scene: Scene) -> None:
    scene.world.hypervisor.define_pool(
        f"<pool type='dir'><name>theirs</name><uuid>{POOL}</uuid>"
        f"<target><path>{scene.directory}-theirs</path></target></pool>"
    )
    scene.world.hypervisor.start_pool(POOL)
    scene.world.host.index.drop_pools()
    scene.declare(_machine({**_own("Delete"), "pool": "theirs"}))
    scene.declare(_document("VirtualDisk", "data", pool="theirs", size="4Mi"))
    scene.stop()
    scene.world.hypervisor.stop_pool(POOL)
    scene.world.hypervisor.undefine_pool(POOL)
    scene.world.host.index.drop_pools()
    scene.delete()
    scene.delete(DATA)
    assert scene.told() == [
        *_may_stay("of disk root in pool theirs"),
        *_may_stay(f"{scene.directory}-theirs/default_data.qcow2"),
    ]


def test_a_graceful_deletion_waits_for_the_pool_of_what_is_to_go_and_a_forced_one_tells_of_it(scene: Scene) -> None:
    scene.declare(_machine(_own("Delete")))
    scene.stop()
    scene.vanish()
    scene.delete()
    assert scene.ready() == ("Terminating", f"{scene.directory} of StoragePool fast has vanished; bring it back")
    assert scene.told() == []
    scene.delete(force=True)
    assert not scene.is_there()
    assert scene.told() == _may_stay(scene.path)


@pytest.mark.parametrize("kind", ["declared", "dropped"])
def test_a_volume_that_a_foreign_domain_has_is_waited_for_and_goes_once_it_is_let_go(scene: Scene, kind: str) -> None:
    _lend_one(scene, kind)
    scene.delete()
    message = f"volume {scene.path} is used by neighbour; it is deleted once they are gone"
    assert scene.ready() == ("Terminating", message)
    assert scene.path in scene.world.volumes.files
    scene.give_back()
    assert not scene.is_there()
    assert scene.path not in scene.world.volumes.files
    assert scene.told() == []


@pytest.mark.parametrize("kind", ["declared", "dropped"])
def test_a_forced_deletion_leaves_a_volume_that_a_foreign_domain_has_and_says_who(scene: Scene, kind: str) -> None:
    _lend_one(scene, kind)
    scene.delete(force=True)
    assert not scene.is_there()
    assert scene.path in scene.world.volumes.files
    assert scene.told() == [f"volume {scene.path} stays, used by neighbour"]


def _lend_one(scene: Scene, kind: str) -> None:
    """A volume that is to go, of a disk that is declared or of one that was."""
    scene.declare(_machine(_own("Delete")))
    scene.stop()
    scene.lend(scene.path)
    if kind == "dropped":
        scene.declare(_machine())


@pytest.mark.parametrize("force", [False, True], ids=["graceful", "forced"])
def test_what_a_dropped_disk_left_in_a_pool_that_vanished_is_waited_for_but_by_force(scene: Scene, force: bool) -> None:
    _lend_one(scene, "dropped")
    held = scene.vanish()
    scene.give_back()
    scene.world.service.delete(CALLER, WEB, Token(), force=force)
    scene.world.settle()
    assert scene.is_there() is not force
    assert scene.told() == (_may_stay(scene.path) if force else [])
    scene.come_back(held)
    assert not scene.is_there()
    assert (scene.path in scene.world.volumes.files) is force


def test_what_a_dropped_disk_left_goes_once_its_pool_is_there_again(scene: Scene) -> None:
    _lend_one(scene, "dropped")
    held = scene.vanish()
    scene.give_back()
    scene.come_back(held)
    assert scene.is_there()
    assert scene.path not in scene.world.volumes.files


def test_a_machine_that_is_released_tells_of_what_its_dropped_disks_left(scene: Scene) -> None:
    _lend_one(scene, "dropped")
    scene.declare(_machine(deletionPolicy="Detach"))
    scene.delete()
    assert not scene.is_there()
    assert scene.told() == [f"volume {scene.path} stays, used by neighbour"]


def test_what_is_told_names_each_volume_with_why_it_stays() -> None:
    kept = [Kept("/a"), Kept("/b", ("one", "two")), Kept("/c", is_hidden=True), Kept("/d"), Kept("/e", is_hidden=True)]
    assert kept_message(kept) == (
        "volumes /a, /d stay, as deletionPolicy says; who declares the same again finds the content as it is;"
        " volume /b stays, used by one, two; volumes /c, /e may stay: what holds it cannot be seen now"
    )


def test_of_many_long_paths_as_many_are_named_as_fit_and_the_others_counted() -> None:
    paths = [f"/srv/{number:02d}{'ü' * 40}/default_web_disk.qcow2" for number in range(30)]
    message = kept_message([Kept(path) for path in paths])
    named = [path for path in paths if path in message]
    assert named == paths[: len(named)]
    assert 1 < len(named) < len(paths)
    assert message.endswith(f"; and {len(paths) - len(named)} more")
    assert message.count("/srv/") == len(named)
    assert len(message.encode()) <= KEPT_BYTES_MAX < len(message.encode()) + len(paths[0].encode()) + 2


def test_a_path_that_fits_nowhere_is_counted() -> None:
    message = kept_message([Kept(f"/{'x' * KEPT_BYTES_MAX}")])
    assert message.startswith("1 volume")
    assert len(message.encode()) <= KEPT_BYTES_MAX
