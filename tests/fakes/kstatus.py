"""How kstatus, and with it Flux and `kubectl`-like waiters, judges a custom resource: its rules in Python, for tests.

Written after the documented behaviour of sigs.k8s.io/cli-utils pkg/kstatus (README and its standard conditions); built-in kinds have
rules of their own there, which are left out.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any


class Kstatus(enum.StrEnum):
    """What a waiter goes by: it goes on with Current, gives up with Failed, and waits else."""

    CURRENT = "Current"
    IN_PROGRESS = "InProgress"
    FAILED = "Failed"
    TERMINATING = "Terminating"


_BY_CONDITION = {"Reconciling": Kstatus.IN_PROGRESS, "Stalled": Kstatus.FAILED}


def judge(document: Mapping[str, Any]) -> tuple[Kstatus, str]:
    """(status, message) of a custom resource as the API server returns it."""
    metadata, status = document["metadata"], document.get("status") or {}
    if metadata.get("deletionTimestamp") is not None:
        return Kstatus.TERMINATING, "Resource scheduled for deletion"
    observed = status.get("observedGeneration")
    if observed is not None and "generation" in metadata and observed != metadata["generation"]:
        return (
            Kstatus.IN_PROGRESS,
            f"generation is {metadata['generation']}, but latest observed generation is {observed}",
        )
    conditions = status.get("conditions") or ()
    for condition in conditions:
        if condition["type"] in _BY_CONDITION and condition["status"] == "True":
            return _BY_CONDITION[condition["type"]], condition.get("message", "")
    ready = next((item for item in conditions if item["type"] == "Ready"), None)
    if ready is not None and ready["status"] != "True":
        return Kstatus.IN_PROGRESS, ready.get("message", "")
    return Kstatus.CURRENT, "Resource is current"
