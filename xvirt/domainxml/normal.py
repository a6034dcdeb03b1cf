"""What a definition says without meaning anything by it: values that libvirt fills in, and places that it gave.

A *filling* is a place (element, attribute name; empty for the whole element) that libvirt would put there again if it were missing
(`virDomainDefPostParse` and `qemuDomainDefPostParse` in libvirt's src), or that `xvirt.domainxml.placement` keeps: an address, an
alias of libvirt's own, a controller that devices need.
"""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from xvirt.domainxml.elements import alias_of, attribute, size_of, text_of

Place = tuple[etree._Element, str]

_ATTRIBUTES = {
    "vcpu/@placement": "static",
    "os/type/@arch": "x86_64",
    "os/type/@machine": "pc",
    "cpu/model/@fallback": "allow",
    "devices/disk/@type": "file",
    "devices/disk/@device": "disk",
    "devices/disk/driver/@name": "qemu",
    "devices/disk/driver/@type": "raw",
    "devices/disk/driver/@discard": "ignore",
    "bridge/@stp": "on",
    "bridge/@delay": "0",
    "ip/@family": "ipv4",
    "route/@family": "ipv4",
}
_TEXTS = {"on_poweroff": "destroy", "on_reboot": "restart", "on_crash": "destroy"}
_CPU_CHECKS = {"host-model": "partial", "host-passthrough": "none", "maximum": "none"}
_EMULATORS = ("/usr/bin/qemu-system-{arch}", "/usr/bin/kvm", "/usr/bin/qemu-kvm", "/usr/libexec/qemu-kvm")
_NEEDED_CONTROLLERS = frozenset({"pci", "usb", "ide", "sata", "fdc", "virtio-serial", "ccid"})
_PLACED = frozenset({"address", "alias", "model", "target"})
_PS2 = frozenset({("mouse", "ps2"), ("keyboard", "ps2")})


def fillings(root: etree._Element) -> Iterator[Place]:
    """All fillings of a domain or network; an element that is one as a whole is named before what is in it."""
    for path, value in _ATTRIBUTES.items():
        place, _, name = path.rpartition("/@")
        yield from ((item, name) for item in root.iterfind(place) if item.get(name) == value)
    for tag, text in _TEXTS.items():
        yield from ((item, "") for item in root.iterfind(tag) if (item.text or "").strip() == text)
    yield from ((item, "") for item in root.iterfind("devices") if not len(item))
    for tag in ("name", "uuid"):
        yield from ((item, "") for item in root.iterfind(tag) if not (item.text or "").strip())
    yield from ((item, "") for item in root.iterfind("vcpu") if _is_one_cpu(item))
    yield from _memory(root)
    yield from _cpu(root)
    yield from (
        (item, "") for item in root.iterfind("clock") if _attributes(item) == {"offset": "utc"} and not len(item)
    )
    arch = attribute(root, "os/type", "arch")
    emulators = {path.format(arch=arch) for path in _EMULATORS}
    yield from ((item, "") for item in root.iterfind("devices/emulator") if (item.text or "").strip() in emulators)
    for device in root.iterfind("devices/*"):
        yield from _device(device)


def _is_one_cpu(vcpu: etree._Element) -> bool:
    return (vcpu.text or "").strip() == "1" and not set(vcpu.attrib.items()) - {("placement", "static")}


def _memory(root: etree._Element) -> Iterator[Place]:
    current = root.find("currentMemory")
    if current is not None and size_of(current) == size_of(root.find("memory")):
        yield current, ""


def _cpu(root: etree._Element) -> Iterator[Place]:
    cpu = root.find("cpu")
    if cpu is None:
        return
    mode = cpu.get("mode", "custom")
    check = _CPU_CHECKS.get(mode, "none" if root.get("type") == "qemu" else "partial")
    expected = {"check": check, "migratable": "on" if mode in ("host-passthrough", "maximum") else ""}
    if mode == "custom" and cpu.find("model") is not None:
        expected |= {"mode": "custom", "match": "exact"}
    yield from ((cpu, name) for name, value in expected.items() if value and cpu.get(name) == value)


def _device(device: etree._Element) -> Iterator[Place]:
    if not isinstance(device.tag, str):
        return
    if _is_filled_in(device):
        yield device, ""
    for item in device:
        if item.tag == "address" or (item.tag == "alias" and not item.get("name", "").startswith("ua-")):
            yield item, ""
    if device.tag == "disk":
        yield from _disk(device)
    elif device.tag == "interface":
        yield from ((item, "") for item in device.iterfind("link") if _attributes(item) == {"state": "up"})


def _disk(disk: etree._Element) -> Iterator[Place]:
    for driver in disk.iterfind("driver"):
        if not len(driver) and not set(driver.attrib.items()) - {
            ("name", "qemu"),
            ("type", "raw"),
            ("discard", "ignore"),
        }:
            yield driver, ""
    if disk.get("device") == "cdrom":
        yield from ((item, "") for item in disk.iterfind("readonly"))


def _is_filled_in(device: etree._Element) -> bool:
    attributes, inner = _attributes(device), {item.tag for item in device}
    if alias_of(device).startswith("ua-"):
        return False
    if device.tag == "controller":
        return device.get("type") in _NEEDED_CONTROLLERS and inner <= _PLACED
    if inner - {"address", "alias"}:
        return device.tag == "console" and _is_first_serial(device)
    if device.tag == "memballoon":
        return attributes == {"model": "virtio"}
    if device.tag == "input":
        return (attributes.get("type"), attributes.get("bus")) in _PS2 and len(attributes) == 2
    return device.tag == "audio" and attributes == {"id": "1", "type": "none"}


def _is_first_serial(console: etree._Element) -> bool:
    """libvirt shows the first serial port as the console, too."""
    devices = console.getparent()
    serial = devices.find("serial") if devices is not None else None
    if serial is None or devices is None or console is not devices.find("console"):
        return False
    is_twin = serial.get("type") == console.get("type") and attribute(console, "target", "type") == "serial"
    others = {item.tag for item in console} - {"address", "alias", "target", "source", "log"}
    same = all(_plain(serial, tag) == _plain(console, tag) for tag in ("source", "log"))
    return is_twin and not others and same and text_of(console, "target") == "" and _extra(console, serial)


def _extra(console: etree._Element, serial: etree._Element) -> bool:
    """Whether the console has no attribute that its serial port has not (`tty` of a running machine)."""
    return all(serial.get(str(name)) == value for name, value in console.attrib.items() if name != "tty")


def _plain(element: etree._Element, tag: str) -> list[dict[str, str]]:
    return [_attributes(item) for item in element.iterfind(tag)]


def _attributes(element: etree._Element) -> dict[str, str]:
    return {str(key): str(value) for key, value in element.attrib.items()}


def strip_fillings(root: etree._Element) -> None:
    """Take all fillings away, in place."""
    for element, name in list(fillings(root)):
        if name:
            del element.attrib[name]
            continue
        parent = element.getparent()
        if parent is not None:
            parent.remove(element)
