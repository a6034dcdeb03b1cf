"""What a definition of base Bare takes from the one that its host has, beside the places of `xvirt.domainxml.placement`.

Nothing here changes what the domain means: fillings (`xvirt.domainxml.normal`) that the document is silent about, another spelling of
the same value, and the order of elements.
"""

from __future__ import annotations

import copy
import ipaddress

from lxml import etree

from xvirt.domainxml.compare import is_same_text, is_same_value, pair
from xvirt.domainxml.devices import is_pcie
from xvirt.domainxml.elements import size_of
from xvirt.domainxml.normal import fillings
from xvirt.domainxml.ports import add_ports, count_free_ports, is_endpoint


def keep_bare(rendered: etree._Element, current: etree._Element) -> None:
    """Carry over into `rendered`, in place, what the definition `current` says without meaning anything by it."""
    _keep_fillings(current, _twins(rendered, current))
    _keep_memory(rendered, current)
    spell_alike(rendered, current)
    twins = _twins(rendered, current)
    for theirs, mine in twins.items():
        _keep_order(mine, theirs, twins)


def add_spare_ports(root: etree._Element, count: int) -> None:
    """Root ports, so that `count` are free; none where there are as many already, or where the machine has another bus."""
    machine = root.find("os/type")
    if machine is None or not is_pcie(machine.get("machine", "")):
        return
    unplaced = [item for item in root.iterfind("devices/*") if item.find("address") is None and is_endpoint(item)]
    add_ports(root, max(0, count - count_free_ports(root) + len(unplaced)))


def spell_alike(rendered: etree._Element, current: etree._Element) -> None:
    """Where both say the same, say it in `rendered` as `current` does: with the same words, or not at all."""
    twins = _twins(rendered, current)
    _drop_fillings(rendered, {mine: theirs for theirs, mine in twins.items()})
    for theirs, mine in twins.items():
        _keep_spelling(mine, theirs)


def _twins(rendered: etree._Element, current: etree._Element) -> dict[etree._Element, etree._Element]:
    """Element of `current` -> the same of `rendered`."""
    found = {current: rendered}
    pending = [(rendered, current)]
    while pending:
        mine, theirs = pending.pop()
        for item, other in pair(_elements(mine), _elements(theirs)).items():
            found[other] = item
            pending.append((item, other))
    return found


def _elements(element: etree._Element) -> list[etree._Element]:
    return [item for item in element if isinstance(item.tag, str)]


def _keep_fillings(current: etree._Element, twins: dict[etree._Element, etree._Element]) -> None:
    for element, name in list(fillings(current)):
        mine = twins.get(element)
        if name:
            if mine is not None and mine.get(name) is None:
                mine.set(name, element.get(name, ""))
            continue
        parent = element.getparent()
        above = twins.get(parent) if parent is not None else None
        if mine is None and above is not None:
            twin = copy.deepcopy(element)
            twin.tail = None
            above.append(twin)
            twins[element] = twin


def _drop_fillings(rendered: etree._Element, twins: dict[etree._Element, etree._Element]) -> None:
    """Of what rendering writes out and the host's definition does not."""
    for element, name in list(fillings(rendered)):
        theirs, parent = twins.get(element), element.getparent()
        if name and theirs is not None and theirs.get(name) is None:
            del element.attrib[name]
        elif not name and theirs is None and parent is not None and parent in twins:
            parent.remove(element)


def _keep_memory(rendered: etree._Element, current: etree._Element) -> None:
    """libvirt writes `<currentMemory>` always; where it is all of the memory it follows it."""
    theirs, mine = current.find("currentMemory"), rendered.find("currentMemory")
    total = rendered.find("memory")
    if theirs is None or mine is None or total is None or size_of(theirs) != size_of(current.find("memory")):
        return
    mine.text = total.text
    mine.set("unit", total.get("unit", "KiB"))


def _keep_spelling(mine: etree._Element, theirs: etree._Element) -> None:
    size = size_of(mine) if mine.get("unit") is not None or theirs.get("unit") is not None else None
    if size is not None and size == size_of(theirs) and not len(mine):
        mine.text = theirs.text
        unit = theirs.get("unit")
        if unit is not None:
            mine.set("unit", unit)
        elif mine.get("unit") is not None:
            del mine.attrib["unit"]
    if (netmask := theirs.get("netmask")) is not None and netmask == _netmask(mine.get("prefix")):
        del mine.attrib["prefix"]
        mine.set("netmask", netmask)
    for key, value in ((str(key), str(value)) for key, value in theirs.attrib.items()):
        own = mine.get(key)
        if own is not None and own != value and is_same_value(mine, key, own, value):
            mine.set(key, value)
    if not len(mine) and not len(theirs) and mine.text != theirs.text and is_same_text(mine, theirs):
        mine.text = theirs.text


def _netmask(prefix: str | None) -> str:
    """libvirt reads either; its own `default` network has a mask."""
    try:
        return str(ipaddress.IPv4Network((0, int(prefix or ""))).netmask)
    except ValueError:
        return ""


def _keep_order(mine: etree._Element, theirs: etree._Element, twins: dict[etree._Element, etree._Element]) -> None:
    """What both have in the host's order; what is new stays behind its neighbour."""
    order = [twins[item] for item in _elements(theirs) if item in twins and twins[item].getparent() is mine]
    known = set(order)
    children = list(mine)
    if [item for item in children if item in known] == order:
        return
    arranged = list(order)
    for number, item in enumerate(children):
        if item not in known:
            place = arranged.index(children[number - 1]) + 1 if number else len(arranged)
            arranged.insert(place, item)
    mine[:] = arranged
