"""Which Debian packages the guest is made of, and how they are fetched and unpacked."""

import re
from dataclasses import dataclass
from pathlib import Path

from tools.guest.command import GuestBuildError, run_tool

KERNEL_METAPACKAGE = "linux-image-cloud-amd64"
GUEST_PACKAGES = ("busybox-static", "qemu-guest-agent")
# Unpacked and run from the build directory, so nobody has to install a boot loader.
TOOL_PACKAGES = ("syslinux", "syslinux-common", "mtools")

_RELATIONS_OFF = tuple(
    f"--no-{relation}" for relation in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
)


@dataclass(frozen=True)
class Package:
    """One package at the version that apt would install."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}={self.version}"


def resolve_packages() -> tuple[Package, ...]:
    """Every package of the recipe with its version, sorted by name. Reads apt's lists, not the network."""
    names = {_kernel_package(), *GUEST_PACKAGES, *TOOL_PACKAGES, *_agent_libraries()}
    return tuple(Package(name, version) for name, version in sorted(_candidates(sorted(names)).items()))


def fetch_packages(packages: tuple[Package, ...], directory: Path) -> Path:
    """Download `packages` into `directory`/deb and unpack them into `directory`/root, which is returned."""
    downloads, root = directory / "deb", directory / "root"
    downloads.mkdir(parents=True)
    root.mkdir()
    # apt drops its rights for a download only where it may write; as root it warns about a private directory.
    run_tool(
        ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *(str(package) for package in packages)],
        cwd=downloads,
    )
    for archive in sorted(downloads.glob("*.deb")):
        run_tool(["dpkg-deb", "-x", str(archive), str(root)])
    return root


def _kernel_package() -> str:
    depends = run_tool(["apt-cache", "depends", *_RELATIONS_OFF, KERNEL_METAPACKAGE])
    found = re.search(r"Depends: (linux-image-\S+-cloud-amd64)", depends)
    if found is None:
        raise GuestBuildError(f"apt knows no kernel for {KERNEL_METAPACKAGE}; run apt-get update")
    return found.group(1)


def _agent_libraries() -> set[str]:
    """The library packages that qemu-guest-agent needs, found through libraries only (not through perl or dpkg)."""
    depends = _read_depends(
        run_tool(["apt-cache", "depends", "--recurse", *_RELATIONS_OFF, "--no-pre-depends", "qemu-guest-agent"])
    )
    found: set[str] = set()
    waiting = ["qemu-guest-agent"]
    while waiting:
        for name in depends.get(waiting.pop(), ()):
            if name not in found and re.match(r"(lib|zlib)", name) and not name.endswith("-perl"):
                found.add(name)
                waiting.append(name)
    return found


def _read_depends(text: str) -> dict[str, list[str]]:
    """`apt-cache depends --recurse` as package -> names it depends on."""
    depends: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        if not line.startswith((" ", "|")):
            current = depends.setdefault(line.strip(), [])
        elif "Depends: " in line:
            current.append(line.split("Depends: ", 1)[1].strip())
    return depends


def _candidates(names: list[str]) -> dict[str, str]:
    policy = run_tool(["apt-cache", "policy", *names])
    found = dict(re.findall(r"^(\S+):\n(?:  .*\n)*?  Candidate: (\S+)$", policy, re.MULTILINE))
    missing = [name for name in names if found.get(name, "(none)") == "(none)"]
    if missing:
        raise GuestBuildError(f"apt has no version of {', '.join(missing)}; run apt-get update")
    return {name: found[name] for name in names}
