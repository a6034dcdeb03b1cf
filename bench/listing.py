"""200 machines with their state: listed by the node, scraped by Prometheus, each beside libvirt asked directly."""

from __future__ import annotations

import statistics

import libvirt

from bench.fleet import Fleet, fleet, median_ms, timed
from bench.result import Result
from xvirt.model.exchange import Detail

MACHINES = 200
RUNNING = 20


def list_200(rounds: int) -> Result:
    """Goal <= 100 ms and <= 1.5x of libvirt's own bulk call."""
    with fleet("list") as made:
        made.declare(MACHINES)
        assert len(made.views()) == MACHINES
        ours, states, bulk, single = [], [], [], []
        for _ in range(rounds):
            ours.append(timed(made.views))
            states.append(timed(lambda: made.client.list_objects("VirtualMachine", detail=Detail.STATE)))
            bulk.append(timed(lambda: ask_in_bulk(made)))
            single.append(timed(lambda: ask_one_by_one(made)))
    return Result(
        name="list-200",
        ratio=statistics.median(states) / statistics.median(bulk),
        goal="<= 100 ms, and <= 1.5 of one bulk call",
        method=(
            f"One lab node with {MACHINES} machines, defined and off. xVirt over the Unix socket, decoded: List of states (names, labels,"
            " states, conditions), beside getAllDomainStats(STATE) once (names and states) by libvirt-python on the same libvirtd: the"
            " ratio; and List of whole objects (document and status), beside listAllDomains, then state, info and XMLDesc of each."
            " Alternating."
        ),
        samples={"xvirt": ours, "xvirt-states": states, "libvirt-bulk": bulk, "libvirt-single": single},
        summary=(
            f"states {median_ms(states):.1f} ms, libvirt in bulk {median_ms(bulk):.1f} ms; whole {median_ms(ours):.1f} ms (longest"
            f" {max(ours) * 1000:.1f} ms), libvirt one by one {median_ms(single):.1f} ms:"
            f" {statistics.median(ours) / statistics.median(single):.2f}"
        ),
    )


def ask_in_bulk(made: Fleet) -> int:
    """State and name of all domains by one call."""
    rows = made.libvirt.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0)
    return len([(domain.name(), stats["state.state"]) for domain, stats in rows])


def ask_one_by_one(made: Fleet) -> int:
    """State and definition of each domain."""
    return len([(item.state(), item.info(), item.XMLDesc(0)) for item in made.libvirt.listAllDomains()])


def scrape_200(rounds: int) -> Result:
    """Goal: a tenth of Prometheus' scrape timeout of 10 s, beside libvirt's own bulk call."""
    with fleet("scrape") as made:
        made.declare(MACHINES - RUNNING)
        made.declare(RUNNING, "Always", prefix="run")
        first, size, text = made.scrape(1)
        ours: list[float] = []
        raw: list[float] = []
        for _ in range(rounds):
            ours += made.scrape(1)[0]
            raw.append(
                timed(lambda: made.libvirt.getAllDomainStats(0, libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT))
            )
    assert text.count("\nlibvirt_domain_info_vstate{") == MACHINES
    samples = sum(not line.startswith("#") for line in text.splitlines())
    return Result(
        name="scrape-200",
        ratio=statistics.median(ours) / statistics.median(raw),
        goal="<= 1 s a scrape",
        method=(
            f"One lab node with {MACHINES} machines without disk and NIC, {RUNNING} of them running (TCG, idle firmware). xVirt: GET"
            " /metrics from inside the node, body read. Peer: getAllDomainStats of all groups with NOWAIT by libvirt-python on the same"
            " libvirtd. Alternating. The first scrape, which reads all definitions, is told apart."
        ),
        samples={"xvirt": ours, "xvirt-first": first, "libvirt": raw},
        summary=(
            f"median {median_ms(ours):.0f} ms (first {first[0] * 1000:.0f} ms), {samples} samples, {size / 1e6:.2f} MB;"
            f" libvirt's bulk call alone {median_ms(raw):.0f} ms"
        ),
    )
