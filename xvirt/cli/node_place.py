"""A node as a place that holds objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xvirt.cli.manifests import Manifest
from xvirt.cli.place import About, Declared, Events, Verdict, Wish
from xvirt.cli.words import HOST_KIND
from xvirt.client.blocking import NodeClient
from xvirt.model.errors import NotFound
from xvirt.model.exchange import (
    ApplyCall,
    ApplyResult,
    Description,
    Detail,
    DryRun,
    Event,
    ObjectRef,
    ObjectView,
    OperateCall,
    Operation,
    Token,
)
from xvirt.model.kinds import Kind
from xvirt.model.meta import Scope

_VERSIONS = {
    "name": "nodeName",
    "version": "xvirtVersion",
    "libvirt": "libvirtVersion",
    "qemu": "qemuVersion",
    "accelerator": "accelerator",
}


class NodePlace:
    """Implements `Place`. `client` is for what only a node has."""

    poll_s = 0.1

    def __init__(self, client: NodeClient) -> None:
        self.client = client

    def about(self) -> About:
        status = self.client.node_info().document["status"]
        found = {name: status[field] for name, field in _VERSIONS.items()}
        versions = f"libvirt {found['libvirt']}, QEMU {found['qemu']}, {found['accelerator']}"
        sentence = f"node {found['name']}: {found['version']} ({versions})"
        return About(word="node", versions=found, sentence=sentence)

    def declare(self, manifest: Manifest, wish: Wish) -> Declared:
        before = self._find(manifest.ref)
        call = ApplyCall(
            document=manifest.document,
            secrets=manifest.secrets,
            dry_run=DryRun.PLAN if wish.is_dry else DryRun.NONE,
            profile=wish.profile,
        )
        result = self.client.apply(call, wish.timeout_s)
        return Declared(
            verdict=_verdict(before, result),
            changes=result.changes,
            plan=result.plan,
            waiting_for=result.waiting_for,
        )

    def _find(self, ref: ObjectRef) -> Any:
        try:
            return self.client.get(ref).document
        except NotFound:
            return None

    def get(self, ref: ObjectRef) -> ObjectView:
        return self._host(ref.name) if ref.kind == HOST_KIND else self.client.get(ref)

    def list_objects(self, kind: str, namespace: str = "", detail: Detail = Detail.WHOLE) -> list[ObjectView]:
        return [self._host()] if kind == HOST_KIND else self.client.list_objects(kind, namespace, detail)

    def _host(self, name: str = "") -> ObjectView:
        document = self.client.node_info().document
        own = document["metadata"]["name"]
        if name not in ("", own):
            raise NotFound(f"{HOST_KIND} {name} is not this node, which is {own}; give another one by --node")
        return ObjectView(ref=ObjectRef(kind=HOST_KIND, name=own), document=document, token=Token())

    def describe(self, ref: ObjectRef) -> Description:
        return Description(object=self._host(ref.name)) if ref.kind == HOST_KIND else self.client.describe(ref)

    def inspect(self, ref: ObjectRef) -> Description:
        return self.client.describe(ref)

    def delete(self, ref: ObjectRef, *, force: bool = False) -> None:
        self.client.delete(ref, force=force)

    def operate(self, call: OperateCall) -> Operation:
        return self.client.operate(call)

    def list_events(self, ref: ObjectRef | None = None, namespace: str = "") -> list[Event]:
        found = self.client.list_events(ref)
        return [event for event in found if not namespace or event.ref.namespace in ("", namespace)]

    def watch(self, kinds: Sequence[Kind], namespace: str = "") -> Events:
        is_one = len(kinds) == 1
        # A namespace given to the node leaves kinds out that have none.
        is_within = is_one and kinds[0].scope is Scope.NAMESPACED
        return self.client.watch(kinds[0].name if is_one else "", namespace if is_within else "")

    def watch_events(self, namespace: str = "") -> Events:
        return self.client.watch()


def _verdict(before: Any, result: ApplyResult) -> Verdict:
    if before is None:
        return Verdict.CREATED
    is_same = before["metadata"].get("generation") == result.object.token.generation
    return Verdict.UNCHANGED if is_same else Verdict.CONFIGURED
