"""What the gateway tells of its work."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class GatewayMetrics:
    """One per process. Labels are names of the table of subresources, `discovery` and `other`: callers cannot make more of them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._requests = Counter(
            "requests", "Answered requests.", ("subresource", "code"), namespace="xvirt_gateway", registry=registry
        )
        self._seconds = Histogram(
            "request_seconds",
            "From the whole head of a request to its answer.",
            ("subresource",),
            namespace="xvirt_gateway",
            registry=registry,
            buckets=_BUCKETS,
        )

    def count(self, subresource: str, code: int, elapsed_s: float) -> None:
        """One request has been answered."""
        self._requests.labels(subresource, str(code)).inc()
        self._seconds.labels(subresource).observe(elapsed_s)
