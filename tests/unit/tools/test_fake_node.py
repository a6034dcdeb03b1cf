"""The fake node answers as the real service does: each scene is played with both, and what was seen must be the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from nodeplugin.api import NodeApi, WatchSubscription
from tests.unit.nodeplugin.world import World
from tools.cluster.fakehosts import FakeNode
from tools.cluster.fakehosts.volumes import path_of
from xvirt import API_VERSION
from xvirt.model.errors import Conflict, XvirtError
from xvirt.model.exchange import (
    ApplyCall,
    Caller,
    DryRun,
    ObjectRef,
    OperateCall,
    SecretContent,
    Token,
    Verb,
    WatchType,
)
from xvirt.operator.telling import FOR_GOOD

CLUSTER, OTHER = "11111111-1111-4111-8111-111111111111", "acme/shop/prod"
UIDS = [f"22222222-2222-4222-8222-{number:012d}" for number in range(9)]
OPERATOR = Caller(
    name="xvirt-operator", authorities=(CLUSTER,), namespaces=("*",), profiles=("restricted", "privileged")
)
STACK = Caller(name="stack", authorities=(OTHER,), namespaces=("default",), profiles=("restricted",))


class Subject(Protocol):
    @property
    def api(self) -> NodeApi: ...

    def settle(self) -> None: ...

    def volumes(self) -> set[str]: ...

    @property
    def pool(self) -> str: ...


class Fake:
    def __init__(self) -> None:
        self._node = FakeNode("node-a", (CLUSTER, "*/*/*"))
        self.api: NodeApi = self._node

    def settle(self) -> None:
        """It has happened already."""

    def volumes(self) -> set[str]:
        return set(self._node.volumes())

    @property
    def pool(self) -> str:
        return path_of("").rstrip("/")


class ClusterWorld(World):
    authorities = (CLUSTER, "*/*/*")


class Real:
    def __init__(self, directory: Path) -> None:
        self._world = ClusterWorld(directory)

    @property
    def api(self) -> NodeApi:
        return self._world.service

    def settle(self) -> None:
        self._world.settle()

    def volumes(self) -> set[str]:
        return {Path(path).name for path in self._world.volumes.files}

    @property
    def pool(self) -> str:
        return str(self._world.directory / "pool")


Scene = Callable[["Play"], None]


class Play:
    """One scene with one node: everything that a caller would notice goes into `seen`."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._ids = itertools.count(1)
        self.api = subject.api
        self.seen: list[Any] = []

    def note(self, what: str, work: Callable[[], Any]) -> Any:
        """Do something and note its answer, or its error; then let the node come to rest."""
        try:
            answer = work()
        except XvirtError as error:
            stored = (error.stored_epoch, error.stored_generation) if isinstance(error, Conflict) else ()
            self.seen.append((what, type(error).__name__, error.reason, stored))
            return None
        self._subject.settle()
        return answer

    def apply(
        self,
        document: dict[str, Any],
        *,
        epoch: int = 1,
        generation: int = 1,
        caller: Caller = OPERATOR,
        **call: Any,
    ) -> None:
        token = Token(authority=caller.authorities[0], epoch=epoch, generation=generation)
        made = ApplyCall(document=document, token=token, **call)
        answer = self.note("apply", lambda: self.api.apply(caller, made))
        if answer is not None:
            view = answer.object
            changes = sorted((change.path, change.impact.value) for change in answer.changes)
            self.seen.append(("applied", view.ref, view.token, view.is_deleting, changes, sorted(answer.waiting_for)))

    def delete(
        self,
        ref: ObjectRef,
        *,
        epoch: int = 1,
        generation: int = 0,
        force: bool = False,
        caller: Caller = OPERATOR,
    ) -> None:
        token = Token(authority=caller.authorities[0], epoch=epoch, generation=generation)
        answer = self.note("delete", lambda: self.api.delete(caller, ref, token, force=force))
        if answer is not None:
            self.seen.append(("deleted", answer.ref, answer.is_deleting))

    def operate(self, ref: ObjectRef, verb: Verb, *, name: str = "", epoch: int = 1) -> None:
        token = Token(authority=CLUSTER, epoch=epoch)
        call = OperateCall(ref=ref, verb=verb, operation_id=name or f"id-{next(self._ids)}", token=token)
        answer = self.note(verb.value, lambda: self.api.operate(OPERATOR, call))
        if answer is not None:
            self.seen.append((verb.value, answer.id, answer.verb))

    def look(self, ref: ObjectRef, caller: Caller = OPERATOR) -> None:
        """Note an object as it is."""
        view = self.note("get", lambda: self.api.get(caller, ref))
        if view is None:
            return
        status = view.document["status"]
        kept = (
            "observedGeneration",
            "printableStatus",
            "powerState",
            "uuid",
            "domainName",
            "nodeName",
            "cpus",
            "memory",
        )
        conditions = {
            item["type"]: (item["status"], item["reason"], item["observedGeneration"])
            for item in status["conditions"]
            if item["type"] not in ("Confined",)  # of a real domain's security label
        }
        facts = {key: status[key] for key in kept if key in status}
        macs = [(nic["name"], nic["mac"]) for nic in status.get("interfaces", ())]
        self.seen.append((view.ref, view.token, view.is_deleting, view.document["spec"], facts, conditions, macs))

    def look_at_volumes(self) -> None:
        self.seen.append(sorted(self._subject.volumes()))

    def heard(self, watch: WatchSubscription) -> None:
        """Note what was told of what happened for good."""
        events = iter(lambda: watch.next_event(0.0), None)
        told = [item.event for item in events if item is not None and item.event is not None]
        self.seen.append([(event.reason, event.ref.name) for event in told if event.reason in FOR_GOOD])
        kept = [event.message for event in told if event.reason == "VolumeRetained"]
        self.seen.append([message.replace(self.pool, "pool") for message in kept])

    @property
    def pool(self) -> str:
        """Where its volumes lie."""
        return self._subject.pool

    def listed(self, kind: str = "", namespace: str = "", caller: Caller = OPERATOR) -> None:
        found = self.note("list", lambda: self.api.list_objects(caller, kind, namespace))
        self.seen.append([(view.ref, view.token) for view in found or ()])


def machine(name: str = "web", *, uid: str | None = UIDS[0], **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default"} | ({"uid": uid} if uid else {})
    return {
        "apiVersion": API_VERSION,
        "kind": "VirtualMachine",
        "metadata": metadata,
        "spec": {"memory": {"size": "64Mi"}, "terminationGracePeriodSeconds": 0, **spec},
    }


def other(kind: str, name: str, number: int, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "uid": UIDS[number]}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


WEB = ObjectRef(uid=UIDS[0])
SCENES: list[Scene] = []


def scene(play: Scene) -> Scene:
    SCENES.append(play)
    return play


@scene
def a_machine_comes_runs_and_goes(play: Play) -> None:
    play.apply(machine())
    play.look(WEB)
    play.listed()
    play.delete(WEB)
    play.look(WEB)
    play.delete(WEB)
    play.listed()


@scene
def an_apply_that_comes_after_the_deletion_is_refused(play: Play) -> None:
    play.apply(machine(), generation=3)
    play.delete(WEB, generation=4)
    play.apply(machine(), generation=3)
    play.look(WEB)
    play.apply(machine(), epoch=2, generation=3)
    play.look(WEB)


@scene
def an_apply_that_comes_after_a_deletion_of_what_was_never_there_is_refused(play: Play) -> None:
    play.delete(WEB, epoch=2, generation=4)
    play.apply(machine(), epoch=1, generation=3)
    play.apply(machine(), epoch=2, generation=3)
    play.delete(WEB, epoch=1, generation=9)
    play.apply(machine(), epoch=2, generation=3)
    play.look(WEB)
    play.apply(machine(), epoch=2, generation=4)
    play.look(WEB)


@scene
def an_authoritys_tokens_bind_itself_alone(play: Play) -> None:
    play.apply(machine(), epoch=5, generation=3)
    play.delete(WEB, epoch=5, generation=4)
    play.apply(machine(), epoch=0, generation=0, caller=STACK)
    play.look(WEB, STACK)


@scene
def a_repeated_call_is_harmless_and_an_older_one_refused(play: Play) -> None:
    play.apply(machine(), generation=3)
    play.apply(machine(), generation=3)
    play.apply(machine(updatePolicy="Restart"), generation=4)
    play.apply(machine(), generation=3)
    play.look(WEB)
    play.apply(machine(), epoch=2, generation=3)
    play.apply(machine(), epoch=1, generation=9)
    play.delete(WEB, epoch=1)
    play.operate(WEB, Verb.STOP, epoch=1)
    play.look(WEB)


@scene
def a_deleted_object_is_not_brought_back_by_a_late_call(play: Play) -> None:
    play.apply(machine(), epoch=2, generation=5)
    play.delete(WEB, epoch=2)
    play.apply(machine(), epoch=1, generation=9)
    play.apply(machine(), epoch=2, generation=4)
    play.look(WEB)
    play.apply(machine(uid=UIDS[1]), epoch=2, generation=1)
    play.look(ObjectRef(uid=UIDS[1]))


@scene
def who_may_do_what(play: Play) -> None:
    play.apply(machine())
    play.apply(machine(uid=UIDS[1]))
    play.apply(machine("other", uid=UIDS[0]))
    play.apply(machine(uid=None), caller=STACK)
    play.look(WEB, caller=STACK)
    play.delete(WEB, caller=STACK)
    play.listed(caller=STACK)
    outside = machine("far", uid=UIDS[2])
    outside["metadata"]["namespace"] = "elsewhere"
    play.apply(outside, caller=STACK)
    play.apply(machine("high", uid=UIDS[3]), caller=STACK, profile="privileged")
    play.apply(machine("odd", uid=UIDS[4]), profile="everything")
    unserved = Caller(name="x", authorities=("22",), namespaces=("*",), profiles=("restricted",))
    play.apply(machine("lost", uid=UIDS[5]), caller=unserved)
    play.apply({"apiVersion": API_VERSION, "kind": "VirtualHost", "metadata": {"name": "h"}, "spec": {}})


@scene
def what_is_wrong_or_fixed_is_refused_and_changes_nothing(play: Play) -> None:
    play.apply(machine(), dry_run=DryRun.PLAN)
    play.look(WEB)
    play.apply(machine())
    play.apply(machine(cpu={"cores": 0}), generation=2)
    play.apply(machine(base="Bare"), generation=2)
    play.look(WEB)
    play.look(ObjectRef(kind="VirtualMachine", namespace="default", name="web"))
    play.look(ObjectRef(kind="VirtualMachine", namespace="default", name="absent"))
    play.note("kind", lambda: play.api.list_objects(OPERATOR, "Pod", ""))


@scene
def a_machine_waits_for_what_it_names(play: Play) -> None:
    nics = [{"name": "lan", "network": "lan"}]
    disks = [{"name": "root", "source": {"image": "guest"}}, {"name": "data", "source": {"disk": "data"}}]
    play.apply(machine(nics=nics, disks=disks))
    play.look(WEB)
    play.apply(other("VirtualNetwork", "lan", 1, mode="Isolated"))
    play.look(ObjectRef(uid=UIDS[1]))
    play.apply(other("VirtualImage", "guest", 2, source={"path": "/images/guest.qcow2"}))
    play.apply(other("VirtualDisk", "data", 3, size="1Gi"))
    play.look(ObjectRef(uid=UIDS[2]))
    play.look(ObjectRef(uid=UIDS[3]))
    play.look(WEB)
    play.delete(ObjectRef(uid=UIDS[1]))
    play.look(ObjectRef(uid=UIDS[1]))
    play.delete(WEB)
    play.look(ObjectRef(uid=UIDS[1]))
    play.listed("VirtualDisk", "default")


@scene
def what_stays_of_a_disk_and_of_a_machine_is_by_their_policies_and_is_told(play: Play) -> None:
    watch = play.api.watch(OPERATOR, "", "")
    kept, gone = ObjectRef(uid=UIDS[1]), ObjectRef(uid=UIDS[2])
    own = [
        {"name": "data", "source": {"size": "1Gi"}},
        {"name": "scratch", "source": {"size": "1Gi"}, "deletionPolicy": "Delete"},
        {"name": "kept", "source": {"disk": "kept"}},
    ]
    play.apply(other("VirtualDisk", "kept", 1, size="1Gi", format="raw"))
    play.apply(other("VirtualDisk", "gone", 2, size="1Gi", deletionPolicy="Delete"))
    play.apply(other("VirtualImage", "guest", 3, source={"path": "/images/guest.qcow2"}))
    play.apply(machine(disks=own))
    play.look_at_volumes()
    for ref in (WEB, kept, gone, ObjectRef(uid=UIDS[3])):
        play.delete(ref)
    play.look_at_volumes()
    play.heard(watch)
    play.apply(other("VirtualDisk", "kept", 4, size="1Gi", format="raw"))
    play.look(ObjectRef(uid=UIDS[4]))
    play.heard(watch)
    play.look_at_volumes()


@scene
def a_machine_that_is_detached_leaves_its_volumes(play: Play) -> None:
    watch = play.api.watch(OPERATOR, "", "")
    play.apply(machine(deletionPolicy="Detach", disks=[{"name": "data", "source": {"size": "1Gi"}}]))
    play.delete(WEB)
    play.look(WEB)
    play.heard(watch)
    play.look_at_volumes()


def _lend(play: Play) -> WatchSubscription:
    """A machine with a volume that is to go with it, and that another machine reads by its path."""
    scratch = {"name": "scratch", "source": {"size": "1Gi"}, "deletionPolicy": "Delete", "readOnly": True}
    data = {"name": "data", "source": {"size": "1Gi"}}
    play.apply(machine(disks=[scratch, data], runStrategy="Halted"))
    borrowed = {"name": "borrowed", "source": {"path": f"{play.pool}/default_web_scratch.qcow2"}, "readOnly": True}
    play.apply(machine("db", uid=UIDS[1], disks=[borrowed], runStrategy="Halted"), profile="privileged")
    return play.api.watch(OPERATOR, "", "")


@scene
def a_volume_that_is_to_go_and_that_another_machine_has_is_waited_for(play: Play) -> None:
    watch = _lend(play)
    play.delete(WEB)
    play.look(WEB)
    play.look_at_volumes()
    play.heard(watch)
    play.delete(ObjectRef(uid=UIDS[1]))
    play.look(WEB)
    play.look_at_volumes()
    play.heard(watch)


@scene
def a_deletion_by_force_leaves_a_volume_that_another_machine_has_and_says_so(play: Play) -> None:
    watch = _lend(play)
    play.delete(WEB)
    play.delete(WEB, force=True)
    play.look(WEB)
    play.look_at_volumes()
    play.heard(watch)


@scene
def a_machine_without_its_secret_is_stalled_until_it_comes(play: Play) -> None:
    document = machine(cloudInit={"userData": {"secret": "init"}})
    play.apply(document)
    play.look(WEB)
    content = SecretContent(name="init", data={"userData": b"#cloud-config\n"})
    play.apply(document, secrets=(content,))
    play.look(WEB)
    play.apply(document, secrets=(content,))
    play.look(WEB)


@scene
def strategies_decide_what_starts(play: Play) -> None:
    for number, strategy in enumerate(("Always", "RerunOnFailure", "Once", "Manual", "Halted")):
        ref = ObjectRef(uid=UIDS[number])
        play.apply(machine(strategy.lower(), uid=UIDS[number], runStrategy=strategy))
        play.look(ref)
        for verb in (Verb.STOP, Verb.START, Verb.RESTART, Verb.PAUSE, Verb.RESUME, Verb.RESET, Verb.STOP):
            play.operate(ref, verb)
            play.look(ref)


@scene
def an_act_is_done_once(play: Play) -> None:
    play.apply(machine())
    play.operate(WEB, Verb.STOP, name="one")
    play.operate(WEB, Verb.STOP, name="one")
    play.operate(WEB, Verb.START, name="one")
    play.operate(WEB, Verb.START, name="")
    play.operate(ObjectRef(uid=UIDS[7]), Verb.STOP)
    play.apply(other("VirtualNetwork", "lan", 1, mode="Isolated"))
    play.operate(ObjectRef(uid=UIDS[1]), Verb.STOP)
    play.look(WEB)


@scene
def a_changed_strategy_stops_and_starts(play: Play) -> None:
    play.apply(machine())
    play.apply(machine(runStrategy="Halted"), generation=2)
    play.look(WEB)
    play.apply(machine(runStrategy="Always"), generation=3)
    play.look(WEB)


@scene
def what_a_running_machine_cannot_take_waits_for_its_restart(play: Play) -> None:
    sizes: dict[str, Any] = {"cpu": {"cores": 1, "max": 4}, "memory": {"size": "64Mi", "max": "512Mi"}}
    play.apply(machine(**sizes))
    play.look(WEB)
    grown: dict[str, Any] = {"cpu": {"cores": 3, "max": 4}, "memory": {"size": "128Mi", "max": "512Mi"}}
    play.apply(machine(**grown), generation=2)
    play.look(WEB)
    more: dict[str, Any] = {"cpu": {"cores": 8, "max": 8}, "memory": {"size": "1Gi", "max": "1Gi"}}
    play.apply(machine(**more, machine="pc"), generation=3)
    play.look(WEB)
    play.operate(WEB, Verb.RESTART)
    play.look(WEB)


@scene
def a_restored_cluster_is_taken_at_its_word_again(play: Play) -> None:
    root = Caller(name="root", authorities=("local",), namespaces=("*",), profiles=("restricted",), is_host_root=True)
    play.apply(machine(), epoch=7, generation=5)
    play.apply(machine("gone", uid=UIDS[1]), epoch=7, generation=5)
    play.delete(ObjectRef(uid=UIDS[1]), epoch=7)
    play.apply(machine(), epoch=2, generation=1)
    play.note("accept", lambda: play.api.accept_epoch(OPERATOR, CLUSTER))
    play.seen.append(play.note("accept", lambda: play.api.accept_epoch(root, CLUSTER)))
    play.apply(machine(cpu={"cores": 1}), epoch=2, generation=1)
    play.apply(machine("gone", uid=UIDS[1]), epoch=2, generation=1)
    play.look(WEB)


@pytest.fixture
def subjects(tmp_path: Path) -> tuple[Subject, Subject]:
    return Fake(), Real(tmp_path)


@pytest.mark.parametrize("play", SCENES, ids=lambda play: str(play.__name__))
def test_a_scene_looks_the_same_on_a_fake_node_and_on_the_real_service(
    subjects: tuple[Subject, Subject], play: Scene
) -> None:
    seen = []
    for subject in subjects:
        made = Play(subject)
        play(made)
        seen.append(made.seen)
    for fake, real in itertools.zip_longest(*seen):
        assert fake == real


def _drain(watch: WatchSubscription) -> Iterator[Any]:
    """What a reader makes of a watch: each object's last word, and whether it is there."""
    while (event := watch.next_event(0.0)) is not None:
        if event.type is WatchType.SYNCED:
            yield "synced"
        elif event.object is not None and event.type in (WatchType.OBJECT, WatchType.DELETED):
            status = event.object.document.get("status", {})
            yield event.type.value, event.object.ref.name, event.object.is_deleting, status.get("printableStatus")


def _last_words(events: list[Any]) -> list[Any]:
    """Without the steps in between, which a node may tell or not."""
    last = {event[1]: event for event in events if event != "synced"}
    return [last[name] for name in sorted(last)]


def test_a_watch_tells_the_same_in_the_end(subjects: tuple[Subject, Subject]) -> None:
    seen = []
    for subject in subjects:
        play = Play(subject)
        play.apply(machine())
        watch = play.api.watch(OPERATOR, "", "")
        stack = play.api.watch(STACK, "", "")
        beginning = list(_drain(watch))
        told = [beginning, list(_drain(stack))]
        play.apply(machine("db", uid=UIDS[1]))
        told.append(_last_words(list(_drain(watch))))
        play.delete(WEB)
        told += [_last_words(list(_drain(watch))), list(_drain(stack))]
        numbers = play.api.watch(OPERATOR, "VirtualMachine", "default")
        told.append([event if event == "synced" else event[:2] for event in _drain(numbers)])
        seen.append(told)
    assert seen[0] == seen[1]


def test_node_info_has_the_same_fields(subjects: tuple[Subject, Subject]) -> None:
    fake, real = (subject.api.node_info(OPERATOR).document for subject in subjects)
    assert fake["kind"] == real["kind"]
    assert fake["metadata"] == real["metadata"]
    assert set(fake["status"]) == set(real["status"])
