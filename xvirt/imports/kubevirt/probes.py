"""Probes: the words are the same; the host is always the guest here."""

from __future__ import annotations

from typing import Any

from xvirt.imports.source import Source

_TIMES = ("initialDelaySeconds", "periodSeconds", "timeoutSeconds", "successThreshold", "failureThreshold")
TIMEOUT_MAX_S = 30


def read_probe(spec: Source, key: str) -> dict[str, Any] | None:
    """`readinessProbe` or `livenessProbe`; None where there is none, or none that can be asked."""
    if key not in spec:
        return None
    probe = spec.enter(key)
    found: dict[str, Any] = {}
    if "tcpSocket" in probe:
        found["tcpSocket"] = _port(probe.enter("tcpSocket"))
    if "httpGet" in probe:
        found["httpGet"] = _http(probe.enter("httpGet"))
    if "exec" in probe:
        command = probe.enter("exec").take("command") or ()
        if not isinstance(command, list | tuple):
            raise probe.enter("exec").refuse("command", "must be a list")
        found["exec"] = {"command": [str(item) for item in command]}
    if "guestAgentPing" in probe:
        probe.enter("guestAgentPing")
        found["guestAgentPing"] = {}
    if not found or not all(isinstance(item.get("port", 1), int) for item in found.values()):
        probe.ledger.miss(
            probe.path, "no way of asking that is had here", "use tcpSocket or httpGet with a number as port"
        )
        probe.take_all()
        return None
    for name in _TIMES:
        value = probe.integer(name)
        if value is not None:
            found[name] = min(value, TIMEOUT_MAX_S) if name == "timeoutSeconds" else value
            if found[name] != value:
                probe.note(name, f"{value} is more than xVirt waits; taken as {found[name]}")
    return found


def _port(source: Source) -> dict[str, Any]:
    source.miss("host", "the guest itself is asked, and nobody else")
    port = source.take("port")
    return {"port": int(port) if isinstance(port, str) and port.isdigit() else port}


def _http(source: Source) -> dict[str, Any]:
    found = _port(source)
    for key in ("path", "scheme"):
        text = source.text(key)
        if text:
            found[key] = text
    headers = [
        {"name": item.text("name") or "", "value": item.text("value") or ""} for item in source.each("httpHeaders")
    ]
    if headers:
        found["httpHeaders"] = headers
    return found
