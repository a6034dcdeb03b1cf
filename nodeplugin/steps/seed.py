"""The NoCloud seed: an ISO labelled `cidata` with meta-data, user-data and network-config
(https://cloudinit.readthedocs.io/en/latest/reference/datasources/nocloud.html)."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import io
import json
import os
import secrets
import time

import pycdlib
from pycdlib import dates, headervd, utils
from pycdlib import pycdlib as pycdlib_core

from xvirt.model.errors import Exhausted, InvalidSpec, Problem, Refused

VOLUME_LABEL = "cidata"
SEED_MODE = 0o600
_EPOCH_S = 946684800
"""2000-01-01: the date of everything in a seed."""


class _FixedClock:
    """pycdlib takes each date from its modules' `time` and offers no parameter for it; with this one, equal content gives equal
    bytes, whatever the hour and the time zone."""

    strftime = staticmethod(time.strftime)
    strptime = staticmethod(time.strptime)
    struct_time = time.struct_time
    gmtime = staticmethod(time.gmtime)
    localtime = staticmethod(time.gmtime)

    @staticmethod
    def time() -> float:
        return _EPOCH_S


for _module in (pycdlib_core, dates, headervd, utils):
    if hasattr(_module, "time"):
        vars(_module)["time"] = _FixedClock


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeedContent:
    """What the guest reads. `instance_id` is the machine's UID: cloud-init's once-per-instance parts run once in its life."""

    instance_id: str
    hostname: str
    user_data: bytes = dataclasses.field(repr=False)
    network_data: bytes | None = dataclasses.field(default=None, repr=False)
    public_keys: tuple[str, ...] = dataclasses.field(default=(), repr=False)


def write_seed(path: str, content: SeedContent) -> None:
    """Write a seed, readable by its owner alone: under a temporary name, synced, renamed. Raises Exhausted, Refused, InvalidSpec."""
    directory, name = os.path.split(path)
    partial = f"{directory}/.{name}.{secrets.token_hex(4)}.partial"
    data = build_seed(content)
    try:
        os.makedirs(directory, mode=0o711, exist_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SEED_MODE)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        os.rename(partial, path)
        _sync_directory(directory)
    except OSError as error:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            os.unlink(partial)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Exhausted(f"no space left for seed {path}; free some", reason="NoSpace") from error
        raise Refused(f"cannot write seed {path}: {error.strerror}", reason="SeedFailed") from error


def build_seed(content: SeedContent) -> bytes:
    """The ISO's bytes: the same for the same content."""
    image = pycdlib.PyCdlib()
    image.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=VOLUME_LABEL)
    for number, (name, data) in enumerate(_files(content).items()):
        image.add_fp(io.BytesIO(data), len(data), f"/F{number}.;1", rr_name=name, joliet_path=f"/{name}")
    output = io.BytesIO()
    image.write_fp(output)
    image.close()
    return output.getvalue()


def read_seed(data: bytes) -> dict[str, bytes]:
    """The files of a seed, as a guest reads them by Rock Ridge."""
    image = pycdlib.PyCdlib()
    image.open_fp(io.BytesIO(data))
    found = {}
    for record in image.list_children(rr_path="/"):
        if record is not None and record.is_file():
            name = record.rock_ridge.name().decode()
            output = io.BytesIO()
            image.get_file_from_iso_fp(output, rr_path=f"/{name}")
            found[name] = output.getvalue()
    image.close()
    return found


def _files(content: SeedContent) -> dict[str, bytes]:
    for name, value in (("instance id", content.instance_id), ("hostname", content.hostname)):
        if not value.isprintable():
            raise InvalidSpec([Problem("spec.cloudInit", f"{name} {value!r} holds control characters")])
    meta_data = f"instance-id: {content.instance_id}\nlocal-hostname: {content.hostname}\n"
    if content.public_keys:  # of the default user; in JSON's quotes, which are YAML's, too
        meta_data += "public-keys:\n" + "".join(f"- {json.dumps(key)}\n" for key in content.public_keys)
    files = {"meta-data": meta_data.encode(), "user-data": content.user_data}
    if content.network_data is not None:
        files["network-config"] = content.network_data
    return files


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
