"""Flux's kustomize-controller for tests: the user's own where it is on PATH, else built from the Go module in this directory.

`python -m tools.flux` makes sure of it and prints its path. Cold it takes 5 to 6 minutes on two cores; then it is in the cache.
"""

from tools.flux.program import PROGRAM, find_program, read_crds

__all__ = ["PROGRAM", "find_program", "read_crds"]
