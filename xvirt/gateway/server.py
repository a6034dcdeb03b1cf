"""One request from its first byte to its answer.

  request --health path--> 200 or 503, whoever asks
     |--authenticate--> 401
     |--discovery path--> its document
     |--no such path, subresource or method--> 404, 405
     |--a parameter that would be passed over--> 400
     |--authorize--> 403
     `--handler--> its answer, or the Status of what it raised

The whole of it has a deadline, and only so many run at once.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from xvirt.gateway.authentication import FrontProxy, Unauthenticated, User, authenticate
from xvirt.gateway.discovery import find_page
from xvirt.gateway.metrics import GatewayMetrics
from xvirt.gateway.paths import Target, parse_target, strange_parameters
from xvirt.gateway.subresources import Asked, Subresource, json_response
from xvirt.model.errors import DeadlineExceeded, XvirtError
from xvirt.wire.statuses import encode_status, make_status
from xvirt.wire.subresources import GROUP, MACHINE

log = logging.getLogger(__name__)

REQUESTS_MAX = 256
REQUEST_TIMEOUT_S = 30.0
HEALTH = ("/livez", "/readyz", "/healthz")

Authorize = Callable[[User, Target, tuple[str, ...]], Awaitable[None]]


@dataclasses.dataclass(frozen=True)
class Doors:
    """What a gateway asks before it lets anybody in. `why_not_ready`: empty where it is."""

    front_proxy: Callable[[], FrontProxy]
    authorize: Authorize
    why_not_ready: Callable[[], str]


class Gateway:
    """Answers requests. `serve` is what aiohttp's low-level server calls."""

    def __init__(self, doors: Doors, subresources: Mapping[str, Subresource], metrics: GatewayMetrics) -> None:
        self._doors = doors
        self._subresources = subresources
        self._verbs = {name: tuple(verbs[0] for verbs in item.rights.values()) for name, item in subresources.items()}
        self._metrics = metrics
        self._running = 0

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to any request."""
        path = request.raw_path.partition("?")[0]
        if path in HEALTH:
            return self._health(path)
        if self._running >= REQUESTS_MAX:
            return refuse(429, "TooManyRequests", f"{REQUESTS_MAX} requests are being answered; repeat it")
        self._running += 1
        began_s = time.monotonic()
        name = "other"
        try:
            name, answer = await self._answer(request, path)
        finally:
            self._running -= 1
        self._metrics.count(name, answer.status, time.monotonic() - began_s)
        return answer

    def _health(self, path: str) -> web.Response:
        why = self._doors.why_not_ready() if path == "/readyz" else ""
        return web.Response(status=503 if why else 200, text=why or "ok")

    async def _answer(self, request: web.BaseRequest, path: str) -> tuple[str, web.StreamResponse]:
        try:
            user = authenticate(self._doors.front_proxy(), _certificate(request), list(request.headers.items()))
        except Unauthenticated as error:
            log.warning("%s %s from %s: %s", request.method, path[:200], request.remote, error)
            return "other", refuse(401, "Unauthorized", f"Unauthorized: {error}")
        page = find_page(path, ",".join(request.headers.getall("Accept", [])), self._verbs)
        if page is not None:
            return "discovery", _only_get(request) or json_response(page[1], content_type=page[0])
        target = parse_target(path)
        subresource = self._subresources.get(target.subresource) if target is not None else None
        if target is None or subresource is None:
            return "other", refuse(404, "NotFound", f"the server could not find the requested resource: {path[:200]}")
        return target.subresource, await self._ask(request, user, target, subresource)

    async def _ask(
        self, request: web.BaseRequest, user: User, target: Target, subresource: Subresource
    ) -> web.StreamResponse:
        verbs = subresource.rights.get(request.method)
        if verbs is None:
            ways = ", ".join(subresource.rights)
            told = f"{target.subresource} is asked for by {ways}, not {request.method}"
            refused = refuse(405, "MethodNotAllowed", told)
            refused.headers["Allow"] = ways
            return refused
        strange = strange_parameters(request.query)
        if strange:
            return refuse(400, "BadRequest", f"parameter {', '.join(strange)} means nothing to {target.subresource}")
        what = f"{user.name}: {request.method} {target.namespace}/{target.name} {target.subresource}"
        answer, why = await self._handle(Asked(request, user, target), subresource, verbs)
        log.info("%s: %d%s", what, answer.status, why)
        return answer

    async def _handle(
        self, asked: Asked, subresource: Subresource, verbs: tuple[str, ...]
    ) -> tuple[web.StreamResponse, str]:
        subject = {"group": GROUP, "kind": MACHINE, "name": asked.target.name}
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await self._doors.authorize(asked.user, asked.target, verbs)
                return await subresource.handle(asked), ""
        except TimeoutError:
            error: XvirtError = DeadlineExceeded(
                f"no answer within {REQUEST_TIMEOUT_S:g} s; repeating it under the same operationId is safe"
            )
        except XvirtError as raised:
            error = raised
        except Exception:
            log.exception("a bug, of %s", asked.target)
            return refuse(500, "InternalError", "a bug in the gateway; its log has more"), " a bug"
        status = encode_status(error, subject)
        return json_response(status, status["code"]), f" {status['reason']}: {error.message}"


def _certificate(request: web.BaseRequest) -> Mapping[str, object] | None:
    transport = request.transport
    found: Mapping[str, object] | None = transport.get_extra_info("peercert") if transport is not None else None
    return found


def _only_get(request: web.BaseRequest) -> web.Response | None:
    if request.method in ("GET", "HEAD"):
        return None
    return refuse(405, "MethodNotAllowed", f"this is read by GET, not {request.method}")


def refuse(code: int, reason: str, message: str) -> web.Response:
    """A failure that is no error of ours."""
    return json_response(make_status(code, reason, message), code)
