"""The holder pod of a machine: it asks the cluster's own scheduler for the machine's room and keeps it. Pure.

The machine's QEMU is not in it. Its one container waits; it does not end by SIGTERM, and a finalizer keeps the pod counted until the
machine's host has let go (facts: the scheduler stops counting a pod whose containers have ended).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from xvirt import API_VERSION
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.quantity import ByteSize
from xvirt.operator.machines.records import Holder, Machine
from xvirt.operator.names import (
    DIGEST_ANNOTATION,
    EXTENDED_PREFIX,
    FINALIZER,
    HOLDER_CONTAINER,
    HOLDS_ANNOTATION,
    HOST_LABEL,
    MEMORY_RESOURCE,
    OPEN_RESOURCE,
    PINNED_ANNOTATION,
    SLOTS_RESOURCE,
    VCPUS_RESOURCE,
    VM_NAME_LABEL,
    VM_UID_LABEL,
)
from xvirt.operator.readings import part_of

NAME_MAX_LENGTH = 63
"""A pod's name is also its host name."""
_DIGEST_LENGTH = 10
_MIB = 1 << 20
_HOLDER_USER = 65532
_STAY = tuple(
    {"key": f"node.kubernetes.io/{taint}", "operator": "Exists", "effect": "NoExecute"}
    for taint in ("not-ready", "unreachable")
)
"""Whether a host is lost is the operator's to judge, by proof; the cluster's own eviction would only hide that a machine runs there."""
_IS_HOST = (
    {"key": HOST_LABEL, "operator": "Exists"},
    {"key": HOST_LABEL, "operator": "NotIn", "values": ["false"]},
)
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_FOREIGN_LABELS = ("app.kubernetes.io/managed-by", "pod-template-hash", "controller-revision-hash")


@dataclasses.dataclass(frozen=True, kw_only=True)
class HolderSettings:
    """What an administrator decides of all holders.

    `cpu_allocation_ratio`: vCPUs for one requested CPU. `memory_overcommit_percent`: machines' memory in percent of what is requested
    for it. `overhead_bytes`: what a QEMU takes beside its guest's memory, before that of vCPUs and page tables.
    """

    image: str = "ghcr.io/xvirt/holder:latest"
    priority_class: str = "xvirt-machines"
    cpu_allocation_ratio: int = 1
    memory_overcommit_percent: int = 100
    overhead_bytes: int = 128 * _MIB
    grace_period_s: int = 30 * 24 * 3600


@dataclasses.dataclass(frozen=True)
class Needs:
    """The room that a machine takes, in what pods ask for."""

    cpu_milli: int
    memory_bytes: int
    vcpus: int
    guest_mib: int

    @property
    def size(self) -> str:
        """The machine's own size, whatever is asked for it."""
        return f"{self.vcpus} vCPUs, {self.guest_mib} MiB"

    def resources(self, *, is_placed: bool) -> dict[str, dict[str, str]]:
        """As a container's. Kubernetes takes extended resources in no other way than as limits that are requests."""
        extended = {SLOTS_RESOURCE: "1", VCPUS_RESOURCE: str(self.vcpus), MEMORY_RESOURCE: str(self.guest_mib)}
        if not is_placed:
            extended[OPEN_RESOURCE] = "1"
        own = {"cpu": f"{self.cpu_milli}m", "memory": str(self.memory_bytes)}
        return {"requests": {**own, **extended}, "limits": extended}


def find_needs(spec: Mapping[str, Any], settings: HolderSettings) -> Needs:
    """Raises InvalidSpec where the spec does not say how large the machine is; whatever else is wrong with it is its node's to say."""
    try:
        vcpus = int(part_of(spec, "cpu").get("cores") or 1)
        guest_bytes = int(ByteSize(part_of(spec, "memory").get("size") or ""))
    except (TypeError, ValueError) as error:
        raise InvalidSpec([Problem("spec.memory.size", str(error), "write a quantity such as 2Gi")]) from error
    overhead_bytes = settings.overhead_bytes + vcpus * 8 * _MIB + guest_bytes // 512
    memory_bytes = guest_bytes * 100 // settings.memory_overcommit_percent + overhead_bytes
    return Needs(
        cpu_milli=math.ceil(vcpus * 1000 / settings.cpu_allocation_ratio),
        memory_bytes=memory_bytes,
        vcpus=vcpus,
        guest_mib=math.ceil(guest_bytes / _MIB),
    )


def holder_name(machine: Machine, spent: tuple[Holder, ...] = ()) -> str:
    """Derived from the machine, and from those holders that it is to replace: a repeated create finds what it made before."""
    parts = [machine.uid, *sorted(holder.uid for holder in spent)]
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_DIGEST_LENGTH]
    stem = machine.name[: NAME_MAX_LENGTH - _DIGEST_LENGTH - 1].rstrip("-")
    return f"{stem}-{digest}"


def holder_document(
    machine: Machine,
    settings: HolderSettings,
    *,
    pin: str = "",
    hosts: tuple[str, ...] = (),
    spent: tuple[Holder, ...] = (),
) -> dict[str, Any]:
    """The pod. `pin`: the only host that may have it, where the machine is there already. `hosts`: the only ones that may have it because
    of its disks and pools; empty: all."""
    is_placed = bool(pin)
    spec = _pod_spec(machine, settings, _only(pin or machine.wished_host) or hosts, is_placed=is_placed)
    annotations = {HOLDS_ANNOTATION: find_needs(machine.spec, settings).size, DIGEST_ANNOTATION: _digest(spec)}
    bound_to = pin or ",".join(hosts)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": holder_name(machine, spent),
            "namespace": machine.namespace,
            "labels": _labels(machine),
            "annotations": {**annotations, PINNED_ANNOTATION: bound_to} if bound_to else annotations,
            "finalizers": [FINALIZER],
            "ownerReferences": [_owner(machine)],
        },
        "spec": spec,
    }


def holder_digest(machine: Machine, settings: HolderSettings, *, pin: str, hosts: tuple[str, ...] = ()) -> str:
    """`Holder.digest` of the holder that the machine should have."""
    named = _only(pin or machine.wished_host) or hosts
    return _digest(_pod_spec(machine, settings, named, is_placed=bool(pin)))


def _digest(spec: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16]


def _only(host: str) -> tuple[str, ...]:
    return (host,) if host else ()


def _labels(machine: Machine) -> dict[str, str]:
    """The machine's own, so that affinity, spread and services may speak of machines; ours cannot be overridden."""
    own = {key: value for key, value in machine.labels.items() if key not in _FOREIGN_LABELS}
    own = {key: value for key, value in own.items() if not key.startswith(EXTENDED_PREFIX)}
    return {**own, VM_UID_LABEL: machine.uid, VM_NAME_LABEL: machine.name}


def _owner(machine: Machine) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "VirtualMachine",
        "name": machine.name,
        "uid": machine.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _pod_spec(machine: Machine, settings: HolderSettings, hosts: tuple[str, ...], *, is_placed: bool) -> dict[str, Any]:
    placement = part_of(machine.spec, "placement")
    spec: dict[str, Any] = {
        "affinity": _affinity(placement, hosts, is_placed=is_placed),
        "tolerations": [{"operator": "Exists"}] if is_placed else [*_tolerations(placement), *_STAY],
        "priorityClassName": placement.get("priorityClassName") or settings.priority_class,
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": settings.grace_period_s,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _HOLDER_USER,
            "runAsGroup": _HOLDER_USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(find_needs(machine.spec, settings).resources(is_placed=is_placed), settings)],
    }
    if not spec["priorityClassName"]:
        del spec["priorityClassName"]
    if not is_placed:
        wished = ("nodeSelector", "topologySpreadConstraints")
        spec |= {name: placement[name] for name in wished if placement.get(name)}
    return spec


def _container(resources: Mapping[str, Any], settings: HolderSettings) -> dict[str, Any]:
    return {
        "name": HOLDER_CONTAINER,
        "image": settings.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/xvirt-holder"],
        "resources": dict(resources),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _affinity(placement: Mapping[str, Any], hosts: tuple[str, ...], *, is_placed: bool) -> dict[str, Any]:
    """The wishes of a machine that has no host yet: any host, or any of `hosts`. One that has a host asks for room there and for
    nothing else."""
    if is_placed:
        return {"nodeAffinity": {_REQUIRED: {"nodeSelectorTerms": [_named(host) for host in hosts]}}}
    wished = part_of(placement, "affinity")
    of_nodes = part_of(wished, "nodeAffinity")
    # Each of the user's terms is an alternative: what every host must be goes into all of them. A term takes one name.
    terms = part_of(of_nodes, _REQUIRED).get("nodeSelectorTerms") or [{}]
    alternatives = [_on_hosts(term, host) for term in terms for host in hosts or ("",)]
    made: dict[str, Any] = {_REQUIRED: {"nodeSelectorTerms": alternatives}}
    if of_nodes.get(_PREFERRED):
        made[_PREFERRED] = of_nodes[_PREFERRED]
    others = {name: wished[name] for name in ("podAffinity", "podAntiAffinity") if wished.get(name)}
    return {"nodeAffinity": made, **others}


def _on_hosts(term: Mapping[str, Any], host: str) -> dict[str, Any]:
    expressions = [*(term.get("matchExpressions") or ()), *_IS_HOST]
    return {"matchExpressions": expressions, **(_named(host) if host else {})}


def _named(host: str) -> dict[str, Any]:
    return {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [host]}]}


def _tolerations(placement: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in toleration.items() if value} for toleration in placement.get("tolerations") or ()
    ]
