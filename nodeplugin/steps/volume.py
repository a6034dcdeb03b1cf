"""Volumes, images and seeds."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from nodeplugin.converge.host import Host
from nodeplugin.plan.step import CreateVolume, DeleteVolume, GrowVolume, ImportImage, RemoveSeeds, WriteSeed
from nodeplugin.steps.seed import SeedContent, write_seed
from xvirt.model.errors import Refused

Progress = Callable[[int], None]


def create(step: CreateVolume, host: Host, progress: Progress) -> str:
    host.volumes.create_volume(step.request, progress)
    return ""


def import_image(step: ImportImage, host: Host, progress: Progress) -> str:
    """Returns the checksum of what was read."""
    return host.volumes.import_image(
        step.source_path or step.source_url or "", step.path, step.format, step.checksum, progress
    )


def grow(step: GrowVolume, host: Host) -> str:
    host.volumes.grow_volume(step.path, step.format, step.capacity_bytes)
    return ""


def delete(step: DeleteVolume, host: Host) -> str:
    """Looks once more who has it: never deleted while attached to anything."""
    host.index.clear()
    users = host.index.users_of_path(step.path)
    if users:
        raise Refused(f"volume {step.path} is used by {', '.join(users)}; it was not deleted", reason="InUse")
    host.volumes.delete_volume(step.path)
    return ""


def seed(step: WriteSeed, host: Host) -> str:
    content = SeedContent(
        instance_id=step.instance_id,
        hostname=step.hostname,
        user_data=step.user_data,
        network_data=step.network_data,
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
