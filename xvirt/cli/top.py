"""`top`: what running machines take now, as the difference of two looks at libvirt's counters."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from xvirt.cli.place import Place
from xvirt.cli.session import Session, pass_session
from xvirt.cli.tables import table
from xvirt.cli.words import parse_duration
from xvirt.model.errors import XvirtError
from xvirt.model.exchange import Description, ObjectRef, ObjectView

AT_ONCE = 8
"""Calls at a time: half of what the node takes."""
INTERVAL_MIN_S = 1.0
NS_PER_S = 1e9
_RUNNING = frozenset({"Running", "Paused", "Stopping", "Crashed"})
_SORTS = ("cpu", "memory", "disk", "net", "name")


@dataclasses.dataclass(frozen=True)
class Look:
    """One machine's counters at a moment: CPU in nanoseconds, the rest in bytes."""

    moment_s: float
    cpu_ns: int
    memory_bytes: int
    disk_read: int
    disk_written: int
    received: int
    sent: int


@dataclasses.dataclass(frozen=True)
class Row:
    """One line: CPU in percent of one host CPU, rates in bytes per second; None where two looks are not there yet."""

    namespace: str
    name: str
    status: str
    cpus: int
    cpu_percent: float | None = None
    memory_bytes: int | None = None
    disk_read: float | None = None
    disk_written: float | None = None
    received: float | None = None
    sent: float | None = None
    note: str = ""


@click.command()
@click.option("-A", "--all-namespaces", is_flag=True, help="Of all namespaces.")
@click.option("--interval", default="2s", show_default=True, help="Time between two looks.")
@click.option("--once", is_flag=True, help="One table, then end; also where the output is no terminal.")
@click.option("--sort", type=click.Choice(_SORTS), default="cpu", show_default=True, help="Largest first.")
@pass_session
def top(session: Session, all_namespaces: bool, interval: str, once: bool, sort: str) -> None:
    """What running machines take: CPU, memory, disk and network."""
    namespace = "" if all_namespaces else session.namespace
    interval_s = max(INTERVAL_MIN_S, parse_duration(interval, "--interval"))
    with session.connect() as place, ThreadPoolExecutor(AT_ONCE) as pool:
        watcher = Watcher(place, pool, namespace)
        watcher.look()
        time.sleep(interval_s)
        if once or not sys.stdout.isatty():
            click.echo(render(watcher.look(), sort, with_namespace=all_namespaces))
            return
        with Live(console=Console(), screen=True, auto_refresh=False) as live:
            while True:
                live.update(Text(render(watcher.look(), sort, with_namespace=all_namespaces)), refresh=True)
                time.sleep(interval_s)


class Watcher:
    """Looks again and again, and knows what it saw last."""

    def __init__(self, place: Place, pool: ThreadPoolExecutor, namespace: str) -> None:
        self._place = place
        self._pool = pool
        self._namespace = namespace
        self._last: dict[str, Look] = {}

    def look(self) -> list[Row]:
        """A row for each machine that has a domain with a QEMU. Raises what List raises."""
        views = [
            view
            for view in self._place.list_objects("VirtualMachine", self._namespace)
            if _status(view).get("powerState") in _RUNNING
        ]
        rows, seen = [], {}
        for view, (found, note) in zip(views, self._pool.map(self._ask, [view.ref for view in views]), strict=True):
            if found is not None:
                seen[view.ref.uid] = found
            rows.append(make_row(view, self._last.get(view.ref.uid), found, note))
        self._last = seen
        return rows

    def _ask(self, ref: ObjectRef) -> tuple[Look | None, str]:
        try:
            return read_look(self._place.inspect(ref), time.monotonic())
        except XvirtError as error:
            return None, error.reason


def read_look(description: Description, moment_s: float) -> tuple[Look | None, str]:
    """Counters from a description; a note where it has none."""
    part = next((item for item in description.parts if item.name == "statistics"), None)
    if part is None or not isinstance(part.value, Mapping):
        return None, part.error if part is not None else "no statistics"
    values: Mapping[str, Any] = part.value
    look = Look(
        moment_s=moment_s,
        cpu_ns=_number(values, "cpu.time"),
        memory_bytes=_number(values, "balloon.rss") << 10,
        disk_read=_sum(values, "block", "rd.bytes"),
        disk_written=_sum(values, "block", "wr.bytes"),
        received=_sum(values, "net", "rx.bytes"),
        sent=_sum(values, "net", "tx.bytes"),
    )
    return look, "" if "balloon.rss" in values else "QEMU does not answer"


def make_row(view: ObjectView, old: Look | None, new: Look | None, note: str) -> Row:
    """A machine's row from two looks. A counter that went back (the machine was started anew) has no rate."""
    status = _status(view)
    row = Row(
        namespace=view.ref.namespace,
        name=view.ref.name,
        status=str(status.get("printableStatus", "")),
        cpus=int(status.get("cpus", 0)),
        memory_bytes=new.memory_bytes or None if new else None,
        note=note,
    )
    if old is None or new is None or new.moment_s <= old.moment_s:
        return row
    elapsed_s = new.moment_s - old.moment_s

    def rate(name: str) -> float | None:
        change = float(getattr(new, name) - getattr(old, name))
        return change / elapsed_s if change >= 0 else None

    cpu = rate("cpu_ns")
    return dataclasses.replace(
        row,
        cpu_percent=None if cpu is None else cpu / NS_PER_S * 100,
        disk_read=rate("disk_read"),
        disk_written=rate("disk_written"),
        received=rate("received"),
        sent=rate("sent"),
    )


def render(rows: Sequence[Row], sort: str, *, with_namespace: bool) -> str:
    """The table, largest first."""
    if not rows:
        return "No machine runs."
    heading = ["NAME", "STATUS", "CPUS", "CPU%", "MEMORY", "READ/S", "WRITTEN/S", "RECEIVED/S", "SENT/S", "NOTE"]
    lines = [[*(["NAMESPACE"] if with_namespace else []), *heading]]
    for row in sorted(rows, key=lambda row: _order(row, sort)):
        cpu = "-" if row.cpu_percent is None else f"{row.cpu_percent:.1f}"
        sizes = (row.memory_bytes, row.disk_read, row.disk_written, row.received, row.sent)
        cells = [row.name, row.status, str(row.cpus), cpu, *map(show_bytes, sizes), row.note]
        lines.append([*([row.namespace] if with_namespace else []), *cells])
    return table(lines)


def _order(row: Row, sort: str) -> tuple[float, str, str]:
    sizes = {
        "cpu": row.cpu_percent or 0.0,
        "memory": float(row.memory_bytes or 0),
        "disk": (row.disk_read or 0.0) + (row.disk_written or 0.0),
        "net": (row.received or 0.0) + (row.sent or 0.0),
        "name": 0.0,
    }
    return -sizes[sort], row.namespace, row.name


def show_bytes(value: float | None) -> str:
    """`1.5Mi`; `-` for none."""
    if value is None:
        return "-"
    for unit in ("", "Ki", "Mi", "Gi"):
        if value < 1024:
            return f"{value:.0f}{unit}" if not unit or value >= 100 else f"{value:.1f}{unit}"
        value /= 1024
    return f"{value:.1f}Ti"


def _status(view: ObjectView) -> Mapping[str, Any]:
    status: Mapping[str, Any] = view.document.get("status") or {}
    return status


def _number(values: Mapping[str, Any], key: str) -> int:
    value = values.get(key, 0)
    return int(value) if isinstance(value, int | float) else 0


def _sum(values: Mapping[str, Any], group: str, key: str) -> int:
    """Of all disks or NICs."""
    return sum(_number(values, name) for name in values if name.startswith(f"{group}.") and name.endswith(f".{key}"))
