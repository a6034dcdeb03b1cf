"""What the runtime tells of its work, as prometheus-client instruments of one registry."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LONG = (*_SHORT, 60.0, 120.0, 300.0, 600.0)
WRITE_VERBS = ("create", "apply", "patch", "update", "delete")


class Metrics:
    """All instruments, named `<prefix>_...`. One per process; without a registry it counts for itself alone."""

    def __init__(self, registry: CollectorRegistry | None = None, prefix: str = "operator") -> None:
        self.registry = registry or CollectorRegistry()
        made: Any = {"namespace": prefix, "registry": self.registry}
        self.requests = Counter("api_requests", "Answered requests.", ("resource", "verb", "code"), **made)
        self.request_seconds = Histogram(
            "api_request_seconds", "From sending to the whole answer.", ("resource", "verb"), buckets=_SHORT, **made
        )
        self.writes = Counter("api_writes", "Requests that change something, sent.", ("resource", "verb"), **made)
        self.throttled = Counter("api_throttled", "Answers that asked to come back later.", ("resource",), **made)
        self.watch_restarts = Counter(
            "watch_restarts", "Watches that began anew, by cause.", ("resource", "cause"), **made
        )
        self.lists = Counter("lists", "Snapshots taken, by how.", ("resource", "how"), **made)
        self.last_event = Gauge(
            "watch_last_event_timestamp_seconds", "When a watch last said anything.", ("resource",), **made
        )
        self.cached = Gauge("cached_objects", "Objects in a cache.", ("resource",), **made)
        self.queue_depth = Gauge("queue_depth", "Keys that wait for a worker.", ("controller",), **made)
        self.queue_seconds = Histogram(
            "queue_seconds", "From enqueued to taken.", ("controller",), buckets=_LONG, **made
        )
        self.retries = Counter("queue_retries", "Keys that came up again after a failure.", ("controller",), **made)
        self.reconciles = Counter("reconciles", "Reconciles, by how they ended.", ("controller", "outcome"), **made)
        self.reconcile_seconds = Histogram(
            "reconcile_seconds", "One reconcile.", ("controller",), buckets=_LONG, **made
        )
        self.busy_workers = Gauge("busy_workers", "Workers with a key.", ("controller",), **made)
        self.is_leader = Gauge("is_leader", "1 while this process holds the lease.", **made)
        self.lease_epoch = Gauge("lease_epoch", "The lease's transitions while this process holds it.", **made)
        self.events = Counter("events", "Events by what became of them.", ("outcome",), **made)

    def count_writes(self) -> dict[tuple[str, str], int]:
        """Writes sent so far by (plural, verb): for benchmarks."""
        return {
            (sample.labels["resource"], sample.labels["verb"]): int(sample.value)
            for family in self.writes.collect()
            for sample in family.samples
            if sample.name.endswith("_total")
        }
