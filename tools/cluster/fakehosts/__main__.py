"""`python -m tools.cluster.fakehosts DIRECTORY --authority UID --count N`: fake hosts until SIGTERM.

Their CA and certificates go into DIRECTORY/pki; once all listen, DIRECTORY/hosts.json says on which ports of loopback.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
from pathlib import Path

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

from tools.cluster.fakehosts.group import FakeHosts, HostOptions, host_names
from tools.cluster.fakehosts.node import Judgement

HOSTS_FILE = "hosts.json"


def main() -> None:
    """Serve until told to end."""
    parser = argparse.ArgumentParser(description="hosts without libvirt")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--authority", required=True, help="UID of the cluster's kube-system")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--judgement", type=Judgement, choices=list(Judgement), default=Judgement.WHOLE)
    options = parser.parse_args()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    shared = HostOptions(authority=options.authority, judgement=options.judgement)
    with FakeHosts(host_names(options.count), options.directory / "pki", shared) as hosts:
        partial = options.directory / f"{HOSTS_FILE}.new"
        partial.write_text(json.dumps({name: host.port for name, host in hosts.items()}))
        partial.rename(options.directory / HOSTS_FILE)
        stop.wait()


if __name__ == "__main__":
    main()
