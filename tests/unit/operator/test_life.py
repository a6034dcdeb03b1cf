"""The life of machines in a cluster, from `kubectl apply` to nothing left."""

from __future__ import annotations

from pathlib import Path

from tests.unit.operator.cluster import Cluster, machine, play


def test_a_machine_runs_on_the_host_that_its_holder_was_bound_to(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        made = cluster.create(machine())
        async with cluster.operator():
            await cluster.running()
            assert cluster.status()["nodeName"] == "node-a"
            assert cluster.domains() == {"node-a": [made["metadata"]["uid"]]}
            assert cluster.vm()["spec"] == made["spec"]
            assert cluster.vm()["metadata"]["finalizers"] == ["xvirt.io/operator"]
            await cluster.calm()
            vm_writes = [line for line in cluster.writes() if "web" in line or "/pods" in line]
            assert len(vm_writes) <= 6, vm_writes
            cluster.delete()
            await cluster.gone()
            assert cluster.domains() == {"node-a": []}

    play(tmp_path, story)
