"""xVirt in a cluster: the operator. `runtime` is what any operator needs and knows nothing of xVirt."""
