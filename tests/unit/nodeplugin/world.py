"""A whole node without threads, libvirt and time: every visit is made by the test, and the process can die anywhere."""

from __future__ import annotations

import datetime
import itertools
import json
from pathlib import Path
from typing import Any

from nodeplugin.converge.converger import DEFAULT_POOL, Converger, ConvergerOptions
from nodeplugin.converge.host import Host, HostIndex
from nodeplugin.converge.hub import Hub
from nodeplugin.hypervisor.port import VolumeFacts, XmlView
from nodeplugin.plan.observation import NodeSettings
from nodeplugin.pools import DefaultPool, ensure_default_pool
from nodeplugin.rebuild import rebuild_store
from nodeplugin.service import NodeIdentity, NodeService
from nodeplugin.store import Store
from tests.fakes.faults import Faults, PluginKilled
from tests.fakes.hypervisor import FakeHypervisor
from tests.fakes.images import FakeImages
from tests.fakes.volumes import FakeImage, FakeVolumes
from xvirt.domainxml.facts import read_domain
from xvirt.domainxml.tree import parse_xml
from xvirt.model.exchange import ApplyCall, Caller, ObjectRef, OperateCall, Token, Verb

CALLER = Caller(name="test", authorities=("local", "*/*/*"), namespaces=("*",), profiles=("restricted", "privileged"))
ROUNDS_MAX = 60
EPOCH = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


class HeldClock:
    """Moves half a second with each round of visits. People may set the wall clock, which is `wall_offset_s` ahead of the other."""

    def __init__(self) -> None:
        self.now = 0.0
        self.wall_offset_s = 0.0

    def monotonic_s(self) -> float:
        return self.now

    def timestamp(self) -> str:
        moment = EPOCH + datetime.timedelta(seconds=int(self.now + self.wall_offset_s))
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class World:
    """The host lives on; the plugin's process (`boot`) comes and goes."""

    authorities: tuple[str, ...] = ("local", "*/*/*")
    node_name = "node-a"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.faults = Faults()
        self.volumes = FakeVolumes(faults=self.faults)
        self.volumes.images["/images/guest.qcow2"] = FakeImage("qcow2", 64 << 20)
        self.images = FakeImages(self.volumes)
        self.hypervisor = FakeHypervisor(volumes=self.volumes, faults=self.faults)
        self.clock = HeldClock()
        self.deaths = 0
        self.store: Store = Store(directory / "store.db")
        self._ids = itertools.count(1)
        for name in ("seeds", "logs", "pool"):
            (directory / name).mkdir()
        self.boot()

    def boot(self) -> None:
        """Start the plugin's process anew over what is on disk and on the host."""
        self.store.close()
        self.images.reboot()
        self.store = Store(self.directory / "store.db")
        pool = DefaultPool("default", str(self.directory / "pool"))
        ensure_default_pool(self.hypervisor, pool.name, pool.path)
        settings = NodeSettings(
            node_name=self.node_name,
            domain_type="qemu",
            architecture="x86_64",
            seed_directory=str(self.directory / "seeds"),
            log_directory=str(self.directory / "logs"),
        )
        host = Host(
            hypervisor=self.hypervisor,
            volumes=self.volumes,
            index=HostIndex(self.hypervisor, self.volumes),
            settings=settings,
            clock=self.clock,
            images=self.images,
        )
        rebuild_store(self.hypervisor, self.store)
        self.hub = hub = Hub(self.next_boot_id())
        self.host = host
        self.converger = Converger(host, self.store, hub, ConvergerOptions(default_pool=pool))
        identity = NodeIdentity(
            node_name=self.node_name,
            authorities=self.authorities,
            xvirt_version="0",
            accelerator="tcg",
            accelerator_reason="test",
        )
        self.service = NodeService(identity, host, self.store, hub, self.converger)

    def forget_everything(self) -> dict[str, VolumeFacts]:
        """The host was installed anew, or what held its state is not mounted: no store, no definition, no volume. Volumes, to be given back."""
        for record in self.hypervisor.list_domains():
            if record.is_active:
                self.hypervisor.destroy_domain(record.uuid)
            self.hypervisor.undefine_domain(record.uuid)
        held, self.volumes.files = self.volumes.files, {}
        self.store.close()
        for path in self.directory.glob("store.db*"):
            path.unlink()
        self.boot()
        return held

    def next_boot_id(self) -> str:
        """What the next life of the plugin calls itself."""
        return "boot"

    # what callers do

    def apply(self, document: dict[str, Any]) -> None:
        self.service.apply(CALLER, ApplyCall(document=document))

    def operate(self, ref: ObjectRef, verb: Verb) -> str:
        name = f"operation-{next(self._ids)}"
        self.service.operate(CALLER, OperateCall(ref=ref, verb=verb, operation_id=name))
        return name

    def delete(self, ref: ObjectRef) -> None:
        self.service.delete(CALLER, ref, Token(), force=False)

    # what the plugin does

    def visit(self, uid: str) -> None:
        """One visit of a worker; where the plugin dies, boot."""
        try:
            self.converger.work(uid)
        except PluginKilled:
            self.deaths += 1
            self.boot()

    def settle(self) -> None:
        """Visit everything until nothing changes any more; where the plugin dies, boot and go on."""
        quiet = 0
        for _ in range(ROUNDS_MAX):
            before = self._fingerprint()
            try:
                self.host.index.clear()
                self.converger.work(DEFAULT_POOL)
                for stored in self.store.list_objects():
                    self.converger.work(stored.uid)
            except PluginKilled:
                self.deaths += 1
                self.boot()
            self.clock.now += 0.5
            quiet = quiet + 1 if self._fingerprint() == before else 0
            if quiet == 3:
                return
        raise AssertionError(f"no end after {ROUNDS_MAX} rounds: {self._fingerprint()}")

    def _fingerprint(self) -> str:
        return json.dumps([len(self.faults.mutations), self.end_state()], sort_keys=True, default=str)

    def end_state(self) -> dict[str, Any]:
        """What must be the same however often the plugin died: the host, and what the objects say of themselves."""
        domains = {record.name: (record.state.value, record.uuid) for record in self.hypervisor.list_domains()}
        return {
            "domains": {name: state for name, (state, _) in domains.items()},
            "live": {
                record.name: self._devices(record.uuid) for record in self.hypervisor.list_domains() if record.is_active
            },
            "networks": sorted((item.name, item.is_active) for item in self.hypervisor.list_networks()),
            "volumes": {
                path.removeprefix(str(self.directory)): facts.capacity_bytes
                for path, facts in sorted(self.volumes.files.items())
            },
            "seeds": len(list((self.directory / "seeds").iterdir())),
            "objects": {
                stored.key: (
                    stored.generation,
                    stored.status.get("printableStatus"),
                    sorted((item["type"], item["status"]) for item in stored.status.get("conditions", ())),
                )
                for stored in self.store.list_objects()
            },
        }

    def _devices(self, uuid: str) -> list[str]:
        facts = read_domain(parse_xml(self.hypervisor.domain_xml(uuid, XmlView.CURRENT)))
        aliases = [disk.alias for disk in facts.disks] + [nic.alias for nic in facts.nics]
        return [*sorted(aliases), str(facts.vcpus)]
