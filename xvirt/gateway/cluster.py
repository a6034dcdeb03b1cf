"""The gateway's own questions to the API server. What is refused to it is its fault, not the user's, and is told so."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from xvirt.model.errors import InternalError, NotFound, Unavailable
from xvirt.operator.runtime.errors import ApiError, RetryLater
from xvirt.operator.runtime.errors import NotFound as ApiNotFound

T = TypeVar("T")


async def ask(question: Awaitable[T], trouble: str) -> T:
    """The answer. Raises NotFound, Unavailable where the API server does not answer, and InternalError for any refusal; the last two begin
    with `trouble`."""
    try:
        return await question
    except ApiNotFound as error:
        raise NotFound(error.message) from error
    except RetryLater as error:
        raise Unavailable(f"{trouble}: {error.message}", reason="ApiServerUnreachable") from error
    except ApiError as error:
        raise InternalError(f"{trouble}; the gateway was refused: {error.message}", reason="GatewayRefused") from error
