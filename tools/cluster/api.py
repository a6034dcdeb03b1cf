"""A small blocking client of the API server, for tests and tools. It shares no code with the operator, which it helps to judge."""

from __future__ import annotations

import base64
import http.client
import json
import select
import ssl
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tools.cluster.errors import ClusterError

Json = dict[str, Any]
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
_TIMEOUT_S = 30.0


class ApiRefused(ClusterError):
    """The API server answered with a Status: `code`, `reason` (AlreadyExists, Invalid, ...), and its whole body."""

    def __init__(self, what: str, code: int, status: Json) -> None:
        super().__init__(f"{what}: {code} {status.get('reason', '')}: {status.get('message', '')}")
        self.code = code
        self.reason: str = status.get("reason", "")
        self.status = status

    @property
    def causes(self) -> dict[str, str]:
        """Path -> what is wrong there with a document, a line for each."""
        found: dict[str, str] = {}
        for cause in (self.status.get("details") or {}).get("causes") or ():
            path, message = cause.get("field", ""), cause.get("message", "")
            found[path] = f"{found[path]}\n{message}" if path in found else message
        return found


@dataclass(frozen=True)
class Access:
    """Where an API server is, and as whom to call it."""

    host: str
    port: int
    ca: str
    certificate: str
    key: str

    def context(self, scratch: Path) -> ssl.SSLContext:
        """TLS for it. ssl reads certificates from files alone: `scratch` is a directory that only we can read."""
        context = ssl.create_default_context(cadata=self.ca)
        pair = scratch / "client.pem"
        pair.touch(mode=0o600)
        pair.write_text(self.certificate + self.key)
        context.load_cert_chain(pair)
        pair.unlink()
        return context


def read_access(kubeconfig: Path) -> Access:
    """Of the only context of a kubeconfig that this package wrote."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    url = urllib.parse.urlsplit(cluster["server"])

    def decode(text: str) -> str:
        return base64.b64decode(text).decode()

    return Access(
        host=url.hostname or "",
        port=url.port or 443,
        ca=decode(cluster["certificate-authority-data"]),
        certificate=decode(user["client-certificate-data"]),
        key=decode(user["client-key-data"]),
    )


class Api:
    """One identity's calls, from any thread: each thread has a connection of its own."""

    def __init__(self, kubeconfig: Path, timeout_s: float = _TIMEOUT_S) -> None:
        self._access = read_access(kubeconfig)
        self._context = self._access.context(kubeconfig.parent)
        self._local = threading.local()
        self._timeout_s = timeout_s

    # objects, by their documents

    def create(self, document: Json, **query: str) -> Json:
        """POST. Raises ApiRefused."""
        return self.call("POST", self._collection(document), document, query=query)

    def apply(self, document: Json, *, manager: str = "test", force: bool = False, **query: str) -> Json:
        """Server-side apply. Raises ApiRefused."""
        options = {"fieldManager": manager, "force": str(force).lower(), **query}
        return self.call("PATCH", self.path_of(document), document, content_type=APPLY, query=options)

    def apply_status(self, document: Json, *, manager: str = "test") -> Json:
        """Server-side apply of the status, by force. Raises ApiRefused."""
        options = {"fieldManager": manager, "force": "true"}
        return self.call("PATCH", f"{self.path_of(document)}/status", document, content_type=APPLY, query=options)

    def replace(self, document: Json, **query: str) -> Json:
        """PUT. Raises ApiRefused."""
        return self.call("PUT", self.path_of(document), document, query=query)

    def merge(self, document: Json, change: Json) -> Json:
        """Merge-patch the object that `document` names. Raises ApiRefused."""
        return self.call("PATCH", self.path_of(document), change, content_type=MERGE)

    def read(self, document: Json) -> Json:
        """The object that `document` names. Raises ApiRefused."""
        return self.call("GET", self.path_of(document))

    def find(self, document: Json) -> Json | None:
        """The same; None where it is gone."""
        try:
            return self.read(document)
        except ApiRefused as error:
            if error.code == 404:
                return None
            raise

    def delete(self, document: Json, **options: Any) -> Json:
        """DELETE with DeleteOptions such as `gracePeriodSeconds=0`. Raises ApiRefused."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **options}
        return self.call("DELETE", self.path_of(document), body)

    def list(self, api_version: str, kind: str, namespace: str = "", **query: str) -> list[Json]:
        """All objects of a kind, in a namespace or everywhere. Raises ApiRefused."""
        path = collection_path(api_version, kind, namespace)
        items: list[Json] = self.call("GET", path, query=query)["items"]
        return items

    def path_of(self, document: Json) -> str:
        """The path of the object that `document` names."""
        return f"{self._collection(document)}/{document['metadata']['name']}"

    def _collection(self, document: Json) -> str:
        return collection_path(document["apiVersion"], document["kind"], document["metadata"].get("namespace", ""))

    # the wire

    def is_ready(self) -> bool:
        """Whether /readyz answers ok."""
        try:
            return self.text("/readyz") == "ok"
        except (ClusterError, OSError):
            return False

    def answers(self, path: str) -> bool:
        """Whether a GET is answered with success. Raises OSError where there is no answer."""
        return self._send("GET", path, None, "")[0] < 400

    def text(self, path: str) -> str:
        """The body of a GET that is no JSON. Raises ApiRefused, OSError."""
        code, body = self._send("GET", path, None, "")
        if code >= 400:
            raise ApiRefused(f"GET {path}", code, {"message": body.decode(errors="replace")})
        return body.decode()

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Json:
        """One request; JSON in and out. Raises ApiRefused for an answer of 400 and above, OSError where there is none."""
        target = f"{path}?{urllib.parse.urlencode(query)}" if query else path
        code, data = self._send(method, target, body, content_type)
        answer: Json = _parse(data)
        if code >= 400:
            raise ApiRefused(f"{method} {target}", code, answer)
        return answer

    def _send(self, method: str, target: str, body: Any, content_type: str) -> tuple[int, bytes]:
        payload = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Accept": "application/json"} | ({"Content-Type": content_type} if payload is not None else {})
        with self._connection() as connection:
            connection.request(method, target, payload, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

    @contextmanager
    def _connection(self) -> Iterator[http.client.HTTPSConnection]:
        """The thread's connection; dropped by any error, so that the next call begins afresh."""
        kept: http.client.HTTPSConnection | None = getattr(self._local, "connection", None)
        access = self._access
        if kept is not None and _is_dropped(kept):
            kept.close()
            kept = None
        connection = kept or http.client.HTTPSConnection(
            access.host, access.port, context=self._context, timeout=self._timeout_s
        )
        self._local.connection = None
        try:
            yield connection
        except http.client.HTTPException as error:
            connection.close()
            raise ConnectionError(f"{access.host}:{access.port}: {error!r}") from error
        except BaseException:
            connection.close()
            raise
        self._local.connection = connection


def _is_dropped(connection: http.client.HTTPSConnection) -> bool:
    """Whether the server has closed it meanwhile, as one that was restarted has: nobody sends on an idle connection but to end it."""
    return connection.sock is None or bool(select.select([connection.sock], [], [], 0)[0])


def collection_path(api_version: str, kind: str, namespace: str = "") -> str:
    """The path of a kind's objects."""
    root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    within = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}{within}/{_plural(kind.lower())}"


def _plural(word: str) -> str:
    """As Kubernetes' own kinds and ours are spelled."""
    if word == "endpoints":
        return word
    if word.endswith("y"):
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith(("s", "x", "ch")) else f"{word}s"


def _parse(data: bytes) -> Json:
    try:
        parsed: Json = json.loads(data)
    except ValueError:
        return {"message": data.decode(errors="replace").strip()}
    return parsed
