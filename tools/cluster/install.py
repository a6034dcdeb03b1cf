"""What of xVirt goes into a cluster before the operator starts."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import yaml

from tools.cluster.api import Api, Json
from tools.cluster.services import wait_for

REPOSITORY = Path(__file__).resolve().parents[2]
CRDS = REPOSITORY / "crds"
_ESTABLISHED_TIMEOUT_S = 60.0
_MANAGER = "xvirt-install"


def crd_documents() -> list[Json]:
    """Every CustomResourceDefinition of the repository."""
    return [yaml.safe_load(file.read_text()) for file in sorted(CRDS.glob("*.yaml"))]


def install_crds(api: Api) -> None:
    """Apply them, and wait until the API server serves their kinds. Raises ApiRefused with what it does not accept."""
    documents = crd_documents()
    for document in documents:
        api.apply(document, manager=_MANAGER, force=True)
    for document in documents:
        name = document["metadata"]["name"]
        wait_for(partial(_is_served, api, document), _ESTABLISHED_TIMEOUT_S, f"{name} to be served")


def _is_served(api: Api, document: Json) -> bool:
    conditions = api.read(document).get("status", {}).get("conditions", ())
    if not any(item["type"] == "Established" and item["status"] == "True" for item in conditions):
        return False
    spec = document["spec"]
    versions = [version["name"] for version in spec["versions"] if version["served"]]
    # Established comes a moment before the first request is answered.
    found = [api.answers(f"/apis/{spec['group']}/{version}/{spec['names']['plural']}") for version in versions]
    return all(found)
