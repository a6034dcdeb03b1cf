"""A host that boots: systemd as PID 1 (`systemd-nspawn`), journald, libvirt from its packages, and xVirt installed below /opt/xvirt
with the unit of `deploy/systemd`.

Its root is an overlay over this machine's, whose upper layer is a tmpfs in a mount namespace that one process holds: nothing of it is
ever written to this machine, and it is gone with that process. The network is its own, with a loopback alone.

    holder (mount namespace: tmpfs, overlay)      lives from `up` to `down`, so that the disk survives reboots
      `- systemd-nspawn -> PID 1 (systemd)        from `boot` to `shut_down` or `cut_power`
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools.lab.errors import LabError
from tools.lab.processes import Process, children_of, reap, spawn_recorded, wait_until
from tools.lab.spec import BASE_DIRECTORY

REPOSITORY = Path(__file__).resolve().parents[2]
INSTALLED = "/srv/xvirt"
"""Where the host sees the repository: outside of /tmp, /home and /root, which the unit does not see."""
BOOT_TIMEOUT_S = 120.0
_UPPER_SIZE = "3g"
_HOLD = """set -e
mount -t tmpfs -o mode=0755 tmpfs /run
mount -t tmpfs -o size="$2" tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
shift 2
exec "$@"
"""
_ENTRY = """#!/opt/xvirt/bin/python
import sys
from {module} import {function}
sys.exit({function}())
"""
_ENTRIES = {"xvirt": ("xvirt.cli.main", "run"), "xvirt-node": ("nodeplugin.main", "run")}
_EMPTIED = (
    *("var/lib/xvirt", "var/lib/libvirt", "etc/libvirt/qemu", "etc/libvirt/storage", "etc/xvirt", "opt/xvirt", "tmp"),
    "etc/systemd/system",
)
"""Of this machine, whose own services and objects the host does not have."""
_WANTED = {"multi-user.target.wants": "libvirtd.service", "sockets.target.wants": "libvirtd.socket"}
"""What Debian's packages enable."""


class BootedHost:
    """One host. `with BootedHost.up(NAME) as host:`; it is off at first."""

    def __init__(self, directory: Path, holder: Process) -> None:
        self._directory = directory
        self._holder = holder
        self._nspawn: Process | None = None
        self._init: Process | None = None

    @classmethod
    @contextlib.contextmanager
    def up(cls, name: str) -> Iterator[BootedHost]:
        """A new host with xVirt's files, gone at the end. Raises LabError."""
        directory = BASE_DIRECTORY / name
        directory.mkdir(parents=True)
        disk = directory / "disk"
        disk.mkdir()
        owner, held = os.pipe()
        hold = [sys.executable, "-m", "tools.lab.hold", str(directory), str(owner)]
        argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _HOLD, "sh", str(disk), _UPPER_SIZE]
        argv += ["env", f"PYTHONPATH={REPOSITORY}", *hold]
        holder = spawn_recorded(argv, directory / "holder.pid", directory / "holder.log", (owner,))
        os.close(owner)
        host = cls(directory, holder)
        try:
            wait_until(lambda: host.path("etc").is_dir() or not holder.is_alive(), 10, "the host's root")
            host._install()
            yield host
        finally:
            host.cut_power()
            os.close(held)
            holder.wait_gone(10)
            reap()
            shutil.rmtree(directory)

    def path(self, relative: str) -> Path:
        """A file of the host, also while it is off."""
        return Path(f"/proc/{self._holder.pid}/root{self._root}") / relative

    @property
    def _root(self) -> Path:
        return self._directory / "disk" / "root"

    # power

    def boot(self) -> None:
        """Until systemd has reached its target."""
        argv = ["nsenter", "--target", str(self._holder.pid), "--mount", "systemd-nspawn", "--quiet", "--keep-unit"]
        argv += ["--register=no", "--private-network", "--console=read-only", f"--machine={self._directory.name}"]
        argv += [f"--directory={self._root}", f"--bind-ro={REPOSITORY}:{INSTALLED}", "--boot", "--"]
        argv += ["--unit=multi-user.target"]
        log = self._directory / "console.log"
        nspawn = self._nspawn = spawn_recorded(argv, self._directory / "nspawn.pid", log)
        wait_until(lambda: self._find_init() is not None or not nspawn.is_alive(), 30, "systemd-nspawn to start PID 1")
        if not nspawn.is_alive():
            raise LabError(f"systemd-nspawn ended: {log.read_text(errors='replace')[-2000:]}")
        wait_until(self._has_booted, BOOT_TIMEOUT_S, f"{self._directory.name} to boot; see {log}")

    def _find_init(self) -> Process | None:
        """The host's PID 1. systemd-nspawn's first child is none: it makes the namespaces and ends."""
        if self._nspawn is not None and self._init is None:
            self._init = next((child for child in children_of(self._nspawn) if _has_own_pids(child)), None)
        return self._init

    def _has_booted(self) -> bool:
        return self.run(["systemctl", "is-active", "multi-user.target"], check=False).stdout.strip() == "active"

    def shut_down(self) -> None:
        """As `systemctl poweroff`."""
        if self._nspawn is not None:
            self._nspawn.send(signal.SIGTERM)
            self._end()

    def cut_power(self) -> None:
        """Everything ends at once; the disk stays."""
        if self._init is not None:
            self._init.send(signal.SIGKILL)
        if self._nspawn is not None:
            self._end()

    def _end(self) -> None:
        assert self._nspawn is not None
        self._nspawn.wait_gone(60)
        self._nspawn = self._init = None
        reap()

    # inside

    def run(
        self, argv: Sequence[str], check: bool = True, timeout_s: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        """A command on the host, as root. Raises LabError where it fails and `check` is set."""
        if self._init is None:
            raise LabError(f"{self._directory.name} is off")
        inside = ["nsenter", "--target", str(self._init.pid), "--all", "--", *argv]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin:/opt/xvirt/bin", "LANG": "C.UTF-8", "HOME": "/root"}
        done = subprocess.run(
            inside,
            text=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
            env=environment,
            cwd="/",
        )
        if check and done.returncode != 0:
            raise LabError(f"`{' '.join(argv)}` on {self._directory.name}: {done.stdout}{done.stderr}")
        return done

    # what is on its disk

    def _install(self) -> None:
        """xVirt as docs/operating.md installs it, but for pip: its packages are this machine's environment."""
        for directory in _EMPTIED:
            shutil.rmtree(self.path(directory), ignore_errors=True)
        made = {"tmp": 0o1777, "etc/xvirt": 0o700, "opt/xvirt/bin": 0o755, "etc/systemd/system": 0o755}
        made["var/lib/libvirt/images"] = 0o711
        for directory, mode in made.items():
            self.path(directory).mkdir(parents=True)
            self.path(directory).chmod(mode)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        if not Path(f"/usr/bin/{version}").exists():
            raise LabError(f"/usr/bin/{version} is missing: the host runs xVirt with the system's Python")
        packages = self.path(f"opt/xvirt/lib/{version}/site-packages")
        packages.mkdir(parents=True)
        (packages / "xvirt.pth").write_text(f"{INSTALLED}/.venv/lib/{version}/site-packages\n{INSTALLED}\n")
        self.path("opt/xvirt/pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
        self.path("opt/xvirt/bin/python").symlink_to(f"/usr/bin/{version}")
        for name, (module, function) in _ENTRIES.items():
            entry = self.path(f"opt/xvirt/bin/{name}")
            entry.write_text(_ENTRY.format(module=module, function=function))
            entry.chmod(0o755)
        # A container may not make groups in the controllers that this machine's systemd has.
        self.path("etc/libvirt/qemu.conf").write_text("cgroup_controllers = []\n")
        units = self.path("etc/systemd/system")
        shutil.copy(REPOSITORY / "deploy" / "systemd" / "xvirt-node.service", units / "xvirt-node.service")
        for wants, unit in _WANTED.items():
            (units / wants).mkdir()
            (units / wants / unit).symlink_to(f"/lib/systemd/system/{unit}")


def _has_own_pids(process: Process) -> bool:
    try:
        return os.readlink(f"/proc/{process.pid}/ns/pid") != os.readlink("/proc/self/ns/pid")
    except OSError:
        return False
