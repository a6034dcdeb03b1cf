"""What is kept of a node's objects."""

from __future__ import annotations

from typing import Any

from xvirt.model.exchange import ObjectRef, ObjectView, Token
from xvirt.operator.nodes.views import NodeView, NodeViews, ViewKey, read_view
from xvirt.operator.packing import pack

WEB = ViewKey("VirtualMachine", "default", "web")


def view(uid: str = "u-1", key: ViewKey = WEB, **more: Any) -> NodeView:
    given: dict[str, Any] = {
        "key": key,
        "uid": uid,
        "authority": "cluster",
        "epoch": 1,
        "generation": 1,
        "is_deleting": False,
        "applied": "d",
        "packed_status": pack({}),
    }
    return NodeView(**{**given, **more})


def test_a_view_keeps_what_decisions_need_and_gives_the_status_back() -> None:
    status = {"powerState": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    metadata = {"name": "web", "annotations": {"xvirt.io/applied": "digest"}}
    said = ObjectView(
        ref=ObjectRef(kind="VirtualMachine", namespace="default", name="web", uid="u-1", authority="cluster"),
        document={"metadata": metadata, "spec": {"memory": {}}, "status": status},
        token=Token(epoch=3, generation=7),
        is_deleting=True,
    )
    found = read_view(said)
    assert (found.key, found.uid, found.epoch, found.generation) == (WEB, "u-1", 3, 7)
    assert (found.is_deleting, found.applied, found.status) == (True, "digest", status)


def test_what_a_later_node_says_more_is_left_out() -> None:
    """In the cluster's status it would look like a later operator's word, which this one never takes back."""
    later = {"type": "Fenced", "status": "True"}
    ready = {"type": "Ready", "status": "True"}
    said = ObjectView(
        ref=ObjectRef(kind="VirtualMachine", namespace="default", name="web", uid="u-1", authority="cluster"),
        document={"status": {"powerState": "Running", "fencing": 1, "conditions": [ready, later]}},
        token=Token(),
    )
    assert read_view(said).status == {"powerState": "Running", "conditions": [ready]}


def test_a_document_without_anything_is_read_all_the_same() -> None:
    found = read_view(ObjectView(ref=ObjectRef(kind="X", name="x", uid="u"), document={}, token=Token()))
    assert (found.applied, found.status) == ("", {})


def test_the_same_view_again_changes_nothing() -> None:
    views = NodeViews()
    assert views.put(view()) == (view(),)
    assert views.put(view()) == ()
    assert views.put(view(generation=2)) == (view(generation=2),)
    assert len(views) == 1


def test_whoever_takes_a_name_drives_out_who_had_it() -> None:
    views = NodeViews()
    views.put(view())
    assert views.put(view("u-2")) == (view("u-2"), view())
    assert views.find("u-1") is None
    assert views.find_named(WEB) == view("u-2")


def test_a_late_farewell_does_not_take_the_successors_name() -> None:
    views = NodeViews()
    views.put(view())
    views.put(view("u-2"))
    assert views.drop("u-1") is None
    assert views.find_named(WEB) == view("u-2")


def test_a_snapshot_tells_what_changed_and_what_is_gone_and_nothing_else() -> None:
    views = NodeViews()
    other = ViewKey("VirtualMachine", "default", "db")
    third = ViewKey("VirtualMachine", "default", "mail")
    for known in (view(), view("u-2", other), view("u-3", third)):
        views.put(known)
    changed = views.replace([view(), view("u-2", other, generation=2)])
    assert set(changed) == {view("u-2", other, generation=2), view("u-3", third)}
    assert views.find("u-3") is None
    assert views.find_named(third) is None
    assert {each.uid for each in views} == {"u-1", "u-2"}
