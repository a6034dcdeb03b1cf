"""The NoCloud seed: an ISO labelled `cidata` with meta-data, user-data and network-config
(https://cloudinit.readthedocs.io/en/latest/reference/datasources/nocloud.html)."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import io
import os
import secrets

import pycdlib

from xvirt.model.errors import Exhausted, Refused


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeedContent:
    """What the guest reads. `instance_id` is the machine's UID: cloud-init's once-per-instance parts run once in its life."""

    instance_id: str
    hostname: str
    user_data: bytes = dataclasses.field(repr=False)
    network_data: bytes | None = dataclasses.field(default=None, repr=False)


def write_seed(path: str, content: SeedContent) -> None:
    """Write a seed, readable by its owner alone: under a temporary name, synced, renamed. Raises Exhausted, Refused."""
    directory, name = os.path.split(path)
    partial = f"{directory}/.{name}.{secrets.token_hex(4)}.partial"
    try:
        os.makedirs(directory, mode=0o711, exist_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(build_seed(content))
            handle.flush()
            os.fsync(handle.fileno())
        os.rename(partial, path)
    except OSError as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Exhausted(f"no space left for seed {path}; free some", reason="NoSpace") from error
        raise Refused(f"cannot write seed {path}: {error.strerror}", reason="SeedFailed") from error


def build_seed(content: SeedContent) -> bytes:
    """The ISO's bytes."""
    meta_data = f"instance-id: {content.instance_id}\nlocal-hostname: {content.hostname}\n".encode()
    files = {"meta-data": meta_data, "user-data": content.user_data}
    if content.network_data is not None:
        files["network-config"] = content.network_data
    image = pycdlib.PyCdlib()
    image.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident="cidata")
    for number, (name, data) in enumerate(files.items()):
        image.add_fp(io.BytesIO(data), len(data), f"/F{number}.;1", rr_name=name, joliet_path=f"/{name}")
    output = io.BytesIO()
    image.write_fp(output)
    image.close()
    return output.getvalue()
