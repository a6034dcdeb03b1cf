"""What libvirt dropped is named; what it merely writes otherwise is not."""

from __future__ import annotations

import pytest

from xvirt.domainxml.compare import lost
from xvirt.domainxml.tree import parse_xml


def compare(intended: str, dumped: str) -> list[str]:
    return lost(parse_xml(intended), parse_xml(dumped))


@pytest.mark.parametrize(
    ("intended", "dumped"),
    [
        ("<domain><memory unit='MiB'>2</memory></domain>", "<domain><memory unit='KiB'>2048</memory></domain>"),
        ("<domain><memory>2048</memory></domain>", "<domain><memory unit='KiB'>2048</memory></domain>"),
        ("<cell memory='1' unit='GiB'/>", "<cell memory='1048576' unit='KiB'/>"),
        ("<uuid>ABC-DEF</uuid>", "<uuid>abc-def</uuid>"),
        ("<mac address='02:CB:AE:16:D0:0C'/>", "<mac address='02:cb:ae:16:d0:0c'/>"),
        ("<address bus='10' slot='0'/>", "<address bus='0x0a' slot='0x00' function='0x0'/>"),
        ("<type machine='q35'>hvm</type>", "<type arch='x86_64' machine='pc-q35-7.2'>hvm</type>"),
        ("<type machine='pc'>hvm</type>", "<type machine='pc-i440fx-7.2'>hvm</type>"),
        ("<f><smm state='on'/></f>", "<f><smm state='yes'/></f>"),
        ("<vcpu> 2 </vcpu>", "<vcpu>2</vcpu>"),
        ("<devices><!-- why --><rng/></devices>", "<devices><rng/></devices>"),
        (
            "<devices><disk><alias name='ua-disk-b'/><x/></disk><disk><alias name='ua-disk-a'/></disk></devices>",
            "<devices><disk><alias name='ua-disk-a'/></disk><disk><alias name='ua-disk-b'/><x/></disk></devices>",
        ),
        (
            "<devices><sound model='b'/></devices>",
            "<devices><sound model='a'/><sound model='b'><address/></sound></devices>",
        ),
    ],
)
def test_another_spelling_is_no_loss(intended: str, dumped: str) -> None:
    assert compare(intended, dumped) == []


@pytest.mark.parametrize(
    ("intended", "dumped", "path"),
    [
        ("<domain><bogus/></domain>", "<domain/>", "/domain/bogus"),
        ("<domain><os x='1'/></domain>", "<domain><os/></domain>", "/domain/os/@x"),
        ("<domain><title>a</title></domain>", "<domain><title>b</title></domain>", "/domain/title/text()"),
        ("<domain><title> a</title></domain>", "<domain><title>a</title></domain>", "/domain/title/text()"),
        ("<domain><memory>1</memory></domain>", "<domain><memory>2</memory></domain>", "/domain/memory/text()"),
        ("<domain><cpu mode='a'/></domain>", "<domain><cpu mode='b'/></domain>", "/domain/cpu/@mode"),
        ("<type machine='q35'/>", "<type machine='pc-i440fx-7.2'/>", "/type/@machine"),
        (
            "<devices><disk><target dev='vda'/></disk><disk><target dev='vdb'/></disk></devices>",
            "<devices><disk><target dev='vda'/></disk></devices>",
            "/devices/disk[vdb]",
        ),
        (
            "<devices><disk><alias name='ua-disk-a'/><serial>s</serial></disk></devices>",
            "<devices><disk><alias name='ua-disk-a'/></disk></devices>",
            "/devices/disk[ua-disk-a]/serial",
        ),
        (
            "<devices><disk><alias name='ua-disk-a'/><target dev='vda'/></disk></devices>",
            "<devices><disk><alias name='ua-disk-b'/><target dev='vda'/></disk></devices>",
            "/devices/disk[ua-disk-a]",
        ),
        (
            "<devices><hub type='usb'/><hub type='x'/></devices>",
            "<devices><hub type='x'/></devices>",
            "/devices/hub[1]",
        ),
        ("<m><a xmlns='urn:a'>t</a></m>", "<m><a xmlns='urn:b'>t</a></m>", "/m/a"),
        ("<m><a xmlns='urn:a'>t </a></m>", "<m><a xmlns='urn:a'>t</a></m>", "/m/a/text()"),
    ],
)
def test_a_loss_is_named(intended: str, dumped: str, path: str) -> None:
    assert compare(intended, dumped) == [path]


def test_a_domain_lost_nothing_to_itself() -> None:
    text = "<domain><a/><a/><b x='1'>t</b><devices><disk/><disk/><controller type='pci'/></devices></domain>"
    assert compare(text, text) == []
