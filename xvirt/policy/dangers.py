"""Why something is denied, in words, for what is known to be dangerous; the list is facts of libvirt, not the rule itself
(https://libvirt.org/kbase/secureusage.html, https://libvirt.org/kbase/qemu-passthrough-security.html)."""

from __future__ import annotations

HOST_NAMESPACES = {
    "http://libvirt.org/schemas/domain/qemu/1.0": "passes arguments to QEMU, which runs code on the host",
    "http://libvirt.org/schemas/domain/lxc/1.0": "shares namespaces of the host",
    "http://libvirt.org/schemas/domain/bhyve/1.0": "passes arguments to the hypervisor",
    "http://libvirt.org/schemas/domain/xen/1.0": "passes arguments to the hypervisor",
    "http://libvirt.org/schemas/domain/vmware/1.0": "names things of another hypervisor",
    "http://libvirt.org/schemas/network/dnsmasq/1.0": "passes options to dnsmasq, which runs programs on the host",
    "http://libvirt.org/schemas/storagepool/fs/1.0": "passes mount options to the host",
    "http://libvirt.org/schemas/storagepool/rbd/1.0": "passes options to the host's Ceph client",
}

DANGERS = {
    "devices/emulator": "libvirt runs the emulator as soon as it is defined",
    "os/loader": "a file of the host is read as firmware",
    "os/nvram": "a file of the host is written",
    "os/kernel": "a file of the host is read",
    "os/initrd": "a file of the host is read",
    "os/dtb": "a file of the host is read",
    "os/shim": "a file of the host is read",
    "os/acpi": "a file of the host is read",
    "os/init": "runs a program",
    "os/smbios": "shows the guest the host's serial numbers",
    "bootloader": "runs a program on the host",
    "seclabel": "loosens the confinement of QEMU",
    "resource": "leaves the machine's own control group",
    "launchSecurity": "takes memory encryption slots of the host",
    "keywrap": "takes keys of the host",
    "idmap": "maps users of the host",
    "metadata": "may forge another tool's ownership",
    "on_crash": "writes the machine's memory to the host",
    "memoryBacking": "takes or shares memory of the host",
    "devices/disk/source": "reads and writes a file, device or server that is not this machine's",
    "devices/disk": "may pass SCSI commands, devices or network storage through",
    "devices/filesystem": "shares a directory of the host",
    "devices/hostdev": "hands over a device of the host",
    "devices/redirdev": "opens a channel of the host",
    "devices/smartcard": "reads certificates or a channel of the host",
    "devices/shmem": "shares memory with others",
    "devices/lease": "holds locks of the host",
    "devices/pstore": "writes a file of the host",
    "devices/interface": "joins a network, device or socket of the host",
    "devices/serial": "reads and writes a file, device or socket of the host",
    "devices/parallel": "reads and writes a file, device or socket of the host",
    "devices/console": "reads and writes a file, device or socket of the host",
    "devices/channel": "reads and writes a file, device or socket of the host",
    "devices/rng": "reads a device or socket of the host",
    "devices/tpm": "hands over the host's TPM or a file",
    "devices/graphics": "listens on an address of the host, or sets a password in plain text",
    "devices/video": "uses the host's GPU",
    "devices/audio": "uses the host's sound devices or files",
    "devices/input": "reads the host's input devices",
    "devices/memory": "maps a file of the host",
    "devices/vsock": "takes an address of the host",
    "devices/watchdog": "writes the machine's memory to the host",
}


OTHER_DANGERS = {
    "network/bridge": "takes a bridge of the host",
    "network/forward": "takes a device of the host, or a way past its address translation",
    "network/route": "leads traffic of the host elsewhere",
    "network/ip/tftp": "serves files of the host",
    "network/ip/dhcp/bootp": "names a server and a file for others to boot from",
    "network/virtualport": "joins a switch of the host",
    "network/vlan": "joins a network of the host",
    "network/portgroup": "joins a network of the host",
    "network/metadata": "may forge another tool's ownership",
    "pool/source": "reaches a device, directory or server of the host, or its secrets",
    "pool/target": "reads and writes a directory of the host",
    "pool/refresh": "sets what others see of a pool",
    "volume/target": "reads and writes a file of the host",
    "volume/backingStore": "reads a file of the host",
    "domainsnapshot/memory": "writes a file of the host",
    "domainsnapshot/disks": "writes a file of the host",
}
"""The same of documents that are no domain, with the root's name."""


def danger_of(path: str, kind: str = "domain") -> str:
    """Why the nearest known path at or above this one is kept; empty where nothing is known."""
    known, place = (DANGERS, path) if kind == "domain" else (OTHER_DANGERS, f"{kind}/{path}")
    while place:
        if place in known:
            return known[place]
        place = place.rpartition("/")[0]
    return ""
