"""KubeVirt's volumes and CDI's data volumes: what a disk holds, as xVirt's images, disks and sources."""

from __future__ import annotations

import base64
import binascii
import dataclasses
from typing import Any

from xvirt.imports.result import Manifests, make, to_label
from xvirt.imports.source import Ledger, Source
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.quantity import ByteSize

_COMPRESSIONS = {".gz": "Gzip", ".xz": "Xz", ".zst": "Zstd"}
_KEPT_BY_UPLOAD = "bring the content with `xvirt image upload {name} FILE`"
_FOREIGN_SOURCES = ("s3", "gcs", "imageio", "vddk", "snapshot", "persistentVolumeClaim")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backing:
    """What a volume became: a disk's source, what is to be said of it, or a volume that is no disk here."""

    source: dict[str, Any] | None = None
    deletion_policy: str | None = None
    cloud_init: dict[str, Any] | None = None


class Volumes:
    """The volumes of one machine."""

    def __init__(self, manifests: Manifests, namespace: str, ledger: Ledger) -> None:
        self._manifests = manifests
        self._namespace = namespace
        self._ledger = ledger

    def read(self, volume: Source) -> Backing | None:
        """None for a volume that has no counterpart; it is told."""
        readers = {
            "containerDisk": self._container_disk,
            "dataVolume": self._data_volume,
            "persistentVolumeClaim": self._claim,
            "emptyDisk": self._empty_disk,
            "ephemeral": self._ephemeral,
            "hostDisk": self._host_disk,
            "cloudInitNoCloud": self._cloud_init,
            "cloudInitConfigDrive": self._cloud_init,
        }
        for key, read in readers.items():
            if key in volume:
                if key == "cloudInitConfigDrive":
                    volume.note(key, "becomes a NoCloud volume, which cloud-init reads as well")
                return read(volume.enter(key))
        return None

    def _container_disk(self, source: Source) -> Backing:
        image = source.text("image") or ""
        source.miss(
            "imagePullSecret", "registries are asked without a password", "use a public image, a URL or an upload"
        )
        source.take("imagePullPolicy")
        path = source.text("path")
        self._ledger.note(source.at("image"), "keeps what the guest writes; KubeVirt forgets it with the pod")
        return Backing(source={"image": self._container_image(image, path)})

    def _container_image(self, image: str, path: str | None) -> str:
        name = to_label(image.rpartition("/")[2].partition("@")[0])
        disk: dict[str, Any] = {"image": with_registry(image)}
        if path:
            disk["path"] = path
        return self._put_image((name, to_label(image)), {"source": {"containerDisk": disk}})

    def _data_volume(self, source: Source) -> Backing:
        source.take("hotpluggable")
        return self._declared(source, "name")

    def _claim(self, source: Source) -> Backing:
        source.take("hotpluggable")
        return self._declared(source, "claimName")

    def _declared(self, source: Source, key: str) -> Backing:
        name = self._label(source, key)
        if self._manifests.find("VirtualDisk", self._namespace, name) is None:
            self._ledger.miss(
                source.at(key),
                f"the claim's content stays in the cluster; the machine waits for VirtualDisk {name}",
                f"{_KEPT_BY_UPLOAD.format(name=name)}, and declare VirtualDisk {name} with source.image {name}",
            )
        return Backing(source={"disk": name})

    def _ephemeral(self, source: Source) -> Backing:
        self._ledger.miss(source.path, "what the guest writes is kept; xVirt has no disk that forgets")
        return self._claim(source.enter("persistentVolumeClaim"))

    def _empty_disk(self, source: Source) -> Backing:
        return Backing(source={"size": str(source.size("capacity") or 0)}, deletion_policy="Delete")

    def _host_disk(self, source: Source) -> Backing:
        path = source.text("path") or ""
        kind, capacity = source.text("type"), source.size("capacity")
        name = to_label(path.rpartition("/")[2])
        source.miss("shared", "a disk has one writer")
        name = self._put_image((name, to_label(path)), {"source": {"path": path}, "format": "raw"})
        message = f"copied from {path} once; the file itself stays as it is"
        if kind == "DiskOrCreate":
            message += ", and must be there"
        self._ledger.note(source.at("path"), message)
        return Backing(source={"image": name, "copy": "Full", **({"size": str(capacity)} if capacity else {})})

    def _cloud_init(self, source: Source) -> Backing:
        found: dict[str, Any] = {}
        for key, secret_key, ours in (
            ("userData", "secretRef", "userData"),
            ("networkData", "networkDataSecretRef", "networkData"),
        ):
            text = source.text(key)
            encoded = source.text(f"{key}Base64")
            if encoded is not None:
                text = _decoded(encoded, source.at(f"{key}Base64"), self._ledger.subject)
            secret = source.enter(secret_key).text("name") if secret_key in source else None
            if secret is not None:
                found[ours] = {"secret": secret, "key": key.lower()}
            elif text is not None:
                found[ours] = {"inline": text}
        return Backing(cloud_init=found)

    def _label(self, source: Source, key: str) -> str:
        written = source.text(key) or ""
        name = to_label(written)
        if name != written:
            self._ledger.note(source.at(key), f"is called {name} here")
        return name

    def _put_image(self, names: tuple[str, str], spec: dict[str, Any]) -> str:
        """Declare an image under its short name, or under its long one where another has the short one."""
        short, full = names
        there = self._manifests.find("VirtualImage", self._namespace, short)
        name = short if there is None or there["spec"] == spec else full
        self._manifests.add(make("VirtualImage", name, spec, self._namespace))
        return name


def read_data_volume(source: Source, manifests: Manifests, namespace: str) -> None:
    """A DataVolume, or a machine's template of one: a VirtualDisk, and the VirtualImage that it is made from."""
    ledger = source.ledger
    metadata, spec = source.enter("metadata"), source.enter("spec")
    written = metadata.text("name") or ""
    name = to_label(written)
    if name != written:
        ledger.note(metadata.at("name"), f"is called {name} here")
    metadata.take_all()  # what CDI and the API server note there
    disk: dict[str, Any] = {}
    size = _requested_size(spec)
    if size:
        disk["size"] = str(size)
    content = _content(spec, name, manifests, namespace)
    if content:
        disk["source"] = content
    manifests.add(make("VirtualDisk", name, disk, namespace), written)


def _requested_size(spec: Source) -> ByteSize | None:
    for key in ("storage", "pvc"):
        if key not in spec:
            continue
        claim = spec.enter(key)
        claim.take("accessModes")  # a volume of a host's pool has one writer
        claim.miss("storageClassName", "classes are the cluster's; the disk goes into pool default", "set spec.pool")
        claim.take("volumeMode")
        return claim.enter("resources").enter("requests").size("storage")
    return None


def _content(spec: Source, name: str, manifests: Manifests, namespace: str) -> dict[str, Any] | None:
    if "sourceRef" in spec:
        spec.miss(
            "sourceRef",
            f"the cluster's DataSource is not known here; the disk waits for VirtualImage {name}",
            _KEPT_BY_UPLOAD.format(name=name),
        )
        return _by_upload(name, manifests, namespace)
    source = spec.enter("source")
    if "http" in source:
        return _from_url(source.enter("http"), name, manifests, namespace)
    if "registry" in source:
        return _from_registry(source.enter("registry"), name, manifests, namespace)
    if "pvc" in source:
        claim = source.enter("pvc")
        if claim.text("namespace") not in (None, namespace):
            claim.miss("namespace", "a disk is copied within its namespace", "declare both in one")
        return {"clone": to_label(claim.text("name") or "")}
    for key in _FOREIGN_SOURCES:
        if key in source:
            source.miss(
                key,
                f"is not fetched from there; the disk waits for VirtualImage {name}",
                _KEPT_BY_UPLOAD.format(name=name),
            )
            return _by_upload(name, manifests, namespace)
    if "upload" in source:
        source.take("upload")
        return _by_upload(name, manifests, namespace)
    source.take("blank")
    return None


def _by_upload(name: str, manifests: Manifests, namespace: str) -> dict[str, Any]:
    manifests.add(make("VirtualImage", name, {"source": {"upload": {}}}, namespace))
    return {"image": name, "copy": "Full"}


def _from_url(http: Source, name: str, manifests: Manifests, namespace: str) -> dict[str, Any]:
    url = http.text("url") or ""
    for key in ("secretRef", "certConfigMap", "extraHeaders", "secretExtraHeaders"):
        http.miss(key, "a URL is fetched without credentials", "use a URL that needs none, or an upload")
    checksum = http.text("checksum")
    image: dict[str, Any] = {"source": {"url": url}}
    path = url.partition("?")[0].lower()
    ending = next((item for item in _COMPRESSIONS if path.endswith(item)), None)
    if ending:
        image["compression"] = _COMPRESSIONS[ending]
        path = path.removesuffix(ending)
    if path.endswith((".raw", ".iso")):
        image["format"] = "raw"
    http.note(
        "url",
        f"its format is stated as {image.get('format', 'qcow2')}, by its name; set spec.format where it is another",
    )
    if checksum and checksum.startswith("sha256:"):
        image["checksum"] = checksum.lower()
    elif checksum:
        http.ledger.miss(http.at("checksum"), "is no sha256", "compute one: xVirt checks sha256 sums")
    manifests.add(make("VirtualImage", name, image, namespace))
    return {"image": name, "copy": "Full"}


def _from_registry(registry: Source, name: str, manifests: Manifests, namespace: str) -> dict[str, Any] | None:
    url = registry.text("url")
    for key in ("secretRef", "certConfigMap", "imageStream", "pullMethod", "platform"):
        registry.miss(key, "registries are asked without credentials, for this host's architecture")
    if not url:
        return _by_upload(name, manifests, namespace)
    image = url.removeprefix("docker://").removeprefix("oci-archive://")
    manifests.add(make("VirtualImage", name, {"source": {"containerDisk": {"image": with_registry(image)}}}, namespace))
    return {"image": name, "copy": "Full"}


def with_registry(image: str) -> str:
    """A container image's name with its registry, which Docker leaves out for its own."""
    first, slash, _ = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return image
    return f"docker.io/{image}" if slash else f"docker.io/library/{image}"


def _decoded(text: str, path: str, subject: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise InvalidSpec([Problem(path, "is no base64 of UTF-8 text", "encode it again")], subject) from error
