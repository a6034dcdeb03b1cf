"""Whether an object and the one that takes its place can be there together: Pulumi makes the new one first where they can.

Two machines never share a disk, a MAC address or a name; two networks no bridge and no addresses; two pools no place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from xvirt.model.meta import DEFAULT_NAMESPACE
from xvirt_provider.connection import is_other_node

Values = Mapping[str, Any]


def find_collision(olds: Values, news: Values) -> str:
    """What the two would both have, for people; empty where they can be there together."""
    is_elsewhere = is_other_node(olds, news)
    if not is_elsewhere and olds["kind"] == news["kind"] and _name(olds) == _name(news):
        return f"the name {news['metadata']['name']}"
    shared = set(_claims(olds, is_elsewhere=is_elsewhere)) & set(_claims(news, is_elsewhere=is_elsewhere))
    return min(shared, default="")


def _name(inputs: Values) -> tuple[str, str]:
    metadata = inputs["metadata"]
    return metadata.get("namespace") or DEFAULT_NAMESPACE, metadata["name"]


def _claims(inputs: Values, *, is_elsewhere: bool) -> Iterator[str]:
    """What nobody else may have: on the same wire anywhere, on the same node the rest, too."""
    spec = inputs["spec"]
    for nic in spec.get("nics") or ():
        if nic.get("mac"):
            yield f"MAC address {nic['mac'].lower()}"
    if is_elsewhere:
        return
    for disk in spec.get("disks") or ():
        source = disk.get("source") or {}
        for key in ("disk", "path"):
            if source.get(key):
                yield f"disk {source[key]}"
    if spec.get("domain"):
        yield "what spec.domain declares"  # it may be a device of the host
    if inputs["kind"] == "VirtualNetwork":
        if spec.get("bridge"):
            yield f"bridge {spec['bridge']}"
        yield from (f"subnet {subnet['address']}" for subnet in spec.get("subnets") or () if subnet.get("address"))
    if inputs["kind"] == "StoragePool":
        yield from (f"{key} {spec[key]}" for key in ("path", "volumeGroup") if spec.get(key))
        yield from (f"device {device}" for device in spec.get("devices") or ())
