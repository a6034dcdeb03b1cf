"""What libvirt learnt about this machine's QEMU, kept between labs: asking QEMU again costs four seconds.

libvirt checks by itself whether an entry still fits (QEMU's and libvirt's change times, KVM, kernel), so a stale entry
only costs the probe.
"""

import os
import shutil
from pathlib import Path

from tools.lab.spec import QemuUser

_INSIDE = Path("qemu") / "capabilities"


def warm(libvirt_cache: Path, user: QemuUser) -> None:
    """Copy the saved entries into a node's /var/cache/libvirt, unless it has some."""
    target = libvirt_cache / _INSIDE
    if target.exists():
        return
    target.mkdir(parents=True)
    for entry in _saved(user).glob("*.xml"):
        shutil.copy2(entry, target / entry.name)


def save(libvirt_cache: Path, user: QemuUser) -> None:
    """Keep a node's entries for later labs; each file is replaced as a whole."""
    source = libvirt_cache / _INSIDE
    if not source.is_dir():
        return
    _saved(user).mkdir(parents=True, exist_ok=True)
    for entry in source.glob("*.xml"):
        partial = _saved(user) / f"{entry.name}.{os.getpid()}"
        shutil.copy2(entry, partial)
        partial.rename(_saved(user) / entry.name)


def _saved(user: QemuUser) -> Path:
    """What QEMU can do depends on whom it runs as: who may open /dev/kvm."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "xvirt" / f"libvirt-capabilities-{user.value}"
