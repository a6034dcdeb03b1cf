"""The life of one object with a given spec, on a host in memory, told by the operator's own document: what is to be seen after each act.

What is seen is the host (definitions, volumes, seeds), what was asked of guests, and reasons and conditions. Nothing of it is a copy of the
spec: libvirt's `<metadata>`, where the document stands, is left out, and so are messages and the rest of the
status.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lxml import etree

from nodeplugin.hypervisor.port import InterfaceAddress, NetworkRecord, XmlView
from nodeplugin.plan.probe import ProbeKind
from nodeplugin.probes import reach
from nodeplugin.steps.seed import read_seed
from tests.fakes.hypervisor import DEFAULT_FACTS
from tests.fakes.volumes import FakeImage
from tests.unit.model.specimens import SAMPLES, Map
from tests.unit.model.variants import OTHERS
from tests.unit.operator.hosts_in_memory import CLUSTER, OPERATOR, HostWorld
from xvirt.domainxml.facts import read_domain
from xvirt.domainxml.tree import parse_xml, to_text
from xvirt.model.errors import InvalidSpec, Refused, Unsupported
from xvirt.model.exchange import ApplyCall, NodeDescription, ObjectRef, SecretContent, Token
from xvirt.model.fields import Format, attributes, element_type, is_spec_class
from xvirt.model.kinds import BY_NAME
from xvirt.operator.hosts.decide import decide, find_address
from xvirt.operator.hosts.records import HostRecord, HostScene, NodeRecord
from xvirt.operator.hosts.status import host_status
from xvirt.operator.kinds import VIRTUAL_HOSTS, VIRTUAL_MACHINES
from xvirt.operator.machines.document import Declared, document_of
from xvirt.operator.machines.holder import HolderSettings, holder_document
from xvirt.operator.machines.outside import OutsideHosts
from xvirt.operator.machines.records import read_machine
from xvirt.operator.machines.shapes import BY_HOST, index_host, shape_machine, unpack
from xvirt.operator.nodes.link import HostFacts
from xvirt.operator.nodes.state import Reach
from xvirt.operator.runtime.cache import Cache
from xvirt.operator.runtime.resources import NODES

NAME, NAMESPACE = "subject", "default"
LONG_S = 1000.0
ASKED_FOR_S = 60.0
"""So long probes are watched."""
_GOOD_UNTIL_S = 15.0
_NAMES = ("web", "db", "lan")
_REFERRED: dict[str, dict[str, Map]] = {
    "StoragePool": {name: {"path": f"/pools/{name}"} for name in _NAMES},
    "VirtualNetwork": {
        name: {"mode": "Routed", "antiSpoofing": "On", "subnets": [{"address": f"198.51.100.{number}/30"}]}
        for number, name in enumerate(_NAMES)
    },
    "VirtualImage": {name: {"source": {"path": f"/images/{name}.qcow2"}} for name in _NAMES},
    "VirtualDisk": {name: {"size": f"{len(name)}Gi"} for name in _NAMES},
}
"""What a field may name."""
_KEYS = ("userData", "networkData", "sshAuthorizedKeys", SAMPLES[Format.SERIAL], OTHERS[Format.SERIAL])
_SECRETS = tuple(
    SecretContent(name=name, data={key: f"{SAMPLES[Format.SSH_KEY]} {name}-{key}".encode() for key in _KEYS})
    for name in _NAMES
)
Picture = Any


def uid_of(kind: str, name: str) -> str:
    """Always the same."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}/{name}"))


def cluster_object(kind: str, name: str, spec: Map, generation: int = 1) -> Map:
    """As the API server has it."""
    metadata = {"name": name, "namespace": NAMESPACE, "uid": uid_of(kind, name), "generation": generation}
    return {"kind": kind, "metadata": metadata, "spec": copy.deepcopy(spec)}


def told_document(kind: str, name: str, spec: Map, generation: int = 1) -> Map:
    """What the operator gives to a node, of the object as its cache keeps it."""
    item = cluster_object(kind, name, spec, generation)
    kept = unpack(shape_machine(item)) if kind == "VirtualMachine" else item
    declared = Declared(
        kind=kind,
        namespace=NAMESPACE if BY_NAME[kind].scope.value == "Namespaced" else "",
        name=name,
        node_uid=uid_of(kind, name),
        generation=generation,
        labels={},
        spec=kept["spec"],
        profile="privileged",
    )
    return document_of(declared)


@dataclasses.dataclass
class Life:
    """One object's. `guests`: what probes have asked, and when."""

    kind: str
    spec: Map
    directory: Path
    generation: int = 0
    guests: list[Any] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self.directory.mkdir()
        self.world = world = HostWorld(self.directory, "node-a")
        world.hypervisor._facts = dataclasses.replace(DEFAULT_FACTS, libvirt_version="11.0.0")
        sources = [f"/images/{name}.qcow2" for name in ("a", *_NAMES)]
        sources += [table[form] for table in (SAMPLES, OTHERS) for form in _SOURCES]
        for number, source in enumerate(sources):
            world.volumes.images[source] = FakeImage("qcow2", (64 + number) << 20, content=source.encode())
        world.volumes.groups |= {SAMPLES[Format.VOLUME_GROUP], OTHERS[Format.VOLUME_GROUP]}
        world.volumes.blank_devices |= {SAMPLES[Format.HOST_PATH], OTHERS[Format.HOST_PATH]}

    # acts

    def tell(self, kind: str, name: str, spec: Map, generation: int = 1) -> None:
        """Apply, as the operator does."""
        document = told_document(kind, name, spec, generation)
        token = Token(authority=CLUSTER, epoch=1, generation=generation)
        secrets = _SECRETS if kind == "VirtualMachine" else ()
        self.world.service.apply(
            OPERATOR, ApplyCall(document=document, token=token, secrets=secrets, profile="privileged")
        )

    def declare(self, **more: Any) -> None:
        """The object, and what it names."""
        self.generation += 1
        spec = self.spec | more
        for kind in _REFERRED:
            for name in sorted(_references(BY_NAME[self.kind].spec, spec, kind)):
                if self.world.store.find(uid_of(kind, name)) is None and name in _REFERRED[kind]:
                    self.tell(kind, name, _REFERRED[kind][name])
                    self.world.settle()
        self.tell(self.kind, NAME, spec, self.generation)
        self.world.settle()

    def glance(self) -> None:
        """One look of the object's worker, half a second after the last one."""
        self.world.clock.now += 0.5
        self.world.host.index.clear()
        self.world.converger.work(self.uid)

    def let_time_pass(self) -> None:
        for _ in range(3):
            self.world.clock.now += LONG_S
            self.world.settle()

    def delete(self) -> None:
        ref = ObjectRef(kind=self.kind, namespace=NAMESPACE, name=NAME, uid=self.uid)
        token = Token(authority=CLUSTER, epoch=1, generation=self.generation)
        self.world.service.delete(OPERATOR, ref, token, force=False)

    @property
    def uid(self) -> str:
        return uid_of(self.kind, NAME)

    # what is to be seen

    def picture(self) -> Picture:
        """The host, what was done to it, and how the object fares."""
        world, stored = self.world, self.world.store.find(self.uid)
        status = stored.status if stored is not None else {}
        seen = {
            "domains": {record.name: self._domain(record.uuid) for record in world.hypervisor.list_domains()},
            "networks": [_network(item) for item in world.hypervisor.list_networks()],
            "filters": {name: etree.tostring(each) for name, each in world.hypervisor._filters.items()},
            "pools": [dataclasses.asdict(item) for item in world.hypervisor.list_pools()],
            "volumes": {path: dataclasses.asdict(facts) for path, facts in sorted(world.volumes.files.items())},
            "made": [self._step(name, arguments) for name, arguments in world.faults.mutations],
            "seeds": [read_seed(path.read_bytes()) for path in sorted((self.directory / "seeds").iterdir())],
            "guests": self.guests,
            "events": [event.reason for event in world.store.list_events(self.uid)],
            "conditions": [(one["type"], one["status"], one["reason"]) for one in status.get("conditions", ())],
        }
        text = json.dumps(seen, sort_keys=True, default=repr).replace(str(self.directory), "DIR")
        return json.loads(text.replace(self._default_pool, "DEFAULT"))

    @property
    def _default_pool(self) -> str:
        """UUID of the pool that the node makes by itself: another one in each life."""
        return next(pool.uuid for pool in self.world.hypervisor.list_pools() if pool.name == "default")

    def _domain(self, domain_uuid: str) -> Any:
        hypervisor = self.world.hypervisor
        record = hypervisor.find_domain(domain_uuid)
        views = (XmlView.INACTIVE, XmlView.CURRENT)
        return [str(record), *(_without_mark(hypervisor.domain_xml(domain_uuid, view)) for view in views)]

    def _step(self, name: str, arguments: tuple[object, ...]) -> Any:
        """A definition stands in the picture itself; the mark is a copy of the document."""
        return [name, *(str(each) for each in arguments if not str(each).lstrip().startswith("<"))]


_SOURCES = (Format.HOST_PATH, Format.URL, Format.CONTAINER_IMAGE)


def _references(cls: Any, spec: Any, kind: str) -> set[str]:
    """Names of objects of a kind that a spec names."""
    found: set[str] = set()
    for item in attributes(cls):
        value = spec.get(item.json_name)
        if value is None:
            continue
        inner: Any = element_type(item.annotation) or item.annotation
        if item.spec.references == kind:
            found.add(value)
        elif is_spec_class(inner):
            for each in value if isinstance(value, list) else [value]:
                found |= _references(inner, each, kind)
    return found


def _network(record: NetworkRecord) -> Any:
    return dataclasses.asdict(dataclasses.replace(record, xml=_without_mark(record.xml)))


def _without_mark(xml: str) -> str:
    root = parse_xml(xml)
    for element in root.findall("metadata"):
        root.remove(element)
    return to_text(root)


# the lives


def machine_life(life: Life) -> Iterator[Picture]:
    """Placed, made, asked, changed by hand, changed by its declaration, given other media; its QEMU crashes, its guest ends; deleted."""
    if "placement" in life.spec:
        machine = read_machine(unpack(shape_machine(cluster_object("VirtualMachine", NAME, life.spec))))
        yield holder_document(machine, HolderSettings())
    life.declare()
    yield life.picture()
    if life.world.hypervisor.find_domain(life.uid) is None:
        return
    _ask(life)
    yield from _glances(life)
    _edit(life)
    yield life.picture()
    life.declare(devices={**life.spec.get("devices", {}), "tpm": True})
    yield life.picture()
    yield from _change_media(life)
    for act in (life.world.hypervisor.crash, life.world.hypervisor.guest_poweroff):
        if life.world.hypervisor.domain(life.uid).is_active:
            act(life.uid)
        life.world.settle()
        life.let_time_pass()
        yield life.picture()
    life.world.hypervisor.domain(life.uid).ignores_shutdown = True
    life.delete()
    yield from _glances(life)
    life.let_time_pass()
    yield life.picture()


def _glances(life: Life) -> Iterator[Picture]:
    """As long as a guest may take to end."""
    for _ in range(10):
        life.glance()
        yield life.picture()
    life.world.settle()


def _ask(life: Life) -> None:
    """The guest boots and answers for a while; then it does not any more."""
    world, watch = life.world, life.world.converger.wellbeing.probes
    if not world.hypervisor.domain(life.uid).is_active:
        return
    world.hypervisor.connect_agent(life.uid)
    facts = read_domain(parse_xml(world.hypervisor.domain_xml(life.uid, XmlView.CURRENT)))
    addresses = [
        InterfaceAddress(mac=nic.mac or "", address=f"192.0.2.{number}", prefix=24, source="arp")
        for number, nic in enumerate(facts.nics, 20)
    ]
    world.hypervisor.set_addresses(life.uid, addresses)
    world.converger.guests._ask(life.uid)
    world.settle()
    begin_s = world.clock.now

    def well() -> bool:
        return world.clock.now - begin_s < _GOOD_UNTIL_S

    def note(*words: Any) -> None:
        life.guests.append((world.clock.now - begin_s, *words))

    agent = world.hypervisor.domain(life.uid).agent

    def run(argv: Sequence[str]) -> int:
        note("run", *argv)
        return 0 if well() else 1

    agent.run = run
    with _guest_ports(note, well):
        while world.clock.now - begin_s < ASKED_FOR_S:
            while watch._queue.length():
                key = watch._queue.take()
                assert key is not None
                watch._visit(key)
                watch._queue.done(key)
            for kind in ProbeKind:
                tally = watch.tally(life.uid, kind, world.hypervisor.domain(life.uid).record().domain_id or 0)
                note(kind.value, tally.health.value if tally is not None else "not asked")
            world.clock.now += 1.0
            agent.is_frozen = not well()
    world.hypervisor.domain(life.uid).ignores_shutdown = True


@contextlib.contextmanager
def _guest_ports(note: Callable[..., None], is_well: Callable[[], bool]) -> Iterator[None]:
    """Guests' ports, as the node's sockets see them."""

    class Stream:
        def __enter__(self) -> Stream:
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def settimeout(self, left_s: float) -> None:
            note("at most", left_s)

        def sendall(self, data: bytes) -> None:
            note("sent", data)

        def recv(self, size: int) -> bytes:
            return b"HTTP/1.1 204 No Content\r\n"

    @contextlib.contextmanager
    def connected(place: reach.Place, port: int, deadline_s: float) -> Iterator[Stream]:
        note("connect", place, port, deadline_s)
        if not is_well():
            raise reach.Unwell("refused")
        yield Stream()

    def encrypted(plain: Stream, deadline_s: float) -> Stream:
        note("tls")
        return plain

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return 0.0

    before = {name: vars(reach)[name] for name in ("_connected", "_encrypted", "time")}
    vars(reach).update({"_connected": connected, "_encrypted": encrypted, "time": Clock})
    try:
        yield
    finally:
        vars(reach).update(before)


def _edit(life: Life) -> None:
    """`virsh edit`."""
    root = parse_xml(life.world.hypervisor.domain_xml(life.uid, XmlView.INACTIVE))
    title = root.makeelement("title", {})
    title.text = "by hand"
    root.insert(2, title)
    life.world.hypervisor.define_domain(to_text(root))
    life.world.settle()


def _change_media(life: Life) -> Iterator[Picture]:
    """Other media for drives whose trays the guest has locked."""
    drives = [disk for disk in life.spec.get("disks", ()) if disk.get("device") == "Cdrom" and "source" in disk]
    if not drives:
        return
    domain = life.world.hypervisor.domain(life.uid)
    domain.locked_trays |= _targets(life)
    life.declare(disks=[{**disk, "source": {"image": "db"}} for disk in life.spec["disks"]])
    yield life.picture()


def _targets(life: Life) -> set[str]:
    facts = read_domain(parse_xml(life.world.hypervisor.domain_xml(life.uid, XmlView.CURRENT)))
    return {disk.target for disk in facts.disks if disk.target}


def network_life(life: Life) -> Iterator[Picture]:
    """Made, used, changed while it is used, given up, deleted."""
    life.declare()
    yield life.picture()
    user = {"memory": {"size": "64Mi"}, "nics": [{"name": "lan", "network": NAME}], "terminationGracePeriodSeconds": 0}
    life.tell("VirtualMachine", "user", user)
    life.world.settle()
    yield life.picture()
    life.declare(**({"domainName": "changed.example"} if life.spec.get("mode") != "Bridge" else {}))
    life.let_time_pass()
    yield life.picture()


def volume_life(life: Life) -> Iterator[Picture]:
    """Made, sent to, deleted: a pool, an image, a disk."""
    life.declare()
    yield life.picture()
    ref = ObjectRef(kind=life.kind, namespace=NAMESPACE, name=NAME, uid=life.uid)
    for size_bytes in (2, 3):
        with contextlib.suppress(Unsupported):  # taken: it is only the fake that has no place for it
            try:
                life.world.service.open_upload(OPERATOR, ref, size_bytes)
            except (InvalidSpec, Refused) as error:
                yield str(error)
    life.delete()
    life.let_time_pass()
    yield life.picture()


def host_life(life: Life) -> Iterator[Picture]:
    """Of a Node, and outside of the cluster: where it is asked, what it promises, which machines it takes."""
    generation = HostRecord(name=NAME, spec=life.spec)
    of_node = HostScene(name=NAME, host=generation, node=NodeRecord(name=NAME, is_host=True), **_HEARD)
    yield [find_address(of_node), str(decide(of_node))]
    outside = HostScene(name=NAME, host=generation, **_HEARD)
    cache = Cache(VIRTUAL_HOSTS)
    metadata = {"name": NAME, "uid": life.uid, "resourceVersion": "1"}
    cache.put({"metadata": metadata, "spec": life.spec, "status": host_status(outside)})
    machines = Cache(VIRTUAL_MACHINES)
    machines.add_index(BY_HOST, index_host)
    hosts = OutsideHosts(cache, Cache(NODES), machines)
    yield [_is_taken(hosts, tolerations) for tolerations in _TOLERATIONS]


_HEARD: Any = {
    "reach": Reach.SYNCED,
    "facts": HostFacts(NodeDescription(document={"status": {"cpus": 8, "memory": "32Gi", "pools": []}})),
}
_TAINT_KEYS = (SAMPLES[Format.TEXT], OTHERS[Format.TEXT])
_TAINT_VALUES = ("", SAMPLES[Format.LABEL_VALUE], OTHERS[Format.LABEL_VALUE])
_TOLERATIONS: list[list[Map]] = [
    [],
    *([{"key": key, "operator": "Exists"}] for key in _TAINT_KEYS),
    *([{"key": key, "operator": "Equal", "value": value}] for key in _TAINT_KEYS for value in _TAINT_VALUES),
]


def _is_taken(hosts: OutsideHosts, tolerations: list[Map]) -> bool:
    spec: Map = {"memory": {"size": "1Gi"}, "placement": {"host": NAME, "tolerations": tolerations}}
    item = shape_machine(cluster_object("VirtualMachine", "guest", spec))
    found = hosts.look(read_machine(unpack(item)), item)
    hosts.forget(uid_of("VirtualMachine", "guest"))
    return found is not None and not found.obstacle


LIVES: dict[str, Callable[[Life], Iterator[Picture]]] = {
    "StoragePool": volume_life,
    "VirtualNetwork": network_life,
    "VirtualImage": volume_life,
    "VirtualDisk": volume_life,
    "VirtualMachine": machine_life,
    "VirtualHost": host_life,
}
