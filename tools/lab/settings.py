"""The configuration files of a node, and its directories."""

import shutil
import uuid
from pathlib import Path

import yaml

from tools.lab.spec import PLUGIN_PORT, Accelerator, LabSpec, NodePaths, QemuUser, node_address

CLIENT_NAME = "admin"
STACKS_CLIENT_NAME = "stacks"
"""Acts for Pulumi stacks, as `admin` acts for people."""
CLUSTER_CLIENTS = ("xvirt-operator", "xvirt-gateway")
"""Who calls the nodes for a cluster."""
_PROFILES = ["restricted", "baseline", "privileged"]
# Derived, so that a node keeps its identity over reboots, and the same node of another lab has another one.
_HOST_UUID_NAMESPACE = uuid.UUID("6f1c3f0e-5a0b-4a4e-9d3c-0d1f6a9b7c21")

_QEMU_CONF = """user = "{user}"
group = "{user}"
swtpm_user = "{swtpm_user}"
swtpm_group = "{swtpm_user}"
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "{stdio_handler}"
"""


def qemu_conf(user: QemuUser) -> str:
    """qemu.conf. Where libvirtd can open /dev/kvm and QEMU's user cannot, libvirt probes QEMU again at every look-up: the reason why
    labs run it as root where nothing else is asked for."""
    is_root = user is QemuUser.ROOT
    return _QEMU_CONF.format(
        user=user.value, swtpm_user="root" if is_root else "tss", stdio_handler="file" if is_root else "logd"
    )


def libvirtd_conf(host_uuid: uuid.UUID) -> str:
    """libvirtd.conf. The TCP listener is for migration between nodes; only the lab's fabric reaches it."""
    return f"""host_uuid = "{host_uuid}"
listen_tls = 0
listen_tcp = 1
auth_tcp = "none"
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_ro_perms = "0700"
unix_sock_rw_perms = "0700"
log_outputs = "2:stderr"
"""


def node_config(name: str, address: str, accelerator: Accelerator, cluster: str = "") -> str:
    """The node plugin's configuration file; `cluster` is the authority of one that it serves."""
    pki = "/etc/xvirt/pki"
    config = {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "NodeConfig",
        "nodeName": name,
        "libvirtUri": "qemu:///system",
        "stateDir": "/var/lib/xvirt",
        "unixSocket": "/run/xvirt/node.sock",
        "accelerator": accelerator.value,
        "defaultPool": {"name": "default", "path": "/var/lib/xvirt/pool"},
        "listen": f"{address}:{PLUGIN_PORT}",
        "tls": {"certificate": f"{pki}/{name}.crt", "key": f"{pki}/{name}.key", "clientCa": f"{pki}/ca.crt"},
        "clients": [
            _client(CLIENT_NAME, "local"),
            _client(STACKS_CLIENT_NAME, "*/*/*"),
            *(_client(name, cluster) for name in CLUSTER_CLIENTS if cluster),
        ],
        "authorities": ["local", "*/*/*", *([cluster] if cluster else [])],
        "resyncIntervalSeconds": 300,
        "reflection": False,
    }
    return yaml.safe_dump(config, sort_keys=False)


def _client(name: str, authority: str) -> dict[str, object]:
    return {"commonName": name, "authority": authority, "namespaces": ["*"], "profiles": _PROFILES}


def write_node_directories(spec: LabSpec, index: int, paths: NodePaths) -> None:
    """Make the node's directories and write its configuration; content of an earlier boot stays."""
    name, address = spec.node_names[index], node_address(index)
    for source in paths.binds.values():
        if source.name != "hosts":
            source.mkdir(parents=True, exist_ok=True)
    addresses = "".join(f"{node_address(other)} {node}\n" for other, node in enumerate(spec.node_names))
    (paths.root / "hosts").write_text(f"127.0.0.1 localhost\n{addresses}")
    libvirt = paths.root / "etc-libvirt"
    host_uuid = uuid.uuid5(_HOST_UUID_NAMESPACE, f"{spec.path}/{name}")
    (libvirt / "libvirtd.conf").write_text(libvirtd_conf(host_uuid))
    (libvirt / "qemu.conf").write_text(qemu_conf(spec.qemu_user))
    filters = Path("/etc/libvirt/nwfilter")
    if filters.is_dir() and not (libvirt / "nwfilter").exists():
        shutil.copytree(filters, libvirt / "nwfilter")
    (paths.root / "etc-xvirt" / "node.yaml").write_text(node_config(name, address, spec.accelerator, spec.cluster))


def install_certificates(spec: LabSpec, index: int, paths: NodePaths) -> None:
    """Give the node its own certificate and the CA's, out of the lab's `pki` directory."""
    name, target = spec.node_names[index], paths.root / "etc-xvirt" / "pki"
    target.mkdir(exist_ok=True)
    for file in ("ca.crt", f"{name}.crt", f"{name}.key"):
        shutil.copy2(spec.path / "pki" / file, target / file)


def empty_directory(directory: Path) -> None:
    """Remove what is inside, as a reboot does to a tmpfs."""
    for entry in directory.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
