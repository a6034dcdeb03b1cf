"""The RELAX NG schemas of the libvirt that is installed here; `xvirt.domainxml.schema` makes trees of them."""

from __future__ import annotations

import functools
import pathlib

from lxml import etree

from xvirt.domainxml.schema import Element, read_schema
from xvirt.domainxml.tree import parse_xml

DIRECTORY = pathlib.Path("/usr/share/libvirt/schemas")
"""Where libvirt looks for them itself (virfile.c, `<datadir>/libvirt/schemas`)."""


def read_schemas(directory: pathlib.Path = DIRECTORY) -> dict[str, etree._Element]:
    """Every schema by its file name. Raises OSError where the directory cannot be read, InvalidSpec for a broken file."""
    return {path.name: parse_xml(path.read_bytes()) for path in sorted(directory.iterdir()) if path.suffix == ".rng"}


@functools.cache
def installed_schema(kind: str) -> Element:
    """What the installed libvirt accepts for a kind of document (a key of `xvirt.domainxml.schema.FILES`)."""
    return read_schema(read_schemas(), kind)
