"""Verbs upon pools, disks and disk images."""

from __future__ import annotations

from typing import Any

from xvirt.imports.result import to_label
from xvirt.imports.source import Source
from xvirt.imports.univirt.stage import Stage, wrong
from xvirt.imports.univirt.words import read_size, stem

_DIRECTORIES = ("dir", "localfs")
_NO_SNAPSHOTS = "snapshots are not declared yet"


def create_pool(stage: Stage, name: str, params: Source) -> None:
    kind, path = params.text("type"), params.text("url")
    params.take("content")  # any pool holds disks and images
    params.take("force")
    autostart = params.flag("auto-start")
    if kind not in _DIRECTORIES:
        params.ledger.miss(
            params.at("type"),
            f"a pool of type {kind} has no counterpart",
            "mount it on the host and declare its directory",
        )
        return
    stage.declare("StoragePool", name, {"path": path or "", **({"autostart": False} if autostart is False else {})})


def delete_pool(stage: Stage, name: str, params: Source) -> None:
    params.take("type")
    stage.drop("StoragePool", "vpool", name)


def run_pool(stage: Stage, name: str, params: Source) -> None:
    """A declared pool runs; there is nothing to ask for."""
    params.take("type")
    params.ledger.note(params.path, "a declared pool is kept active")
    del stage, name


def autostart_pool(stage: Stage, name: str, params: Source) -> None:
    params.take("type")
    pool = stage.find("StoragePool", name)
    is_off = params.flag("disable") is True
    if pool is None:
        params.ledger.miss(
            params.path, f"StoragePool {name} is not among the documents", "give its manifest with --onto"
        )
    elif is_off:
        pool["spec"]["autostart"] = False
    else:
        pool["spec"].pop("autostart", None)


def stop_pool(stage: Stage, name: str, params: Source) -> None:
    params.take("type")
    params.ledger.miss(
        params.path, "a declared pool is kept active", f"delete StoragePool {name} to let it go; its directory stays"
    )
    del stage


def create_disk(stage: Stage, name: str, params: Source) -> None:
    params.take("type")
    spec: dict[str, Any] = {"size": _size(params, "capacity")}
    _pool(params, "pool", spec)
    if (format_name := params.text("format")) not in (None, "qcow2"):
        spec["format"] = format_name
    if params.flag("prealloc-metadata"):
        spec["preallocation"] = "Metadata"
    if (backing := params.text("backing-vol")) is not None:
        params.take("backing-vol-format")
        spec["source"] = {"image": to_label(stem(backing))}
    params.take("allocation")
    params.take("name")
    stage.declare("VirtualDisk", name, spec)


def resize_disk(stage: Stage, name: str, params: Source) -> None:
    for key in ("type", "pool", "vol"):
        params.take(key)
    if params.flag("shrink"):
        params.ledger.miss(params.at("shrink"), "a disk never shrinks", "make a smaller one and copy inside the guest")
    disk = stage.find("VirtualDisk", name)
    if disk is None:
        params.take("capacity")
        params.ledger.miss(
            params.path, f"VirtualDisk {name} is not among the documents", "give its manifest with --onto"
        )
        return
    disk["spec"]["size"] = _size(params, "capacity")


def clone_disk(stage: Stage, name: str, params: Source) -> None:
    for key in ("type", "vol", "prealloc-metadata", "reflink", "format"):
        params.take(key)
    target = to_label(params.text("newname") or "")
    spec: dict[str, Any] = {"source": {"clone": name}}
    _pool(params, "pool", spec)
    stage.declare("VirtualDisk", target, spec)


def delete_disk(stage: Stage, name: str, params: Source) -> None:
    for key in ("type", "pool", "vol"):
        params.take(key)
    params.miss("delete-snapshots", _NO_SNAPSHOTS)
    params.ledger.note(params.path, "a deleted VirtualDisk leaves its volume, unless its deletionPolicy is Delete")
    stage.drop("VirtualDisk", "vdisk", name)


def create_disk_from_image(stage: Stage, name: str, params: Source) -> None:
    params.take("type")
    image = declare_image(stage, params.text("source") or "")
    spec: dict[str, Any] = {"source": {"image": image, **({"copy": "Full"} if params.flag("full-copy") else {})}}
    _pool(params, "targetPool", spec)
    stage.declare("VirtualDisk", name, spec)


def create_image(stage: Stage, name: str, params: Source) -> None:
    is_iso = params.text("imageType") == "iso"
    spec: dict[str, Any] = {"source": {"path": params.text("source") or ""}, **({"format": "raw"} if is_iso else {})}
    _pool(params, "targetPool", spec)
    stage.declare("VirtualImage", name, spec)


def create_image_from_disk(stage: Stage, name: str, params: Source) -> None:
    disk, pool = params.text("sourceVolume"), params.text("sourcePool")
    spec: dict[str, Any] = {"source": {"upload": {}}}
    _pool(params, "targetPool", spec)
    params.ledger.miss(
        params.at("sourceVolume"),
        f"the content of {pool}/{disk} is not copied; VirtualImage {name} waits for it",
        f"stop its machine and run `xvirt image upload {name} FILE`",
    )
    stage.declare("VirtualImage", name, spec)


def delete_image(stage: Stage, name: str, params: Source) -> None:
    for key in ("type", "pool", "sourcePool", "targetPool"):
        params.take(key)
    stage.drop("VirtualImage", "vimage", name)


def declare_image(stage: Stage, path: str) -> str:
    """The VirtualImage of a file of the host, declared where it is not yet."""
    name = to_label(stem(path))
    if stage.find("VirtualImage", name) is None:
        is_raw = path.endswith((".iso", ".raw"))
        stage.declare("VirtualImage", name, {"source": {"path": path}, **({"format": "raw"} if is_raw else {})})
    return name


def _pool(params: Source, key: str, spec: dict[str, Any]) -> None:
    pool = params.text(key)
    if pool:
        spec["pool"] = to_label(pool)


def _size(params: Source, key: str) -> str:
    try:
        return read_size(params.text(key) or "")
    except ValueError as error:
        raise wrong(params, key, error) from error
