"""`xvirt top`: rates from two looks."""

from __future__ import annotations

import pytest

from xvirt.cli.top import Row, make_row, read_look, render, show_bytes
from xvirt.model.exchange import DescribedPart, Description, ObjectRef, ObjectView, Token

STATUS = {"printableStatus": "Running", "powerState": "Running", "cpus": 2}
VIEW = ObjectView(
    ref=ObjectRef(kind="VirtualMachine", namespace="default", name="web", uid="u"),
    document={"status": STATUS},
    token=Token(),
)


def describe(**values: int) -> Description:
    """A description with statistics; `__` stands for a dot."""
    value = {key.replace("__", "."): number for key, number in values.items()}
    return Description(object=VIEW, parts=(DescribedPart(name="statistics", value=value),))


def test_rates_are_differences_by_time_and_devices_are_summed() -> None:
    old, _ = read_look(describe(cpu__time=0, balloon__rss=10, block__0__rd__bytes=0, net__0__tx__bytes=100), 10.0)
    new, note = read_look(
        describe(
            cpu__time=1_000_000_000,
            balloon__rss=2048,
            block__0__rd__bytes=4096,
            block__1__rd__bytes=4096,
            net__0__tx__bytes=300,
        ),
        12.0,
    )
    row = make_row(VIEW, old, new, note)
    assert (row.cpu_percent, row.memory_bytes, row.disk_read, row.sent) == (50.0, 2 << 20, 4096.0, 100.0)
    assert (row.cpus, row.status, row.note) == (2, "Running", "")


def test_a_counter_that_went_back_has_no_rate() -> None:
    old, _ = read_look(describe(cpu__time=5, balloon__rss=1), 1.0)
    new, _ = read_look(describe(cpu__time=1, balloon__rss=1), 2.0)
    row = make_row(VIEW, old, new, "")
    assert row.cpu_percent is None
    assert row.disk_read == 0.0


def test_a_first_look_has_memory_and_no_rates() -> None:
    new, _ = read_look(describe(cpu__time=5, balloon__rss=1), 1.0)
    row = make_row(VIEW, None, new, "")
    assert (row.memory_bytes, row.cpu_percent) == (1024, None)


def test_what_cannot_be_read_is_noted() -> None:
    failed = Description(object=VIEW, parts=(DescribedPart(name="statistics", error="no answer"),))
    assert read_look(failed, 1.0) == (None, "no answer")
    assert read_look(Description(object=VIEW), 1.0) == (None, "no statistics")
    assert read_look(describe(cpu__time=1), 1.0)[1] == "QEMU does not answer"


def test_rows_are_sorted_largest_first_then_by_name() -> None:
    rows = [
        Row("a", "idle", "Running", 1, cpu_percent=0.0, memory_bytes=1 << 30),
        Row("a", "busy", "Running", 1, cpu_percent=99.96, memory_bytes=1 << 20, disk_written=10.0),
        Row("b", "also", "Running", 1, cpu_percent=0.0),
    ]

    def names(sort: str) -> list[str]:
        return [line.split()[1] for line in render(rows, sort, with_namespace=True).splitlines()[1:]]

    assert names("cpu") == ["busy", "idle", "also"]
    assert names("memory") == ["idle", "busy", "also"]
    assert names("disk") == ["busy", "idle", "also"]
    assert names("name") == ["busy", "idle", "also"]
    assert "100.0" in render(rows, "cpu", with_namespace=False)
    assert render([], "cpu", with_namespace=True) == "No machine runs."


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0, "0"), (1023, "1023"), (1536, "1.5Ki"), (200 << 20, "200Mi"), (3 << 40, "3.0Ti")],
)
def test_bytes_for_people(value: float | None, text: str) -> None:
    assert show_bytes(value) == text
