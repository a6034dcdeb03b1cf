"""Faults on demand, and the log of calls that changed something. One `Faults` is shared by all fakes of a node."""

from __future__ import annotations

import enum
import functools
import threading
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from xvirt.model.errors import XvirtError

P = ParamSpec("P")
R = TypeVar("R")


class PluginKilled(BaseException):
    """Stands for SIGKILL: no `except Exception` of the code under test sees it. Catch it in the test, and start a new node."""


class Moment(enum.Enum):
    """Whether the call at which the plugin dies has had its effect."""

    BEFORE = "before"
    AFTER = "after"


class Faults:
    """What is to go wrong, and what was done. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._errors: dict[str, list[XvirtError]] = {}
        self._countdown = 0
        self._moment = Moment.AFTER
        self.mutations: list[tuple[str, tuple[object, ...]]] = []
        """(method, arguments) of every mutating call that took effect, in order."""

    def fail_next(self, method: str, error: XvirtError, times: int = 1) -> None:
        """The next calls of a method raise `error` and do nothing."""
        with self._lock:
            self._errors.setdefault(method, []).extend([error] * times)

    def crash_after(self, count: int, moment: Moment = Moment.AFTER) -> None:
        """Raise PluginKilled at the `count`-th mutating call from now, before or after it takes effect."""
        with self._lock:
            self._countdown, self._moment = count, moment

    def names(self) -> list[str]:
        """Names of the mutating calls so far."""
        with self._lock:
            return [name for name, _ in self.mutations]

    def clear(self) -> None:
        """Forget planned faults and the log."""
        with self._lock:
            self._errors.clear()
            self._countdown = 0
            self.mutations.clear()

    def forget_errors(self) -> None:
        """Nothing fails any more."""
        with self._lock:
            self._errors.clear()

    def begin(self, method: str, *, is_mutating: bool) -> bool:
        """Before a call. True where the plugin dies right after it."""
        with self._lock:
            errors = self._errors.get(method)
            if errors:
                raise errors.pop(0)
            if not is_mutating or self._countdown == 0:
                return False
            self._countdown -= 1
            if self._countdown > 0:
                return False
            if self._moment is Moment.BEFORE:
                raise PluginKilled(method)
            return True

    def end(self, method: str, arguments: tuple[object, ...]) -> None:
        """After a mutating call took effect."""
        with self._lock:
            self.mutations.append((method, arguments))


class Faulty(Protocol):
    """A fake."""

    faults: Faults

    def guarded(self, call: Callable[[], R]) -> R:
        """Run one call, as the fake's lock and events want it."""


F = TypeVar("F", bound=Faulty)


def mutating(method: Callable[Concatenate[F, P], R]) -> Callable[Concatenate[F, P], R]:
    """A call of a port that changes something."""

    @functools.wraps(method)
    def wrapped(self: F, /, *args: P.args, **kwargs: P.kwargs) -> R:
        is_last = self.faults.begin(method.__name__, is_mutating=True)
        result = self.guarded(lambda: method(self, *args, **kwargs))
        arguments: tuple[Any, ...] = (*args, *kwargs.values())
        self.faults.end(method.__name__, arguments)
        if is_last:
            raise PluginKilled(method.__name__)
        return result

    return wrapped


def reading(method: Callable[Concatenate[F, P], R]) -> Callable[Concatenate[F, P], R]:
    """A call of a port that changes nothing."""

    @functools.wraps(method)
    def wrapped(self: F, /, *args: P.args, **kwargs: P.kwargs) -> R:
        self.faults.begin(method.__name__, is_mutating=False)
        return self.guarded(lambda: method(self, *args, **kwargs))

    return wrapped
