"""Pulumi's engine for the tests: `pulumi` with what it needs to run Python programs, in one directory.

A user's own on PATH comes first. Where there is none, the command is built from Go modules (`engine/go.mod`) into the user's cache, beside
the two scripts of Pulumi's SDK module and a language host of ours (`language_host.py`), since Pulumi's own is no module that can be had.
Nothing of it belongs to the product. Called by `tests/pulumi`, the benchmark and people (`python -m tools.pulumi`).
"""

from tools.pulumi.engine_place import engine_directory

__all__ = ["engine_directory"]
