"""What a domain's XML says; foreign domains are read without a failure."""

from __future__ import annotations

from typing import Any

import pytest

from xvirt.domainxml.facts import read_domain
from xvirt.domainxml.tree import parse_xml

LIVE = """
<domain type='kvm' id='3'>
  <name>default_web</name>
  <uuid>6BA7B810-9DAD-41D1-80B4-00C04FD430C8</uuid>
  <maxMemory slots='1' unit='GiB'>1</maxMemory>
  <memory unit='MiB'>1024</memory>
  <currentMemory unit='KiB'>524288</currentMemory>
  <vcpu placement='static' current='3'>4</vcpu>
  <vcpus>
    <vcpu id='0' enabled='yes' hotpluggable='no' order='1'/>
    <vcpu id='1' enabled='yes' hotpluggable='no' order='2'/>
    <vcpu id='2' enabled='yes' hotpluggable='yes' order='3'/>
    <vcpu id='3' enabled='no' hotpluggable='yes'/>
  </vcpus>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='/pool/root.qcow2' index='1'/>
      <target dev='vda' bus='virtio'/>
      <alias name='ua-disk-root'/>
      <address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>
    </disk>
    <disk type='block' device='disk'>
      <source dev='/dev/sdx'/>
      <target dev='vdb' bus='virtio'/>
      <readonly/>
      <alias name='virtio-disk1'/>
    </disk>
    <disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>
    <controller type='pci' index='0' model='pcie-root'/>
    <controller type='pci' index='1' model='pcie-root-port'/>
    <controller type='pci' index='2' model='pcie-root-port'/>
    <controller type='pci' index='3' model='pcie-root-port'><target hotplug='off'/></controller>
    <controller type='pci' index='10' model='pcie-root-port'/>
    <interface type='network'>
      <mac address='02:CB:AE:16:D0:0C'/>
      <source network='default_lan' portid='x' bridge='xv0'/>
      <target dev='vnet0'/>
      <model type='virtio'/>
      <link state='down'/>
      <alias name='ua-nic-lan'/>
      <address type='pci' domain='0x0000' bus='0x0a' slot='0x00' function='0x0'/>
    </interface>
    <interface type='bridge'><source bridge='br0'/></interface>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>
    <memory model='virtio-mem'>
      <target>
        <size unit='KiB'>524288</size><node>0</node><block unit='KiB'>2048</block>
        <requested unit='KiB'>65536</requested><current unit='KiB'>32768</current>
      </target>
    </memory>
  </devices>
</domain>
"""


def test_a_running_domain_is_read() -> None:
    facts = read_domain(parse_xml(LIVE))
    assert facts.uuid == "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
    assert (facts.vcpus, facts.max_vcpus, facts.vcpus_floor) == (3, 4, 2)
    assert (facts.memory_bytes, facts.current_memory_bytes, facts.max_memory_bytes) == (1 << 30, 512 << 20, 1 << 30)
    device = facts.memory_device
    assert device is not None
    assert (device.size_bytes, device.requested_bytes, device.current_bytes) == (512 << 20, 64 << 20, 32 << 20)
    assert facts.is_agent_connected
    assert facts.mark is None
    assert facts.free_pcie_ports == 1


def test_disks_and_nics_are_read() -> None:
    facts = read_domain(parse_xml(LIVE))
    root, foreign, drive = facts.disks
    assert (root.name, root.target, root.path, root.format) == ("root", "vda", "/pool/root.qcow2", "qcow2")
    assert (foreign.name, foreign.path, foreign.is_read_only) == ("", "/dev/sdx", True)
    assert (drive.path, drive.device, drive.alias) == (None, "cdrom", "")
    assert parse_xml(root.xml).tag == "disk"
    lan, bridged = facts.nics
    assert (lan.name, lan.mac, lan.network, lan.bridge) == ("lan", "02:cb:ae:16:d0:0c", "default_lan", "xv0")
    assert (lan.link_up, lan.target, lan.model) == (False, "vnet0", "virtio")
    assert (bridged.network, bridged.bridge, bridged.link_up) == (None, "br0", True)


def test_vcpus_of_a_definition_cannot_be_unplugged() -> None:
    assert read_domain(parse_xml("<domain><vcpu current='2'>4</vcpu></domain>")).vcpus_floor == 2


def test_a_pc_takes_devices_on_its_root_bus() -> None:
    text = """<domain><os><type machine='pc-i440fx-7.2'>hvm</type></os><devices>
      <controller type='pci' index='0' model='pci-root'/>
      <rng><address type='pci' bus='0x00' slot='0x02' function='0x0'/></rng></devices></domain>"""
    assert read_domain(parse_xml(text)).free_pcie_ports == 30


@pytest.mark.parametrize(
    "text",
    [
        "<domain/>",
        "<domain><vcpu>many</vcpu><memory unit='parsec'>x</memory><uuid/></domain>",
        "<domain><memory/><devices><disk/><interface/><memory model='virtio-mem'/><channel/></devices></domain>",
        "<domain><devices><!-- c --><controller type='pci' index='x'/><rng><address type='pci' slot='?'/></rng></devices></domain>",
        "<domain><vcpus><vcpu/></vcpus><devices><disk><source/></disk><disk><alias/></disk></devices></domain>",
    ],
)
def test_odd_domains_are_read_without_a_failure(text: str) -> None:
    facts: Any = read_domain(parse_xml(text))
    assert facts.mark is None
