"""Target names of disks (`vda`, `sdb`): unique, and kept free of the seed's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from xvirt.model.machine.disk import Disk, DiskBus

SEED_TARGET = "vdz"
"""Never given to a declared disk, so that the seed can come and go."""

_PREFIXES = {DiskBus.VIRTIO: "vd", DiskBus.SCSI: "sd", DiskBus.SATA: "sd", DiskBus.USB: "sd", DiskBus.IDE: "hd"}
_ALPHABET = 26


def assign_targets(disks: Iterable[Disk], taken: Iterable[str] = ()) -> dict[str, str]:
    """Disk name -> target, in order of declaration, passing over those that are `taken`; an adopted disk has its own."""
    declared = tuple(disks)
    kept = {disk.name for disk in declared if disk.adopted} | set(taken)
    sequences = {prefix: (name for name in target_names(prefix) if name not in kept) for prefix in _PREFIXES.values()}
    return {disk.name: disk.name if disk.adopted else next(sequences[_PREFIXES[disk.bus]]) for disk in declared}


def target_names(prefix: str) -> Iterator[str]:
    """`vda` .. `vdy`, `vdaa` .. without the seed's, for ever."""
    index = 0
    while True:
        name = prefix + _letters(index)
        if name != SEED_TARGET:
            yield name
        index += 1


def _letters(index: int) -> str:
    head, tail = divmod(index, _ALPHABET)
    return (_letters(head - 1) if head else "") + chr(ord("a") + tail)


def target_prefix(target: str) -> str:
    """`vd` of `vdab`."""
    return target[:2]


def target_index(target: str) -> int:
    """0 of `sda`, 26 of `sdaa`; the inverse of the naming (virDiskNameParse in libvirt's src/util/virutil.c)."""
    index = 0
    for letter in target[2:]:
        index = index * _ALPHABET + ord(letter) - ord("a") + 1
    return index - 1
