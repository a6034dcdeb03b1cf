"""What `wait_for` may ask of what is declared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from xvirt.model.errors import Problem
from xvirt_provider.options import GUEST_WAITS, WAITS

PATH = "options.wait_for"
RESULT_FILE = "/run/cloud-init/result.json"
"""Written by cloud-init once its last stage has ended, at each boot; `v1.errors` is empty where all went well."""
CLOUD_INIT_PROBE: dict[str, Any] = {
    "exec": {"command": ["grep", "-q", r'"errors": \[\]', RESULT_FILE]},
    "periodSeconds": 3,
    "timeoutSeconds": 5,
}
"""Ends with 0 where cloud-init has ended well, with 1 where it has ended with errors, with 2 while the file is not there."""

_ENDED_BADLY = "ended with 1"
CLOUD_INIT_FAILED = "cloud-init ended with errors; read /var/log/cloud-init-output.log in the guest"


def has_failed(document: Any) -> bool:
    """Whether cloud-init has ended with errors: the probe found the file, and not the line in it."""
    conditions = (document.get("status") or {}).get("conditions") or ()
    ready: Mapping[str, Any] = next((item for item in conditions if item["type"] == "Ready"), {})
    is_asked = ready.get("reason") in ("ReadinessProbePending", "ReadinessProbeFailed")
    return is_asked and str(ready.get("message") or "").endswith(_ENDED_BADLY)


def check_wait(inputs: Mapping[str, Any]) -> tuple[Problem, ...]:
    """What a resource would wait for in vain."""
    wanted = inputs.get("waitFor")
    if wanted is None:
        return ()
    if wanted not in WAITS:
        return (Problem(PATH, f"{wanted!r} is not known", f"use one of {', '.join(WAITS)}"),)
    if wanted not in GUEST_WAITS:
        return ()
    if inputs["kind"] != "VirtualMachine":
        return (Problem(PATH, f"{wanted!r} is for machines", "use accepted, defined or ready"),)
    return tuple(_check_guest(wanted, inputs["spec"]))


def _check_guest(wanted: str, spec: Mapping[str, Any]) -> Iterator[Problem]:
    if spec.get("runStrategy") == "Halted":
        yield Problem(
            PATH, f"{wanted!r} is never reached by a machine that is Halted", "use accepted, defined or ready"
        )
    if wanted != "cloud-init":
        return
    if not spec.get("cloudInit"):
        yield Problem(PATH, "'cloud-init' needs cloud_init: without its data it does not run", "wait for 'agent'")
    command = ((spec.get("readinessProbe") or {}).get("exec") or {}).get("command")
    if command != CLOUD_INIT_PROBE["exec"]["command"]:
        yield Problem(
            PATH,
            "'cloud-init' is asked by the readiness probe, and this machine declares another one",
            "take readiness_probe out, or keep it and wait for 'ready'",
        )
