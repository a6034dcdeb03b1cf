"""What the ends of streams are told as, by both clients."""

from __future__ import annotations

from xvirt.model.errors import Unavailable


def silent(address: str, silence_s: float) -> Unavailable:
    """A watch without even a heartbeat, a log that does not come."""
    message = (
        f"node at {address} was silent for {silence_s:g} s, without a heartbeat; the stream was given up, begin anew"
    )
    return Unavailable(message, reason="NodeSilent")


def ended_unasked(address: str) -> Unavailable:
    """A watch has no end of its own."""
    return Unavailable(f"node at {address} ended the watch; watch again", reason="WatchEnded")


def cancelled(address: str) -> Unavailable:
    """The stream was ended by this client's `close`, or from the other side."""
    return Unavailable(f"the stream of node at {address} was cancelled; begin anew", reason="StreamCancelled")


def input_refused(address: str) -> Unavailable:
    """A console that takes no input."""
    message = f"the console at {address} has ended or takes no input; open it again"
    return Unavailable(message, reason="ConsoleEnded")
