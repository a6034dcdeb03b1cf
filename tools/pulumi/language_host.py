"""A language host for Python programs: what the engine asks of one to run a program, and nothing else.

Scaffolding of the tests, on the stubs of the installed SDK. Started by the engine as `pulumi-language-python` with the interpreter of
`PULUMI_PYTHON_CMD`; it prints its port and serves until the engine ends it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

HAS_SAID_WHY = 32
"""Exit code of a program whose error has been shown to the user already."""


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """Runs each program as `pulumi-language-python-exec`, as Pulumi's own host does."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._programs: set[subprocess.Popen[bytes]] = set()

    def Handshake(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC names the methods
        self._engine = request.engine_address or self._engine
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        return plugin_pb2.PluginInfo(version="0.0.0-xvirt-tests")

    def GetRequiredPackages(self, request: Any, context: Any) -> Any:  # noqa: N802
        return language_pb2.GetRequiredPackagesResponse()

    def GetRequiredPlugins(self, request: Any, context: Any) -> Any:  # noqa: N802
        return language_pb2.GetRequiredPluginsResponse()

    def About(self, request: Any, context: Any) -> Any:  # noqa: N802
        return language_pb2.AboutResponse(executable=sys.executable, version=sys.version.split()[0])

    def RuntimeOptionsPrompts(self, request: Any, context: Any) -> Any:  # noqa: N802
        return language_pb2.RuntimeOptionsResponse()

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802
        for program in tuple(self._programs):
            program.terminate()
        return Empty()

    def Run(self, request: Any, context: Any) -> Any:  # noqa: N802
        environment = {
            **os.environ,
            "PULUMI_CONFIG": json.dumps(dict(request.config)),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
        }
        program = subprocess.Popen(self._command(request), env=environment, stdin=subprocess.DEVNULL)
        self._programs.add(program)
        try:
            status = program.wait()
        finally:
            self._programs.discard(program)
        if status == HAS_SAID_WHY:
            return language_pb2.RunResponse(bail=True)
        return language_pb2.RunResponse(error=f"the program ended with {status}" if status else "")

    def _command(self, request: Any) -> list[str]:
        options = {
            "monitor": request.monitor_address,
            "engine": self._engine,
            "project": request.project,
            "stack": request.stack,
            "pwd": request.pwd,
            "parallel": str(request.parallel),
            "dry_run": "true" if request.dryRun else "",
            "organization": request.organization,
            "root_directory": request.info.root_directory,
        }
        script = Path(__file__).with_name("pulumi-language-python-exec")
        said = [part for key, value in options.items() if value for part in (f"--{key}", value)]
        entry = request.info.entry_point or "."
        return [sys.executable, "-u", str(script), *said, str(Path(request.info.program_directory) / entry)]


def main() -> None:
    """Serve on a free port, which is printed."""
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    engine = next((item for item in sys.argv[1:] if not item.startswith("-")), "")
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(LanguageHost(engine), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: server.stop(0))
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
