"""What a RELAX NG schema allows, as a tree; small grammars for each pattern, and the schemas of the installed libvirt."""

from __future__ import annotations

import pytest

from nodeplugin.hypervisor.schemas import installed_schema, read_schemas
from xvirt.domainxml.schema import FILES, RNG, Element, path_text, read_schema, walk
from xvirt.domainxml.tree import parse_xml

QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"


def grammar(*definitions: str) -> bytes:
    return f"<grammar xmlns='{RNG}'>{''.join(definitions)}</grammar>".encode()


def read(*definitions: str, **others: bytes) -> Element:
    """The root of a domain schema; `others` are files that it may include, by name without ending."""
    files = {"domain.rng": grammar(*definitions), **{f"{name}.rng": text for name, text in others.items()}}
    return read_schema({name: parse_xml(text) for name, text in files.items()}, "domain")


def root(content: str, *definitions: str, **others: bytes) -> Element:
    return read(f"<start><element name='a'>{content}</element></start>", *definitions, **others)


@pytest.mark.parametrize(
    ("pattern", "kinds"),
    [
        ("<text/>", ("text",)),
        ("<value>x</value>", ("enum",)),
        ("<choice><value>no</value><value> yes </value></choice>", ("yes/no",)),
        ("<choice><value>on</value><value>off</value></choice>", ("on/off",)),
        ("<data type='unsignedInt'><param name='pattern'>[0-9]+</param></data>", ("int",)),
        ("<data type='string'><param name='pattern'>.+</param></data>", ("text",)),
        ("<choice><value>auto</value><data type='int'/></choice>", ("enum", "int")),
        ("<list><value>a</value><value>b</value></list>", ("text",)),
        ("<ref name='absFilePath'/>", ("path",)),
        ("<ref name='deviceName'/>", ("path",)),
        ("<empty/>", ("enum",)),
        ("", ("text",)),
    ],
)
def test_an_attribute_says_what_it_may_hold(pattern: str, kinds: tuple[str, ...]) -> None:
    paths = "".join(f"<define name='{name}'><data type='string'/></define>" for name in ("absFilePath", "deviceName"))
    found = root(f"<attribute name='x'>{pattern}</attribute>", paths).attribute("x")
    assert found is not None
    assert found.values.kinds == kinds
    assert not found.is_optional


def flags(element: Element) -> dict[str, tuple[bool, bool]]:
    return {item.name: (item.is_optional, item.is_repeatable) for item in element.children}


def test_children_are_optional_or_repeatable_as_their_pattern_says() -> None:
    found = root(
        "<interleave><element name='one'/><optional><element name='maybe'/></optional>"
        "<zeroOrMore><element name='any'/></zeroOrMore><oneOrMore><element name='some'/></oneOrMore>"
        "<group><element name='twice'/><element name='twice'/></group></interleave>"
    )
    assert flags(found) == {
        "one": (False, False),
        "maybe": (True, False),
        "any": (True, True),
        "some": (False, True),
        "twice": (False, True),
    }


def test_alternatives_are_one_tree_in_which_only_what_all_require_is_required() -> None:
    found = root(
        "<choice>"
        "<group><attribute name='type'><value>file</value></attribute>"
        "<element name='source'><attribute name='file'/></element></group>"
        "<group><attribute name='type'><value>dir</value></attribute><attribute name='mode'/>"
        "<element name='source'><attribute name='dir'/><element name='deep'/></element></group>"
        "</choice>"
    )
    assert {item.name: item.is_optional for item in found.attributes} == {"type": False, "mode": True}
    kind = found.attribute("type")
    assert kind is not None
    assert kind.values.choices == {"file", "dir"}
    assert flags(found) == {"source": (False, False)}
    source = found.children[0]
    assert {item.name: item.is_optional for item in source.attributes} == {"file": True, "dir": True}
    assert flags(source) == {"deep": (True, False)}


def test_an_element_within_itself_is_cut() -> None:
    found = root(
        "<ref name='store'/>",
        "<define name='store'><optional><element name='store'><attribute name='x'/><ref name='store'/></element>"
        "</optional></define>",
    )
    outer = found.children[0]
    inner = outer.children[0]
    assert (outer.name, outer.is_cut, inner.name, inner.is_cut, inner.attributes) == ("store", False, "store", True, ())
    assert [path_text(path) for path in walk(found)] == ["a", "a/store", "a/store/store"]


def test_what_is_not_allowed_vanishes_until_somebody_adds_a_choice() -> None:
    content = "<element name='b'><choice><ref name='extra'/><empty/></choice></element>"
    common = grammar("<define name='extra'><notAllowed/></define>")
    include = "<include href='common.rng'/>"
    more = "<define name='extra' combine='choice'><element name='c'/></define>"
    assert root(content, include, common=common).children[0].children == ()
    assert [item.name for item in root(content, include, more, common=common).children[0].children] == ["c"]
    assert root("<optional><group><element name='d'/><notAllowed/></group></optional>").children == ()


def test_an_include_replaces_what_it_defines_itself() -> None:
    common = grammar("<start><element name='z'/></start>", "<define name='x'><element name='old'/></define>")
    override = (
        "<include href='common.rng'><start><element name='a'><ref name='x'/></element></start>"
        "<define name='x'><element name='new'/></define></include>"
    )
    assert [item.name for item in read(override, common=common).children] == ["new"]


def test_a_nested_grammar_keeps_its_definitions_to_itself() -> None:
    inner = (
        "<grammar><start><ref name='x'/><parentRef name='y'/></start>"
        "<define name='x'><element name='inner'/></define></grammar>"
    )
    outer = "<define name='x'><element name='outer'/></define><define name='y'><element name='of-parent'/></define>"
    assert [item.name for item in root(f"{inner}<ref name='x'/>", outer).children] == ["inner", "of-parent", "outer"]


def test_namespaces_and_open_names_are_kept() -> None:
    found = root(
        f"<element name='cmd' ns='{QEMU}'><attribute name='plain'/><element name='arg'/></element>"
        "<element><anyName/><attribute><anyName/></attribute></element>"
        "<element><choice><name>k</name><name>l</name></choice></element>"
    )
    names = [(item.namespace, item.name) for item in found.children]
    assert names == [(QEMU, "cmd"), ("*", "*"), ("", "k"), ("", "l")]
    command = found.child("cmd", QEMU)
    assert command is not None
    assert command.attributes[0].namespace == ""
    assert command.children[0].namespace == QEMU
    assert path_text((found, command)) == f"a/{{{QEMU}}}cmd"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (grammar("<start><ref name='x'/></start>"), "definition x is missing"),
        (grammar("<start><element name='a'><future/></element></start>"), "<future> is not known as a pattern"),
        (grammar("<future/>"), "<future> is not known in a grammar"),
        (grammar("<include href='gone.rng'/>"), "schema gone.rng is missing"),
        (grammar("<start><text/></start>"), "starts with 0 elements"),
        (
            grammar("<start><ref name='x'/></start><define name='x'><ref name='x'/></define>"),
            "refers to itself outside",
        ),
    ],
)
def test_a_schema_that_cannot_be_understood_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_schema({"domain.rng": parse_xml(text)}, "domain")


def test_a_kind_without_schema_is_refused() -> None:
    with pytest.raises(ValueError, match="not one of domain, network"):
        read_schema({}, "teapot")


@pytest.mark.parametrize("kind", FILES)
def test_every_kind_of_the_installed_libvirt_has_a_tree(kind: str) -> None:
    paths = [path_text(path) for path in walk(installed_schema(kind))]
    assert len(paths) > 5
    assert len(paths) == len(set(paths))


def test_the_installed_domain_schema_says_what_is_known_of_it() -> None:
    domain = installed_schema("domain")
    found = {path_text(path): path[-1] for path in walk(domain)}
    disk = found["domain/devices/disk"]
    assert disk.is_repeatable
    assert disk.is_optional
    assert not found["domain/name"].is_optional
    assert found["domain/devices/disk/backingStore/backingStore"].is_cut
    assert f"domain/{{{QEMU}}}commandline/{{{QEMU}}}arg" in found
    kernel = found["domain/os/kernel"].text
    assert kernel is not None
    assert kernel.kinds == ("path",)
    passwd = found["domain/devices/graphics"].attribute("passwd")
    assert passwd is not None
    assert passwd.values.kinds == ("text",)


def test_every_schema_file_of_the_installed_libvirt_is_read() -> None:
    assert set(FILES.values()) <= set(read_schemas())
