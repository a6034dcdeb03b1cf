"""Flux with a repository that the test writes: the test plays source-controller, kustomize-controller is the real one."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import itertools
import subprocess
import tarfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tools.cluster.api import Api, Json
from tools.cluster.services import wait_for
from tools.flux import find_program, read_crds

TIMEOUT_S = 60.0
_KUSTOMIZATION = "kustomize.toolkit.fluxcd.io/v1"
_SOURCE = "source.toolkit.fluxcd.io/v1"
_numbers = itertools.count(1)


class Server:
    """Files on loopback, by name."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}
        files = self._files

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = files.get(self.path)
                self.send_response(404 if body is None else 200)
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *arguments: Any) -> None:
                """Quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def put(self, name: str, content: bytes) -> str:
        """Its URL."""
        self._files[f"/{name}"] = content
        return f"http://127.0.0.1:{self._server.server_address[1]}/{name}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Flux:
    """kustomize-controller as a process, with its kinds."""

    def __init__(self, api: Api, kubeconfig: Path, log: Path) -> None:
        self.api = api
        self.server = Server()
        for document in read_crds():
            api.apply(document, manager="test", force=True)
            spec = document["spec"]
            path = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
            wait_for(functools.partial(api.answers, path), TIMEOUT_S, f"{path} to be served")
        options = ["--metrics-addr=127.0.0.1:0", "--health-addr=127.0.0.1:0", "--enable-leader-election=false"]
        with log.open("wb") as handle:
            self._process = subprocess.Popen(
                [str(find_program()), "--watch-all-namespaces", "--requeue-dependency=1s", *options],
                env={"KUBECONFIG": str(kubeconfig), "HOME": str(log.parent), "TMPDIR": str(log.parent)},
                stdout=handle,
                stderr=handle,
                stdin=subprocess.DEVNULL,
            )

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self.server.stop()


class Repository:
    """One repository and one Kustomization of it, in a namespace."""

    def __init__(self, flux: Flux, namespace: str, **options: Any) -> None:
        self._flux = flux
        self._api = flux.api
        self._meta = {"name": "infra", "namespace": namespace}
        self._options = options
        self._is_declared = False

    def push(self, documents: Mapping[str, Json]) -> str:
        """Commit these files, by name, and no others. The revision."""
        revision = f"main@sha1:{next(_numbers):040x}"
        content = _pack({f"{name}.yaml": yaml.safe_dump(document).encode() for name, document in documents.items()})
        url = self._flux.server.put(f"{revision.rpartition(':')[2]}.tar.gz", content)
        source = {"apiVersion": _SOURCE, "kind": "GitRepository", "metadata": self._meta}
        if self._api.find(source) is None:
            self._api.create({**source, "spec": {"interval": "10m", "url": "https://example.org/infra.git"}})
        artifact = {
            "url": url,
            "path": "infra.tar.gz",
            "revision": revision,
            "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
            "lastUpdateTime": "2026-01-01T00:00:00Z",
            "size": len(content),
        }
        ready = {"type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored"}
        status = {"observedGeneration": 1, "artifact": artifact, "conditions": [ready | _MOMENT]}
        self._api.apply_status({**source, "status": status}, manager="source-controller")
        self._declare()
        return revision

    def _declare(self) -> None:
        if self._is_declared:
            return
        self._is_declared = True
        spec = {
            "interval": "1h",
            "retryInterval": "2s",
            "timeout": "5s",
            "path": "./",
            "prune": True,
            "sourceRef": {"kind": "GitRepository", "name": self._meta["name"]},
        }
        self._api.create({**self._reference, "spec": spec | self._options})

    def sync(self) -> None:
        """Ask for a look at once, and wait until it was taken."""
        asked = f"request-{next(_numbers)}"
        self._api.merge(self._reference, {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": asked}}})
        self.until(lambda status: status.get("lastHandledReconcileAt") == asked, "Flux to look")

    @property
    def _reference(self) -> Json:
        return {"apiVersion": _KUSTOMIZATION, "kind": "Kustomization", "metadata": dict(self._meta)}

    def status(self) -> Json:
        """Of the Kustomization."""
        return dict(self._api.read(self._reference).get("status") or {})

    def ready(self) -> Json:
        """Its Ready condition."""
        conditions = self.status().get("conditions") or ()
        return next((item for item in conditions if item["type"] == "Ready"), {})

    def until(self, is_so: Callable[[Json], Any], what: str) -> None:
        try:
            wait_for(lambda: bool(is_so(self.status())), TIMEOUT_S, what)
        except Exception as error:
            raise AssertionError(f"{error}; the Kustomization says {self.status()}") from error

    def applied(self, revision: str) -> None:
        """Wait until a revision is applied and, where the Kustomization waits, healthy."""
        self.until(
            lambda status: status.get("lastAppliedRevision") == revision and self.ready().get("status") == "True",
            f"{revision} to be applied",
        )

    def refused(self, revision: str, words: str) -> str:
        """Wait until Flux says that it failed with these words, in an attempt at a revision. What it says."""
        self.until(
            lambda status: (
                status.get("lastAttemptedRevision") == revision
                and self.ready().get("status") == "False"
                and words in self.ready().get("message", "")
            ),
            f"{revision} to fail with {words!r}",
        )
        return str(self.ready()["message"])

    def stop(self) -> None:
        """Delete the Kustomization and what it made."""
        self._api.delete(self._reference)
        wait_for(lambda: self._api.find(self._reference) is None, TIMEOUT_S, "the Kustomization to go")


_MOMENT = {"lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1}


def _pack(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()
