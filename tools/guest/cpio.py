"""An initramfs archive (cpio "newc", see the kernel's driver-api/early-userspace/buffer-format.rst), without root."""

import stat
from dataclasses import dataclass, field

_DEVICE_CONSOLE = (5, 1)


@dataclass
class Archive:
    """Collects entries and writes them sorted by path, so that the same input gives the same bytes."""

    _entries: dict[str, tuple[int, bytes, tuple[int, int]]] = field(default_factory=dict)

    def add_directory(self, path: str) -> None:
        """A directory and its parents."""
        parts = path.strip("/").split("/")
        for end in range(1, len(parts) + 1):
            self._entries.setdefault("/".join(parts[:end]), (stat.S_IFDIR | 0o755, b"", (0, 0)))

    def add_file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """A regular file; its parent directories are made."""
        self._add(path, stat.S_IFREG | mode, content)

    def add_link(self, path: str, target: str) -> None:
        """A symbolic link at `path` to `target`."""
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def add_console(self) -> None:
        """/dev/console, which the kernel opens for init before devtmpfs is mounted."""
        self._add("dev/console", stat.S_IFCHR | 0o600, b"", _DEVICE_CONSOLE)

    def to_bytes(self) -> bytes:
        """The archive, ended by its trailer and padded to 512 bytes."""
        out = bytearray()
        for number, (path, (mode, content, device)) in enumerate(sorted(self._entries.items()), start=1):
            out += _entry(number, mode, path, content, device)
        out += _entry(0, 0, "TRAILER!!!", b"", (0, 0))
        return bytes(out + b"\0" * (-len(out) % 512))

    def _add(self, path: str, mode: int, content: bytes, device: tuple[int, int] = (0, 0)) -> None:
        path = path.strip("/")
        if "/" in path:
            self.add_directory(path.rsplit("/", 1)[0])
        self._entries[path] = (mode, content, device)


def _entry(number: int, mode: int, path: str, content: bytes, device: tuple[int, int]) -> bytes:
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (number, mode, 0, 0, links, 0, len(content), 0, 0, *device, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % value for value in fields) + name
    return head + b"\0" * (-len(head) % 4) + content + b"\0" * (-len(content) % 4)
