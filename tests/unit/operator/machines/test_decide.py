"""What is done next about a machine."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.operator.machines.scenes import (
    DIGEST,
    DOMAIN,
    OTHER_UID,
    SESSION,
    UID,
    conditions,
    converged,
    effect,
    holder,
    lost,
    machine,
    placed,
    running,
    scene,
    seen,
    starting,
    status,
    view,
    wanted,
)
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.operator.effects import AddFinalizer, ApplyOn, Refresh
from xvirt.operator.machines.decide import (
    DONE,
    AdoptOn,
    CreateHolder,
    DiscardHolder,
    PutStatus,
    decide,
)
from xvirt.operator.machines.records import Delivery, Outside
from xvirt.operator.nodes.state import Reach, Session
from xvirt.operator.troubles import Trouble

# the way in


def test_the_finalizer_comes_before_everything_else() -> None:
    assert effect(scene(machine=machine(finalizers=()))) == AddFinalizer()


@pytest.mark.parametrize("finalizers", [(), ("other/one",)])
def test_no_finalizer_is_added_to_what_is_being_deleted(finalizers: tuple[str, ...]) -> None:
    assert decide(scene(machine=machine(finalizers=finalizers, is_deleting=True))) == DONE


def test_a_machine_without_a_host_gets_a_holder() -> None:
    assert effect(scene()) == CreateHolder()


def test_a_holder_waits_until_every_host_was_asked_whether_it_has_the_machine() -> None:
    made = effect(scene(is_settled=False))
    assert isinstance(made, PutStatus)
    assert not made.is_urgent


def test_a_holder_that_is_not_bound_yet_is_waited_for() -> None:
    assert decide(scene(holders=(holder(""),))) == DONE


def test_row_05_a_machine_that_finds_no_room_is_pending_with_the_schedulers_own_words() -> None:
    words = "0/3 nodes are available: 3 Insufficient cpu."
    told = status(scene(holders=(holder("", obstacle=words),)))
    ready = next(item for item in told["conditions"] if item["type"] == "Ready")
    assert (told["printableStatus"], ready["reason"], ready["message"]) == ("Pending", "Unschedulable", words)
    assert conditions(told) == {"Ready": "False", "Reconciling": "True", "Stalled": "False"}
    assert told["observedGeneration"] == 1


def test_of_two_holders_that_wait_the_younger_goes() -> None:
    young = holder("", uid="pod-2", created="2026-01-01T11:00:01Z")
    assert effect(scene(holders=(young, holder("")))) == DiscardHolder(young)


@pytest.mark.parametrize("spent", [{"is_deleting": True}, {"phase": "Failed"}, {"phase": "Succeeded"}])
@pytest.mark.parametrize("host", ["", "node-a"])
def test_a_spent_holder_of_a_machine_without_a_host_goes_before_a_new_one_comes(
    host: str, spent: dict[str, Any]
) -> None:
    old = holder(host, **spent)
    assert effect(scene(holders=(old,))) == DiscardHolder(old)


def test_the_host_is_written_down_before_anything_is_asked_of_it() -> None:
    made = effect(scene(holders=(holder("node-b"),)))
    assert isinstance(made, PutStatus)
    assert made.is_urgent
    assert made.status["nodeName"] == "node-b"
    assert made.status["printableStatus"] == "Scheduled"
    assert conditions(made.status) == {"Ready": "False", "Reconciling": "True", "Stalled": "False"}


def test_a_host_that_shows_the_machine_has_it_though_nothing_is_written_down() -> None:
    assert status(scene(sightings=(seen(view(), "node-b"),)))["nodeName"] == "node-b"


def test_what_is_written_down_counts_more_than_where_a_holder_is() -> None:
    wrong = holder("node-b")
    assert effect(converged(holders=(wrong,))) == DiscardHolder(wrong)


def test_once_its_host_is_written_down_the_machine_is_applied_there() -> None:
    assert effect(scene(machine=placed(), holders=(holder(),))) == ApplyOn("node-a")


def test_what_the_node_has_taken_is_waited_for_and_not_sent_twice() -> None:
    given = scene(machine=placed(), holders=(holder(),), delivered=Delivery(DIGEST, SESSION))
    decision = decide(given)
    assert decision.effect is None
    assert decision.look_again_s is not None


@pytest.mark.parametrize("session", [Session("boot-1", 1), Session("boot-0", 2)])
def test_what_was_given_before_the_last_snapshot_is_sent_again_where_that_lacks_it(session: Session) -> None:
    given = scene(machine=placed(), holders=(holder(),), delivered=Delivery(DIGEST, session))
    assert effect(given) == ApplyOn("node-a")


def test_a_machine_that_is_as_declared_is_left_alone() -> None:
    assert decide(converged()) == DONE


@pytest.mark.parametrize(
    "older",
    [{"generation": 0}, {"applied": "d0"}, {"applied": ""}],
    ids=["generation", "digest", "never by this operator"],
)
def test_what_differs_from_the_nodes_view_is_applied(older: dict[str, Any]) -> None:
    assert effect(converged(sightings=(seen(view(**older)),))) == ApplyOn("node-a")


def test_secrets_are_given_once_in_the_life_of_both_processes() -> None:
    given = wanted(has_secrets=True)
    assert effect(converged(wanted=given)) == ApplyOn("node-a")
    assert decide(converged(wanted=given, delivered=Delivery(DIGEST, SESSION))) == DONE
    assert decide(converged(wanted=given, delivered=Delivery(DIGEST, Session("boot-1", 1)))) == DONE
    rebooted = converged(wanted=given, delivered=Delivery(DIGEST, Session("boot-0", 2)))
    assert effect(rebooted) == ApplyOn("node-a")


def test_a_changed_secret_is_a_changed_machine() -> None:
    given = wanted(digest="d2", has_secrets=True)
    assert effect(converged(wanted=given, delivered=Delivery(DIGEST, SESSION))) == ApplyOn("node-a")


def test_row_81_a_machine_that_is_to_be_off_keeps_its_holder_and_its_host() -> None:
    spec = {**converged().machine.spec, "runStrategy": "Halted"}
    stopped = running(printableStatus="Stopped", powerState="Stopped")
    given = converged(machine=placed(status=stopped, spec=spec), sightings=(seen(view(stopped)),))
    assert decide(given) == DONE
    assert effect(dataclasses.replace(given, holders=())) == CreateHolder(pin="node-a")


# status


def test_the_nodes_status_is_the_machines() -> None:
    made = effect(scene(machine=placed(), holders=(holder(),), sightings=(seen(view()),)))
    assert isinstance(made, PutStatus)
    assert made.is_urgent
    assert made.status == running()


def test_progress_is_not_urgent() -> None:
    made = effect(scene(machine=placed(), holders=(holder(),), sightings=(seen(view(starting())),)))
    assert isinstance(made, PutStatus)
    assert not made.is_urgent


def test_a_status_that_the_api_server_stores_otherwise_is_not_written_for_ever() -> None:
    strange = running(newField="of a newer node")
    given = converged(sightings=(seen(view(strange)),))
    assert isinstance(effect(given), PutStatus)
    assert decide(dataclasses.replace(given, is_told=True)) == DONE


def test_a_node_that_has_not_looked_yet_changes_no_status() -> None:
    assert decide(scene(machine=placed(), holders=(holder(),), sightings=(seen(view({})),))) == DONE


def test_the_room_is_kept_before_details_are_told() -> None:
    detail = running(cpus=4)
    assert effect(converged(sightings=(seen(view(detail)),), holders=())) == CreateHolder(pin="node-a")
    assert status(converged(sightings=(seen(view(detail)),)))["cpus"] == 4


# what a node or the model refuses


def refused(is_passing: bool = False, until_s: float = 1010.0) -> Trouble:
    return Trouble(DIGEST, "PolicyRefused", "spec.domain.devices: not allowed", is_passing, until_s)


def test_a_refused_machine_is_stalled_with_the_nodes_words_and_tried_again_later() -> None:
    given = scene(machine=placed(generation=2), holders=(holder(),), call_trouble=refused())
    decision = decide(given)
    told = status(given)
    stalled = next(item for item in told["conditions"] if item["type"] == "Stalled")
    assert (stalled["status"], stalled["reason"], stalled["message"]) == (
        "True",
        "PolicyRefused",
        "spec.domain.devices: not allowed",
    )
    assert told["observedGeneration"] == 2
    assert decision.look_again_s == 1010.0


def test_a_refused_change_leaves_what_the_node_says_of_the_running_machine() -> None:
    given = converged(
        machine=placed(status=running(), generation=2),
        wanted=wanted(digest="d2"),
        call_trouble=dataclasses.replace(refused(), subject="d2"),
    )
    told = status(given)
    assert told["powerState"] == "Running"
    assert conditions(told)["RestartRequired"] == "False"
    assert conditions(told)["Stalled"] == "True"


def test_a_refusal_counts_for_just_what_was_refused() -> None:
    given = scene(machine=placed(), holders=(holder(),), call_trouble=refused(), wanted=wanted(digest="d2"))
    assert effect(given) == ApplyOn("node-a")


def test_a_refusal_is_tried_again_when_its_time_has_come() -> None:
    given = scene(machine=placed(), holders=(holder(),), call_trouble=refused(until_s=1000.0))
    assert effect(given) == ApplyOn("node-a")


def test_a_node_that_is_busy_is_waited_for() -> None:
    told = status(scene(machine=placed(), holders=(holder(),), call_trouble=refused(is_passing=True)))
    assert conditions(told) == {"Ready": "False", "Reconciling": "True", "Stalled": "False"}


def test_a_spec_without_a_size_gets_no_room() -> None:
    problem = InvalidSpec([Problem("spec.memory.size", "is no size")])
    told = status(scene(wanted=wanted(problem=problem)))
    assert conditions(told)["Stalled"] == "True"
    assert "spec.memory.size" in told["conditions"][0]["message"]


def test_a_holder_that_the_cluster_refuses_is_told_and_tried_again() -> None:
    trouble = Trouble("holder", "HolderRefused", "exceeded quota", True, 1005.0)
    given = scene(holder_trouble=trouble)
    assert conditions(status(given))["Reconciling"] == "True"
    assert decide(given).look_again_s == 1005.0
    assert effect(dataclasses.replace(given, now_s=1006.0)) == CreateHolder()


def test_a_running_machine_is_not_called_pending_because_its_new_holder_is_refused() -> None:
    trouble = Trouble("holder", "HolderRefused", "exceeded quota", True, 1005.0)
    decision = decide(converged(holders=(), holder_trouble=trouble))
    assert (decision.effect, decision.look_again_s) == (None, 1005.0)


@pytest.mark.parametrize("newer", [{"generation": 7}, {"epoch": 9}])
def test_a_node_that_knows_a_newer_version_is_believed_after_the_api_server_was_asked(newer: dict[str, Any]) -> None:
    given = converged(sightings=(seen(view(**newer)),))
    assert effect(given) == Refresh()
    told = status(dataclasses.replace(given, is_fresh=True))
    stalled = next(item for item in told["conditions"] if item["type"] == "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "StaleToken")
    assert "accept-epoch" in stalled["message"]


def test_a_machine_that_two_hosts_show_is_touched_by_nobody() -> None:
    given = converged(sightings=(seen(view()), seen(view(generation=0), "node-b")))
    told = status(given)
    assert conditions(told)["Stalled"] == "True"
    assert "node-b" in told["conditions"][0]["message"]


def test_a_name_that_an_earlier_machine_still_has_on_the_host_is_not_taken_over() -> None:
    given = scene(machine=placed(), holders=(holder(),), namesakes=(seen(view(uid=OTHER_UID)),))
    told = status(given)
    assert told["conditions"][0]["reason"] == "NameTaken"
    assert conditions(told)["Stalled"] == "True"


def test_a_name_is_waited_for_while_the_earlier_machine_is_being_deleted() -> None:
    given = scene(machine=placed(), holders=(holder(),), namesakes=(seen(view(uid=OTHER_UID, is_deleting=True)),))
    assert conditions(status(given)) == {"Ready": "False", "Reconciling": "True", "Stalled": "False"}


def test_a_namesake_on_another_host_is_in_nobodys_way() -> None:
    given = converged(namesakes=(seen(view(uid=OTHER_UID), "node-b"),))
    assert decide(given) == DONE


def test_a_machine_that_its_node_is_still_removing_is_applied_afterwards() -> None:
    given = converged(sightings=(seen(view(is_deleting=True, applied="d0")),))
    assert not isinstance(effect(given), ApplyOn)


# a host that is away


def test_row_14_a_machine_of_a_lost_host_is_unknown_and_not_gone() -> None:
    told = status(lost(converged()))
    assert conditions(told)["Ready"] == "Unknown"
    assert (told["printableStatus"], told["powerState"], told["nodeName"]) == ("Unknown", "Unknown", "node-a")
    assert told["uuid"] == UID
    assert decide(lost(converged())).effect.is_urgent  # type: ignore[union-attr]


def test_a_machine_whose_host_is_being_looked_for_keeps_its_status() -> None:
    assert decide(lost(converged(), Reach.CONNECTING)) == DONE


def test_nothing_is_applied_to_a_host_that_is_away() -> None:
    for reach in (Reach.CONNECTING, Reach.LOST, Reach.UNKNOWN):
        given = lost(scene(machine=placed(), holders=(holder(),)), reach)
        assert not isinstance(effect(given), ApplyOn | CreateHolder | DiscardHolder)


def test_a_host_that_exists_no_more_says_so() -> None:
    told = status(lost(converged(), Reach.UNKNOWN))
    assert told["conditions"][0]["reason"] == "HostUnknown"


def test_a_machine_of_a_lost_host_has_its_room_kept() -> None:
    first = lost(converged(holders=()))
    known = status(first)
    again = dataclasses.replace(first, machine=placed(status=known))
    assert effect(again) == CreateHolder(pin="node-a")


def test_a_machine_is_told_as_before_once_its_host_is_back() -> None:
    unknown = status(lost(converged()))
    back = converged(machine=placed(status=unknown))
    told = status(back)
    assert conditions(told)["Ready"] == "True"
    assert told["powerState"] == "Running"


# holders of a machine that has a host


def test_a_holder_that_is_gone_is_made_anew_on_the_machines_host() -> None:
    assert effect(converged(holders=())) == CreateHolder(pin="node-a")


def test_a_pinned_holder_that_waits_for_room_changes_nothing() -> None:
    assert decide(converged(holders=(holder("", pinned_to="node-a"),))) == DONE


@pytest.mark.parametrize("unfit", [{"host": "node-b"}, {"host": ""}, {"host": "", "pinned_to": "node-b"}])
def test_a_holder_that_is_or_may_come_elsewhere_goes(unfit: dict[str, Any]) -> None:
    wrong = holder(**unfit)
    assert effect(converged(holders=(wrong,))) == DiscardHolder(wrong)


def test_a_holder_that_is_being_deleted_stays_until_its_successor_has_the_room() -> None:
    old = holder(is_deleting=True)
    young = holder("", uid="pod-2", pinned_to="node-a")
    assert effect(converged(holders=(old,))) == CreateHolder(pin="node-a", spent=(old,))
    assert decide(converged(holders=(old, young))) == DONE
    bound = dataclasses.replace(young, host="node-a")
    assert effect(converged(holders=(old, bound))) == DiscardHolder(old)


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_a_holder_that_ended_is_replaced_and_goes_at_once(phase: str) -> None:
    old = holder(phase=phase)
    young = holder("", uid="pod-2", pinned_to="node-a")
    assert effect(converged(holders=(old,))) == CreateHolder(pin="node-a", spent=(old,))
    assert effect(converged(holders=(old, young))) == DiscardHolder(old)


def test_of_two_fit_holders_the_bound_one_stays() -> None:
    waiting = holder("", uid="pod-2", pinned_to="node-a", created="2026-01-01T10:00:00Z")
    assert effect(converged(holders=(waiting, holder()))) == DiscardHolder(waiting)


def test_a_waiting_holder_that_asks_for_something_else_than_the_machine_wants_now_is_made_anew() -> None:
    old = holder("", digest="h0", obstacle="no node has that label")
    assert effect(scene(holders=(old,))) == DiscardHolder(old)
    pinned = holder("", pinned_to="node-a", digest="h0")
    assert effect(converged(holders=(pinned,))) == DiscardHolder(pinned)


def test_row_06_a_machine_that_grew_gets_a_larger_holder_before_the_small_one_goes() -> None:
    small = holder(holds="1 vCPUs, 512 MiB")
    assert effect(converged(holders=(small,))) == CreateHolder(pin="node-a", spent=(small,))
    waiting = holder("", uid="pod-2", pinned_to="node-a")
    assert decide(converged(holders=(small, waiting))) == DONE
    bound = holder(uid="pod-2")
    assert effect(converged(holders=(small, bound))) == DiscardHolder(small)


def test_a_holder_is_left_alone_while_nobody_can_say_how_large_the_machine_is() -> None:
    problem = InvalidSpec([Problem("spec.memory.size", "is no size")])
    given = converged(wanted=wanted(problem=problem, holds="", holder=""))
    assert isinstance(effect(given), PutStatus)
    assert effect(dataclasses.replace(given, is_told=True)) is None
    assert effect(dataclasses.replace(given, is_told=True, holders=())) is None


# taking over


def adopting(**more: Any) -> Any:
    annotations = {"xvirt.io/adopt-domain": DOMAIN}
    return machine(annotations=annotations, spec={**machine().spec, "placement": {"host": "node-a"}}, **more)


def test_row_10_an_adopting_machine_gets_its_holder_and_then_its_domain() -> None:
    status_ = {"nodeName": "node-a"}
    assert effect(scene(machine=adopting())) == CreateHolder()
    assert effect(scene(machine=adopting(status=status_), holders=(holder(),))) == AdoptOn("node-a", DOMAIN)


def test_row_10_a_machine_that_adopts_without_a_host_is_told_to_name_one() -> None:
    given = scene(machine=machine(annotations={"xvirt.io/adopt-domain": DOMAIN}))
    assert status(given)["conditions"][0]["reason"] == "AdoptionNeedsHost"


def test_row_10_an_adopted_machine_is_known_by_its_domains_uuid_and_changed_by_apply() -> None:
    said = running(uuid=DOMAIN)
    owner = adopting(status=said, generation=2)
    assert owner.node_uid == DOMAIN
    given = scene(machine=owner, holders=(holder(),), sightings=(seen(view(said, uid=DOMAIN)),))
    assert effect(given) == ApplyOn("node-a")


def test_row_10_an_adopted_machine_stays_itself_when_the_annotation_is_gone() -> None:
    assert machine(status=running(uuid=DOMAIN)).node_uid == DOMAIN


def test_row_10_an_annotation_that_comes_later_makes_no_other_machine_of_it() -> None:
    assert adopting(status=running()).node_uid == UID


# hosts outside of the cluster


def test_a_machine_that_names_a_host_outside_goes_there_without_a_holder() -> None:
    named = machine(spec={**machine().spec, "placement": {"host": "far"}})
    told = status(scene(machine=named, outside=Outside(host="far")))
    assert (told["nodeName"], told["printableStatus"]) == ("far", "Scheduled")
    here = dataclasses.replace(scene(), reaches={"far": Reach.SYNCED}, sessions={"far": SESSION})
    there = dataclasses.replace(here, machine=placed("far"), outside=Outside(host="far"))
    assert effect(there) == ApplyOn("far")
    settled = dataclasses.replace(
        there, machine=placed("far", status=running("far")), sightings=(seen(view(running("far")), "far"),)
    )
    assert decide(settled) == DONE
    assert effect(dataclasses.replace(settled, holders=(holder("far"),))) == DiscardHolder(holder("far"))


def test_a_host_outside_that_is_full_is_told_and_looked_at_again() -> None:
    given = scene(outside=Outside(host="far", obstacle="host far takes no more than 2 machines"))
    assert status(given)["conditions"][0]["reason"] == "Unschedulable"
    assert decide(given).look_again_s is not None
