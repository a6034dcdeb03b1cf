"""Run inside a node: serves one file over HTTP on loopback, slowly enough to see it come. `python -m tools.demo.image_server FILE PORT`."""

from __future__ import annotations

import http.server
import sys
import time
from pathlib import Path

CHUNK_BYTES = 1 << 19
PAUSE_S = 0.05


class _Handler(http.server.BaseHTTPRequestHandler):
    content = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        for start in range(0, len(self.content), CHUNK_BYTES):
            self.wfile.write(self.content[start : start + CHUNK_BYTES])
            time.sleep(PAUSE_S)


if __name__ == "__main__":
    _Handler.content = Path(sys.argv[1]).read_bytes()
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), _Handler).serve_forever()
