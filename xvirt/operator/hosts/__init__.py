"""VirtualHosts: which hosts there are, what they are, what they take; and what the cluster's scheduler is told of them."""
