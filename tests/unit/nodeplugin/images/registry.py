"""A container registry of the tests, after the OCI distribution specification: manifests, blobs with ranges, tokens."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.server
import io
import json
import platform
import tarfile
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Any

from nodeplugin.images.registry import ARCHITECTURES, MANIFEST_TYPES

INDEX, MANIFEST = MANIFEST_TYPES[0], MANIFEST_TYPES[1]


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def tar_of(*members: tuple[str | tarfile.TarInfo, bytes]) -> bytes:
    """A tar archive of files (by path) or of ready-made heads."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members:
            head = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            head.size = len(content)
            archive.addfile(head, io.BytesIO(content))
    return written.getvalue()


class Registry:
    """Serves what is put in. `token`: what is asked for, after a 401; `cut_blobs_after`: each answer of a blob breaks after so many
    bytes; `blob_redirect`: another registry that blobs are to be had from."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[str, bytes]] = {}
        self.token: str | None = None
        self.realm: str | None = None
        self.expires_after: int | None = None
        self.cut_blobs_after: int | None = None
        self.blob_redirect: Registry | None = None
        self.requests: list[str] = []
        self.authorizations: list[str | None] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.close_connection = True
                with contextlib.suppress(OSError):
                    outer.answer(self)

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_address[1]}"

    @contextlib.contextmanager
    def running(self) -> Iterator[Registry]:
        """Serve until the end of the block."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    # what it has

    def put_blob(self, data: bytes) -> dict[str, Any]:
        """Its descriptor."""
        self.blobs[digest_of(data)] = data
        return {
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": digest_of(data),
            "size": len(data),
        }

    def put_json(self, kind: str, content: dict[str, Any], tag: str | None = None) -> str:
        """A manifest or an index, under its digest and a tag; returns the digest."""
        data = json.dumps({"schemaVersion": 2, "mediaType": kind} | content).encode()
        self.manifests[digest_of(data)] = (kind, data)
        if tag is not None:
            self.manifests[tag] = (kind, data)
        return digest_of(data)

    def put_image(self, *layers: bytes, tag: str | None = "12") -> str:
        """An image of these layers, lowest first; returns its digest."""
        config = self.put_blob(b"{}")
        return self.put_json(MANIFEST, {"config": config, "layers": [self.put_blob(layer) for layer in layers]}, tag)

    def put_index(self, images: dict[str, str], tag: str = "12") -> str:
        """An index from architecture to digest."""
        items = [
            {"mediaType": MANIFEST, "digest": digest, "size": 1, "platform": {"os": "linux", "architecture": name}}
            for name, digest in images.items()
        ]
        return self.put_json(INDEX, {"manifests": items}, tag)

    def put_disk(self, content: bytes, tag: str = "12") -> str:
        """The usual container disk: one packed layer with the one file in /disk."""
        return self.put_image(gzip.compress(tar_of(("disk/disk.img", content))), tag=tag)

    # what it answers

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        """One request."""
        path = urllib.parse.urlsplit(handler.path)
        self.requests.append(path.path)
        sent = handler.headers.get("Authorization")
        self.authorizations.append(sent)
        if path.path == "/token":
            self._send(handler, 200, json.dumps({"token": self.token}).encode())
        elif self.token is not None and sent != f"Bearer {self.token}":
            realm = self.realm or f"http://{self.host}/token"
            challenge = f'Bearer realm="{realm}",service="tests",scope="repository:a:pull"'
            self._send(handler, 401, b"", {"WWW-Authenticate": challenge})
        elif "/manifests/" in path.path:
            self._send_manifest(handler, path.path.rpartition("/")[2])
        else:
            self._send_blob(handler, path.path.rpartition("/")[2])

    def _send_manifest(self, handler: http.server.BaseHTTPRequestHandler, version: str) -> None:
        kind, data = self.manifests.get(urllib.parse.unquote(version), ("", b""))
        is_asked = kind in (handler.headers.get("Accept") or "")
        if not kind or not is_asked:
            self._send(handler, 404, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')
            return
        self._send(handler, 200, data, {"Content-Type": kind})
        if self.expires_after is not None:
            self.token = "another"

    def _send_blob(self, handler: http.server.BaseHTTPRequestHandler, digest: str) -> None:
        if self.blob_redirect is not None:
            place = f"http://{self.blob_redirect.host}/v2/cdn/blobs/{digest}"
            self._send(handler, 307, b"", {"Location": place})
            return
        data = self.blobs.get(digest)
        if data is None:
            self._send(handler, 404, b"")
            return
        wanted = handler.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        fields = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        self._send(handler, 206 if start else 200, data[start:], fields, self.cut_blobs_after)

    def _send(
        self,
        handler: http.server.BaseHTTPRequestHandler,
        status: int,
        body: bytes,
        fields: dict[str, str] | None = None,
        cut_after: int | None = None,
    ) -> None:
        handler.send_response(status)
        for name, value in (fields or {}).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body if cut_after is None else body[:cut_after])


def other_architecture() -> str:
    """One that this host does not have."""
    own = ARCHITECTURES.get(platform.machine(), platform.machine())
    return "s390x" if own != "s390x" else "amd64"
