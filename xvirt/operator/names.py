"""Labels, annotations and finalizers by which the operator and the cluster's people speak to each other."""

from __future__ import annotations

FINALIZER = "xvirt.io/operator"
"""On machines and their holder pods: the operator has something on a host to put in order before they may go."""

HOST_LABEL = "xvirt.io/host"
"""On a Node: it runs a node plugin, unless the value is `false`."""

MADE_ANNOTATION = "xvirt.io/made-from-node"
"""On a VirtualHost: the operator made it, and takes it away once its Node is no host and nothing is on it."""

VM_UID_LABEL = "xvirt.io/vm-uid"
VM_NAME_LABEL = "xvirt.io/vm-name"
PINNED_ANNOTATION = "xvirt.io/pinned-to"
"""On a holder pod: whose it is, and the host that it was made for where the machine has one."""

PROFILE_LABEL = "xvirt.io/policy-profile"
"""On a Namespace, set by administrators: the policy profile of what is declared in it."""

NODE_PORT_ANNOTATION = "xvirt.io/node-port"
"""On a Node: port of its node plugin."""

HOLDS_ANNOTATION = "xvirt.io/holds"
DIGEST_ANNOTATION = "xvirt.io/holder-digest"
"""On a holder pod: the machine's size that it was made for, and the digest of all that it asks the scheduler for."""

FORCE_DELETE_ANNOTATION = "xvirt.io/force-delete"
"""On a machine that is being deleted, `true`: do not wait for a host that cannot be reached; power off at once on one that can."""

ADOPT_ANNOTATION = "xvirt.io/adopt-domain"
"""On a machine: UUID of the domain of `spec.placement.host` that it declares from now on."""

APPLIED_ANNOTATION = "xvirt.io/applied"
"""In the document that a node holds: digest of everything that it was given with it."""

EXTENDED_PREFIX = "xvirt.io/"
SLOTS_RESOURCE = "xvirt.io/vm-slots"
OPEN_RESOURCE = "xvirt.io/open"
VCPUS_RESOURCE = "xvirt.io/vcpus"
MEMORY_RESOURCE = "xvirt.io/vm-memory-mib"
"""Extended resources of a Node: machines that its host takes; the same while it takes new ones, else none; vCPUs and MiB of machines'
memory. The second is asked for by holders of machines that have no host yet: closing a host is no matter of what is there already."""

HOLDER_CONTAINER = "holder"
