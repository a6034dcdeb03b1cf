"""What a lab is: its size, its places on disk, its addresses. No I/O."""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

BASE_DIRECTORY = Path("/var/lib/xvirt-lab")
"""Default parent of labs. On disk rather than in /run: guests' volumes lie here, and /run is often a small tmpfs."""

MAX_NODES = 9
NETWORK_PREFIX_BITS = 24
PLUGIN_PORT = 9443
# struct sockaddr_un.sun_path, unix(7); the longest socket below a lab is <node>/libvirt/libvirt-admin-sock.
_MAX_SOCKET_PATH = 107
_LONGEST_SOCKET = "node-a/run-libvirt/libvirt-admin-sock"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


class Lifetime(StrEnum):
    """When a lab ends by itself."""

    OWNER = "owner"  # with the process that made it, also when that is killed
    DETACHED = "detached"  # only by down()


class Services(StrEnum):
    """What is started in a node."""

    LIBVIRT = "libvirt"  # libvirtd only
    ALL = "all"  # libvirtd and the node plugin, with certificates and a TCP forwarder


class Accelerator(StrEnum):
    """What the node plugin is told to run guests with."""

    AUTO = "auto"
    KVM = "kvm"
    TCG = "tcg"


class QemuUser(StrEnum):
    """Whom libvirt lets QEMU run as."""

    ROOT = "root"  # one process less per node, and no second probe of QEMU's abilities
    DEBIAN = (
        "libvirt-qemu"  # as the packages do: its own user, files handed over at start, consoles written by virtlogd
    )


@dataclass(frozen=True)
class LabSpec:
    """One lab. `directory` is `BASE_DIRECTORY/name` unless given; it must be absent, empty, or a lab's."""

    name: str = "lab"
    nodes: int = 1
    directory: Path | None = None
    lifetime: Lifetime = Lifetime.OWNER
    services: Services = Services.ALL
    # TCG everywhere gives the same guest on every machine; /dev/kvm being there does not mean that a guest boots.
    accelerator: Accelerator = Accelerator.TCG
    qemu_user: QemuUser = QemuUser.ROOT
    cluster: str = ""
    """Authority of a cluster that the nodes serve beside the others: its operator and gateway get certificates."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"lab name {self.name!r}: use up to 40 lower-case letters, digits and '-'")
        if not 1 <= self.nodes <= MAX_NODES:
            raise ValueError(f"lab {self.name}: {self.nodes} nodes asked for, 1 to {MAX_NODES} are possible")
        longest = len(str(self.path / _LONGEST_SOCKET))
        if longest > _MAX_SOCKET_PATH:
            raise ValueError(
                f"lab {self.name}: {self.path} is {longest - _MAX_SOCKET_PATH} characters too long for sockets"
            )

    @property
    def path(self) -> Path:
        """The lab's directory."""
        return (self.directory or BASE_DIRECTORY / self.name).absolute()

    @property
    def node_names(self) -> tuple[str, ...]:
        """node-a, node-b, ..."""
        return tuple(f"node-{chr(ord('a') + index)}" for index in range(self.nodes))


def node_address(index: int) -> str:
    """The IPv4 address of the node with this index (from 0) in the lab's fabric."""
    return f"10.77.0.{11 + index}"


@dataclass(frozen=True)
class NodePaths:
    """The directories of one node, as seen from outside; each is bound to its place inside the node."""

    root: Path

    @property
    def binds(self) -> dict[str, Path]:
        """Path inside the node -> directory outside."""
        return {
            "/etc/libvirt": self.root / "etc-libvirt",
            "/etc/xvirt": self.root / "etc-xvirt",
            "/etc/hosts": self.root / "hosts",
            "/var/lib/libvirt": self.root / "var-lib-libvirt",
            "/var/lib/xvirt": self.root / "var-lib-xvirt",
            "/var/cache/libvirt": self.root / "var-cache-libvirt",
            "/var/log/libvirt": self.root / "log",
            "/run/libvirt": self.run_libvirt,
            "/run/xvirt": self.run_xvirt,
        }

    @property
    def run_libvirt(self) -> Path:
        """Sockets of libvirtd; emptied at each boot of the node, as a tmpfs would be."""
        return self.root / "run-libvirt"

    @property
    def run_xvirt(self) -> Path:
        """Socket of the node plugin; emptied at each boot of the node."""
        return self.root / "run-xvirt"

    @property
    def control(self) -> Path:
        """Where the node's PID 1 takes orders."""
        return self.root / "control.sock"

    @property
    def boot(self) -> Path:
        """What the node's PID 1 is to do, as JSON."""
        return self.root / "boot.json"

    @property
    def log(self) -> Path:
        """init.log, libvirtd.log, plugin.log, forwarder.log and libvirt's own folders."""
        return self.root / "log"
