"""xVirt's kinds as the API server serves them, made from the model's table."""

from __future__ import annotations

from xvirt import API_VERSION
from xvirt.model.kinds import KINDS
from xvirt.model.meta import Scope
from xvirt.operator.runtime.resources import Resource

_GROUP, _VERSION = API_VERSION.split("/")

RESOURCES: dict[str, Resource] = {
    kind.name: Resource(_GROUP, _VERSION, kind.plural, kind.name, is_namespaced=kind.scope is Scope.NAMESPACED)
    for kind in KINDS
}
"""By the kind's name."""

VIRTUAL_MACHINES = RESOURCES["VirtualMachine"]
VIRTUAL_HOSTS = RESOURCES["VirtualHost"]
