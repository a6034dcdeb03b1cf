"""libvirt's source package: found at the mirror that the installed libvirt came from, checked by apt, never installed."""

import re
from pathlib import Path

from tools.guest.command import GuestBuildError, run_tool

PACKAGE = "libvirt0"
"""The library itself: whoever has any part of libvirt has it."""

APT_SOURCES = Path("/etc/apt")


class CorpusError(RuntimeError):
    """The documents cannot be had; the message names the command or file and what it said."""


def installed_version() -> str:
    """The source version of the installed libvirt, such as 9.0.0-4+deb12u2. Raises CorpusError."""
    return _run(["dpkg-query", "-W", "-f", "${source:Version}", PACKAGE]).strip()


def fetch_source(version: str, directory: Path) -> Path:
    """Download the source package of this version into `directory`; returns its archive of upstream files.

    The machine's own lists stay as they are: apt gets copies that name sources, and folders of its own. Raises CorpusError.
    """
    installed = _run(
        ["dpkg-query", "-W", "-f", "${Version}", PACKAGE]
    ).strip()  # rebuilt packages differ from their source
    mirrors = offering(_run(["apt-cache", "madison", PACKAGE]), installed)
    parts = directory / "sources"
    parts.mkdir()
    count = 0
    for file in sorted([APT_SOURCES / "sources.list", *APT_SOURCES.glob("sources.list.d/*")]):
        if file.suffix in (".list", ".sources") and file.is_file():
            text = source_entries(file.read_text(), mirrors, is_deb822=file.suffix == ".sources")
            (parts / file.name).write_text(text)
            count += bool(text)
    if not mirrors or not count:
        raise CorpusError(
            f"apt has no mirror for {PACKAGE} {version}; run apt-get update, or set XVIRT_CORPUS to a folder"
        )
    apt = ["apt-get", "-qq", *_private_folders(directory)]
    _run([*apt, "update"])
    _run([*apt, "source", "--download-only", f"libvirt={version}"], directory)
    archives = sorted(directory.glob("libvirt_*.orig.tar.*[!c]"))
    if len(archives) != 1:
        raise CorpusError(f"apt-get source gave {len(archives)} archives of libvirt {version}, one is expected")
    return archives[0]


def _private_folders(directory: Path) -> list[str]:
    for name in ("lists/partial", "archives/partial"):
        (directory / name).mkdir(parents=True)
    settings = {
        "APT::Sandbox::User": "root",
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": str(directory / "sources"),
        "Dir::State::lists": str(directory / "lists"),
        "Dir::Cache": str(directory),
        "Dir::Cache::archives": str(directory / "archives"),
        "Debug::NoLocking": "1",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def offering(madison: str, version: str) -> set[str]:
    """The URIs that offer a version, without their last slash."""
    found = re.findall(r"^\s*\S+ \| (\S+) \| (\S+) ", madison, re.MULTILINE)
    return {uri.rstrip("/") for offered, uri in found if offered == version}


def source_entries(text: str, mirrors: set[str], *, is_deb822: bool) -> str:
    """The entries of an apt list that name one of the mirrors, asking for sources; all others stay out."""
    bare = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    entries = re.split(r"\n\s*\n", bare) if is_deb822 else bare.splitlines()
    wanted = [entry for entry in entries if {word.rstrip("/") for word in entry.split()} & mirrors]
    if is_deb822:
        return "\n\n".join(re.sub(r"(?im)^types:.*$", "Types: deb-src", entry).strip() + "\n" for entry in wanted)
    return "".join(re.sub(r"^\s*deb(-src)?\s", "deb-src ", entry) + "\n" for entry in wanted)


def _run(argv: list[str], cwd: Path | None = None) -> str:
    try:
        return run_tool(argv, cwd=cwd)
    except GuestBuildError as error:
        raise CorpusError(str(error)) from error
