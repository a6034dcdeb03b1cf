"""What guests' agents tell and do, by libvirt. Every call may hang with its guest: each has a lane of its own and 3 s.

libvirt's named calls (virDomainGetGuestInfo, virDomainInterfaceAddresses) leave the domain as it is; a raw command marks it as tainted
(`custom-ga-command`) until it stops, so none is made but for those who declared a probe that needs it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import libvirt
import libvirt_qemu

from nodeplugin.hypervisor.addresses import read_addresses
from nodeplugin.hypervisor.calls import LaneKind
from nodeplugin.hypervisor.guests import LibvirtGuests
from nodeplugin.hypervisor.port import AgentAnswer, InterfaceAddress
from xvirt.model.errors import NotFound, Refused, Unavailable, Unsupported, XvirtError

T = TypeVar("T")

_PARTS = (
    libvirt.VIR_DOMAIN_GUEST_INFO_OS,
    libvirt.VIR_DOMAIN_GUEST_INFO_HOSTNAME,
    libvirt.VIR_DOMAIN_GUEST_INFO_TIMEZONE,
    libvirt.VIR_DOMAIN_GUEST_INFO_FILESYSTEM,
    libvirt.VIR_DOMAIN_GUEST_INFO_USERS,
)
_SIGNAL_BASE = 128


class LibvirtAgents(LibvirtGuests):
    """The agent's part of `nodeplugin.hypervisor.port.Domains`."""

    def ask_agent(self, uuid: str) -> AgentAnswer:
        self._check_agent(uuid)
        return AgentAnswer(facts=self._told(uuid), addresses=tuple(self._agent_addresses(uuid)))

    def _told(self, uuid: str) -> Mapping[str, object]:
        """All in one call; part by part where the agent does not know, or says too much for a message of libvirt's."""
        try:
            return self._guest_info(uuid, 0)
        except XvirtError as error:
            if not _is_partial(error):
                raise
            last = error
        found: dict[str, object] = {}
        for part in _PARTS:
            try:
                found |= self._guest_info(uuid, part)
            except XvirtError as error:
                if not _is_partial(error):
                    raise
                last = error
        if not found and isinstance(last, Unavailable):
            raise last
        return found

    def _guest_info(self, uuid: str, parts: int) -> Mapping[str, object]:
        return self._on_agent("ask", uuid, lambda domain: dict(domain.guestInfo(parts, 0)))

    def _agent_addresses(self, uuid: str) -> list[InterfaceAddress]:
        source = libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT
        try:
            answer = self._on_agent("read addresses from", uuid, lambda domain: domain.interfaceAddresses(source, 0))
        except (Refused, Unsupported):
            return []
        return read_addresses(answer, "agent")

    def ping_agent(self, uuid: str) -> None:
        self._check_agent(uuid)
        self._guest_info(uuid, libvirt.VIR_DOMAIN_GUEST_INFO_HOSTNAME)

    def agent_version(self, uuid: str) -> str:
        answer = self._command(uuid, "guest-info", {})
        return str(answer.get("version", ""))

    def start_in_guest(self, uuid: str, argv: Sequence[str]) -> int:
        path, *arguments = argv
        answer = self._command(uuid, "guest-exec", {"path": path, "arg": arguments, "capture-output": False})
        return _integer(answer, "pid", uuid)

    def exit_code_in_guest(self, uuid: str, process: int) -> int | None:
        answer = self._command(uuid, "guest-exec-status", {"pid": process})
        if not answer.get("exited"):
            return None
        if "signal" in answer:
            return _SIGNAL_BASE + _integer(answer, "signal", uuid)
        return _integer(answer, "exitcode", uuid)

    def _command(self, uuid: str, name: str, arguments: Mapping[str, object]) -> Mapping[str, Any]:
        self._check_agent(uuid)
        text = json.dumps({"execute": name, "arguments": arguments})
        timeout_s = max(1, round(self._options.agent_timeout_s))
        reply = self._on_agent(
            name, uuid, lambda domain: json.loads(libvirt_qemu.qemuAgentCommand(domain, text, timeout_s, 0))
        )
        answer = reply.get("return") if isinstance(reply, dict) else None
        if not isinstance(answer, dict):
            raise _nonsense(name, uuid)
        return answer

    def _check_agent(self, uuid: str) -> None:
        if not self.is_agent_connected(uuid):
            message = f"domain {uuid}: the guest agent is not connected; is qemu-guest-agent installed and running in the guest?"
            raise NotFound(message, reason="AgentNotConnected")

    def _on_agent(self, action: str, uuid: str, work: Callable[[libvirt.virDomain], T]) -> T:
        try:
            return self._on_domain(
                f"{action} the agent of", uuid, work, kind=LaneKind.AGENT, timeout_s=self._options.agent_timeout_s
            )
        except XvirtError:
            raise
        except (ValueError, SystemError) as error:  # bytes that are no text, text that is no JSON
            raise _nonsense(action, uuid) from error


def _is_partial(error: XvirtError) -> bool:
    """Whether other questions may still be answered: the agent does not know this one, or its answer is beyond what libvirt carries."""
    return isinstance(error, Refused | Unsupported) or error.libvirt_code == libvirt.VIR_ERR_RPC


def _integer(answer: Mapping[str, Any], name: str, uuid: str) -> int:
    value = answer.get(name)
    if not isinstance(value, int):
        raise _nonsense(name, uuid)
    return value


def _nonsense(action: str, uuid: str) -> XvirtError:
    return Refused(f"domain {uuid}: the guest agent answers {action} with nonsense", reason="AgentNonsense")
