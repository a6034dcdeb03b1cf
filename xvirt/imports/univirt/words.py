"""Values as virsh and virt-install write them."""

from __future__ import annotations

import re

from xvirt.model.quantity import ByteSize

_SCALES = {"": 1, "b": 1, "byte": 1, "bytes": 1}
_LETTERS = "kmgtpe"
_SIZE = re.compile(r"([0-9]+)\s*([A-Za-z]*)", re.ASCII)


def read_size(text: str, default_unit: str = "b") -> str:
    """A scaled integer (https://libvirt.org/manpages/virsh.html#notes): `10G` and `10GiB` are binary, `10GB` is decimal, a bare number
    has the default unit. Raises ValueError for anything else."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no size such as 10G")
    number, unit = int(match.group(1)), (match.group(2) or default_unit).lower()
    return str(ByteSize(number * _factor(unit, text)))


def _factor(unit: str, text: str) -> int:
    if unit in _SCALES:
        return _SCALES[unit]
    power = _LETTERS.find(unit[0]) + 1
    if power and unit[1:] in ("", "ib"):
        return int(1024**power)
    if power and unit[1:] == "b":
        return int(1000**power)
    raise ValueError(f"{text!r} is no size such as 10G")


def read_options(text: str, first: str) -> dict[str, str]:
    """`path,format=qcow2` as a map; a leading word without `=` is the value of `first`, a later one is `yes`."""
    found: dict[str, str] = {}
    for place, part in enumerate(item.strip() for item in text.split(",")):
        if not part:
            continue
        key, sign, value = part.partition("=")
        if sign:
            found[key.strip()] = value.strip()
        elif place == 0:
            found[first] = part
        else:
            found[part] = "yes"
    return found


def stem(path: str) -> str:
    """The name of the volume that a path stands for: uni-virt puts disk NAME at `POOL/NAME/NAME`, with or without an ending."""
    name = path.rstrip("/").rpartition("/")[2]
    for ending in (".qcow2", ".raw", ".img", ".iso"):
        name = name.removesuffix(ending)
    return name
