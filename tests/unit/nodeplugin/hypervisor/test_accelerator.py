"""What the KVM probe says in words (that it runs, and its verdicts: tests/contract/test_accelerator.py)."""

from __future__ import annotations

import dataclasses

from nodeplugin.hypervisor.accelerator import ProbeResult, choose_accelerator, judge_probe, run_probe
from tests.fakes.hypervisor import DEFAULT_FACTS
from xvirt.model.virtualhost import Accelerator


def _not_asked() -> ProbeResult:
    raise AssertionError("emulation was not to be tried")


def test_an_accelerator_that_qemu_lacks_is_a_fault_with_its_words() -> None:
    fault = run_probe("nonesuch").fault
    assert fault is not None
    assert "nonesuch" in fault


def test_the_reason_says_how_it_was_decided() -> None:
    assert "0.25 s" in judge_probe(ProbeResult(None, 0.25), _not_asked).reason
    verdict = judge_probe(ProbeResult("it hung", 5.0), lambda: ProbeResult(None, 0.5))
    assert "it hung" in verdict.reason
    assert "0.50 s" in verdict.reason


def test_an_architecture_without_a_probe_is_believed() -> None:
    facts = dataclasses.replace(DEFAULT_FACTS, offers_kvm=True, architecture="aarch64")
    assert choose_accelerator("auto", facts).accelerator is Accelerator.KVM
