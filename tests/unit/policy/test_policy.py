"""Default deny: each class of danger in one document, and everything harmless passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from lxml import etree

from xvirt.domainxml.tree import parse_xml
from xvirt.model.errors import PolicyRefused
from xvirt.policy import PROFILES, check, enforce
from xvirt.policy.rules import BASELINE, RESTRICTED

QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
Maker = Callable[..., etree._Element]

CHARACTER_SOURCES = {
    "dev": "<source path='/dev/sda'/>",
    "file": "<source path='/etc/passwd'/>",
    "pipe": "<source path='/run/pipe'/>",
    "unix": "<source mode='bind' path='/run/libvirt/libvirt-sock'/>",
    "tcp": "<source mode='connect' host='169.254.169.254' service='80'/>",
    "udp": "<source mode='connect' host='10.0.0.1' service='53'/>",
    "nmdm": "<source master='/dev/nmdm0A' slave='/dev/nmdm0B'/>",
    "spiceport": "<source channel='x'/>",
    "dbus": "<source channel='x'/>",
    "qemu-vdagent": "<source><clipboard copypaste='yes'/></source>",
    "spicevmc": "",
    "stdio": "",
    "vc": "",
}
CHARACTER_DEVICES = ("serial", "parallel", "console", "channel")

GENERAL = {
    "command line": f"<q:commandline xmlns:q='{QEMU}'><q:arg value='-x'/></q:commandline>",
    "command line by another prefix": f"<zz:commandline xmlns:zz='{QEMU}'><zz:arg value='-x'/></zz:commandline>",
    "command line in a default namespace": f"<commandline xmlns='{QEMU}'><arg value='-x'/></commandline>",
    "capabilities": f"<q:capabilities xmlns:q='{QEMU}'><q:add capability='x'/></q:capabilities>",
    "override": f"<q:override xmlns:q='{QEMU}'><q:device alias='x'/></q:override>",
    "lxc namespace": "<l:namespace xmlns:l='http://libvirt.org/schemas/domain/lxc/1.0'/>",
    "xen command line": "<x:commandline xmlns:x='http://libvirt.org/schemas/domain/xen/1.0'/>",
    "bhyve command line": "<b:commandline xmlns:b='http://libvirt.org/schemas/domain/bhyve/1.0'/>",
    "vmware": "<v:datacenterpath xmlns:v='http://libvirt.org/schemas/domain/vmware/1.0'>x</v:datacenterpath>",
    "an unknown namespace": "<u:u xmlns:u='urn:unknown'/>",
    "an unknown element": "<futurefeature/>",
    "a foreign mark": "<metadata><n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/1.1'/></metadata>",
    "bootloader": "<bootloader>/bin/sh</bootloader>",
    "loader": "<os><type>hvm</type><loader type='pflash'>/etc/shadow</loader></os>",
    "nvram": "<os><type>hvm</type><nvram template='/etc/shadow'>/etc/cron.d/x</nvram></os>",
    "kernel": "<os><type>hvm</type><kernel>/etc/shadow</kernel></os>",
    "initrd": "<os><type>hvm</type><initrd>/etc/shadow</initrd></os>",
    "dtb": "<os><type>hvm</type><dtb>/etc/shadow</dtb></os>",
    "acpi table": "<os><type>hvm</type><acpi><table type='slic'>/etc/shadow</table></acpi></os>",
    "container init": "<os><type>exe</type><init>/bin/sh</init></os>",
    "host smbios": "<os><type>hvm</type><smbios mode='host'/></os>",
    "no confinement": "<seclabel type='none'/>",
    "static label": "<seclabel type='static' model='dac' relabel='no'><label>root:root</label></seclabel>",
    "other cgroup": "<resource><partition>/machine/prod</partition></resource>",
    "launch security": "<launchSecurity type='sev'/>",
    "id map": "<idmap><uid start='0' target='0' count='1'/></idmap>",
    "key wrap": "<keywrap><cipher name='aes' state='on'/></keywrap>",
    "core dump": "<on_crash>coredump-destroy</on_crash>",
    "file memory": "<memoryBacking><source type='file'/></memoryBacking>",
    "locked memory": "<memoryBacking><locked/></memoryBacking>",
    "huge pages": "<memoryBacking><hugepages/></memoryBacking>",
    "shared memory": "<cpu><numa><cell id='0' cpus='0' memory='1' unit='KiB' memAccess='shared'/></numa></cpu>",
    "more memory": "<cpu><numa><cell id='0' cpus='0' memory='4' unit='GiB'/></numa></cpu>",
    "pinning": "<cputune><vcpupin vcpu='0' cpuset='0'/></cputune>",
    "cpu set": "<vcpu cpuset='0-3'>1</vcpu>",
    "numa tuning": "<numatune><memory mode='strict' nodeset='0'/></numatune>",
    "block weight of a device": "<blkiotune><device><path>/dev/sda</path><weight>1000</weight></device></blkiotune>",
    "io threads": "<iothreads>64</iothreads>",
    "perf": "<perf><event name='cmt' enabled='yes'/></perf>",
    "fw_cfg file": "<sysinfo type='fwcfg'><entry name='opt/x' file='/etc/shadow'/></sysinfo>",
    "other hypervisor": "<os><type>linux</type></os>",
    "a path in a guest setting": "<features><hyperv><x>/etc/shadow</x></hyperv></features>",
    "a namespace in a guest setting": f"<features><hyperv><q:arg xmlns:q='{QEMU}'/></hyperv></features>",
    "text beside a comment": "<memory><!-- -->/etc/shadow</memory>",
}


def disk(source: str, extra: str = "", head: str = "type='file' device='disk'") -> str:
    """A disk that passes for a typed one."""
    return (
        f"<disk {head}><driver name='qemu' type='raw'/>{source}<target dev='vdx' bus='virtio'/>"
        f"<alias name='ua-disk-x'/>{extra}</disk>"
    )


def interface(kind: str, inside: str) -> str:
    return f"<interface type='{kind}'><mac address='02:00:5e:10:00:01'/>{inside}</interface>"


DEVICES = {
    "emulator": "<emulator>/tmp/evil</emulator>",
    "the node's own path as emulator": "<emulator>/pool/root</emulator>",
    "host file": disk("<source file='/etc/shadow'/>"),
    "host device": disk("<source dev='/dev/sda'/>", head="type='block' device='disk'"),
    "host directory": disk("<source dir='/etc'/>", head="type='dir' device='disk'"),
    "a volume of a pool": disk("<source pool='default' volume='other'/>", head="type='volume' device='disk'"),
    "network disk": disk(
        "<source protocol='http' name='x'><host name='169.254.169.254'/></source>", head="type='network' device='disk'"
    ),
    "nvme": disk("<source type='pci' namespace='1'/>", head="type='nvme' device='disk'"),
    "vhost-user disk": disk("<source type='unix' path='/run/x'/>", head="type='vhostuser' device='disk'"),
    "scsi pass-through": disk("<source file='/pool/root'/>", head="type='file' device='lun'"),
    "raw io": disk("<source file='/pool/root'/>", head="type='file' device='disk' rawio='yes'"),
    "unfiltered scsi": disk("<source file='/pool/root'/>", head="type='file' device='disk' sgio='unfiltered'"),
    "another format of an own volume": (
        "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/pool/root'/>"
        "<target dev='vdx' bus='virtio'/></disk>"
    ),
    "probed format": disk("<source file='/pool/root'/>").replace("type='raw'", "type='vmdk'"),
    "source label": disk("<source file='/pool/root'><seclabel relabel='no'/></source>"),
    "reservations": disk("<source file='/pool/root'><reservations managed='yes'/></source>"),
    "backing store": disk("", "<backingStore type='file'><source file='/etc/shadow'/></backingStore>"),
    "mirror": disk("", "<mirror type='file' file='/etc/x'/>"),
    "disk secret": disk("", "<auth username='x'><secret type='ceph' usage='other'/></auth>"),
    "disk encryption": disk("", "<encryption format='luks'><secret type='passphrase' uuid='u'/></encryption>"),
    "transient": disk("", "<transient shareBacking='yes'/>"),
    "shared disk": disk("", "<shareable/>"),
    "io thread": "<controller type='scsi' index='0'><driver iothread='1'/></controller>",
    "shared directory": "<filesystem type='mount'><source dir='/'/><target dir='x'/></filesystem>",
    "virtiofsd": "<filesystem type='mount'><binary path='/tmp/x'/><source dir='/'/><target dir='x'/></filesystem>",
    "pci device": "<hostdev mode='subsystem' type='pci'><source/></hostdev>",
    "usb device": "<hostdev mode='subsystem' type='usb'><source/></hostdev>",
    "scsi host": "<hostdev mode='subsystem' type='scsi_host'><source/></hostdev>",
    "mediated device": "<hostdev mode='subsystem' type='mdev'><source/></hostdev>",
    "capability": "<hostdev mode='capabilities' type='misc'><source><char>/dev/x</char></source></hostdev>",
    "usb redirection": "<redirdev bus='usb' type='tcp'><source host='x' service='1'/></redirdev>",
    "smart card": "<smartcard mode='host-certificates'><database>/etc/pki</database></smartcard>",
    "shared memory": "<shmem name='x'><server path='/run/x'/></shmem>",
    "lease": "<lease><lockspace>x</lockspace><target path='/x'/></lease>",
    "pstore": "<pstore backend='acpi-erst'><path>/etc/x</path></pstore>",
    "crypto": "<crypto model='virtio' type='qemu'><backend model='lkcf'/></crypto>",
    "vsock address": "<vsock model='virtio'><cid address='3'/></vsock>",
    "iommu": "<iommu model='intel'/>",
    "a network of another namespace": interface("network", "<source network='prod_db'/>"),
    "host bridge": interface("bridge", "<source bridge='br1'/>"),
    "macvtap": interface("direct", "<source dev='eth0' mode='bridge'/>"),
    "ethernet script": interface("ethernet", "<script path='/tmp/x'/>"),
    "down script": interface("network", "<source network='default_lan'/><downscript path='/tmp/x'/>"),
    "vhost-user": interface("vhostuser", "<source type='unix' path='/run/x' mode='client'/>"),
    "vdpa": interface("vdpa", "<source dev='/dev/vhost-vdpa-0'/>"),
    "sr-iov": interface("hostdev", "<source/>"),
    "tunnel": interface("udp", "<source address='10.0.0.1' port='1'/>"),
    "user network": interface("user", ""),
    "tap name": interface("network", "<source network='default_lan'/><target dev='eth0'/>"),
    "tap backend": interface("network", "<source network='default_lan'/><backend tap='/dev/x'/>"),
    "port group": interface("network", "<source network='default_lan' portgroup='prod'/>"),
    "vlan": interface("network", "<source network='default_lan'/><vlan><tag id='1'/></vlan>"),
    "virtual port": interface("network", "<source network='default_lan'/><virtualport type='openvswitch'/>"),
    "filter trust": interface("network", "<source network='default_lan'/>").replace(
        "type='network'", "type='network' trustGuestRxFilters='yes'"
    ),
    "nic rom": interface("network", "<source network='default_lan'/><rom file='/etc/shadow'/>"),
    "port forward": interface("network", "<source network='default_lan'/><portForward proto='tcp'/>"),
    "console log": "<serial type='pty'><log file='/etc/cron.d/x'/></serial>",
    "console log into a disk": disk("<source file='/pool/root'/>")
    + "<serial type='pty'><log file='/pool/root'/></serial>",
    "console tty": "<console type='pty' tty='/dev/tty1'/>",
    "pty path": "<serial type='pty'><source path='/dev/pts/0'/></serial>",
    "channel name": "<channel type='unix'><target type='virtio' name='org.other'/></channel>",
    "channel socket": "<channel type='unix'><source mode='bind' path='/run/x'/></channel>",
    "random device": "<rng model='virtio'><backend model='random'>/dev/sda</backend></rng>",
    "random daemon": "<rng model='virtio'><backend model='egd' type='tcp'><source host='x'/></backend></rng>",
    "host tpm": "<tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>",
    "external tpm": "<tpm><backend type='external'><source type='unix' path='/run/x'/></backend></tpm>",
    "tpm state path": "<tpm><backend type='emulator'><source type='file' path='/etc/x'/></backend></tpm>",
    "tpm secret": "<tpm><backend type='emulator'><encryption secret='u'/></backend></tpm>",
    "public vnc": "<graphics type='vnc' port='5900' listen='0.0.0.0'/>",
    "vnc address": "<graphics type='vnc'><listen type='address' address='0.0.0.0'/></graphics>",
    "vnc socket path": "<graphics type='vnc' socket='/run/x'/>",
    "vnc listen path": "<graphics type='vnc'><listen type='socket' socket='/etc/x'/></graphics>",
    "vnc password": "<graphics type='vnc' passwd='secret'/>",
    "spice": "<graphics type='spice'><listen type='none'/></graphics>",
    "host display": "<graphics type='sdl' display=':0' xauth='/root/.Xauthority'/>",
    "egl": "<graphics type='egl-headless'><gl rendernode='/dev/dri/renderD128'/></graphics>",
    "gpu": "<video><model type='virtio'><acceleration accel3d='yes' rendernode='/dev/dri/x'/></model></video>",
    "host audio": "<audio id='1' type='file' path='/etc/x'/>",
    "host keyboard": "<input type='evdev'><source dev='/dev/input/event0'/></input>",
    "passed-through input": "<input type='passthrough' bus='virtio'><source evdev='/dev/input/event0'/></input>",
    "nvdimm": "<memory model='nvdimm'><source><path>/dev/pmem0</path></source></memory>",
    "memory beyond its size": "<memory model='dimm'><target><size unit='GiB'>64</size></target></memory>",
    "memory dump": "<watchdog model='i6300esb' action='dump'/>",
    "a namespace in devices": f"<q:device xmlns:q='{QEMU}'/>",
    "an unknown device": "<teleporter/>",
    "an unknown attribute": "<rng model='virtio' future='yes'/>",
    "a namespaced attribute": f"<rng model='virtio' xmlns:q='{QEMU}' q:x='1'/>",
}


@pytest.mark.parametrize("text", GENERAL.values(), ids=GENERAL.keys())
def test_a_danger_is_denied(domain: Maker, own: frozenset[str], text: str) -> None:
    found = check(domain(text), "restricted", own)
    assert found
    assert all(item.path.startswith("/domain/") and item.rule and item.remedy for item in found)


@pytest.mark.parametrize("devices", DEVICES.values(), ids=DEVICES.keys())
def test_a_dangerous_device_is_denied(domain: Maker, own: frozenset[str], devices: str) -> None:
    assert check(domain(devices=devices), "restricted", own)


@pytest.mark.parametrize("device", CHARACTER_DEVICES)
@pytest.mark.parametrize("kind", CHARACTER_SOURCES)
def test_a_character_device_reaches_nothing_of_the_host(domain: Maker, own: Any, device: str, kind: str) -> None:
    text = f"<{device} type='{kind}'>{CHARACTER_SOURCES[kind]}</{device}>"
    assert check(domain(devices=text), "restricted", own)
    assert check(domain(devices=text), "baseline", own)


SHARES = (
    "pinning",
    "cpu set",
    "numa tuning",
    "io threads",
    "perf",
    "huge pages",
    "a foreign mark",
    "shared memory",
)
SHARED_DEVICES = ("io thread", "iommu", "shared disk")


def test_baseline_allows_shares_of_the_host_and_no_danger_more(domain: Maker, own: frozenset[str]) -> None:
    allowed = {name for name, text in GENERAL.items() if not check(domain(text), "baseline", own)}
    assert allowed == set(SHARES)
    devices = {name for name, text in DEVICES.items() if not check(domain(devices=text), "baseline", own)}
    assert devices == set(SHARED_DEVICES)


def test_privileged_allows_everything(domain: Maker) -> None:
    for text in GENERAL.values():
        enforce(domain(text), "privileged", frozenset())


def test_a_refusal_names_path_rule_and_remedy(domain: Maker, own: frozenset[str]) -> None:
    root = domain("<cputune><shares>9</shares></cputune>", "<emulator>/x</emulator>")
    with pytest.raises(PolicyRefused) as caught:
        enforce(root, "restricted", own)
    message = str(caught.value)
    assert "/domain/cputune: element is not on the allow-list of restricted" in message
    assert "ask an administrator for profile baseline" in message
    assert "/domain/devices/emulator" in message
    assert "libvirt runs the emulator as soon as it is defined" in message
    assert "profile privileged" in message


def test_what_the_node_computed_passes_where_it_belongs(domain: Maker, own: frozenset[str]) -> None:
    devices = (
        disk("<source file='/pool/root'/>")
        + "<serial type='pty'><log file='/log/console' append='on'/></serial>"
        + interface("network", "<source network='default_lan'/>")
        + interface("bridge", "<source bridge='br0'/>")
    )
    assert check(domain(devices=devices), "restricted", own) == ()
    assert len(check(domain(devices=devices), "restricted", frozenset())) == 3


def test_a_network_of_the_own_namespace_is_allowed_by_its_name(domain: Maker) -> None:
    assert check(domain(devices=interface("network", "<source network='default_x'/>")), "restricted", frozenset()) == ()


def test_an_unknown_profile_is_an_error_and_not_a_licence(domain: Maker) -> None:
    with pytest.raises(ValueError, match="not one of"):
        check(domain(), "Privileged", frozenset())


@pytest.mark.parametrize("profile", PROFILES[:2])
@pytest.mark.parametrize("text", [f"<domain xmlns='{QEMU}'/>", "<teapot/>", "<q:domain xmlns:q='urn:x'/>"])
def test_a_document_that_nobody_knows_is_denied(profile: str, text: str) -> None:
    assert check(parse_xml(text), profile, frozenset())


def test_baseline_contains_restricted() -> None:
    for path, allowed in RESTRICTED.items():
        assert path in BASELINE
        assert set(allowed.attributes) <= set(BASELINE[path].attributes)
