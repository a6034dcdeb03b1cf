"""The figures and reasons of docs/guest.md are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

from nodeplugin.converge import agent, guest
from nodeplugin.hypervisor.connection import HypervisorOptions
from nodeplugin.probes import watch
from xvirt.model import limits
from xvirt.model.fields import attributes
from xvirt.model.machine.hardware import WatchdogAction
from xvirt.model.machine.probe import Probe

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "guest.md").read_text()
FLAT = " ".join(TEXT.split())


def test_the_figures_are_those_of_the_code() -> None:
    assert f"Each question may take {HypervisorOptions().agent_timeout_s:g} s" in FLAT
    assert f"asked every {agent.INTERVAL_S:g} s" in FLAT
    assert (
        f"after {agent.SILENT_FIRST_S:g} s, {agent.SILENT_FIRST_S * 2:g} s, ... up to {agent.SILENT_MAX_S / 60:g} minutes"
        in FLAT
    )
    assert f"cut to {limits.GUEST_TEXT_MAX_LENGTH} characters" in FLAT
    assert limits.GUEST_USERS_MAX == limits.GUEST_FILE_SYSTEMS_MAX == limits.GUEST_ADDRESSES_MAX == 64
    assert f"the first {limits.GUEST_USERS_MAX} each are taken" in FLAT
    assert f"below a file system {limits.GUEST_DISKS_MAX}" in FLAT
    assert f"every {guest.SEARCH_INTERVAL_S:g} s until there is one" in FLAT
    assert f"every {guest.SETTLED_INTERVAL_S:g} s from then on" in FLAT
    assert f"{watch.THREADS} threads ask all guests" in FLAT
    assert f"{limits.SSH_KEYS_MAX} keys of {limits.SSH_KEY_MAX_LENGTH >> 10} KiB each" in FLAT
    assert f"| {limits.USER_DATA_MAX_BYTES >> 10} KiB |" in TEXT


def test_the_defaults_of_probes_are_those_of_the_model() -> None:
    for item in attributes(Probe):
        if item.annotation is int:
            assert f"`{item.json_name}` {item.default}" in FLAT
    assert f"(at most {limits.PROBE_TIMEOUT_MAX_SECONDS})" in FLAT


def test_every_action_and_reason_is_named() -> None:
    assert all(f"`{action.value}`" in TEXT for action in WatchdogAction)
    sources = "".join(path.read_text() for path in ROOT.glob("nodeplugin/*/*.py"))
    for reason in re.findall(r"`([A-Z][a-z]+[A-Z]\w+)`", TEXT):
        if reason not in ("AgentConnected", "RerunOnFailure", "RestartRequired"):
            assert f'"{reason}"' in sources, reason
