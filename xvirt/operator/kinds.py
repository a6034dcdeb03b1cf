"""xVirt's kinds as the API server serves them, made from the model's table."""

from __future__ import annotations

from xvirt import API_VERSION
from xvirt.model.fields import attributes
from xvirt.model.kinds import KINDS
from xvirt.model.meta import ConditionType, Scope
from xvirt.operator.runtime.resources import Resource
from xvirt.operator.runtime.writer import Known

_GROUP, _VERSION = API_VERSION.split("/")

RESOURCES: dict[str, Resource] = {
    kind.name: Resource(_GROUP, _VERSION, kind.plural, kind.name, is_namespaced=kind.scope is Scope.NAMESPACED)
    for kind in KINDS
}
"""By the kind's name."""

KNOWN: dict[str, Known] = {
    kind.name: Known(
        frozenset(item.json_name for item in attributes(kind.status)), frozenset(each.value for each in ConditionType)
    )
    for kind in KINDS
}
"""Of each kind's status, by its name."""

VIRTUAL_MACHINES = RESOURCES["VirtualMachine"]
VIRTUAL_HOSTS = RESOURCES["VirtualHost"]
