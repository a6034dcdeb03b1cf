"""xVirt: libvirt/QEMU virtual machines from declarations.

The packages below this one are the parts that every way of declaring shares; `nodeplugin` converges a host,
`xvirt_provider` speaks Pulumi. `docs/ARCHITECTURE.md` shows the rooms and the way of one Apply through them.
"""

__version__ = "0.1.0"
API_GROUP = "xvirt.io"
API_VERSION = "xvirt.io/v1alpha1"
