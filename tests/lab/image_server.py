"""Run inside a node: serves one file on loopback. The first answer stalls after a MiB for ever, later ones are good and go on where a
client asks them to. Prints each request's Range."""

from __future__ import annotations

import http.server
import sys
import threading
from pathlib import Path

from tests.unit.nodeplugin.images.server import FaultServer, Reply

STALL_BYTES = 1 << 20


class _Telling(FaultServer):
    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        print("range:", handler.headers.get("Range"), flush=True)
        super().answer(handler)


if __name__ == "__main__":
    content, port = Path(sys.argv[1]).read_bytes(), int(sys.argv[2])
    with _Telling(content, [Reply(stall_after=STALL_BYTES), Reply()], port).running():
        print("serving", flush=True)
        threading.Event().wait()
