"""Volumes, images and seeds."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from nodeplugin.converge.host import Host
from nodeplugin.plan.step import (
    CancelImport,
    CreateVolume,
    DeleteVolume,
    GrowVolume,
    ImportImage,
    RemoveSeeds,
    WriteSeed,
)
from nodeplugin.steps.seed import SeedContent, write_seed
from xvirt.model.errors import Busy

Progress = Callable[[int], None]


def create(step: CreateVolume, host: Host, progress: Progress) -> str:
    below = step.request.backing_path or step.request.source_path
    with host.leases.use(below) if below is not None else contextlib.nullcontext():
        host.volumes.create_volume(step.request, progress)
    return ""


def import_image(step: ImportImage, host: Host) -> str:
    host.images.start(step.request)
    return ""


def cancel_import(step: CancelImport, host: Host) -> str:
    host.images.forget(step.uid)
    return ""


def grow(step: GrowVolume, host: Host) -> str:
    host.volumes.grow_volume(step.path, step.format, step.capacity_bytes)
    return ""


def delete(step: DeleteVolume, host: Host) -> str:
    """Looks once more who has it: never deleted while attached to anything, below anything, or being copied."""
    with host.leases.removal(step.path):
        host.index.clear()
        users = (*host.index.users_of_path(step.path), *host.index.volumes_based_on(step.path))
        if users:
            raise Busy(
                f"volume {step.path} is used by {', '.join(users)}; it is deleted once they are gone", reason="InUse"
            )
        host.volumes.delete_volume(step.path)
    return ""


def seed(step: WriteSeed, host: Host) -> str:
    content = SeedContent(
        instance_id=step.instance_id,
        hostname=step.hostname,
        user_data=step.user_data,
        network_data=step.network_data,
        public_keys=step.public_keys,
    )
    write_seed(step.path, content)
    return ""


def remove_seeds(step: RemoveSeeds, host: Host) -> str:
    directory = host.settings.seed_directory
    for name in os.listdir(directory):
        path = f"{directory}/{name}"
        if name.startswith(step.uid) and path not in step.keep:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
    return ""
