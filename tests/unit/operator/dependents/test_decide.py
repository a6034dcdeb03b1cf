"""What is to be done about a dependent, from everything that is known of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.operator.dependents.scenes import (
    CONNECTING,
    DELETION,
    DIGEST,
    DISK,
    IMAGE,
    LOST,
    NETWORK,
    POOL,
    SESSION,
    UNHEARD,
    UNKNOWN,
    conditions,
    deleted,
    item,
    part,
    ready,
    scene,
    trouble,
    view,
)
from xvirt.operator.dependents.decide import (
    NOTHING,
    Errand,
    PutStatus,
    decide,
    decide_errand,
)
from xvirt.operator.dependents.records import Delivery, Problem, Scene
from xvirt.operator.effects import AddFinalizer, ApplyOn, DeleteOn, Refresh, ReleaseFinalizer
from xvirt.operator.nodes.state import Session


def told(found: Scene) -> dict[str, Any]:
    """The status that is to be written."""
    effect = decide(found)
    assert isinstance(effect, PutStatus), effect
    return effect.status


def ready_condition(status: dict[str, Any]) -> tuple[str, str, str]:
    found = next(each for each in status["conditions"] if each["type"] == "Ready")
    return found["status"], found["reason"], found["message"]


def stated(found: Scene) -> dict[str, str]:
    return {each["type"]: each["status"] for each in told(found)["conditions"]}


def settle(found: Scene) -> Scene:
    """The scene once its status is written."""
    return dataclasses.replace(found, item=dataclasses.replace(found.item, status=told(found)))


# before anything is asked of a host


@pytest.mark.parametrize("traits", [DISK, IMAGE, NETWORK, POOL])
def test_what_no_host_needs_is_ready_and_says_why(traits: Any) -> None:
    status = told(scene(item(traits, has_finalizer=False)))
    assert ready_condition(status)[:2] == ("True", "NotNeeded")
    assert status["printableStatus"] == "NotNeeded"
    assert status["observedGeneration"] == 1
    assert stated(scene(item(traits, has_finalizer=False))) == {
        "Ready": "True",
        "Reconciling": "False",
        "Stalled": "False",
    }


def test_a_finalizer_comes_before_everything_else() -> None:
    assert decide(scene(item(has_finalizer=False), ["node-a"])) == AddFinalizer()
    assert decide_errand(scene(item(has_finalizer=False, hosts=["node-a"]), ["node-a"]), "node-a") == NOTHING


def test_a_host_is_written_down_before_it_is_asked() -> None:
    fresh = scene(item(), ["node-a"])
    assert decide_errand(fresh, "node-a") == NOTHING
    effect = decide(fresh)
    assert isinstance(effect, PutStatus)
    assert effect.is_urgent
    assert effect.status["hosts"] == [{"name": "node-a", "state": "Pending", "message": "host node-a is being asked"}]
    assert decide_errand(settle(fresh), "node-a") == Errand(ApplyOn("node-a"))


def test_the_host_of_a_disk_is_written_down_before_it_is_asked() -> None:
    fresh = scene(item(DISK), ["node-a"])
    assert decide_errand(fresh, "node-a") == NOTHING
    assert told(fresh)["nodeName"] == "node-a"
    assert decide_errand(settle(fresh), "node-a") == Errand(ApplyOn("node-a"))


def test_what_is_there_already_is_written_down_and_updated_although_nobody_needs_it() -> None:
    old = view(applied="another")
    fresh = scene(item(), parts={"node-b": part(old)})
    assert [host["name"] for host in told(fresh)["hosts"]] == ["node-b"]
    assert decide_errand(settle(fresh), "node-b") == Errand(ApplyOn("node-b"))


# giving it to hosts


def test_a_host_that_holds_the_document_is_left_alone() -> None:
    assert decide_errand(scene(item(hosts=["node-a"]), ["node-a"], parts={"node-a": ready()}), "node-a") == NOTHING


@pytest.mark.parametrize("shown", [None, view(generation=0), view(applied="another")])
def test_a_host_that_holds_something_else_is_given_the_document(shown: Any) -> None:
    found = scene(item(hosts=["node-a"]), ["node-a"], parts={"node-a": part(shown)})
    assert decide_errand(found, "node-a") == Errand(ApplyOn("node-a"))


def test_a_host_that_has_answered_is_given_time_to_show_it() -> None:
    given = part(delivered=Delivery(DIGEST, SESSION, 40.0))
    found = scene(item(hosts=["node-a"]), ["node-a"], parts={"node-a": given})
    assert decide_errand(found, "node-a") == NOTHING
    assert decide_errand(dataclasses.replace(found, now_s=40.0), "node-a") == Errand(ApplyOn("node-a"))
    anew = scene(
        item(hosts=["node-a"]),
        ["node-a"],
        parts={"node-a": part(delivered=Delivery(DIGEST, Session("boot-2", 2), 40.0))},
    )
    assert decide_errand(anew, "node-a") == Errand(ApplyOn("node-a"))


def test_a_host_that_refused_is_asked_again_later_and_at_once_for_something_else() -> None:
    refused = scene(item(hosts=["node-a"]), ["node-a"], parts={"node-a": part(trouble=trouble())})
    assert decide_errand(refused, "node-a") == Errand(look_again_s=50.0)
    assert decide_errand(dataclasses.replace(refused, now_s=50.0), "node-a") == Errand(ApplyOn("node-a"))
    assert decide_errand(dataclasses.replace(refused, digest="digest-2"), "node-a") == Errand(ApplyOn("node-a"))


@pytest.mark.parametrize("unreached", [LOST, UNKNOWN, CONNECTING, UNHEARD])
def test_a_host_that_is_not_heard_is_asked_nothing(unreached: Any) -> None:
    for is_deleting in (False, True):
        found = scene(item(hosts=["node-a"], is_deleting=is_deleting), ["node-a"], parts={"node-a": unreached})
        assert decide_errand(found, "node-a") == NOTHING


def test_one_host_that_refuses_leaves_the_others_alone() -> None:
    found = scene(item(hosts=["node-a", "node-b"]), ["node-a", "node-b"], parts={"node-a": part(trouble=trouble())})
    assert decide_errand(found, "node-b") == Errand(ApplyOn("node-b"))


def test_an_earlier_object_of_the_name_is_waited_for_or_told_and_never_removed() -> None:
    old = view(uid="uid-0", is_deleting=True)
    going = scene(item(hosts=["node-a"]), ["node-a"], parts={"node-a": part(namesake=old)})
    assert decide_errand(going, "node-a") == NOTHING
    assert ready_condition(told(going))[1] == "NameInUse"
    assert stated(going)["Reconciling"] == "True"
    staying = scene(item(hosts=["node-a"]), ["node-a"], parts={"node-a": part(namesake=view(uid="uid-0"))})
    assert decide_errand(staying, "node-a") == NOTHING
    assert ready_condition(told(staying))[1] == "NameTaken"
    assert stated(staying)["Stalled"] == "True"


def test_a_node_that_knows_more_is_believed_once_the_object_was_read_again() -> None:
    newer = scene(item(hosts=["node-a"]), ["node-a"], parts={"node-a": ready(generation=5)})
    assert decide(newer) == Refresh()
    assert decide_errand(newer, "node-a") == NOTHING
    sure = dataclasses.replace(newer, is_fresh=True)
    assert ready_condition(told(sure))[1] == "StaleToken"
    assert "xvirt node accept-epoch" in ready_condition(told(sure))[2]


def test_an_object_that_a_host_is_deleting_is_given_again_once_it_is_gone() -> None:
    found = scene(item(hosts=["node-a"]), ["node-a"], parts={"node-a": part(view(is_deleting=True, applied="old"))})
    assert decide_errand(found, "node-a") == NOTHING
    assert decide_errand(scene(item(hosts=["node-a"]), ["node-a"]), "node-a") == Errand(ApplyOn("node-a"))


def test_a_disk_that_cannot_be_copied_on_its_host_is_not_given_to_it() -> None:
    problem = Problem("CloneElsewhere", "its source is elsewhere")
    found = scene(item(DISK, hosts=["node-a"]), ["node-a"], problem=problem)
    assert decide_errand(found, "node-a") == NOTHING
    assert ready_condition(told(found)) == ("False", "CloneElsewhere", "its source is elsewhere")
    assert stated(found)["Stalled"] == "True"


# what its hosts say


def test_it_is_ready_once_it_is_ready_on_every_host_that_needs_it() -> None:
    half = scene(item(hosts=["node-a", "node-b"]), ["node-a", "node-b"], parts={"node-a": ready()})
    assert ready_condition(told(half))[:2] == ("False", "Applying")
    whole = scene(item(hosts=["node-a", "node-b"]), ["node-a", "node-b"], parts={"node-a": ready(), "node-b": ready()})
    assert ready_condition(told(whole)) == ("True", "Ready", "")
    assert told(whole)["printableStatus"] == "Active"


def test_a_host_that_nobody_needs_it_on_does_not_hold_it_back() -> None:
    found = scene(item(hosts=["node-a", "node-b"]), ["node-a"], parts={"node-a": ready(), "node-b": LOST})
    status = told(found)
    assert ready_condition(status)[0] == "True"
    assert [host["state"] for host in status["hosts"]] == ["Active", "Unknown"]


def test_the_hosts_that_fail_are_named_and_failure_goes_before_waiting() -> None:
    waiting = view(
        printableStatus="BridgeNotFound",
        conditions=conditions("False", "BridgeNotFound", "make it", Reconciling="True"),
    )
    stuck = view(printableStatus="NameTaken", conditions=conditions("False", "NameTaken", "rename one", Stalled="True"))
    parts = {"node-a": part(waiting), "node-b": part(stuck), "node-c": ready()}
    status = told(scene(item(hosts=parts), parts, parts=parts))
    assert ready_condition(status) == ("False", "NameTaken", "host node-b: rename one")
    assert {host["name"]: host["state"] for host in status["hosts"]} == {
        "node-a": "BridgeNotFound",
        "node-b": "NameTaken",
        "node-c": "Active",
    }
    assert [host.get("message") for host in status["hosts"]] == ["make it", "rename one", None]


def test_many_hosts_that_fail_are_counted() -> None:
    parts = {f"node-{number}": LOST for number in range(1, 8)}
    status = told(scene(item(hosts=parts), parts, parts=parts))
    assert ready_condition(status)[:2] == ("Unknown", "HostUnreachable")
    assert ready_condition(status)[2].endswith("; and 3 hosts more")


def test_a_lost_host_makes_it_unknown_and_nothing_else() -> None:
    seen = part(view(), reach=LOST.reach)
    found = scene(item(DISK, hosts=["node-a"]), ["node-a"], parts={"node-a": seen})
    assert ready_condition(told(found)) == (
        "Unknown",
        "HostUnreachable",
        "host node-a cannot be reached; it may be there or not",
    )
    assert told(found)["nodeName"] == "node-a"
    assert stated(found)["Reconciling"] == "True"


def test_a_host_whose_virtualhost_is_gone_is_unknown() -> None:
    found = scene(item(DISK, hosts=["node-a"]), ["node-a"], parts={"node-a": UNKNOWN})
    assert ready_condition(told(found))[:2] == ("Unknown", "HostUnknown")


def test_what_a_new_operator_has_not_heard_yet_stays_as_it_was() -> None:
    known = {"conditions": conditions(), "printableStatus": "Active"}
    found = scene(item(hosts=["node-a"], status=known), ["node-a"], parts={"node-a": UNHEARD})
    assert decide(found) is None
    more = scene(item(hosts=["node-a"], status=known), ["node-a", "node-b"], parts={"node-a": UNHEARD})
    assert [host["name"] for host in told(more)["hosts"]] == ["node-a", "node-b"]
    assert told(more)["hosts"][0] == {"name": "node-a", "state": "Pending"}


def test_a_host_that_is_looked_for_for_a_moment_changes_nothing() -> None:
    settled = settle(scene(item(hosts=["node-a"]), ["node-a"], parts={"node-a": ready()}))
    away = dataclasses.replace(settled, parts={"node-a": part(view(), reach=CONNECTING.reach)})
    assert decide(away) is None


def test_what_was_refused_is_stalled_and_what_passes_is_tried_again() -> None:
    refused = scene(item(hosts=["node-a"]), ["node-a"], parts={"node-a": part(trouble=trouble(reason="PolicyRefused"))})
    assert ready_condition(told(refused)) == ("False", "PolicyRefused", "host node-a: it cannot be")
    assert stated(refused)["Stalled"] == "True"
    busy = part(trouble=trouble(reason="Busy", is_passing=True))
    assert stated(scene(item(hosts=["node-a"]), ["node-a"], parts={"node-a": busy}))["Reconciling"] == "True"
    later = dataclasses.replace(refused, now_s=1000.0)
    assert stated(later)["Stalled"] == "True", "until the next answer it stays as it was"


def test_a_status_that_says_the_same_is_not_written_again() -> None:
    settled = settle(scene(item(hosts=["node-a"]), ["node-a"], parts={"node-a": ready()}))
    assert decide(settled) is None


# what its hosts tell, folded


def test_a_disk_tells_what_its_host_tells() -> None:
    said = {
        "path": "/srv/data.qcow2",
        "size": "1Gi",
        "usedBy": ["default_web"],
        "nodeName": "",
        "lastError": {"reason": "x"},
    }
    status = told(scene(item(DISK, hosts=["node-a"]), ["node-a"], parts={"node-a": ready(**said)}))
    assert {name: status[name] for name in ("path", "size", "usedBy", "nodeName", "lastError")} == {
        **said,
        "nodeName": "node-a",
    }


def test_a_disk_whose_host_has_lost_its_store_keeps_what_was_known() -> None:
    known = {"path": "/srv/data.qcow2", "size": "1Gi"}
    status = told(scene(item(DISK, hosts=["node-a"], status=known), ["node-a"]))
    assert (status["path"], status["size"]) == ("/srv/data.qcow2", "1Gi")


def test_an_image_tells_the_progress_of_its_slowest_host() -> None:
    parts = {
        "node-a": ready(path="/p/a", size="2Gi", checksum="ab"),
        "node-b": part(
            view(
                progressPercent=10,
                transferred="1Mi",
                transferSize="10Mi",
                conditions=conditions("False", "Downloading"),
            )
        ),
        "node-c": part(
            view(
                progressPercent=70,
                transferred="7Mi",
                transferSize="10Mi",
                conditions=conditions("False", "Downloading"),
            )
        ),
    }
    status = told(scene(item(IMAGE, hosts=parts), parts, parts=parts))
    assert (status["progressPercent"], status["transferred"], status["transferSize"]) == (10, "1Mi", "10Mi")
    assert (status["path"], status["size"], status["checksum"]) == ("/p/a", "2Gi", "ab")


def test_a_path_that_differs_between_hosts_is_told_of_none() -> None:
    parts = {"node-a": ready(path="/p/a"), "node-b": ready(path="/q/a")}
    assert "path" not in told(scene(item(IMAGE, hosts=parts), parts, parts=parts))


def test_row_47_a_pool_tells_each_hosts_sizes_and_their_sum() -> None:
    parts = {
        "node-a": ready(capacity="10Gi", available="5Gi", path="/p"),
        "node-b": ready(capacity="20Gi", available="1Gi", path="/p"),
    }
    status = told(scene(item(POOL, hosts=parts), parts, parts=parts))
    assert (status["capacity"], status["available"], status["path"]) == ("30Gi", "6Gi", "/p")
    assert status["hosts"] == [
        {"name": "node-a", "state": "Active", "capacity": "10Gi", "available": "5Gi"},
        {"name": "node-b", "state": "Active", "capacity": "20Gi", "available": "1Gi"},
    ]


def test_fields_that_wait_on_some_host_are_told_with_the_hosts() -> None:
    waiting = {"restartRequired": ["spec.mtu"], "conditions": conditions(RestartRequired="True")}
    parts = {"node-a": ready(**waiting), "node-b": ready(**waiting), "node-c": ready()}
    status = told(scene(item(hosts=parts), parts, parts=parts))
    assert status["restartRequired"] == ["spec.mtu"]
    (found,) = [each for each in status["conditions"] if each["type"] == "RestartRequired"]
    assert found["message"] == "host node-a: Ready; host node-b: Ready"


def test_progress_may_wait_a_moment_and_what_settles_may_not() -> None:
    fetching = conditions("False", "Downloading", Reconciling="True")
    first = settle(
        scene(
            item(IMAGE, hosts=["node-a"]),
            ["node-a"],
            parts={"node-a": part(view(progressPercent=1, conditions=fetching))},
        )
    )
    further = dataclasses.replace(first, parts={"node-a": part(view(progressPercent=2, conditions=fetching))})
    effect = decide(further)
    assert isinstance(effect, PutStatus)
    assert not effect.is_urgent
    effect = decide(dataclasses.replace(first, parts={"node-a": ready()}))
    assert isinstance(effect, PutStatus)
    assert effect.is_urgent


# pools come to hosts and leave them


def test_a_host_that_is_not_to_have_the_pool_any_more_gives_it_up() -> None:
    found = scene(item(POOL, hosts=["node-a", "node-b"]), ["node-a"], parts={"node-a": ready(), "node-b": ready()})
    assert decide_errand(found, "node-b") == Errand(DeleteOn("node-b", "uid-1"))
    waiting = part(
        view(is_deleting=True, conditions=conditions("False", "Terminating", "it is used by a")), delivered=deleted()
    )
    going = dataclasses.replace(found, parts={**found.parts, "node-b": waiting})
    assert decide_errand(going, "node-b") == NOTHING
    assert told(going)["hosts"][1] == {"name": "node-b", "state": "Terminating", "message": "it is used by a"}
    assert ready_condition(told(going))[0] == "True"
    gone = dataclasses.replace(found, parts={**found.parts, "node-b": part(is_gone=True)})
    assert [host["name"] for host in told(gone)["hosts"]] == ["node-a"]
    assert decide_errand(gone, "node-b") == NOTHING


def test_a_host_that_is_to_have_the_pool_again_is_given_it_again() -> None:
    found = scene(item(POOL, hosts=["node-a"]), ["node-a"], parts={"node-a": part(is_gone=True)})
    assert decide_errand(found, "node-a") == Errand(ApplyOn("node-a"))


def test_networks_and_images_stay_where_they_are() -> None:
    for traits in (NETWORK, IMAGE):
        found = scene(item(traits, hosts=["node-b"]), parts={"node-b": ready()})
        assert decide_errand(found, "node-b") == NOTHING
        assert [host["name"] for host in told(found)["hosts"]] == ["node-b"]
        assert ready_condition(told(found))[1] == "NotNeeded"


def test_a_host_that_nobody_needs_it_on_and_that_does_not_have_it_is_told_of_no_more() -> None:
    assert "hosts" not in told(scene(item(hosts=["node-b"])))


def test_a_removed_host_is_told_of_no_more_and_an_event_says_what_may_stay() -> None:
    for traits in (NETWORK, POOL):
        found = scene(
            item(traits, hosts=["node-a", "node-b"]), ["node-a"], parts={"node-a": ready(), "node-b": UNKNOWN}
        )
        effect = decide(found)
        assert isinstance(effect, PutStatus)
        assert [host["name"] for host in effect.status["hosts"]] == ["node-a"]
        assert effect.left_behind.startswith("host node-b could not be asked: ")
        unsettled = dataclasses.replace(found, is_settled=False)
        assert [host["name"] for host in told(unsettled)["hosts"]] == ["node-a", "node-b"]


def test_a_lost_host_is_told_of_although_nobody_needs_it_there() -> None:
    found = scene(item(hosts=["node-a", "node-b"]), ["node-a"], parts={"node-a": ready(), "node-b": LOST})
    assert [host["name"] for host in told(found)["hosts"]] == ["node-a", "node-b"]


# deletion


def test_what_was_never_anywhere_goes_at_once() -> None:
    assert decide(scene(item(is_deleting=True))) == ReleaseFinalizer()
    assert decide(scene(item(is_deleting=True, has_finalizer=False))) is None
    assert decide(scene(item(is_deleting=True, has_finalizer=False), ["node-a"])) is None


def test_every_host_lets_go_before_the_object_does() -> None:
    found = scene(item(is_deleting=True, hosts=["node-a", "node-b"]), parts={"node-a": ready(), "node-b": ready()})
    assert decide_errand(found, "node-a") == Errand(DeleteOn("node-a", "uid-1"))
    assert decide_errand(found, "node-b") == Errand(DeleteOn("node-b", "uid-1"))
    half = dataclasses.replace(found, parts={"node-a": part(is_gone=True), "node-b": ready()})
    assert told(half)["printableStatus"] == "Terminating"
    assert decide_errand(half, "node-a") == NOTHING
    assert (
        decide(dataclasses.replace(found, parts={host: part(is_gone=True) for host in found.parts}))
        == ReleaseFinalizer()
    )


def test_a_view_that_went_is_no_answer_and_the_host_is_asked() -> None:
    found = scene(item(is_deleting=True, hosts=["node-a"]), parts={"node-a": part(delivered=deleted())})
    assert decide_errand(found, "node-a") == Errand(DeleteOn("node-a", "uid-1"))


def test_a_deletion_that_a_host_works_on_is_not_asked_again() -> None:
    message = "volume /p is used by default_web; it is deleted once they are gone"
    working = part(view(is_deleting=True, conditions=conditions("False", "Terminating", message)), delivered=deleted())
    found = scene(item(DISK, is_deleting=True, hosts=["node-a"]), parts={"node-a": working})
    assert decide_errand(found, "node-a") == NOTHING
    assert ready_condition(told(found)) == ("False", "Terminating", message)


def test_a_deletion_that_failed_is_told_and_tried_again() -> None:
    found = scene(
        item(DISK, is_deleting=True, hosts=["node-a"]), parts={"node-a": part(view(), trouble=trouble(DELETION))}
    )
    assert decide_errand(found, "node-a") == Errand(look_again_s=50.0)
    assert ready_condition(told(found)) == ("False", "Refused", "it cannot be")


def test_row_48_a_disk_in_use_waits_for_its_users_and_no_host_is_asked() -> None:
    users = tuple(f"VirtualMachine default/web-{number}" for number in range(7))
    found = scene(item(DISK, is_deleting=True, hosts=["node-a"]), ["node-a"], parts={"node-a": ready()}, users=users)
    assert decide_errand(found, "node-a") == NOTHING
    status, reason, message = ready_condition(told(found))
    assert (status, reason) == ("False", "InUse")
    assert "VirtualMachine default/web-0" in message
    assert message.endswith("and 2 more; it is deleted once they are gone")
    assert told(found)["nodeName"] == "node-a"


def test_a_lost_host_holds_a_deletion_until_the_user_says_otherwise() -> None:
    for traits in (DISK, NETWORK):
        found = scene(item(traits, is_deleting=True, hosts=["node-a"]), parts={"node-a": LOST})
        assert ready_condition(told(found))[1] == "HostUnreachable"
        forced = dataclasses.replace(found, item=dataclasses.replace(found.item, is_forced=True))
        effect = decide(forced)
        assert isinstance(effect, ReleaseFinalizer)
        assert effect.left_behind.startswith("host node-a could not be asked: ")
        assert isinstance(decide(dataclasses.replace(forced, is_settled=False)), PutStatus)


def test_force_does_not_pass_over_a_host_that_answers() -> None:
    forced = scene(item(DISK, is_deleting=True, is_forced=True, hosts=["node-a"]), parts={"node-a": ready()})
    assert isinstance(decide(forced), PutStatus)
    assert decide_errand(forced, "node-a") == Errand(DeleteOn("node-a", "uid-1"))


def test_a_removed_host_holds_only_the_deletion_of_disks() -> None:
    disk = scene(item(DISK, is_deleting=True, hosts=["node-a"], status={"path": "/p/d"}), parts={"node-a": UNKNOWN})
    assert ready_condition(told(disk))[1] == "HostUnreachable"
    forced = decide(dataclasses.replace(disk, item=dataclasses.replace(disk.item, is_forced=True)))
    assert forced == ReleaseFinalizer(
        "host node-a could not be asked: VirtualDisk default/lan (/p/d) may be left there"
    )
    network = decide(scene(item(is_deleting=True, hosts=["node-a"]), parts={"node-a": UNKNOWN}))
    assert isinstance(network, ReleaseFinalizer)
    assert network.left_behind


def test_a_deletion_waits_for_hosts_that_a_new_operator_has_not_heard() -> None:
    assert decide(scene(item(is_deleting=True, hosts=["node-a"]), parts={"node-a": UNHEARD})) is None


def test_what_a_host_shows_of_an_object_that_is_deleted_is_removed_although_nobody_wrote_the_host_down() -> None:
    found = scene(item(is_deleting=True), parts={"node-b": ready()})
    assert decide_errand(found, "node-b") == Errand(DeleteOn("node-b", "uid-1"))
