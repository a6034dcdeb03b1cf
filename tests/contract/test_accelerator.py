"""The KVM probe: its program runs, and what its result means."""

from __future__ import annotations

import dataclasses

import pytest

from nodeplugin.hypervisor.accelerator import ProbeResult, boot_sector, choose_accelerator, judge_probe, run_probe
from tests.fakes.hypervisor import DEFAULT_FACTS
from xvirt.model.errors import Refused
from xvirt.model.virtualhost import Accelerator

RAN, HUNG = ProbeResult(None, 0.1), ProbeResult("did not end", 5.0)


def test_the_probe_is_a_boot_sector_that_runs_to_its_end() -> None:
    assert len(boot_sector()) == 512
    assert run_probe("tcg").fault is None


@pytest.mark.parametrize(
    ("kvm", "tcg", "verdict"),
    [(RAN, RAN, Accelerator.KVM), (HUNG, RAN, Accelerator.TCG), (HUNG, HUNG, Accelerator.KVM)],
)
def test_row_88_kvm_is_used_unless_emulation_does_what_it_cannot(
    kvm: ProbeResult, tcg: ProbeResult, verdict: Accelerator
) -> None:
    found = judge_probe(kvm, lambda: tcg)
    assert found.accelerator is verdict
    assert found.reason


def test_row_88_the_config_is_taken_at_its_word_and_a_wish_that_cannot_be_is_refused() -> None:
    assert choose_accelerator("tcg", DEFAULT_FACTS).domain_type == "qemu"
    offered = dataclasses.replace(DEFAULT_FACTS, offers_kvm=True)
    assert choose_accelerator("kvm", offered).domain_type == "kvm"
    with pytest.raises(Refused, match="offers no KVM"):
        choose_accelerator("kvm", DEFAULT_FACTS)
    assert choose_accelerator("auto", DEFAULT_FACTS).domain_type == "qemu"
