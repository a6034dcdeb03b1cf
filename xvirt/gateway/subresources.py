"""The table of what can be asked for of a machine, and the acts. A new subresource is a new row, whose handler answers as it likes."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

from xvirt.gateway.authentication import User
from xvirt.gateway.machines import Machine, Machines
from xvirt.gateway.nodes import NodeClients
from xvirt.gateway.paths import Target
from xvirt.model.errors import Conflict, InvalidSpec, NotFound, Problem
from xvirt.model.exchange import ObjectRef, OperateCall, Operation, Verb
from xvirt.wire.subresources import DESCRIPTION, OPTIONS_KIND, decode_options, encode_description, encode_operation

BODY_MAX_BYTES = 64 << 10
STALE_TOKEN = "StaleToken"


@dataclasses.dataclass(frozen=True)
class Asked:
    """One request that has been let in."""

    request: web.BaseRequest
    user: User
    target: Target


Handler = Callable[[Asked], Awaitable[web.StreamResponse]]


@dataclasses.dataclass(frozen=True)
class Subresource:
    """`rights`: by HTTP method, the RBAC verbs that are asked for; the first is the one that the API server has asked for itself."""

    rights: Mapping[str, tuple[str, ...]]
    handle: Handler


class Acts:
    """Handlers. Raises the errors of `xvirt.model.errors`."""

    def __init__(self, machines: Machines, nodes: NodeClients) -> None:
        self._machines = machines
        self._nodes = nodes

    def table(self) -> dict[str, Subresource]:
        """Every subresource by its name."""
        ways = {"PUT": ("update",), "POST": ("create",)}
        acts = {verb.value: Subresource(ways, self._act(verb)) for verb in Verb}
        return {**acts, DESCRIPTION: Subresource({"GET": ("get",)}, self._describe)}

    def _act(self, verb: Verb) -> Handler:
        async def handle(asked: Asked) -> web.StreamResponse:
            target = asked.target
            options = decode_options(await read_body(asked.request), verb, target.namespace, target.name)
            machine = await self._machines.find(target)
            call = OperateCall(
                ref=ObjectRef(uid=machine.ref.uid),
                verb=verb,
                operation_id=options.operation_id or str(uuid.uuid4()),
                force=options.force,
                grace_period_s=options.grace_period_seconds,
            )
            return json_response(encode_operation(await self._operate(machine, call)))

        return handle

    async def _operate(self, machine: Machine, call: OperateCall) -> Operation:
        for is_last in (False, True):
            made = dataclasses.replace(call, token=await self._machines.token())
            try:
                async with self._nodes.borrow(machine.host, machine.address) as node:
                    return await node.operate(made)
            except NotFound:
                raise _not_there_yet(machine) from None
            except Conflict as error:
                # A new leader may have called the node since its Lease was read.
                if is_last or error.reason != STALE_TOKEN:
                    raise
        raise AssertionError("the second attempt answers or raises")

    async def _describe(self, asked: Asked) -> web.StreamResponse:
        machine = await self._machines.find(asked.target)
        try:
            async with self._nodes.borrow(machine.host, machine.address) as node:
                found = await node.describe(ObjectRef(uid=machine.ref.uid))
        except NotFound:
            raise _not_there_yet(machine) from None
        return json_response(encode_description(found, machine.host))


def _not_there_yet(machine: Machine) -> Conflict:
    text = f"{machine.ref} is to run on host {machine.host}, which does not have it yet; try again in a moment"
    return Conflict(text, reason="NotOnHostYet")


async def read_body(request: web.BaseRequest) -> Mapping[str, Any]:
    """The options of a request; an empty body is none. Raises InvalidSpec."""
    kind = request.content_type
    body = b""
    while chunk := await request.content.readany():
        body += chunk
        if len(body) > BODY_MAX_BYTES:
            raise InvalidSpec(
                [Problem("", f"has more than {BODY_MAX_BYTES} bytes", "send the options alone")], OPTIONS_KIND
            )
    if not body.strip():
        return {}
    if kind not in ("application/json", "application/octet-stream"):
        raise InvalidSpec([Problem("", f"the body is {kind}", "send application/json")], OPTIONS_KIND)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidSpec([Problem("", f"is not JSON: {error}", "send a map, or nothing")], OPTIONS_KIND) from error
    if not isinstance(document, dict):
        raise InvalidSpec([Problem("", "is no map", "send a map, or nothing")], OPTIONS_KIND)
    return document


def json_response(document: Mapping[str, Any], code: int = 200, content_type: str = "application/json") -> web.Response:
    """A document as an answer. Content types of aggregated discovery have parameters of their own."""
    return web.Response(status=code, body=orjson.dumps(document), headers={"Content-Type": content_type})
