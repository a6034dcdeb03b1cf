"""The rules against everything that the installed libvirt accepts: documents made from its schemas, so that none is forgotten."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator

import pytest
from lxml import etree

from nodeplugin.hypervisor.schemas import installed_schema, read_schemas
from tests.unit.policy.places import Place, free_places, is_at_or_above, path_places, places, skeleton
from xvirt.domainxml.schema import FILES, RNG, Element, Path, path_text, read_schema, walk
from xvirt.policy import PROFILES, check, log_path
from xvirt.policy.check import TABLES
from xvirt.policy.dangers import HOST_NAMESPACES

OWN = frozenset({"/pool/root", log_path("/log/console"), "default_lan", "br0"})
DENYING = PROFILES[:2]
HOST_FILE = "/etc/shadow"
JUDGED = ("domain", "network", "storagepool", "storagevol", "nwfilter", "domainsnapshot")
"""Kinds that have a table; all others are denied whole."""

FREE_TEXT = {
    "/domain/name",
    "/domain/title",
    "/domain/description",
    "/domain/devices/disk/vendor",
    "/domain/devices/disk/product",
    "/network/title",
    "/network/description",
    "/network/dns/txt/@value",
    "/domainsnapshot/description",
}
"""Text that nobody but people and guests read, wherever a snapshot repeats it, too."""
SMBIOS = {f"/domain/sysinfo/{table}/entry" for table in ("bios", "system", "baseBoard", "chassis", "oemStrings")}

CHARACTER_DEVICES = {
    ("serial", "pty"),
    ("serial", "null"),
    ("console", "pty"),
    ("console", "null"),
    ("channel", "unix"),
    ("channel", "null"),
}
"""All that reach nothing of the host: libvirt itself makes the terminal or socket."""


def denied(document: etree._Element, profile: str, place: str) -> bool:
    return any(is_at_or_above(item.path, place) for item in check(document, profile, OWN))


@pytest.mark.parametrize("profile", DENYING)
@pytest.mark.parametrize("kind", FILES)
def test_row_73_every_path_that_libvirt_knows_is_denied(
    kind: str, profile: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = path_places(installed_schema(kind))
    allowed = [str(place) for place in found if not denied(place.document(HOST_FILE), profile, str(place))]
    assert allowed == []
    with capsys.disabled():
        print(f"\n{kind}: {len(found)} places of paths, all denied in {profile}")


def without_snapshot(place: str) -> str:
    """The same place of a domain that stands alone."""
    for name in ("domain", "inactiveDomain"):
        place = place.replace(f"/domainsnapshot/{name}/", "/domain/")
    return place


@pytest.mark.parametrize("kind", JUDGED)
def test_a_file_of_the_host_is_text_of_no_place_but_titles(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = free_places(installed_schema(kind))
    for profile, expected in (("restricted", FREE_TEXT), ("baseline", FREE_TEXT | SMBIOS)):
        allowed = {str(place) for place in found if not denied(place.document(HOST_FILE), profile, str(place))}
        assert {without_snapshot(place) for place in allowed} <= expected
    with capsys.disabled():
        print(f"\n{kind}: {len(found)} places of free text or paths")


@pytest.mark.parametrize("kind", sorted(set(FILES) - set(JUDGED)))
def test_a_kind_without_rules_is_denied_whole(kind: str) -> None:
    root, _last = skeleton((installed_schema(kind),))
    (violation,) = check(root, "restricted", OWN)
    assert violation.path == f"/{root.tag}"


# Character devices


def character_devices() -> dict[str, Path]:
    """Every element that takes libvirt's list of character sources, by its path."""
    found = {}
    for path in walk(installed_schema("domain")):
        kind = path[-1].attribute("type")
        if kind is not None and {"pty", "tcp", "unix"} <= kind.values.choices:
            found[path_text(path)] = path
    return found


def types_of(path: Path) -> list[str]:
    kind = path[-1].attribute("type")
    assert kind is not None
    return sorted(kind.values.choices)


def test_the_character_devices_are_those_that_are_known() -> None:
    devices = "serial parallel console channel redirdev smartcard rng/backend"
    assert {path.removeprefix("domain/devices/") for path in character_devices()} == set(devices.split())


@pytest.mark.parametrize("profile", DENYING)
@pytest.mark.parametrize("device", character_devices())
def test_every_type_of_every_character_device_is_denied_but_those_of_libvirts_own_making(
    device: str, profile: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = character_devices()[device]
    for kind in types_of(path):
        root, last = skeleton(path)
        last.set("type", kind)
        expected = (device.removeprefix("domain/devices/"), kind) not in CHARACTER_DEVICES
        assert denied(root, profile, f"/{device}/@type") == expected, kind
    with capsys.disabled():
        print(f"\n{device}: {len(types_of(path))} types")


@pytest.mark.parametrize("profile", DENYING)
@pytest.mark.parametrize("device", character_devices())
def test_no_character_device_has_a_source_that_is_named(device: str, profile: str) -> None:
    path = character_devices()[device]
    source = path[-1].child("source")
    assert source is not None
    for item in source.attributes:
        root, last = skeleton((*path, source))
        last.set(item.name, "x")
        assert denied(root, profile, f"/{device}/source/@{item.name}")


# Namespaces


def foreign() -> Iterator[tuple[str, Path]]:
    """Every element of a foreign namespace, of every kind that is judged; below the first one nothing is judged any more."""
    for kind in JUDGED:
        for path in walk(installed_schema(kind)):
            if path[-1].namespace and not any(item.namespace for item in path[:-1]) and path[-1].name != "*":
                yield f"{kind}:{path_text(path)}", path


@pytest.mark.parametrize("profile", DENYING)
@pytest.mark.parametrize("prefix", ["qemu", "zz", None], ids=["usual", "other", "default"])
@pytest.mark.parametrize("path", dict(foreign()).values(), ids=dict(foreign()))
def test_every_foreign_namespace_is_denied_whatever_its_prefix(path: Path, prefix: str | None, profile: str) -> None:
    root, last = skeleton(path, prefix)
    text = etree.tostring(root, encoding="unicode")
    assert (f"<{prefix}:" in text) == (prefix is not None)
    violations = check(etree.fromstring(text), profile, OWN)
    namespace = etree.QName(last).namespace
    assert [item.allowed_by for item in violations if f"namespace {namespace} " in item.rule] == ["privileged"]


def test_every_namespace_of_libvirt_has_its_danger_named() -> None:
    found = {path[-1].namespace for _name, path in foreign()}
    assert len(found) >= 8
    assert found <= set(HOST_NAMESPACES)


# What a new libvirt brings

NEW = (
    f"<optional xmlns='{RNG}'><attribute name='teleport'><text/></attribute></optional>",
    f"<optional xmlns='{RNG}'><element name='teleporter'><attribute name='to'/></element></optional>",
)


@pytest.mark.parametrize("device", ["memballoon", "hyperv", "inbound", "watchdog", "serial", "cputune", "disk"])
def test_what_a_new_libvirt_brings_is_denied_until_it_has_a_rule(device: str) -> None:
    documents = {name: copy.deepcopy(root) for name, root in read_schemas().items()}
    for root in documents.values():
        for element in list(root.iter(f"{{{RNG}}}element")):
            if element.get("name") == device:
                element.extend([etree.fromstring(text) for text in NEW])
    before = {str(place) for place in places(installed_schema("domain"))}
    planted = [place for place in places(read_schema(documents, "domain")) if str(place) not in before]
    assert {place.attribute for place in planted} == {"teleport", "to"}
    for place, profile in itertools.product(planted, DENYING):
        assert denied(place.document("on"), profile, str(place))


NEWER = {
    "domain": {
        "cpu/topology/@clusters": "10.1",
        "devices/disk/driver/@discard_no_unref": "9.5",
        "devices/video/model/@blob": "9.2",
        "devices/crypto": "9.1",
        "features/hyperv/emsr_bitmap": "10.7",
        "features/hyperv/xmm_input": "10.7",
        "features/hyperv/tlbflush/direct": "11.0",
        "features/hyperv/tlbflush/extended": "11.0",
    },
    "network": {"title": "9.7", "description": "9.7"},
}
"""Rules of what a libvirt newer than Debian 12's knows, with the version that brought it."""


def known(root: Element) -> set[str]:
    """Element paths and attributes below a root, as rules write them."""
    found = {f"{path_text(path)}".partition("/")[2] for path in walk(root)}
    return found | {str(place).split("/", 2)[-1] for place in places(root) if place.attribute}


@pytest.mark.parametrize("kind", JUDGED)
def test_every_rule_is_of_something_that_libvirt_knows(kind: str) -> None:
    root = installed_schema(kind)
    table = TABLES["baseline"][root.name]
    rules = {path for path in table if path}
    rules |= {f"{path}/@{name}".lstrip("/") for path, allowed in table.items() for name in allowed.attributes}
    unknown = {rule for rule in rules - known(root) if not any(rule.startswith(new) for new in NEWER.get(kind, {}))}
    assert {rule for rule in unknown if not is_given_to_all(rule)} == set()


def is_given_to_all(rule: str) -> bool:
    """Alias, address, boot and ACPI index are allowed of every device, and matches of every protocol, though not each has them all."""
    parts = rule.split("/")
    return (len(parts) == 3 and parts[0] == "rule") or parts[2:3] in (["alias"], ["address"], ["boot"], ["acpi"])


def test_a_place_is_said_as_the_policy_says_it() -> None:
    place = next(place for place in path_places(installed_schema("domain")) if str(place) == "/domain/os/kernel")
    assert isinstance(place, Place)
    (violation,) = check(place.document(HOST_FILE), "restricted", OWN)
    assert violation.path == "/domain/os/kernel"
