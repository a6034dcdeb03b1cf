"""What is done next about a machine that is being deleted."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.operator.machines.scenes import (
    DOMAIN,
    FORCED,
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
)
from xvirt.operator.effects import DeleteOn, ReleaseFinalizer
from xvirt.operator.machines.decide import (
    DONE,
    DiscardHolder,
    PutStatus,
    decide,
    decide_orphans,
    deletion_subject,
)
from xvirt.operator.machines.records import Delivery, Scene
from xvirt.operator.names import FINALIZER
from xvirt.operator.nodes.state import Reach, Session
from xvirt.operator.troubles import Trouble

# the way out


def deleting(**more: Any) -> Scene:
    given: dict[str, Any] = {"machine": placed(status=running(), is_deleting=True)}
    return converged(**{**given, **more})


def test_a_deleted_machine_is_deleted_on_its_host_first() -> None:
    assert effect(deleting()) == DeleteOn("node-a", UID)


def test_a_deletion_that_is_under_way_is_told_and_waited_for() -> None:
    going = view(starting(), is_deleting=True)
    delivered = Delivery(deletion_subject("node-a", deleting().machine), SESSION)
    told = status(deleting(sightings=(seen(going),), delivered=delivered))
    assert told["printableStatus"] == "Terminating"
    assert conditions(told) == {"Ready": "False", "Reconciling": "True", "Stalled": "False"}


def test_a_node_that_was_restarted_is_told_of_the_deletion_once_more() -> None:
    delivered = Delivery(deletion_subject("node-a", deleting().machine), Session("boot-0", 2))
    assert effect(deleting(delivered=delivered)) == DeleteOn("node-a", UID)


def test_what_a_host_no_longer_shows_is_asked_for_once_more_before_anything_is_let_go() -> None:
    assert effect(deleting(sightings=())) == DeleteOn("node-a", UID)


def test_the_holder_goes_after_the_hosts_own_answer_and_the_finalizer_last() -> None:
    gone = deleting(sightings=(), gone_from=frozenset({"node-a"}))
    assert effect(gone) == DiscardHolder(holder())
    assert effect(dataclasses.replace(gone, holders=())) == ReleaseFinalizer()


def test_a_machine_that_never_had_a_host_goes_at_once() -> None:
    assert effect(scene(machine=machine(is_deleting=True))) == ReleaseFinalizer()
    waiting = holder("")
    assert effect(scene(machine=machine(is_deleting=True), holders=(waiting,))) == DiscardHolder(waiting)


def test_holders_go_even_where_the_finalizer_is_gone_already() -> None:
    given = deleting(
        machine=placed(is_deleting=True, finalizers=("other",)), sightings=(), gone_from=frozenset({"node-a"})
    )
    assert effect(given) == DiscardHolder(holder())


@pytest.mark.parametrize("reach", [Reach.LOST, Reach.UNKNOWN])
def test_a_deletion_waits_for_a_host_that_is_away_and_says_so(reach: Reach) -> None:
    told = status(lost(deleting(), reach))
    assert told["conditions"][0]["reason"] == "HostUnreachable"
    assert "force-delete" in told["conditions"][0]["message"]


def test_a_deletion_says_nothing_while_its_host_is_looked_for() -> None:
    assert decide(lost(deleting(), Reach.CONNECTING)) == DONE


@pytest.mark.parametrize("reach", [Reach.LOST, Reach.UNKNOWN])
def test_a_forced_deletion_leaves_an_unreachable_host_and_says_what_is_left_there(reach: Reach) -> None:
    said = running(disks=[{"name": "root", "path": "/pool/default_web_root.qcow2"}])
    forced = placed(status=said, is_deleting=True, annotations=FORCED)
    given = lost(deleting(machine=forced), reach)
    assert effect(given) == DiscardHolder(holder())
    made = effect(dataclasses.replace(given, holders=()))
    assert isinstance(made, ReleaseFinalizer)
    for word in ("node-a", "default_web", UID, "/pool/default_web_root.qcow2"):
        assert word in made.left_behind


def test_a_forced_deletion_waits_as_long_as_its_host_is_only_being_looked_for() -> None:
    given = lost(deleting(machine=placed(is_deleting=True, annotations=FORCED)), Reach.CONNECTING)
    assert decide(given) == DONE


def test_a_forced_deletion_on_a_host_that_is_there_powers_off() -> None:
    assert effect(deleting(machine=placed(is_deleting=True, annotations=FORCED))) == DeleteOn(
        "node-a", UID, is_forced=True
    )


def test_forcing_a_deletion_that_is_under_way_is_told_to_the_host() -> None:
    delivered = Delivery(deletion_subject("node-a", deleting().machine), SESSION)
    given = deleting(machine=placed(is_deleting=True, annotations=FORCED), delivered=delivered)
    assert effect(given) == DeleteOn("node-a", UID, is_forced=True)


def test_a_deletion_that_the_host_refuses_is_told_and_tried_again() -> None:
    trouble = Trouble(deletion_subject("node-a", deleting().machine), "Busy", "a copy runs", True, 1003.0)
    decision = decide(deleting(call_trouble=trouble))
    assert isinstance(decision.effect, PutStatus)
    assert decision.look_again_s == 1003.0


def test_every_host_that_shows_a_deleted_machine_is_asked_to_let_it_go() -> None:
    given = deleting(sightings=(seen(view()), seen(view(), "node-b")), gone_from=frozenset({"node-a"}))
    assert effect(given) == DeleteOn("node-b", UID)


def test_an_adopted_machine_is_deleted_by_its_domains_uuid() -> None:
    given = deleting(machine=placed(status=running(uuid=DOMAIN), is_deleting=True), sightings=())
    assert effect(given) == DeleteOn("node-a", DOMAIN)


def test_a_machine_that_is_only_kept_by_others_finalizers_is_left_alone() -> None:
    given = deleting(
        machine=placed(is_deleting=True, finalizers=("other",)),
        holders=(),
        sightings=(),
        gone_from=frozenset({"node-a"}),
    )
    assert decide(given) == DONE


def test_fault_18_in_a_namespace_that_ends_a_machine_goes_before_it_is_deleted_itself() -> None:
    ending = converged(is_namespace_ending=True)
    assert effect(ending) == DeleteOn("node-a", UID)
    gone = dataclasses.replace(ending, sightings=(), gone_from=frozenset({"node-a"}))
    assert effect(gone) == DiscardHolder(holder())
    rest = dataclasses.replace(gone, holders=())
    assert decide(rest) == DONE
    assert effect(dataclasses.replace(rest, machine=placed(is_deleting=True))) == ReleaseFinalizer()


def test_fault_18_nothing_is_begun_in_a_namespace_that_ends() -> None:
    assert decide(scene(machine=machine(finalizers=()), is_namespace_ending=True)) == DONE


# holders without a machine


def test_a_holder_without_a_machine_stays_while_its_host_shows_one() -> None:
    assert decide_orphans((holder(),), (seen(view()),), {"node-a": Reach.SYNCED}) == DONE


def test_a_holder_without_a_machine_stays_while_its_host_is_away() -> None:
    for reach in (Reach.LOST, Reach.CONNECTING):
        assert decide_orphans((holder(),), (), {"node-a": reach}) == DONE


def test_a_holder_without_a_machine_goes_where_its_host_has_none() -> None:
    assert decide_orphans((holder(),), (), {"node-a": Reach.SYNCED}).effect == DiscardHolder(holder())
    waiting = holder("")
    assert decide_orphans((waiting,), (), {}).effect == DiscardHolder(waiting)


def test_every_effect_of_a_machine_that_is_deleted_is_one_of_the_way_out() -> None:
    for found in (scene(machine=machine(is_deleting=True)), deleting(), lost(deleting())):
        assert isinstance(effect(found), DeleteOn | DiscardHolder | ReleaseFinalizer | PutStatus)
    assert FINALIZER in deleting().machine.finalizers
