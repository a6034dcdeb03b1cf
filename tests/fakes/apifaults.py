"""What goes wrong between a client and an API server, at a chosen request or event.

A request is chosen by its method (empty: any, `write`: all but GET) and a part of its path with query (`/pods/web`, `watch=1`).
"""

from __future__ import annotations

import asyncio
import dataclasses
import urllib.parse
from collections.abc import Callable
from typing import Any

from xvirt.operator.runtime.errors import OutcomeUnknown, Unreachable
from xvirt.operator.runtime.transport import Request


class Refusal(Exception):
    """An answer of 400 and above."""

    def __init__(self, code: int, reason: str, message: str, details: Any = None, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.details = details
        self.retry_after_s = retry_after_s

    def status(self) -> dict[str, Any]:
        """The Status document."""
        document: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        document |= {"message": str(self), "reason": self.reason, "code": self.code}
        return document | ({"details": self.details} if self.details else {})


@dataclasses.dataclass
class _Rule:
    method: str
    part: str
    effect: Callable[[], None]
    left: int

    def takes(self, request: Request) -> bool:
        target = f"{request.path}?{urllib.parse.urlencode(dict(request.query))}"
        is_method = self.method in ("", request.method) or (self.method == "write" and request.method != "GET")
        if not is_method or self.part not in target or self.left == 0:
            return False
        self.left -= 1
        return True


@dataclasses.dataclass
class Break:
    """How a watch ends: with an ERROR event, with bytes that are no event, or just so."""

    error: Refusal | None = None
    nonsense: bytes = b""
    is_silent: bool = False


class ApiFaults:
    """Faults until they are taken back; `times` below 0 means always."""

    def __init__(self) -> None:
        self.has_bookmarks = True
        self._refusals: list[_Rule] = []
        self._lost_answers: list[_Rule] = []
        self._lost_requests: list[_Rule] = []
        self._holes: list[tuple[str, str]] = []
        self._healed = asyncio.Event()
        self._dropped: list[tuple[Callable[[str, dict[str, Any]], bool], list[int]]] = []
        self._frozen: asyncio.Event | None = None
        self._watches: list[asyncio.Future[Break]] = []
        self._at_open: Break | None = None
        self._continues = 0

    # set

    def refuse_with(self, refusal: Refusal, method: str = "", part: str = "", times: int = 1) -> None:
        """Answer so, and do nothing."""

        def effect() -> None:
            raise refusal

        self._refusals.append(_Rule(method, part, effect, times))

    def lose_answer(self, method: str = "write", part: str = "", times: int = 1) -> None:
        """Do it, and break the connection instead of answering."""
        self._lost_answers.append(_Rule(method, part, lambda: None, times))

    def lose_request(self, method: str = "write", part: str = "", times: int = 1) -> None:
        """Break the connection before anything is done."""
        self._lost_requests.append(_Rule(method, part, lambda: None, times))

    def be_down(self, times: int = -1) -> None:
        """Refuse connections, and end the watches that are open."""

        def effect() -> None:
            raise Unreachable("connection refused")

        self._lost_requests.append(_Rule("", "", effect, times))
        self.end_watches()

    def blackhole(self, method: str = "", part: str = "") -> None:
        """Swallow requests without an answer, and what open watches would say."""
        self._holes.append((method, part))
        self._frozen = self._frozen or asyncio.Event()

    def heal(self) -> None:
        """Take back all faults but those that have happened; swallowed requests stay without an answer."""
        self._refusals.clear()
        self._lost_answers.clear()
        self._lost_requests.clear()
        self._holes.clear()
        self._dropped.clear()
        self._at_open = None
        self._continues = 0
        self.thaw()

    def drop_event(self, which: Callable[[str, dict[str, Any]], bool], times: int = 1) -> None:
        """Never tell any watch of an event that `which(type, object)` picks."""
        self._dropped.append((which, [times]))

    def freeze_watches(self) -> None:
        """Hold events back: caches grow old."""
        self._frozen = self._frozen or asyncio.Event()

    def thaw(self) -> None:
        """Let held events go."""
        if self._frozen is not None:
            self._frozen.set()
            self._frozen = None

    def end_watches(self, error: Refusal | None = None, nonsense: bytes = b"") -> None:
        """End those that are open, with an ERROR event, with bytes that are no event, or just so."""
        for watch in self._watches:
            if not watch.done():
                watch.set_result(Break(error, nonsense))
        self._watches.clear()

    def hang_watches(self) -> None:
        """Those that are open never say anything again; the client must give them up."""
        for watch in self._watches:
            if not watch.done():
                watch.set_result(Break(is_silent=True))
        self._watches.clear()

    def end_watches_at_once(self, error: Refusal | None = None) -> None:
        """Those that are opened from now on, too, right after what they have to say."""
        self.end_watches(error)
        self._at_open = Break(error)

    def expire_continues(self, times: int) -> None:
        """Answer continue tokens with 410."""
        self._continues = times

    # asked by the server

    async def reach(self, request: Request) -> None:
        """Before a request is looked at, and before its answer leaves."""
        for rule in self._lost_requests:
            if rule.takes(request):
                rule.effect()
                raise OutcomeUnknown(f"{request.method} {request.path}: the connection broke")
        for method, part in self._holes:
            if _Rule(method, part, lambda: None, -1).takes(request):
                await asyncio.get_running_loop().create_future()

    def refuse(self, request: Request) -> None:
        for rule in self._refusals:
            if rule.takes(request):
                rule.effect()

    def loses_answer(self, request: Request) -> bool:
        return any(rule.takes(request) for rule in self._lost_answers)

    def expires_continue(self) -> bool:
        self._continues -= 1
        return self._continues >= 0

    def drops(self, kind: str, document: dict[str, Any]) -> bool:
        for which, left in self._dropped:
            if left[0] != 0 and which(kind, document):
                left[0] -= 1
                return True
        return False

    async def thawed(self) -> None:
        if self._frozen is not None:
            await self._frozen.wait()

    def open_watch(self) -> asyncio.Future[Break]:
        watch: asyncio.Future[Break] = asyncio.get_running_loop().create_future()
        if self._at_open is not None:
            watch.set_result(self._at_open)
        else:
            self._watches.append(watch)
        return watch

    async def wait(self, news: asyncio.Event, breaks: asyncio.Future[Break], timeout_s: float) -> Break | None:
        """Wait for news, a break, or the time. A frozen watch hears of nothing but a break."""
        if not breaks.done():
            told = asyncio.ensure_future(news.wait())
            try:
                both: list[asyncio.Future[Any]] = [told, breaks]
                await asyncio.wait(both, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            finally:
                told.cancel()
        if breaks.done():
            return breaks.result()
        await self.thawed()
        return None
