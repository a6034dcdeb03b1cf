"""What the provider needs of the process that Pulumi runs it in, and Pulumi's host does not offer: more than four steps at once, and an
end of waits on Ctrl-C.

Both are reached through objects of that process, by their names, without which all goes on as Pulumi made it.
"""

from __future__ import annotations

import concurrent.futures
import gc
import threading
from collections.abc import Callable
from typing import Any

THREADS = 64
"""Steps at once in one plugin process; the engine decides how many it asks for."""
CANCEL = "/pulumirpc.ResourceProvider/Cancel"

cancelled = threading.Event()
"""Set once the engine has asked to come to an end, which it does at the first Ctrl-C; every process ends with its update."""


def adapt() -> None:
    """Adapt this process; harmless when repeated."""
    for item in gc.get_objects():
        if isinstance(item, concurrent.futures.ThreadPoolExecutor):
            _widen(item)
        elif type(item).__name__ == "DictionaryGenericHandler":
            _hear_cancel(getattr(item, "_method_handlers", None))


def _widen(executor: concurrent.futures.ThreadPoolExecutor) -> None:
    limit = getattr(executor, "_max_workers", None)
    if isinstance(limit, int) and limit < THREADS:
        executor._max_workers = THREADS


def _hear_cancel(handlers: Any) -> None:
    """Pulumi's host takes the engine's call and does nothing."""
    handler: Any = handlers.get(CANCEL) if isinstance(handlers, dict) else None
    if hasattr(handler, "_replace") and hasattr(handler, "unary_unary"):
        handlers[CANCEL] = handler._replace(unary_unary=_cancelling(handler.unary_unary))


def _cancelling(answer: Callable[..., Any]) -> Callable[..., Any]:
    def cancel(*arguments: Any) -> Any:
        cancelled.set()
        return answer(*arguments)

    return cancel
