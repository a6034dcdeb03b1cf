"""What is inside the guest: busybox, the agent and its libraries, kernel modules, and the scripts in rootfs/."""

import re
from pathlib import Path

from tools.guest.command import GuestBuildError, run_tool
from tools.guest.cpio import Archive

ROOTFS = Path(__file__).parent / "rootfs"

# What rootfs/etc/guest.sh loads by name; the kernel's file may spell it with a dash.
MODULES = (
    "virtio_pci",
    "virtio_net",
    "virtio_blk",
    "virtio_console",
    "virtio_rng",
    "virtio_balloon",
    "virtio_scsi",
    "sd_mod",
    "sr_mod",
    "virtio_mem",
    "isofs",
    "button",
    "evdev",
)
_DIRECTORIES = ("proc", "sys", "dev", "run", "tmp", "root", "data", "var", "usr")
_LINKS = {"sbin": "bin", "usr/bin": "../bin", "usr/sbin": "../bin", "var/run": "../run"}
_LOADER = "lib64/ld-linux-x86-64.so.2"


def build_initramfs(root: Path) -> bytes:
    """The archive, from the unpacked packages in `root`."""
    archive = Archive()
    for path in _DIRECTORIES:
        archive.add_directory(path)
    for path, target in _LINKS.items():
        archive.add_link(path, target)
    archive.add_console()
    _add_busybox(archive, root)
    _add_agent(archive, root)
    _add_modules(archive, root)
    for file in sorted(path for path in ROOTFS.rglob("*") if path.is_file()):
        archive.add_file(str(file.relative_to(ROOTFS)), file.read_bytes(), file.stat().st_mode & 0o755)
    return archive.to_bytes()


def _add_busybox(archive: Archive, root: Path) -> None:
    busybox = root / "bin/busybox"
    for applet in run_tool([str(busybox), "--list"]).split():
        if applet != "busybox":
            archive.add_link(f"bin/{applet}", "busybox")
    archive.add_file("bin/busybox", busybox.read_bytes(), 0o755)


def _add_agent(archive: Archive, root: Path) -> None:
    agent = root / "usr/sbin/qemu-ga"
    archive.add_file("bin/qemu-ga", agent.read_bytes(), 0o755)
    archive.add_file(_LOADER, (root / _LOADER).resolve().read_bytes(), 0o755)
    for name, file in _libraries(agent, root).items():
        archive.add_file(f"lib/{name}", file.read_bytes(), 0o755)
    archive.add_file("etc/ld.so.conf", b"/lib\n")


def _libraries(binary: Path, root: Path) -> dict[str, Path]:
    """Name -> file of every library `binary` loads, as the packages' own loader finds them below `root`."""
    folders = [root / "lib/x86_64-linux-gnu", root / "usr/lib/x86_64-linux-gnu"]
    search = ":".join(str(folder) for folder in folders)
    listing = run_tool([str(root / _LOADER), "--inhibit-cache", "--library-path", search, "--list", str(binary)])
    found = {
        Path(name).name: Path(path) for name, path in re.findall(r"^\s*(\S+) => (\S+) \(0x", listing, re.MULTILINE)
    }
    outside = [name for name, path in found.items() if not path.is_relative_to(root)]
    if outside or "not found" in listing:
        raise GuestBuildError(f"libraries of {binary.name} are missing from the packages: {listing.strip()}")
    return found


def _add_modules(archive: Archive, root: Path) -> None:
    """The modules, and for each of MODULES a list `name path` in loading order, so that the guest needs no depmod."""
    files = {file.name.partition(".ko")[0].replace("-", "_"): file for file in root.glob("lib/modules/*/**/*.ko*")}
    for module in MODULES:
        order = _loading_order(module, files)
        lines = "".join(f"{name} /lib/modules/{name}.ko\n" for name in order)
        archive.add_file(f"etc/modules/{module}", lines.encode())
        for name in order:
            archive.add_file(f"lib/modules/{name}.ko", _module_bytes(files[name]))


def _loading_order(module: str, files: dict[str, Path]) -> list[str]:
    if module not in files:
        raise GuestBuildError(f"the kernel package has no module {module}")
    depends = re.search(rb"\0depends=([^\0]*)\0", b"\0" + _module_bytes(files[module]))
    order: list[str] = []
    for needed in depends.group(1).decode().split(",") if depends and depends.group(1) else ():
        order += [name for name in _loading_order(needed.replace("-", "_"), files) if name not in order]
    return [*order, module]


def _module_bytes(file: Path) -> bytes:
    if file.suffix == ".xz":
        import lzma

        return lzma.decompress(file.read_bytes())
    return file.read_bytes()
