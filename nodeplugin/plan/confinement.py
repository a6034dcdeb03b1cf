"""Row 83: what keeps a machine's QEMU, should its guest break out of it, from other machines and the host."""

from __future__ import annotations

from xvirt.domainxml.facts import DomainFacts
from xvirt.model.meta import Condition, ConditionStatus, ConditionType

_MANDATORY = {"apparmor": "AppArmor", "selinux": "SELinux"}
"""libvirt's name of a driver that keeps machines apart though they run as one user -> reason of the condition."""


def confinement(facts: DomainFacts, generation: int) -> Condition:
    """Whether a running machine has a label of AppArmor or SELinux, and which user and control group it has.

    False is a fact of the host and no fault of the machine: it is told here alone, without an event, and leaves Ready as it is.
    """
    labels = {item.model: item.label for item in facts.security if item.label}
    held = [model for model in _MANDATORY if model in labels]
    parts = [f"{_MANDATORY[model]} label {labels[model]}" for model in held]
    if not held:
        parts.append(
            "libvirt has no security driver here: QEMU of every machine can reach what its user can; set up AppArmor or SELinux and"
            " security_driver in qemu.conf"
        )
    parts.append(f"user and group {labels['dac']}" if "dac" in labels else "QEMU's user is not told")
    parts.append(f"control group {facts.cgroup}" if facts.cgroup else "no control group of its own")
    return Condition(
        type=ConditionType.CONFINED,
        status=ConditionStatus.TRUE if held else ConditionStatus.FALSE,
        reason=_MANDATORY[held[0]] if held else "NoSecurityDriver",
        message="; ".join(parts),
        observed_generation=generation,
    )
