"""The way in: documents with a lifecycle verb, played in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from xvirt.imports.result import Document, Imported, Manifests, Report, to_label
from xvirt.imports.source import Ledger, Source
from xvirt.imports.univirt import devices, machine, storage
from xvirt.imports.univirt.domain import read_domain
from xvirt.imports.univirt.stage import Stage
from xvirt.model.meta import DEFAULT_NAMESPACE

GROUP = "doslab.io/"
_OLD_GROUPS = ("cloudplus.io/",)
Verb = Callable[[Stage, str, Source], None]

VERBS: dict[str, Verb] = {
    "createandstartvmfromiso": machine.create,
    "createandstartvm": machine.create,
    "startvm": machine.start,
    "stopvm": machine.stop,
    "stopvmforce": machine.stop,
    "deletevm": machine.delete,
    "rebootvm": machine.act("restart"),
    "resetvm": machine.act("reset"),
    "suspendvm": machine.act("pause"),
    "resumevm": machine.act("resume"),
    "savevm": machine.act("save"),
    "restorevm": machine.act("restore"),
    "changenumberofcpu": machine.set_vcpus,
    "resizeram": machine.set_memory,
    "resizemaxram": machine.set_max_memory,
    "setbootorder": machine.set_boot_order,
    "manageiso": devices.manage_iso,
    "plugdisk": devices.plug_disk,
    "unplugdisk": devices.unplug_disk,
    "resizevm": devices.resize_attached,
    "plugnic": devices.plug_nic,
    "unplugnic": devices.unplug_nic,
    "tunenicqos": devices.tune_nic,
    "tunediskqos": devices.tune_disk,
    "createpool": storage.create_pool,
    "deletepool": storage.delete_pool,
    "startpool": storage.run_pool,
    "autostartpool": storage.autostart_pool,
    "stoppool": storage.stop_pool,
    "createdisk": storage.create_disk,
    "resizedisk": storage.resize_disk,
    "clonedisk": storage.clone_disk,
    "deletedisk": storage.delete_disk,
    "creatediskfromdiskimage": storage.create_disk_from_image,
    "creatediskimage": storage.create_image,
    "creatediskimagefromdisk": storage.create_image_from_disk,
    "deletediskimage": storage.delete_image,
}
"""Verbs in lower case, since their spelling differs between releases."""

_SNAPSHOT = ("snapshots are not declared yet", "take one with virsh on the host, or copy the disk with source.clone")
_OVN = (
    "virtual switches, floating addresses and their rules are not libvirt's",
    "use VirtualNetwork, or the network's own tool",
)
_RAW = ("a file of XML on the host is not read", "declare the device in spec.domain")
_PASSWORD = ("passwords do not stand in declarations", "use cloudInit, with a Secret")

REFUSED: dict[str, tuple[str, str]] = {
    "createvm": _RAW,
    "plugdevice": _RAW,
    "unplugdevice": _RAW,
    "migratevm": (
        "machines are not moved between hosts yet",
        "copy its disks and apply its manifest on the other host",
    ),
    "updateos": (
        "a disk's source never changes",
        "declare a disk of another name from the new image, and remove the old one",
    ),
    "tunememoryqos": (
        "memory limits of the host's are its administrator's",
        "declare memtune in spec.domain under a profile that allows it",
    ),
    "setvncpassword": _PASSWORD,
    "unsetvncpassword": _PASSWORD,
    "setguestpassword": _PASSWORD,
    "uploaddiskimage": ("nothing is sent to object stores", ""),
    "downloaddiskimage": ("object stores are not read", "use an image's source.url"),
    **dict.fromkeys(
        (
            *(
                "createsnapshot",
                "deletesnapshot",
                "revertsnapshot",
                "revertvirtualmachine",
                "mergesnapshot",
                "copysnapshot",
            ),
            *("creatediskinternalsnapshot", "revertdiskinternalsnapshot", "deletediskinternalsnapshot"),
            *("creatediskexternalsnapshot", "revertdiskexternalsnapshot", "deletediskexternalsnapshot"),
        ),
        _SNAPSHOT,
    ),
    **dict.fromkeys(
        (
            *("bindportvlan", "unbindportvlan", "createswitch", "modifyswitch", "deleteswitch"),
            *("createaddress", "modifyaddress", "deleteaddress", "bindfloatingip", "unbindfloatingip"),
            *("addacl", "modifyacl", "deprecatedacl", "setqos", "modifyqos", "unsetqos"),
            *("createbridge", "deletebridge", "setbridgevlan", "delbridgevlan", "bindswport", "unbindswport"),
        ),
        _OVN,
    ),
}
"""Verbs that have no counterpart: why, and what to do."""


def is_univirt(document: Mapping[str, Any]) -> bool:
    """Whether a document is uni-virt's."""
    return str(document.get("apiVersion", "")).startswith((GROUP, *_OLD_GROUPS))


def read_univirt(documents: Iterable[Mapping[str, Any]], onto: Iterable[Document] = ()) -> Imported:
    """xVirt's documents after all acts, played upon `onto`.

    Raises InvalidSpec where a parameter is not of its form, and where what comes out would not be valid.
    """
    stage = Stage(Manifests(onto))
    reports = [_play(document, stage) for document in documents]
    return Imported(stage.manifests.checked(), tuple(reports))


def _play(document: Mapping[str, Any], stage: Stage) -> Report:
    metadata = document.get("metadata") or {}
    written = str(metadata.get("name", ""))
    ledger = Ledger(f"{document.get('kind', '')} {DEFAULT_NAMESPACE}/{written}")
    root = ledger.open(document)
    for key in ("apiVersion", "kind", "status", "metadata"):
        root.take(key)
    spec = root.enter("spec")
    for key in ("nodeName", "image", "powerstate", "status"):
        spec.take(key)  # what its controllers noted there
    name = to_label(written)
    if name != written:
        ledger.note("metadata.name", f"is called {name} here")
    if document.get("kind") == "VirtualMachine" and "domain" in spec:
        tree = spec.take("domain")
        if stage.find("VirtualMachine", name) is None:
            stage.manifests.put(read_domain(name, tree, ledger))
    lifecycle = spec.enter("lifecycle")
    stage.acts = []
    for key in lifecycle.names():
        _perform(stage, name, lifecycle.enter(key), key)
    return Report.of(ledger, stage.acts)


def _perform(stage: Stage, name: str, params: Source, written: str) -> None:
    verb = VERBS.get(written.lower())
    if verb is not None:
        verb(stage, name, params)
        return
    params.take_all()
    reason, remedy = REFUSED.get(written.lower(), ("is no verb of uni-virt's that is known here", ""))
    params.ledger.miss(params.path, reason, remedy)
