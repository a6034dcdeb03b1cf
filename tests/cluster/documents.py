"""Documents for the tests against the API server."""

from __future__ import annotations

from typing import Any

from tools.cluster.api import Api, ApiRefused, Json, collection_path
from xvirt import API_VERSION
from xvirt.model.kinds import BY_NAME
from xvirt.model.meta import Scope

STRICT = {"fieldValidation": "Strict"}
TRIED = {**STRICT, "dryRun": "All"}


def declare(kind: str, name: str, namespace: str, spec: Any) -> Json:
    """A document of ours; the namespace is left out where the kind has none."""
    metadata = {"name": name} | ({"namespace": namespace} if is_namespaced(kind) else {})
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def is_namespaced(kind: str) -> bool:
    return BY_NAME[kind].scope is Scope.NAMESPACED


def judge(api: Api, kind: str, document: Any, namespace: str) -> ApiRefused | None:
    """What the API server has against a document; nothing is stored."""
    path = collection_path(API_VERSION, kind, namespace if is_namespaced(kind) else "")
    try:
        api.call("POST", path, document, query=TRIED)
    except ApiRefused as error:
        return error
    return None


MACHINE_IN_20_LINES = """\
apiVersion: xvirt.io/v1alpha1
kind: VirtualMachine
metadata:
  name: web
spec:
  cpu:
    cores: 2
  memory:
    size: 2Gi
  disks:
  - name: root
    source:
      image: debian-12
      size: 20Gi
  nics:
  - name: lan
    network: lan
  cloudInit:
    userData:
      secret: web-init
"""
