"""The node's view of the file system, built inside its own mount namespace; called by the node's PID 1 only.

Only mount points that every machine has are covered: where a directory such as /etc/xvirt is missing, an overlay on its
parent, whose upper layer is a tmpfs, gives it a place without creating anything on the host.
"""

import ctypes
import os
from collections.abc import Mapping
from pathlib import Path

_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_MNT_DETACH = 2
_OVERLAID = ("/etc", "/var/lib", "/var/cache", "/var/log")

_libc = ctypes.CDLL(None, use_errno=True)


def build_view(binds: Mapping[str, Path], shared: Path) -> None:
    """Bind each directory (or file) of `binds` to its place, and `shared` to its own path.

    /run is a new tmpfs, which also hides the host's D-Bus, systemd and firewalld from libvirt; /sys is fresh, so that
    it shows this network namespace. Raises OSError naming the mount that failed.
    """
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    # Opened first: later mounts hide the paths.
    sources = {target: os.open(source, os.O_PATH) for target, source in {**binds, str(shared): shared}.items()}
    _mount("tmpfs", "/run", "tmpfs", 0, "mode=0755")
    for directory in ("/run/lock", "/run/overlay"):
        os.mkdir(directory)
    for directory in _OVERLAID:
        _overlay(directory)
    _unmount("/sys")
    _mount("sysfs", "/sys", "sysfs")
    for target, handle in sources.items():
        _make_target(Path(target), binds.get(target, shared))
        _mount(f"/proc/self/fd/{handle}", target, None, _MS_BIND)
        os.close(handle)


def hide_kvm() -> None:
    """Take /dev/kvm out of the view, for QEMU's user and libvirtd alike. Called after `build_view`."""
    below = {target: os.open(target, os.O_PATH) for target in ("/dev/pts", "/dev/shm")}
    _overlay("/dev")
    for target, handle in below.items():
        _mount(f"/proc/self/fd/{handle}", target, None, _MS_BIND)
        os.close(handle)
    Path("/dev/kvm").unlink(missing_ok=True)


def _overlay(directory: str) -> None:
    base = f"/run/overlay/{directory.strip('/').replace('/', '-')}"
    for part in (base, f"{base}/upper", f"{base}/work"):
        os.mkdir(part)
    _mount("overlay", directory, "overlay", 0, f"lowerdir={directory},upperdir={base}/upper,workdir={base}/work")


def _make_target(target: Path, source: Path) -> None:
    if source.is_file():
        target.touch()
    else:
        target.mkdir(parents=True, exist_ok=True)


def _mount(source: str, target: str, kind: str | None, flags: int = 0, data: str | None = None) -> None:
    encoded = [value.encode() if value is not None else None for value in (source, target, kind, data)]
    if _libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3]) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot mount {source} ({kind or 'bind'}): {os.strerror(number)}", target)


def _unmount(target: str) -> None:
    if _libc.umount2(target.encode(), _MNT_DETACH) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot unmount: {os.strerror(number)}", target)
