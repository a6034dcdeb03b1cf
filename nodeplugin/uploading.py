"""Whether an object takes an upload, and what it is to become."""

from __future__ import annotations

from nodeplugin.converge.host import Host
from nodeplugin.images.port import Upload
from nodeplugin.plan.volume import image_request
from nodeplugin.records import Deletion, StoredObject
from xvirt.model.errors import Conflict, InvalidSpec, Problem, Refused, Unavailable
from xvirt.model.storage import VirtualImageSpec


def open_upload(host: Host, stored: StoredObject, size_bytes: int) -> Upload:
    """Open an upload of so many bytes. Raises Refused where the object takes none, Conflict while it is deleted, Unavailable where its
    pool is not there, and what `Images.open_upload` does."""
    spec = stored.resource.spec
    if not isinstance(spec, VirtualImageSpec) or spec.source.upload is None:
        raise Refused(f"{stored.key} takes no upload; declare a VirtualImage with source.upload", reason="NoUpload")
    if stored.deletion is not Deletion.NONE:
        raise Conflict(f"{stored.key} is being deleted", reason="Deleting")
    declared = spec.source.upload.size
    if size_bytes < 1 or (declared is not None and size_bytes != declared):
        message = (
            f"{stored.key}: {size_bytes} bytes were announced, declared are {int(declared) if declared else 'some'}"
        )
        raise InvalidSpec([Problem("size_bytes", message)])
    pool = host.index.pools().get(spec.pool)
    if pool is None or not pool.is_active:
        raise Unavailable(f"StoragePool {spec.pool} of {stored.key} is not active", reason="PoolNotReady")
    place = host.index.places().get(spec.pool)
    if place is None or place.group is not None:
        raise Refused(
            f"{stored.key}: pool {spec.pool} holds no images; name a directory pool", reason="PoolHoldsNoImages"
        )
    request = image_request(stored, spec, place)
    if host.volumes.find_volume(request.path, request.format) is not None:
        raise Refused(f"{stored.key} is there already; an image never changes", reason="Uploaded")
    return host.images.open_upload(request, size_bytes)
