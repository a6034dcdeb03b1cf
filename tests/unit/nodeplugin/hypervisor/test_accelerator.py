"""KVM is believed when it ran 64-bit code, and doubted only where software emulation did better."""

from __future__ import annotations

import dataclasses

import pytest

from nodeplugin.hypervisor.accelerator import ProbeResult, boot_sector, choose_accelerator, judge_probe, run_probe
from tests.fakes.hypervisor import DEFAULT_FACTS
from xvirt.model.errors import Refused
from xvirt.model.virtualhost import Accelerator

GOOD = ProbeResult(None, 0.25)
BAD = ProbeResult("the probe did not end within 5 s", 5.0)


def _not_asked() -> ProbeResult:
    raise AssertionError("emulation was not to be tried")


def test_the_boot_sector_is_one() -> None:
    assert len(boot_sector()) == 512
    assert boot_sector()[510:] == b"\x55\xaa"


def test_the_probe_runs_under_software_emulation() -> None:
    assert run_probe("tcg").fault is None


def test_an_accelerator_that_qemu_lacks_is_a_fault_with_its_words() -> None:
    fault = run_probe("nonesuch").fault
    assert fault is not None
    assert "nonesuch" in fault


def test_a_probe_that_ran_settles_it() -> None:
    verdict = judge_probe(GOOD, _not_asked)
    assert verdict.accelerator is Accelerator.KVM
    assert verdict.domain_type == "kvm"
    assert "0.25 s" in verdict.reason


def test_kvm_that_is_slower_than_emulation_is_not_used() -> None:
    verdict = judge_probe(BAD, lambda: GOOD)
    assert verdict.accelerator is Accelerator.TCG
    assert verdict.domain_type == "qemu"
    assert BAD.fault is not None
    assert BAD.fault in verdict.reason


def test_a_host_too_busy_for_either_says_nothing_against_kvm() -> None:
    assert judge_probe(BAD, lambda: BAD).accelerator is Accelerator.KVM


def test_the_config_is_taken_at_its_word() -> None:
    offering = dataclasses.replace(DEFAULT_FACTS, offers_kvm=True)
    assert choose_accelerator("tcg", offering).accelerator is Accelerator.TCG
    assert choose_accelerator("kvm", offering).accelerator is Accelerator.KVM
    with pytest.raises(Refused):
        choose_accelerator("kvm", DEFAULT_FACTS)
    assert choose_accelerator("auto", DEFAULT_FACTS).accelerator is Accelerator.TCG
    other = dataclasses.replace(offering, architecture="aarch64")
    assert choose_accelerator("auto", other).accelerator is Accelerator.KVM
