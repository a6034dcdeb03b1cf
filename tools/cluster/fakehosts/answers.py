"""What a fake node checks and tells beside its objects. Pure."""

from __future__ import annotations

import dataclasses
import hashlib
import uuid
from collections.abc import Sequence

from nodeplugin.records import Secrets
from tools.cluster.fakehosts.sizes import Spec
from xvirt import API_VERSION, __version__
from xvirt.model.codec import canonical_json
from xvirt.model.errors import Forbidden, InvalidSpec, Problem
from xvirt.model.exchange import ApplyCall, Caller, NodeDescription, ObjectView
from xvirt.model.kinds import BY_NAME
from xvirt.model.quantity import ByteSize
from xvirt.model.values import encode
from xvirt.model.virtualhost import Accelerator, HostPool, VirtualHostStatus

CAPABILITIES = ("apply", "delete", "watch", "operate", "describe", "events")
_POOL_SIZE = ByteSize(1 << 40)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """What the host says that it has."""

    cpus: int = 64
    memory_bytes: int = 256 << 30


DEFAULT_SIZE = Size()


def describe_host(name: str, size: Size, boot_id: str, running: Sequence[Spec], domains: int) -> NodeDescription:
    """The answer of NodeInfo."""
    status = VirtualHostStatus(
        observed_generation=1,
        node_name=name,
        host_uuid=str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
        boot_id=boot_id,
        xvirt_version=__version__,
        libvirt_version="9.0.0",
        qemu_version="7.2.0",
        architecture="x86_64",
        accelerator=Accelerator.TCG,
        accelerator_reason="a fake host",
        cpus=size.cpus,
        memory=ByteSize(size.memory_bytes),
        allocated_cpus=sum(spec.get("cpu", {}).get("cores", 1) for spec in running),
        allocated_memory=ByteSize(sum(ByteSize(spec["memory"]["size"]) for spec in running)),
        domains=domains,
        pools=(HostPool(name="default", uuid=str(uuid.UUID(int=1)), capacity=_POOL_SIZE, available=_POOL_SIZE),),
        api_versions=(API_VERSION,),
    )
    head = {"apiVersion": API_VERSION, "kind": "VirtualHost", "metadata": {"name": name}, "spec": {}}
    return NodeDescription(document={**head, "status": encode(status)}, capabilities=CAPABILITIES)


def without_spec(view: ObjectView) -> ObjectView:
    """As a list of states has it."""
    return dataclasses.replace(view, document={key: value for key, value in view.document.items() if key != "spec"})


def check_kind(kind: str) -> None:
    """Raises InvalidSpec for a kind that there is not."""
    if kind and kind not in BY_NAME:
        raise InvalidSpec([Problem("kind", f"{kind!r} is not known", f"use one of {', '.join(sorted(BY_NAME))}")])


def check_namespace(caller: Caller, namespace: str) -> None:
    """Raises Forbidden where a caller may not use a namespace."""
    if "*" not in caller.namespaces and namespace not in caller.namespaces:
        raise Forbidden(f"{caller.name} may not use namespace {namespace}; the node's config grants namespaces")


def pick_secrets(call: ApplyCall) -> tuple[Secrets, str]:
    """Secrets that were sent along, and what tells them from others."""
    secrets = {item.name: dict(item.data) for item in call.secrets}
    if not secrets:
        return {}, ""
    texts = [(name, key, value.hex()) for name, data in secrets.items() for key, value in data.items()]
    return secrets, hashlib.sha256(canonical_json({"secrets": sorted(map(list, texts))})).hexdigest()
