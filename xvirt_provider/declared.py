"""What all resource classes share: a program's arguments as inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi.dynamic import Resource

from xvirt.model.kinds import BY_NAME
from xvirt_provider.connection import XVirtNode
from xvirt_provider.naming import to_json_names
from xvirt_provider.options import Options
from xvirt_provider.provider import Provider

SECRETS = "secrets"


class Declared(Resource, module="xvirt", name="Declared"):
    """One declared object of a node."""

    KIND: str

    def __init__(
        self,
        resource_name: str,
        spec: Mapping[str, Any],
        common: Mapping[str, Any],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """`spec` in Python's names, entries of None left out; `common`: what every class takes beside its spec."""
        node: XVirtNode | None = common.get("node")
        options: Options | None = common.get("options")
        props: dict[str, Any] = {
            "kind": self.KIND,
            "metadata": {
                "name": common.get("name") or resource_name,
                **{key: common[key] for key in ("namespace", "labels", "annotations") if common.get(key) is not None},
            },
            "spec": to_json_names(BY_NAME[self.KIND].spec, spec),
            "authority": "/".join((pulumi.get_organization(), pulumi.get_project(), pulumi.get_stack())),
            "owner": resource_name,
            **dict.fromkeys(self._outputs()),
        }
        if common.get(SECRETS) is not None:
            props[SECRETS] = pulumi.Output.secret(common[SECRETS])
        props.update({key: common[key] for key in ("profile", "adopt") if common.get(key) is not None})
        if node is not None:
            props["node"] = node.to_input()
        if options is not None:
            props.update(options.to_input())
        opts = pulumi.ResourceOptions.merge(pulumi.ResourceOptions(additional_secret_outputs=[SECRETS]), opts)
        super().__init__(Provider(), resource_name, props, opts)

    def _outputs(self) -> tuple[str, ...]:
        """Names of outputs that are no inputs; Pulumi asks for each of them to be named beforehand."""
        return ("uid", "state", "conditions", "warning")
