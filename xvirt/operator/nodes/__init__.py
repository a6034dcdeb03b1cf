"""Hosts as the operator sees them: a link to each node plugin, its objects' views, calls that carry the leader's token.

Knows nothing of the API server. Used by every controller of the operator; told which hosts there are by `xvirt.operator.hosts`.
"""
