"""Who leads: a coordination.k8s.io Lease, held by monotonic time and given up by a hard deadline.

    Waiting --free, run out, or mine to create--> Leading --renewed every 2 s--> Leading
                                                     |--not renewed for 10 s, or somebody else holds it--> on_lost()
                                                     `--release()--> Released

Three things keep a former leader from writing: the renewing task ends at the deadline, a thread of its own watches the deadline while the event
loop is blocked, and `guard` refuses every write after it, also in a process that was stopped and has just woken up. What had left before is
bounded by the call's timeout, which ends at the deadline too, on the server's side as well; nodes refuse what comes later by its epoch.

Others take over 15 s after they last saw a renewal, so 5 s lie between. Wall time is written for people and never compared.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import math
import threading
from collections.abc import Callable
from typing import Any

from xvirt.operator.runtime.api import ApiClient
from xvirt.operator.runtime.clock import format_micro_time
from xvirt.operator.runtime.errors import AlreadyExists, ApiError, Conflict, LeaseLost, NotFound
from xvirt.operator.runtime.resources import LEASES, Key, Object, version_of

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class LeaseOptions:
    """`identity` must be new with each start of a process: two holders in a row must never look like one, nor share an epoch.

    The watchdog is a thread; with an interval of 0 there is none, which is for tests by virtual time.
    """

    namespace: str
    name: str
    identity: str
    duration_s: int = 15
    renew_deadline_s: float = 10.0
    retry_s: float = 2.0
    call_timeout_s: float = 5.0
    watchdog_interval_s: float = 0.25

    def __post_init__(self) -> None:
        if not self.retry_s < self.renew_deadline_s < self.duration_s or self.call_timeout_s >= self.renew_deadline_s:
            raise ValueError("a lease needs retry < renew deadline < duration, and calls shorter than the deadline")


class Lease:
    """One candidate. `on_lost` is called at most once, from whichever thread finds out: it must end the process (`os._exit`)."""

    def __init__(self, client: ApiClient, options: LeaseOptions, on_lost: Callable[[str], None]) -> None:
        self._client = client.ungated()
        self._options = options
        self._key = Key(options.namespace, options.name)
        self._on_lost = on_lost
        self._clock = client.clock
        self._deadline_s = -math.inf
        self._tried_at_s = -math.inf
        self._epoch = 0
        self._stored: Object | None = None
        self._seen: tuple[str, str] = ("", "")
        self._seen_at_s = 0.0
        self._acquired = asyncio.Event()
        self._is_ended = threading.Event()
        self._is_told = threading.Lock()

    @property
    def is_leader(self) -> bool:
        """Whether writes are allowed now."""
        return self._clock.monotonic_s() < self._deadline_s

    @property
    def epoch(self) -> int:
        """The Lease's transitions while this process leads: higher than any former leader's. Raises LeaseLost."""
        self.guard()
        return self._epoch

    @property
    def holder(self) -> str:
        """Who held it when last seen; empty where nobody did."""
        return self._seen[0]

    def guard(self) -> float:
        """Seconds that are left to write in. Raises LeaseLost where there are none."""
        left_s = self._deadline_s - self._clock.monotonic_s()
        if left_s <= 0:
            raise LeaseLost(f"{self._options.identity} does not hold the lease {self._key}; nothing was sent")
        return left_s

    async def acquired(self) -> None:
        """Wait until this process leads."""
        await self._acquired.wait()

    async def run(self) -> None:
        """Wait for the lease, then renew it. Ends after `release`, or after `on_lost` where that returns."""
        while not self._is_ended.is_set():
            if not await self._try_acquire():
                await asyncio.sleep(self._options.retry_s)
                continue
            log.info("%s leads, epoch %d", self._options.identity, self._epoch)
            if self._options.watchdog_interval_s > 0:
                threading.Thread(target=self._watch_deadline, name="lease-watchdog", daemon=True).start()
            self._acquired.set()
            await self._keep()
            return

    # waiting

    async def _try_acquire(self) -> bool:
        try:
            stored = await self._client.get(LEASES, self._key, timeout_s=self._options.call_timeout_s)
            if not self._is_free(stored):
                return False
            started_s = self._clock.monotonic_s()
            self._stored = await self._write(stored, transitions=_transitions(stored) + 1)
        except NotFound:
            return await self._try_create()
        except ApiError as error:
            log.info("lease %s: %s", self._key, error)
            return False
        self._lead(started_s)
        return True

    async def _try_create(self) -> bool:
        started_s = self._clock.monotonic_s()
        fresh = LEASES.object(self._key, spec=self._spec({}, transitions=1))
        try:
            self._stored = await self._client.create(LEASES, fresh)
        except ApiError as error:
            if not isinstance(error, AlreadyExists):
                log.warning("lease %s: %s", self._key, error)
            return False
        self._lead(started_s)
        return True

    def _is_free(self, stored: Object) -> bool:
        spec = stored.get("spec") or {}
        now_s = self._clock.monotonic_s()
        seen = (str(spec.get("holderIdentity") or ""), version_of(stored))
        if seen != self._seen:
            self._seen, self._seen_at_s = seen, now_s
        if seen[0] in ("", self._options.identity):
            # Ours: an earlier write of this candidate whose answer was lost.
            return True
        return now_s - self._seen_at_s >= float(spec.get("leaseDurationSeconds") or self._options.duration_s)

    def _lead(self, started_s: float) -> None:
        assert self._stored is not None
        self._epoch = _transitions(self._stored)
        self._extend(started_s)
        self._client.metrics.is_leader.set(1)
        self._client.metrics.lease_epoch.set(self._epoch)

    def _extend(self, started_s: float) -> None:
        """Count from before the request was sent: others count from after it was stored."""
        assert self._stored is not None
        self._seen = (self._options.identity, version_of(self._stored))
        self._tried_at_s = started_s
        self._deadline_s = started_s + self._options.renew_deadline_s

    # leading

    async def _keep(self) -> None:
        while not self._is_ended.is_set():
            now_s = self._clock.monotonic_s()
            due_s = min(self._tried_at_s + self._options.retry_s, self._deadline_s)
            await asyncio.sleep(max(0.0, due_s - now_s))
            if self.check_deadline():
                return
            await self._renew()

    async def _renew(self) -> None:
        assert self._stored is not None
        # Twice: the first finds out that an earlier renewal had come through though its answer had not.
        for _ in range(2):
            started_s = self._tried_at_s = self._clock.monotonic_s()
            try:
                self._stored = await self._write(self._stored, transitions=self._epoch)
            except (Conflict, NotFound):
                if not await self._look_again():
                    return
            except ApiError as error:
                log.warning("lease %s is not renewed, %.1f s left: %s", self._key, self._deadline_s - started_s, error)
                return
            else:
                self._extend(started_s)
                return

    async def _look_again(self) -> bool:
        """Somebody wrote it: whether it was an earlier renewal of ours. Another holder is the end."""
        try:
            stored = await self._client.get(LEASES, self._key, timeout_s=self._call_timeout_s())
        except NotFound:
            self._lose("it was deleted")
            return False
        except ApiError as error:
            log.warning("lease %s cannot be read: %s", self._key, error)
            return False
        spec = stored.get("spec") or {}
        if spec.get("holderIdentity") != self._options.identity or _transitions(stored) != self._epoch:
            self._lose(f"{spec.get('holderIdentity') or 'nobody'} holds it")
            return False
        self._stored = stored
        return True

    def _call_timeout_s(self) -> float:
        left_s = self._deadline_s - self._clock.monotonic_s()
        return self._options.call_timeout_s if left_s <= 0 else min(self._options.call_timeout_s, left_s)

    async def _write(self, stored: Object, *, transitions: int) -> Object:
        document = {**stored, "spec": self._spec(stored.get("spec") or {}, transitions=transitions)}
        return await self._client.update(LEASES, document, timeout_s=self._call_timeout_s())

    def _spec(self, before: Object, *, transitions: int) -> Object:
        now = format_micro_time(self._clock.wall())
        is_same = before.get("holderIdentity") == self._options.identity
        return {
            **before,
            "holderIdentity": self._options.identity,
            "leaseDurationSeconds": self._options.duration_s,
            "acquireTime": before.get("acquireTime", now) if is_same else now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }

    # the end

    def check_deadline(self) -> bool:
        """Whether the deadline has passed; then `on_lost` has been called. Safe from any thread."""
        if self.is_leader or self._is_ended.is_set():
            return self._is_ended.is_set()
        self._lose(f"it was not renewed for {self._options.renew_deadline_s:g} s")
        return True

    def _watch_deadline(self) -> None:
        while not self._is_ended.wait(self._options.watchdog_interval_s):
            self.check_deadline()

    def _lose(self, why: str) -> None:
        with self._is_told:
            if self._is_ended.is_set():
                return
            self._deadline_s = -math.inf
            self._is_ended.set()
        self._client.metrics.is_leader.set(0)
        self._on_lost(f"lease {self._key} is lost: {why}")

    async def release(self) -> None:
        """Give the lease up at once, so that another need not wait. Every writer must have ended. Never raises ApiError."""
        with self._is_told:
            was_leading = self.is_leader and not self._is_ended.is_set()
            self._deadline_s = -math.inf
            self._is_ended.set()
        self._client.metrics.is_leader.set(0)
        if not was_leading or self._stored is None:
            return
        spec: dict[str, Any] = {**self._spec(self._stored["spec"], transitions=self._epoch), "holderIdentity": ""}
        spec["leaseDurationSeconds"] = 1
        try:
            await self._client.update(LEASES, {**self._stored, "spec": spec}, timeout_s=self._options.call_timeout_s)
        except ApiError as error:
            log.warning("lease %s is not released, others wait for it to run out: %s", self._key, error)


def _transitions(stored: Object) -> int:
    return int((stored.get("spec") or {}).get("leaseTransitions") or 0)
