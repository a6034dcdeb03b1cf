"""xVirt's objects as resources of Pulumi programs in Python.

Thin: a program's arguments become the same documents that the command line applies, and every judgement and plan is the node's or
the model's. Sees `xvirt.model` and `xvirt.client` only; nothing else of xVirt sees it, apart from the stacks.
"""

from xvirt_provider.connection import XVirtNode
from xvirt_provider.fleet import FleetGroup, XVirtFleet
from xvirt_provider.options import Options, Timeouts
from xvirt_provider.resources import StoragePool, VirtualDisk, VirtualImage, VirtualMachine, VirtualNetwork

__all__ = [
    "FleetGroup",
    "Options",
    "StoragePool",
    "Timeouts",
    "VirtualDisk",
    "VirtualImage",
    "VirtualMachine",
    "VirtualNetwork",
    "XVirtFleet",
    "XVirtNode",
]
