"""xVirt itself, into a cluster: what `kubectl apply -k deploy/kustomize/PART` would send, kept by Pulumi."""

from pathlib import Path

import pulumi
from pulumi_kubernetes.kustomize.v2 import Directory

KUSTOMIZE = Path(__file__).resolve().parents[2] / "deploy" / "kustomize"
DEFAULT_PARTS = ["default"]

parts: list[str] = pulumi.Config().get_object("parts") or DEFAULT_PARTS
strange = [part for part in parts if not (KUSTOMIZE / part / "kustomization.yaml").is_file()]
if strange:
    known = sorted(path.parent.name for path in KUSTOMIZE.glob("*/kustomization.yaml"))
    raise pulumi.RunError(f"parts: {', '.join(strange)} is none of deploy/kustomize; use {', '.join(known)}")
before: list[pulumi.Resource] = []
for part in parts:
    before = [
        Directory(part, directory=str(KUSTOMIZE / part), opts=pulumi.ResourceOptions(depends_on=before)),
    ]
