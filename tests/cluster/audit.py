"""What an API server was asked for, by its audit log."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import yaml

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [{"level": "Metadata"}],
}


@dataclasses.dataclass(frozen=True)
class Request:
    """One request; `resource` with its subresource after a slash."""

    user: str
    verb: str
    group: str
    resource: str
    code: int

    @property
    def right(self) -> tuple[str, str, str]:
        """As RBAC names it."""
        return self.group, self.resource, self.verb


def flags(directory: Path) -> tuple[str, ...]:
    """Of an API server that writes everything down in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    policy = directory / "policy.yaml"
    policy.write_text(yaml.safe_dump(POLICY))
    return (
        f"--audit-policy-file={policy}",
        f"--audit-log-path={directory / 'audit.log'}",
        "--audit-log-mode=blocking-strict",
    )


def read(directory: Path) -> Iterator[Request]:
    """Every request for a resource, in order."""
    for line in (directory / "audit.log").read_text().splitlines():
        event = json.loads(line)
        found = event.get("objectRef")
        if found is not None:
            below = f"/{found['subresource']}" if "subresource" in found else ""
            yield Request(
                user=event["user"]["username"],
                verb=event["verb"],
                group=found.get("apiGroup", ""),
                resource=f"{found.get('resource', '')}{below}",
                code=event.get("responseStatus", {}).get("code", 0),
            )
