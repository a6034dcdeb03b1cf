"""Limits of disks: the document's words, libvirt's names, and what libvirt leaves behind."""

from __future__ import annotations

from typing import Any

import pytest
from lxml import etree

from xvirt.domainxml.iotune import add_tune, disk_tune, read_tune
from xvirt.model.codec import parse
from xvirt.model.machine.disk_limits import DiskLimits


def _limits(**fields: Any) -> DiskLimits | None:
    disk = {"name": "a", "source": {"size": "1Gi"}, "ioLimits": fields}
    document = {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "VirtualMachine",
        "metadata": {"name": "web"},
        "spec": {"memory": {"size": "1Gi"}, "disks": [disk]},
    }
    found: DiskLimits | None = parse(document).spec.disks[0].io_limits
    return found


@pytest.mark.parametrize(
    ("fields", "tune"),
    [
        ({}, {}),
        ({"totalBytes": {"perSecond": "1M"}}, {"total_bytes_sec": 1_000_000}),
        (
            {"readBytes": {"perSecond": "1Mi", "burst": "2Mi"}, "writeBytes": {"perSecond": 4096}},
            {"read_bytes_sec": 1 << 20, "read_bytes_sec_max": 2 << 20, "write_bytes_sec": 4096},
        ),
        (
            {"totalIops": {"perSecond": 100, "burst": 200, "burstSeconds": 30}, "iopsSize": "4Ki", "group": "g"},
            {
                "total_iops_sec": 100,
                "total_iops_sec_max": 200,
                "total_iops_sec_max_length": 30,
                "size_iops_sec": 4096,
                "group_name": "g",
            },
        ),
    ],
    ids=["none", "total", "burst of libvirt's own length", "all the rest"],
)
def test_row_36_limits_become_libvirts_numbers_and_are_read_back_as_the_same(
    fields: dict[str, Any], tune: dict[str, int | str]
) -> None:
    assert disk_tune(_limits(**fields)) == tune
    disk = etree.Element("disk")
    add_tune(disk, tune)
    assert (disk.find("iotune") is None) == (not tune)
    assert read_tune(disk) == tune


def test_what_libvirt_leaves_behind_of_limits_that_are_gone_is_none() -> None:
    for left in (
        "<total_bytes_sec_max_length>1</total_bytes_sec_max_length>",
        "<read_iops_sec_max_length>9</read_iops_sec_max_length><group_name>g</group_name>",
        "<total_bytes_sec>0</total_bytes_sec>",
        "",
    ):
        assert read_tune(etree.fromstring(f"<disk><iotune>{left}</iotune></disk>")) == {}


def test_a_foreign_domain_may_say_what_it_likes() -> None:
    odd = "<disk><iotune><total_bytes_sec>many</total_bytes_sec><read_iops_sec>7</read_iops_sec><x/></iotune></disk>"
    assert read_tune(etree.fromstring(odd)) == {"read_iops_sec": 7}
