"""Kubeconfig files with everything inside."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import yaml

_NAME = "xvirt"


def write_kubeconfig(target: Path, server: str, ca: Path, certificate: Path, key: Path) -> Path:
    """A kubeconfig of one cluster and one user, for its owner alone."""
    cluster = {"server": server, "certificate-authority-data": _encode(ca)}
    user = {"client-certificate-data": _encode(certificate), "client-key-data": _encode(key)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": _NAME, "cluster": cluster}],
        "users": [{"name": _NAME, "user": user}],
        "contexts": [{"name": _NAME, "context": {"cluster": _NAME, "user": _NAME}}],
        "current-context": _NAME,
    }
    partial = target.with_name(f".{target.name}.new")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        yaml.safe_dump(config, file, sort_keys=False)
    partial.rename(target)
    return target


def _encode(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
