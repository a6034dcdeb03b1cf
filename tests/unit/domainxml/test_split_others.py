"""Networks, pools and volumes that are there, and the overlays of networks and pools."""

from __future__ import annotations

import collections
from typing import Any

import pytest

from tests.golden.domainxml.conftest import mark_of
from tools.corpus import documents
from xvirt.domainxml.mark import write_mark
from xvirt.domainxml.network import network_changes, render_network
from xvirt.domainxml.pool import render_pool
from xvirt.domainxml.split import join_network, join_pool, split_network, split_pool, split_volume
from xvirt.domainxml.split.layout import bare_copy
from xvirt.domainxml.tree import canonical, parse_xml
from xvirt.model.codec import parse
from xvirt.model.concise import concise
from xvirt.model.errors import InvalidSpec
from xvirt.model.meta import Resource

UID = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
DEFAULT = """<network><name>default</name><uuid>9a05da11-e96b-47f3-8253-a3a482e445f5</uuid><forward mode='nat'/>
<bridge name='virbr0' stp='on' delay='0'/><mac address='52:54:00:0a:cd:21'/>
<ip address='192.168.122.1' netmask='255.255.255.0'><dhcp><range start='192.168.122.2' end='192.168.122.254'/>
<host mac='52:54:00:00:00:01' name='web' ip='192.168.122.10'/></dhcp></ip></network>"""
VOLUME = """<volume type='file'><name>root.qcow2</name><capacity unit='GiB'>10</capacity><target><path>/p/root.qcow2</path>
<format type='qcow2'/><permissions><mode>0600</mode></permissions></target></volume>"""


def network(**spec: Any) -> Resource:
    base = {"subnets": [{"address": "192.168.50.1/24"}], "dns": {"texts": [{"name": "a", "value": "b"}]}}
    head = {"apiVersion": "xvirt.io/v1alpha1", "kind": "VirtualNetwork", "metadata": {"name": "lan"}}
    return parse({**head, "spec": {**base, **spec}})


def pool(**spec: Any) -> Resource:
    head = {"apiVersion": "xvirt.io/v1alpha1", "kind": "StoragePool", "metadata": {"name": "fast"}}
    return parse({**head, "spec": {"path": "/srv/fast", **spec}})


def test_every_network_of_libvirts_own_tests_is_given_back(capsys: pytest.CaptureFixture[str]) -> None:
    counts: collections.Counter[str] = collections.Counter()
    for path in documents():
        try:
            root = parse_xml(path.read_bytes())
        except InvalidSpec:
            continue
        if root.tag != "network":
            continue
        counts["files"] += 1
        split = split_network(root)
        counts["exact"] += canonical(join_network(split, root)) == canonical(bare_copy(root))
        counts["typed subnets"] += len(split.spec.subnets)
        counts["subnets"] += len(root.findall("ip"))
    with capsys.disabled():
        print(f"\nlibvirt's networks split: {dict(sorted(counts.items()))}")
    assert counts["files"] > 100
    assert counts["exact"] == counts["files"]


def test_libvirts_default_network_is_nearly_all_typed() -> None:
    split = split_network(parse_xml(DEFAULT))
    assert concise(split.spec) == {
        "subnets": [
            {
                "address": "192.168.122.1/24",
                "dhcp": {
                    "ranges": [{"start": "192.168.122.2", "end": "192.168.122.254"}],
                    "hosts": [{"mac": "52:54:00:00:00:01", "ip": "192.168.122.10", "name": "web"}],
                },
            }
        ],
        "network": {"bridge": {"@stp": "on"}},
    }


def test_a_rendered_network_has_no_overlay() -> None:
    declared = network(mode="Nat", domainName="lab.example", mtu=1400)
    split = split_network(render_network(declared, UID, None))
    assert split.overlay == {}
    assert split.spec == declared.spec


def test_every_directory_pool_of_libvirts_own_tests_is_given_back() -> None:
    found = 0
    for path in documents():
        try:
            root = parse_xml(path.read_bytes())
            split = split_pool(root)
        except InvalidSpec:
            continue
        found += 1
        joined, wanted = join_pool(split, root), bare_copy(root)
        for tag in ("capacity", "allocation", "available", "source"):
            for item in wanted.findall(tag):
                wanted.remove(item)
        assert canonical(joined) == canonical(wanted)
    assert found


def test_a_pool_is_a_path_and_an_overlay() -> None:
    mode = {"target": {"permissions": {"mode": "0711"}}}
    declared = pool(pool=mode)
    root = render_pool(declared, UID)
    assert root.findtext("target/permissions/mode") == "0711"
    split = split_pool(root)
    assert (split.spec.path, split.overlay) == ("/srv/fast", mode)
    with pytest.raises(InvalidSpec, match="StoragePools are directories"):
        split_pool(parse_xml("<pool type='rbd'/>"))


def test_a_volume_is_a_size_and_a_format_and_tells_what_else_it_has() -> None:
    split = split_volume(parse_xml(VOLUME))
    assert (str(split.spec.size), split.spec.format.value, split.name) == ("10Gi", "qcow2", "root.qcow2")
    assert split.unsaid == ("volume.target.permissions.mode",)
    with pytest.raises(InvalidSpec, match="qcow2 or raw"):
        split_volume(parse_xml("<volume><capacity>1</capacity><target><format type='vdi'/></target></volume>"))


OVERLAY = {
    "bridge": {"@zone": "trusted"},
    "ip": [{"@address": "192.168.50.1", "tftp": {"@root": "/srv/tftp"}}],
    "portgroup": [{"@name": "slow", "bandwidth": {"inbound": {"@average": "100"}}}],
}


def test_a_network_overlay_is_matched_by_address_and_name() -> None:
    root = render_network(network(network=OVERLAY), UID, None)
    assert root.xpath("string(bridge/@zone)") == "trusted"
    assert root.xpath("string(ip[@address='192.168.50.1']/tftp/@root)") == "/srv/tftp"
    assert root.xpath("string(portgroup[@name='slow']/bandwidth/inbound/@average)") == "100"
    assert len(root.findall("ip")) == 1


@pytest.mark.parametrize(
    ("overlay", "path", "field"),
    [
        ({"forward": {"@mode": "route"}}, "spec.network.forward.@mode", "spec.mode"),
        ({"name": "x"}, "spec.network.name", "metadata.name"),
        ({"ip": [{"@address": "192.168.50.1", "$patch": "delete"}]}, "spec.network.ip", "spec.subnets"),
        ({"dns": {"txt": [{"@name": "a", "@value": "c"}]}}, "spec.network.dns.txt[0].@value", "spec.dns.texts"),
    ],
)
def test_a_network_overlay_that_contradicts_a_field_is_refused_with_both_names(
    overlay: dict[str, Any], path: str, field: str
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        render_network(network(network=overlay), UID, None)
    assert caught.value.reason == "OverlayConflict"
    assert any(problem.path.startswith(path) for problem in caught.value.problems)
    assert field in str(caught.value)


def test_a_changed_network_overlay_waits_for_a_restart_of_the_network() -> None:
    before, after = network(), network(network=OVERLAY)
    old, new = (render_network(item, UID, None) for item in (before, after))
    write_mark(old, mark_of(before))
    write_mark(new, mark_of(after))
    assert network_changes(old, new).restart_paths == ("spec.network",)
    assert network_changes(new, new).restart_paths == ()
