"""Scenes to decide on, from a few words."""

from __future__ import annotations

import dataclasses
from typing import Any

from xvirt.operator.machines.decide import PutStatus, decide
from xvirt.operator.machines.records import Holder, Machine, Scene, Wanted
from xvirt.operator.names import FINALIZER, FORCE_DELETE_ANNOTATION
from xvirt.operator.nodes.state import Reach, Session, Sighting
from xvirt.operator.nodes.views import NodeView, ViewKey
from xvirt.operator.packing import pack

UID = "6f1c5f6e-5d0a-4d0f-9a53-0d6a6f2d1a01"
OTHER_UID = "6f1c5f6e-5d0a-4d0f-9a53-0d6a6f2d1a02"
DOMAIN = "0c1c5f6e-5d0a-4d0f-9a53-0d6a6f2d1a03"
NOW = "2026-01-01T12:00:00Z"
DIGEST = "d1"
FORCED = {FORCE_DELETE_ANNOTATION: "true"}
SESSION = Session("boot-1", 2)
SPEC = {"memory": {"size": "1Gi"}, "cpu": {"cores": 2}}


def condition(
    kind: str, status: str, reason: str = "R", message: str = "", at: str = "2026-01-01T10:00:00Z"
) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": 1,
        "lastTransitionTime": at,
    }


def running(host: str = "node-a", **more: Any) -> dict[str, Any]:
    """A node's status of a machine that runs as declared."""
    return {
        "observedGeneration": 1,
        "printableStatus": "Running",
        "powerState": "Running",
        "uuid": UID,
        "domainName": "default_web",
        "nodeName": host,
        "conditions": [
            condition("Ready", "True", "Running"),
            condition("Reconciling", "False", "Settled"),
            condition("Stalled", "False", "NotStalled"),
            condition("RestartRequired", "False", "UpToDate"),
        ],
        **more,
    }


def starting(host: str = "node-a") -> dict[str, Any]:
    """A node's status of a machine that it works on."""
    status = running(host, printableStatus="Starting", powerState="Stopped")
    status["conditions"] = [
        condition("Ready", "False", "Progressing"),
        condition("Reconciling", "True", "Progressing"),
        condition("Stalled", "False", "NotStalled"),
    ]
    return status


def machine(**more: Any) -> Machine:
    """A machine with the finalizer and without a host."""
    given: dict[str, Any] = {
        "namespace": "default",
        "name": "web",
        "uid": UID,
        "version": "10",
        "generation": 1,
        "finalizers": (FINALIZER,),
        "spec": SPEC,
    }
    return Machine(**{**given, **more})


def placed(host: str = "node-a", **more: Any) -> Machine:
    """A machine whose host is written down."""
    status = {"nodeName": host, "observedGeneration": 1, "printableStatus": "Scheduled", "conditions": []}
    return machine(**{"status": status, **more})


def holder(host: str = "node-a", **more: Any) -> Holder:
    given: dict[str, Any] = {
        "namespace": "default",
        "name": "web-0123456789",
        "uid": "pod-1",
        "version": "11",
        "host": host,
        "phase": "Running" if host else "Pending",
        "created": "2026-01-01T11:00:00Z",
        "holds": "2 vCPUs, 1024 MiB",
        "digest": "h1",
    }
    return Holder(**{**given, **more})


def view(status: dict[str, Any] | None = None, **more: Any) -> NodeView:
    given: dict[str, Any] = {
        "key": ViewKey("VirtualMachine", "default", "web"),
        "uid": UID,
        "authority": "cluster",
        "epoch": 1,
        "generation": 1,
        "is_deleting": False,
        "applied": DIGEST,
        "packed_status": pack(running() if status is None else status),
    }
    return NodeView(**{**given, **more})


def seen(found: NodeView, host: str = "node-a") -> Sighting:
    return Sighting(host, found)


def wanted(**more: Any) -> Wanted:
    given: dict[str, Any] = {"digest": DIGEST, "holds": "2 vCPUs, 1024 MiB", "holder": "h1"}
    return Wanted(**{**given, **more})


def scene(**more: Any) -> Scene:
    """Two hosts that are known well, the second snapshot of the first life of each."""
    given: dict[str, Any] = {
        "machine": machine(),
        "reaches": {"node-a": Reach.SYNCED, "node-b": Reach.SYNCED},
        "sessions": {"node-a": SESSION, "node-b": SESSION},
        "wanted": wanted(),
        "epoch": 1,
        "now": NOW,
        "now_s": 1000.0,
    }
    return Scene(**{**given, **more})


def converged(**more: Any) -> Scene:
    """A machine that runs, with nothing to do."""
    given: dict[str, Any] = {
        "machine": placed(status=running()),
        "holders": (holder(),),
        "sightings": (seen(view()),),
    }
    return scene(**{**given, **more})


def lost(host_scene: Scene, reach: Reach = Reach.LOST) -> Scene:
    """The same, with node-a out of reach."""
    return dataclasses.replace(host_scene, reaches={**host_scene.reaches, "node-a": reach})


def conditions(status: dict[str, Any]) -> dict[str, str]:
    return {item["type"]: item["status"] for item in status["conditions"]}


def effect(given: Scene) -> Any:
    """What is done next."""
    return decide(given).effect


def status(given: Scene) -> dict[str, Any]:
    """The status that is written next."""
    made = effect(given)
    assert isinstance(made, PutStatus), made
    return made.status
