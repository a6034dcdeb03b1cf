"""Peers that misbehave: one that never answers, and a wire that is cut."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def black_hole(path: Path) -> Iterator[str]:
    """A Unix socket that takes connections and never says a word; gives its address."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(64)
        yield f"unix://{path}"


class Relay:
    """Passes bytes between clients and a node, until it is cut: then all connections break at once, as when a process is killed."""

    def __init__(self, listen: Path, node: Path) -> None:
        self._node = node
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(listen))
        self._listener.listen(64)
        self._lock = threading.Lock()
        self._pairs: list[socket.socket] = []
        self.address = f"unix://{listen}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break what is open; new connections are taken again."""
        with self._lock:
            broken, self._pairs = self._pairs, []
        for item in broken:
            with contextlib.suppress(OSError):
                item.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                outer, _ = self._listener.accept()
                inner = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                try:
                    inner.connect(str(self._node))
                except OSError:
                    outer.close()
                    inner.close()
                    continue
                with self._lock:
                    self._pairs += [outer, inner]
                threading.Thread(target=_pass, args=(outer, inner), daemon=True).start()


def _pass(outer: socket.socket, inner: socket.socket) -> None:
    with outer, inner, selectors.DefaultSelector() as selector, contextlib.suppress(OSError):
        selector.register(outer, selectors.EVENT_READ, inner)
        selector.register(inner, selectors.EVENT_READ, outer)
        while True:
            for key, _ in selector.select():
                source = key.fileobj
                assert isinstance(source, socket.socket)
                data = source.recv(1 << 16)
                if not data:
                    return
                key.data.sendall(data)
