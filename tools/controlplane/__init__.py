"""The programs of a control plane for tests: etcd, API server, controller manager and scheduler.

What a user has comes first (`KUBEBUILDER_ASSETS`, then PATH) where it has all four, since they are to be of one release; else the
Go module in this directory is built. `python -m tools.controlplane` makes sure of them and prints their commands.
"""

from tools.controlplane.programs import PROGRAM, Part, Programs, find_programs

__all__ = ["PROGRAM", "Part", "Programs", "find_programs"]
