"""No secret stands in XML that is shown: found in libvirt's schemas, planted everywhere, looked for in the text."""

from __future__ import annotations

import re

import pytest
from lxml import etree

from nodeplugin.hypervisor.schemas import installed_schema
from tests.unit.policy.places import Place, places, skeleton
from xvirt.domainxml.hidden import HIDDEN, secure_places, shown_text, without_secrets
from xvirt.domainxml.mark import OwnershipMark, write_mark
from xvirt.domainxml.schema import FILES, PATH, TEXT, walk
from xvirt.domainxml.tree import canonical, parse_xml

SECRET = "hunter2"
QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
_SUSPICIOUS = re.compile("passw|secret|token|cookie|cred|cert|query|session|key$", re.IGNORECASE)
NO_SECRET = {
    "graphics/@passwdValidTo": "when a password ends",
    "backend/encryption/@secret": "the UUID of a secret of libvirt",
    "lease/key": "the name of a lock",
    "volume/key": "the path of a volume",
    "capability/keywrap": "whether the CPU can",
}
"""What only sounds like one."""


def suspicious() -> list[Place]:
    """Every text of every kind whose name, or whose element's, sounds like a secret."""
    return [
        place
        for kind in FILES
        for place in places(installed_schema(kind))
        if _SUSPICIOUS.search(place.attribute or place.path[-1].name)
        and place.values.types & {TEXT, PATH}
        and not str(place).endswith(tuple(NO_SECRET))
    ]


@pytest.mark.parametrize("place", suspicious(), ids=str)
def test_every_place_that_sounds_like_a_secret_is_hidden(place: Place) -> None:
    text = shown_text(place.document(SECRET))
    assert SECRET not in text
    assert HIDDEN in text


def test_many_places_sound_like_a_secret() -> None:
    assert len(suspicious()) > 20


@pytest.mark.parametrize("prefix", ["qemu", "x", None])
def test_what_is_passed_to_qemu_word_by_word_is_hidden_whatever_its_prefix(prefix: str | None) -> None:
    paths = [path for path in walk(installed_schema("domain")) if path[-1].attribute("value") and path[-1].namespace]
    assert {path[-1].name for path in paths} >= {"arg", "env", "property"}
    for path in paths:
        root, last = skeleton(path, prefix)
        last.set("value", f"-vnc password={SECRET}")
        assert SECRET not in shown_text(root)


@pytest.mark.parametrize(
    "text",
    [
        f"<domain><sysinfo type='fwcfg'><entry name='opt/x'>{SECRET}</entry></sysinfo></domain>",
        f"<domain><sysinfo type='smbios'><oemStrings><entry>io.systemd.credential:p={SECRET}</entry></oemStrings></sysinfo></domain>",
        f"<domain><devices><graphics type='spice' passwd='{SECRET}'/></devices></domain>",
        f"<domain xmlns:q='{QEMU}'><devices/><q:commandline><q:env name='P' value='{SECRET}'/></q:commandline></domain>",
    ],
)
def test_a_secret_of_each_class_is_hidden(text: str) -> None:
    assert SECRET not in shown_text(parse_xml(text))


def test_nothing_but_secrets_changes_and_not_in_the_original() -> None:
    text = (
        "<domain><sysinfo type='smbios'><system><entry name='serial'>a</entry></system></sysinfo>"
        "<metadata><n:i xmlns:n='urn:n' value='b'>c</n:i></metadata>"
        f"<devices><graphics type='vnc' passwd='{SECRET}'/><disk><auth username='u'><secret uuid='v'/></auth></disk>"
        "</devices></domain>"
    )
    root = parse_xml(text)
    before = canonical(root)
    expected = parse_xml(text.replace(SECRET, HIDDEN))
    assert canonical(without_secrets(root)) == canonical(expected)
    assert canonical(root) == before


def test_the_document_in_the_mark_is_not_shown_a_second_time() -> None:
    root = etree.Element("domain")
    mark = OwnershipMark(
        uid="u",
        authority="local",
        kind="VirtualMachine",
        namespace="default",
        name="web",
        generation=1,
        epoch=0,
        spec_hash="h",
        document={"spec": {"x": SECRET}},
    )
    write_mark(root, mark)
    assert SECRET not in shown_text(root)
    assert 'uid="u"' in shown_text(root)


def test_what_libvirt_never_tells_is_named_by_its_place() -> None:
    text = (
        f"<domain><devices><graphics passwd='{SECRET}'/>"
        f"<disk><source><cookies><cookie name='a'>{SECRET}</cookie></cookies></source></disk></devices></domain>"
    )
    assert secure_places(parse_xml(text)) == ["devices/graphics/@passwd", "devices/disk/source/cookies/cookie"]
