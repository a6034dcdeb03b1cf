"""From a domain that is there to what declares it: the smallest typed spec, and an overlay for the rest.

The inverse of `xvirt.domainxml.assemble`. A field is typed only where rendering it gives what the domain has; so the two together give
the domain back, whatever it holds.
"""

from xvirt.domainxml.split.domain import DomainIdentity, Split, join_domain, split_domain

__all__ = ["DomainIdentity", "Split", "join_domain", "split_domain"]
