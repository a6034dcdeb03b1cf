"""Disks out of container images: the OCI distribution specification's pull, as anybody (no password), of what one file needs.

manifest (or an index of them, of which this host's architecture is taken) -> layers from the top -> the first that has the disk's file.
Every byte is held against the digest that names it, so with a digest in the reference the registry needs no trust at all.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import platform
import re
import urllib.parse
from typing import Any

from nodeplugin.images.fetch import UrlFetch
from nodeplugin.images.files import Partial, check_size
from nodeplugin.images.layers import DISK_FOLDER, LayerFacts, extract_disk, read_small
from nodeplugin.images.port import ImageRequest, Origin
from nodeplugin.images.reference import DIGEST, parse_reference
from nodeplugin.images.task import Task
from nodeplugin.images.web import Gate, Request, Unauthorized, get, translated
from xvirt.model.errors import InvalidSpec, NotFound, Problem, Refused, RetryLater

MANIFEST_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "ppc64le": "ppc64le", "s390x": "s390x", "riscv64": "riscv64"}
"""Kernel's names as Go's, which container images use."""
_PARAMETER = re.compile(r'([a-zA-Z]+)="([^"]*)"')


class ContainerFetch:
    """One container image's disk into the partial's unpacked file."""

    def __init__(self, request: ImageRequest, partial: Partial, gate: Gate, task: Task) -> None:
        self._request = request
        self._reference = parse_reference(request.source)
        self._partial = partial
        self._gate = gate
        self._task = task
        self._base = gate.policy.registry_url(self._reference)
        self._authorization = ""
        self.is_resumed = False

    def run(self) -> str:
        """`sha256:...` of the manifest that the reference names. Raises InvalidSpec, NotFound, Refused, RetryLater, OSError."""
        manifest, digest = self._read_manifest(self._reference.version, self._reference.digest)
        if self._request.checksum not in (None, digest):
            return digest  # the caller tells of the difference; nothing more is fetched
        if "manifests" in manifest:
            chosen = _choose(manifest, self._request.source)
            manifest, _ = self._read_manifest(chosen, chosen)
        for layer in reversed(self._layers(manifest)):
            facts = self._read_layer(layer)
            if facts.found is not None:
                return digest
            if facts.hides_below:
                break
        wanted = self._request.member or f"file in /{DISK_FOLDER}"
        raise _mistaken(f"{self._request.source} has no {wanted}", "name a container image that holds a disk")

    def _read_manifest(self, version: str, digest: str | None) -> tuple[dict[str, Any], str]:
        url = f"{self._base}/manifests/{version}"
        data = self._get_small(url, ", ".join(MANIFEST_TYPES), self._task.limits.manifest_max_bytes)
        found = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if digest not in (None, found):
            raise RetryLater(
                f"{self._request.source}: the registry sent a manifest of {found}", reason="ChecksumDiffers"
            )
        manifest = _parse(data, self._request.source)
        if "manifests" not in manifest and "layers" not in manifest:
            raise _mistaken(
                f"{self._request.source} is neither an OCI nor a Docker version 2 image", "name a container image"
            )
        return manifest, found

    def _layers(self, manifest: dict[str, Any]) -> list[dict[str, Any]]:
        layers = manifest["layers"] if isinstance(manifest.get("layers"), list) else []
        if not layers or len(layers) > self._task.limits.layers_max:
            message = f"{self._request.source} has {len(layers)} layers, 1 to {self._task.limits.layers_max} are taken"
            raise Refused(message, reason="ImageTooLarge")
        return [_judge_descriptor(layer, self._request.source) for layer in layers]

    def _read_layer(self, layer: dict[str, Any]) -> LayerFacts:
        check_size(layer["size"], self._task.limits, self._request.source)
        found = self._fetch_layer(layer["digest"])
        if found != layer["digest"]:
            self._partial.reset()
            message = f"{self._request.source}: layer {layer['digest']} came as {found}"
            raise RetryLater(f"{message}; it is fetched anew", reason="ChecksumDiffers")
        facts = extract_disk(
            self._partial.path, self._partial.unpacked_path, self._request.member, self._task, self._request.source
        )
        if facts.found is None:
            self._partial.reset()
        return facts

    def _fetch_layer(self, digest: str) -> str:
        """`sha256:...` of what came. A token lasts minutes, a layer may take hours: one that has run out is asked for again."""
        url = f"{self._base}/blobs/{digest}"
        blob = dataclasses.replace(self._request, origin=Origin.URL, source=url, checksum=digest)
        try:
            return UrlFetch(blob, self._partial, self._gate, self._task, self._authorization).run()
        except Unauthorized as error:
            self._authorization = f"Bearer {self._find_token(error.challenge)}"
        try:
            return UrlFetch(blob, self._partial, self._gate, self._task, self._authorization).run()
        except Unauthorized as error:
            raise _denied(self._request.source) from error

    def _get_small(self, url: str, accept: str, bound: int) -> bytes:
        """A short answer; a registry that wants a token for anybody gets one."""
        try:
            return self._get_once(Request(url=url, accept=accept, authorization=self._authorization), bound)
        except Unauthorized as error:
            if self._authorization:
                raise _denied(self._request.source) from error
            self._authorization = f"Bearer {self._find_token(error.challenge)}"
        try:
            return self._get_once(Request(url=url, accept=accept, authorization=self._authorization), bound)
        except Unauthorized as error:
            raise _denied(self._request.source) from error

    def _get_once(self, request: Request, bound: int) -> bytes:
        with get(request, self._gate, self._task) as answer, translated(request.url, self._task):
            if answer.status != 200:
                raise Refused(f"{request.url} answers {answer.status} to a plain question", reason="DownloadFailed")
            return read_small(answer.body, bound, request.url)

    def _find_token(self, challenge: str) -> str:
        """An anonymous token (https://distribution.github.io/distribution/spec/auth/token/)."""
        scheme, _, rest = challenge.partition(" ")
        fields = dict(_PARAMETER.findall(rest))
        realm = fields.get("realm", "")
        if scheme.lower() != "bearer" or not realm:
            raise _denied(self._request.source)
        if self._base.startswith("https:") and not realm.startswith("https:"):
            raise Refused(
                f"{self._request.source}: the registry sends to a token server without TLS", reason="RedirectDenied"
            )
        query = {"scope": f"repository:{self._reference.repository}:pull"}
        if fields.get("service"):
            query["service"] = fields["service"]
        joint = "&" if "?" in realm else "?"
        try:
            data = self._get_once(
                Request(url=f"{realm}{joint}{urllib.parse.urlencode(query)}"), self._task.limits.token_max_bytes
            )
        except Unauthorized as error:
            raise _denied(self._request.source) from error
        answer = _parse(data, realm)
        token = answer.get("token") or answer.get("access_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
            raise Refused(f"{self._request.source}: the token server gives no token", reason="Unauthorized")
        return token


def _choose(index: dict[str, Any], subject: str) -> str:
    """The digest of this host's manifest in an index."""
    wanted = ARCHITECTURES.get(platform.machine(), platform.machine())
    items = (
        [item for item in index["manifests"] if isinstance(item, dict)] if isinstance(index["manifests"], list) else []
    )
    found = [item for item in items if _platform_of(item) in (("linux", wanted), ("", ""))]
    if not found:
        offered = ", ".join(sorted({"/".join(_platform_of(item)) for item in items})[:10]) or "none"
        raise NotFound(f"{subject} has no image for linux/{wanted}; it has: {offered}", reason="PlatformNotFound")
    return str(_judge_descriptor(found[0], subject)["digest"])


def _platform_of(item: dict[str, Any]) -> tuple[str, str]:
    found = item.get("platform")
    if not isinstance(found, dict):
        return "", ""
    return str(found.get("os", ""))[:32], str(found.get("architecture", ""))[:32]


def _judge_descriptor(item: object, subject: str) -> dict[str, Any]:
    digest, size = (item.get("digest"), item.get("size")) if isinstance(item, dict) else (None, None)
    is_sound = isinstance(digest, str) and DIGEST.match(digest) and isinstance(size, int) and size >= 0
    if not is_sound:
        raise _mistaken(
            f"{subject}: its manifest names a part without a sha256 digest and a size", "name another image"
        )
    return {"digest": digest, "size": size}


def _parse(data: bytes, subject: str) -> dict[str, Any]:
    found: object = None
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(data)
    if not isinstance(found, dict):
        raise Refused(f"{subject}: the registry's answer is no JSON object", reason="DownloadFailed")
    return found


def _mistaken(message: str, remedy: str) -> InvalidSpec:
    return InvalidSpec([Problem("spec.source.containerDisk", message, remedy)], reason="ImageCorrupt")


def _denied(subject: str) -> Refused:
    message = f"{subject} is not there, or not for everybody: images are pulled without a password"
    return Refused(f"{message}; name a public one, or use source.url or an upload", reason="Unauthorized")
