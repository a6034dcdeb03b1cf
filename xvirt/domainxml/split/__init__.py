"""From a domain, network, pool or volume that is there to what declares it: the smallest typed spec, and an overlay for the rest.

The inverse of `xvirt.domainxml.assemble`. A field is typed only where rendering it gives what the domain has; so the two together give
the domain back, whatever it holds.
"""

from xvirt.domainxml.split.domain import DomainIdentity, Split, join_domain, split_domain
from xvirt.domainxml.split.network import NetworkSplit, join_network, split_network
from xvirt.domainxml.split.storage import PoolSplit, VolumeSplit, join_pool, split_pool, split_volume

__all__ = [
    "DomainIdentity",
    "NetworkSplit",
    "PoolSplit",
    "Split",
    "VolumeSplit",
    "join_domain",
    "join_network",
    "join_pool",
    "split_domain",
    "split_network",
    "split_pool",
    "split_volume",
]
