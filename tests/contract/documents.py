"""Documents for contract tests: domains without an operating system, which run for ever."""

from __future__ import annotations

import dataclasses
import uuid


def new_uuid() -> str:
    """A UUID as libvirt writes it."""
    return str(uuid.uuid4())


@dataclasses.dataclass
class DomainDraft:
    """A domain to define."""

    name: str = ""
    uuid: str = dataclasses.field(default_factory=new_uuid)
    memory_mib: int = 64
    vcpus: int = 1
    vcpus_max: int = 1
    devices: str = ""
    metadata: str = ""
    more: str = ""

    def xml(self) -> str:
        """Its definition."""
        name = self.name or f"d-{self.uuid[:8]}"
        return f"""<domain type='qemu'><name>{name}</name><uuid>{self.uuid}</uuid>{self.metadata}
<memory unit='MiB'>{self.memory_mib}</memory><vcpu current='{self.vcpus}'>{self.vcpus_max}</vcpu>{self.more}
<os><type arch='x86_64' machine='pc'>hvm</type></os>
<features><acpi/><tcg><tb-cache unit='MiB'>16</tb-cache></tcg></features>
<devices><serial type='pty'><target port='0'/></serial><console type='pty'><target type='serial' port='0'/></console>
<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>{self.devices}</devices></domain>"""


def disk_xml(path: str, target: str = "vdb", *, alias: str = "ua-disk-data") -> str:
    """A virtio disk."""
    return f"""<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{path}'/>
<target dev='{target}' bus='virtio'/><alias name='{alias}'/></disk>"""


def nic_xml(mac: str, network: str, *, link: str = "up", alias: str = "ua-nic-lan") -> str:
    """A virtio NIC in a libvirt network."""
    return f"""<interface type='network'><mac address='{mac}'/><source network='{network}'/><model type='virtio'/>
<link state='{link}'/><alias name='{alias}'/></interface>"""


def network_xml(
    name: str, identity: str, *, domain: str = "", hosts: str = "", bridge: str = "", metadata: str = ""
) -> str:
    """An isolated network with DHCP."""
    named = f"<domain name='{domain}'/>" if domain else ""
    told = f"<metadata>{metadata}</metadata>" if metadata else ""
    return f"""<network><name>{name}</name><uuid>{identity}</uuid>{told}<bridge name='{bridge or "xvc" + identity[:8]}'/>{named}
<ip address='10.99.0.1' netmask='255.255.255.0'><dhcp><range start='10.99.0.10' end='10.99.0.99'/>{hosts}</dhcp></ip>
</network>"""


def pool_xml(name: str, identity: str, path: str) -> str:
    """A directory pool."""
    return f"<pool type='dir'><name>{name}</name><uuid>{identity}</uuid><target><path>{path}</path></target></pool>"
