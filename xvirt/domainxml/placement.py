"""Keeps every device where the guest knows it when a definition is made anew.

A guest names its disks and NICs after their addresses. A rendered definition has none, so what libvirt assigned (and what a hot-plug
chose in the running machine) is carried over by alias; controllers stay, because addresses point to them.
"""

from __future__ import annotations

import copy

from lxml import etree

from xvirt.domainxml.devices import target_name


def keep_placement(rendered: etree._Element, current: etree._Element | None, live: etree._Element | None) -> None:
    """Carry over machine version, NVRAM, controllers, targets and addresses from the persistent and the running definition;
    the running one wins, for that is what the guest sees."""
    known = [root for root in (live, current) if root is not None]
    if not known:
        return
    base = current if current is not None else known[0]
    _keep_machine(rendered, base)
    _keep_nvram(rendered, base)
    _keep_controllers(rendered, known)
    taken = _keep_devices(rendered, known)
    _keep_unnamed(rendered, base, taken)
    _free_targets(rendered, known)


def _keep_machine(rendered: etree._Element, base: etree._Element) -> None:
    wanted, found = rendered.find("os/type"), base.find("os/type")
    if wanted is None or found is None:
        return
    alias, version = wanted.get("machine", ""), found.get("machine", "")
    family = {"q35": "pc-q35-", "pc": "pc-i440fx-"}.get(alias)
    if family is not None and version.startswith(family):
        wanted.set("machine", version)


def _keep_nvram(rendered: etree._Element, base: etree._Element) -> None:
    wanted, found = rendered.find("os"), base.find("os")
    if wanted is None or found is None or wanted.get("firmware") != "efi":
        return
    for tag in ("loader", "nvram"):
        if wanted.find(tag) is None and (element := found.find(tag)) is not None:
            wanted.append(copy.deepcopy(element))


def _controller_key(element: etree._Element) -> tuple[str, str]:
    return element.get("type", ""), element.get("index", "")


def _keep_controllers(rendered: etree._Element, known: list[etree._Element]) -> None:
    devices = rendered.find("devices")
    if devices is None:
        return
    present = {_controller_key(item): item for item in devices.findall("controller")}
    for root in known:
        for found in root.iterfind("devices/controller"):
            key = _controller_key(found)
            if key not in present:
                kept = copy.deepcopy(found)
                _drop(kept, "alias")
                devices.append(kept)
                present[key] = kept
            elif present[key].find("address") is None and present[key].get("model") == found.get("model"):
                for tag in ("model", "target", "address"):
                    _carry(present[key], found, tag)


def _keep_devices(rendered: etree._Element, known: list[etree._Element]) -> set[str]:
    """By user alias. Returns the addresses that are taken."""
    taken: set[str] = set()
    sources = [{_alias(item): item for item in root.iterfind("devices/*")} for root in known]
    for element in rendered.iterfind("devices/*"):
        alias = _alias(element)
        if not alias.startswith("ua-"):
            continue
        for source in sources:
            found = source.get(alias)
            if found is None or found.tag != element.tag or not _is_same_place(element, found):
                continue
            address = found.find("address")
            if address is None or _address_key(address) in taken:
                continue
            _carry(element, found, "address")
            taken.add(_address_key(address))
            if element.tag == "disk":
                _set_target(element, found)
            break
    return taken


def _is_same_place(element: etree._Element, found: etree._Element) -> bool:
    """A device that changed its bus or model needs another kind of address."""
    for path, name in (("target", "bus"), ("model", "type")):
        one, other = element.find(path), found.find(path)
        if one is not None and other is not None and one.get(name) != other.get(name):
            return False
    return True


def _set_target(element: etree._Element, found: etree._Element) -> None:
    wanted, known = element.find("target"), found.find("target")
    if wanted is not None and known is not None and known.get("dev"):
        wanted.set("dev", known.get("dev", ""))


_SINGLE = ("memballoon", "rng", "watchdog", "tpm", "video")


def _keep_unnamed(rendered: etree._Element, base: etree._Element, taken: set[str]) -> None:
    """Devices of which there is one."""
    for tag in _SINGLE:
        wanted, found = rendered.findall(f"devices/{tag}"), base.findall(f"devices/{tag}")
        if len(wanted) != 1 or len(found) != 1:
            continue
        address = found[0].find("address")
        is_same = wanted[0].get("model") == found[0].get("model") and wanted[0].find("address") is None
        if address is not None and is_same and _address_key(address) not in taken:
            _carry(wanted[0], found[0], "address")
            taken.add(_address_key(address))


def _free_targets(rendered: etree._Element, known: list[etree._Element]) -> None:
    """A new disk must not take the target of one that stays."""
    disks = rendered.findall("devices/disk")
    kept = {item.find("target").get("dev") for item in disks if item.find("address") is not None}  # type: ignore[union-attr]
    used = set(kept)
    for root in known:
        used |= {target.get("dev") for target in root.iterfind("devices/disk/target")}
    for element in disks:
        target = element.find("target")
        if element.find("address") is not None or target is None:
            continue
        name = target.get("dev", "vda")
        number = 0
        while name in kept or (name in used and _alias(element) != "ua-seed"):
            name = target_name(name[:2], number)
            number += 1
        target.set("dev", name)
        kept.add(name)
        used.add(name)


def _address_key(address: etree._Element) -> str:
    return " ".join(f"{name!s}={value!s}" for name, value in sorted(address.attrib.items()))


def _alias(element: etree._Element) -> str:
    alias = element.find("alias")
    return alias.get("name", "") if alias is not None else ""


def _drop(element: etree._Element, tag: str) -> None:
    for found in element.findall(tag):
        element.remove(found)


def _carry(element: etree._Element, found: etree._Element, tag: str) -> None:
    source = found.find(tag)
    if source is not None and element.find(tag) is None:
        element.append(copy.deepcopy(source))
