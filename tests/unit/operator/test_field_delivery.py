"""Every field on its way: what a user sets, changes and takes away is what hosts are told, to the letter, and which hosts are told."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from tests.unit.model.specimens import SAMPLES, Map, at
from tests.unit.model.variants import OTHERS, Variant, variants
from tests.unit.operator.cluster import Cluster, machine, play
from tests.unit.operator.dependents.stories import Story
from tests.unit.operator.hosts_in_memory import MemoryClient
from tests.unit.operator.test_field_effects import OF_OPERATOR, REFUSED
from xvirt.model.changes import field_changes
from xvirt.model.exchange import ApplyCall, ApplyResult
from xvirt.model.fields import Format, Mutability
from xvirt.model.kinds import BY_NAME
from xvirt.operator.kinds import RESOURCES, VIRTUAL_MACHINES
from xvirt.operator.nodes.link import NodeClient
from xvirt.operator.runtime.resources import Key, Object

HOSTS = (SAMPLES[Format.LABEL], OTHERS[Format.LABEL])
"""Fields that name a host name these."""
NAMED: dict[str, Map] = {
    "StoragePool": {"path": "/pools/some"},
    "VirtualNetwork": {"mode": "Isolated"},
    "VirtualImage": {"source": {"path": "/images/guest.qcow2"}},
    "VirtualDisk": {"size": "1Gi"},
}
"""What stands behind a name."""
NAMES = (*HOSTS, "lan")
HOST_FIELDS = {"VirtualMachine-spec.placement.host", *OF_OPERATOR}
SECRET_KEYS = ("userData", "networkData", "sshAuthorizedKeys", SAMPLES[Format.SERIAL], OTHERS[Format.SERIAL])


class ToldClient:
    """A host's client that keeps what was told last: uid to document."""

    def __init__(self, client: MemoryClient, told: dict[str, Object]) -> None:
        self._client, self._told = client, told

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def apply(self, call: ApplyCall) -> ApplyResult:
        answer = await self._client.apply(call)
        self._told[call.document["metadata"]["uid"]] = dict(call.document)
        return answer


class WillingCluster(Cluster):
    """Its scheduler thinks that every host suits every machine that is not bound to another one; nothing is converged to."""

    told: dict[str, dict[str, Object]]

    def prepare(self) -> None:
        self.told = {name: {} for name in self.hosts}
        for host in self.hosts.values():
            host.is_converging = False
        Story(self)
        for kind, spec in NAMED.items():
            for name in NAMES:
                self.server.write(RESOURCES[kind], item(kind, name, spec))
        for name in HOSTS:
            self.put_secret(name, **{key: f"{name} {key}" for key in SECRET_KEYS})

    def open_client(self, host: str, address: str) -> NodeClient:
        made = super().open_client(host, address)
        assert isinstance(made, MemoryClient)
        return ToldClient(made, self.told[host])

    def _fits(self, pod: Object, node: Object) -> bool:
        required = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        fields = [field for term in required["nodeSelectorTerms"] for field in term.get("matchFields", ())]
        return not fields or any(node["metadata"]["name"] in field["values"] for field in fields)


def item(kind: str, name: str, spec: Map) -> Object:
    metadata = {"name": name} if kind == "StoragePool" else {"name": name, "namespace": "default"}
    return {"metadata": metadata, "spec": spec}


def user_of(kind: str, name: str) -> Object | None:
    """A machine that brings an object to a host; None where it comes there by itself."""
    if kind == "VirtualNetwork":
        return machine(f"user-{name}", nics=[{"name": "lan", "network": name}])
    sources = {"VirtualImage": {"image": name}, "VirtualDisk": {"disk": name}}
    return machine(f"user-{name}", disks=[{"name": "root", "source": sources[kind]}]) if kind in sources else None


def is_fixed(variant: Variant, new: Map) -> bool:
    changes = field_changes(variant.kind.name, variant.given, new)
    return any(change.mutability is Mutability.FIXED for change in changes)


@pytest.mark.parametrize("kind", [name for name in BY_NAME if name != "VirtualHost"])
def test_fault_15_hosts_are_told_a_field_as_it_is_set_changed_and_unset(tmp_path: Path, kind: str) -> None:
    tried = {f"subject-{n}": each for n, each in enumerate(variants(BY_NAME[kind])) if each.name not in REFUSED}
    resource = RESOURCES[kind]
    keys = {name: Key("" if kind == "StoragePool" else "default", name) for name in tried}

    async def story(cluster: Cluster) -> None:
        assert isinstance(cluster, WillingCluster)
        cluster.prepare()

        def hosts_told(name: str, spec: Map) -> list[str]:
            uid = cluster.need(resource, keys[name])["metadata"]["uid"]
            return [host for host, told in cluster.told.items() if uid in told and told[uid]["spec"] == spec]

        async def all_are_told(specs: dict[str, Map]) -> None:
            with contextlib.suppress(AssertionError):  # those that never were are named below
                await cluster.until(lambda: all(hosts_told(name, spec) for name, spec in specs.items()))
            assert [tried[name].name for name, spec in specs.items() if not hosts_told(name, spec)] == []
            for name, spec in specs.items():
                assert cluster.need(resource, keys[name])["spec"] == spec, "a user's spec was written"
                if tried[name].name in HOST_FIELDS and spec is not tried[name].absent:
                    value = at(spec, tried[name].path[1:])
                    assert hosts_told(name, spec) == (value if isinstance(value, list) else [value])

        for name, variant in tried.items():
            cluster.server.write(resource, item(kind, name, variant.given))
            user = user_of(kind, name)
            if user is not None:
                cluster.server.write(VIRTUAL_MACHINES, user)
        async with cluster.operator():
            await all_are_told({name: variant.given for name, variant in tried.items()})
            for attribute in ("changed", "absent"):
                specs = {name: getattr(variant, attribute) for name, variant in tried.items()}
                specs = {name: spec for name, spec in specs.items() if spec and not is_fixed(tried[name], spec)}
                for name, spec in specs.items():
                    cluster.server.write(resource, {**cluster.need(resource, keys[name]), "spec": spec})
                await all_are_told(specs)

    play(tmp_path, story, HOSTS, WillingCluster)
