"""What all resource classes share: a declaration becomes a resource of the node, or a custom resource of a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi.dynamic import Resource

from xvirt_provider import cluster
from xvirt_provider.connection import XVirtNode
from xvirt_provider.fleet import FleetGroup, XVirtFleet
from xvirt_provider.inputs import Declaration, make_declaration
from xvirt_provider.provider import Provider
from xvirt_provider.settings import read_settings

SECRETS = "secrets"


class Declared(Resource, module="xvirt", name="Declared"):
    """One declared object of a node or of a cluster."""

    KIND: str
    metadata: pulumi.Output[Mapping[str, Any]]

    def __init__(
        self,
        resource_name: str,
        spec: Mapping[str, Any],
        common: Mapping[str, Any],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """`spec` in Python's names, entries of None left out; `common`: what every class takes beside its spec."""
        declaration = make_declaration(self.KIND, resource_name, spec, common, read_settings())
        if declaration.target == "cluster":
            custom = cluster.make_custom_resource(declaration, common.get("node"), opts)
            pulumi.CustomResource.__init__(self, custom.type, resource_name, custom.props, custom.opts)
            for name, output in cluster.outputs(self, self.KIND, self._outputs()).items():
                setattr(self, name, output)
            return
        props = {**_node_inputs(declaration, common.get("node")), **dict.fromkeys(self._outputs())}
        opts = pulumi.ResourceOptions.merge(pulumi.ResourceOptions(additional_secret_outputs=[SECRETS]), opts)
        super().__init__(Provider(), resource_name, props, opts)

    @property
    def object_name(self) -> pulumi.Output[str]:
        """Name of the object, which a preview knows. What names it by this is made after it and unmade before it."""
        return self.metadata.apply(lambda found: str(found["name"]))

    def _outputs(self) -> tuple[str, ...]:
        """Names of outputs that are no inputs; Pulumi asks for each of them to be named beforehand."""
        return ("uid", "state", "conditions", "warning")


def _node_inputs(declaration: Declaration, node: XVirtNode | XVirtFleet | FleetGroup | None) -> dict[str, Any]:
    props: dict[str, Any] = {
        "kind": declaration.kind,
        "metadata": declaration.metadata,
        "spec": declaration.spec,
        "authority": "/".join((pulumi.get_organization(), pulumi.get_project(), pulumi.get_stack())),
        "owner": declaration.resource_name,
        **declaration.options.to_input(),
    }
    if declaration.secrets:
        contents = pulumi.Output.all(*(pulumi.Output.all(name, content) for name, content in declaration.secrets))
        props[SECRETS] = pulumi.Output.secret(contents.apply(_by_name))
    props.update({key: value for key in ("profile", "adopt") if (value := getattr(declaration, key)) is not None})
    if node is not None:
        props["node"] = node.to_input()
    return props


def _by_name(contents: list[list[Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, content in contents:
        if content:
            found[name] = {**found.get(name, {}), **content}
    return found
