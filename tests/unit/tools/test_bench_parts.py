"""The benchmarks' own arithmetic."""

from __future__ import annotations

from bench.fleet import document, median_ms, percentile_ms
from bench.idle import count_steps


def test_percentiles_are_values_that_were_measured() -> None:
    values = [number / 1000 for number in range(100, 0, -1)]
    assert percentile_ms(values, 99) == 99.0
    assert percentile_ms(values, 100) == 100.0
    assert percentile_ms([0.5], 99) == 500.0
    assert median_ms([0.001, 0.003]) == 2.0


def test_steps_are_summed_over_kinds_and_outcomes() -> None:
    text = """# TYPE xvirt_step_seconds histogram
xvirt_step_seconds_count{step="a",outcome="ok"} 2.0
xvirt_step_seconds_count{step="b",outcome="Busy"} 3.0
xvirt_step_seconds_sum{step="a",outcome="ok"} 9.0
"""
    assert count_steps(text) == 5.0


def test_a_machine_of_a_fleet_is_off_unless_it_is_asked_for() -> None:
    assert document("a")["spec"]["runStrategy"] == "Halted"
    assert document("a", "Always", disks=[])["spec"]["disks"] == []
