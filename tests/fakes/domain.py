"""One fake domain: its definition, what runs of it, and what its guest is told to do."""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING

from lxml import etree

from nodeplugin.hypervisor.port import DomainRecord, DomainState, InterfaceAddress, Persistence
from tests.fakes.agent import FakeAgent
from xvirt.model.errors import InvalidSpec, NotFound, Problem, Refused, Unsupported

if TYPE_CHECKING:
    from tests.fakes.console import FakeConsole

_AGENT = "org.qemu.guest_agent.0"
_ROOT_WORDS = (
    "name uuid genid title description metadata maxMemory memory currentMemory memoryBacking vcpu vcpus iothreads cputune"
    " numatune resource sysinfo os bootloader idmap features cpu clock on_poweroff on_reboot on_crash on_lockfailure pm"
    " perf devices seclabel launchSecurity keywrap blkiotune memtune defaultiothread"
)
_DEVICE_WORDS = (
    "emulator disk controller lease filesystem interface smartcard serial parallel console channel input graphics video"
    " hostdev redirdev redirfilter sound audio watchdog memballoon rng tpm shmem memory nvram hub panic iommu vsock crypto"
    " pstore"
)
_ROOT_TAGS = frozenset(_ROOT_WORDS.split())
_DEVICE_TAGS = frozenset(_DEVICE_WORDS.split())
_UPDATABLE = {
    "interface": {"link", "source", "bandwidth", "filterref", "alias", "address", "target"},
    "disk": {"source"},
}
_KIB = {"b": 1 / 1024, "bytes": 1 / 1024, "KiB": 1, "k": 1, "MiB": 1 << 10, "M": 1 << 10, "GiB": 1 << 20, "G": 1 << 20}
_KIB |= {"TiB": 1 << 30}


def parse(xml: str, tag: str, subject: str) -> etree._Element:
    """A document with this root. Raises InvalidSpec."""
    try:
        root = etree.fromstring(xml.encode(), etree.XMLParser(resolve_entities=False, remove_blank_text=True))
    except etree.XMLSyntaxError as error:
        raise invalid(subject, f"XML is malformed: {error}") from error
    if root.tag != tag:
        raise invalid(subject, f"unexpected root element <{root.tag}>, expecting <{tag}>")
    return root


def parse_device(xml: str) -> etree._Element:
    """A device. Raises InvalidSpec."""
    try:
        return etree.fromstring(xml.encode(), etree.XMLParser(resolve_entities=False, remove_blank_text=True))
    except etree.XMLSyntaxError as error:
        raise invalid("device", f"XML is malformed: {error}") from error


def invalid(subject: str, message: str) -> InvalidSpec:
    """What libvirt's XML_ERROR becomes."""
    return InvalidSpec([Problem("", f"libvirt says: {message}")], subject, reason="LibvirtRefused")


def check_definition(root: etree._Element) -> None:
    """As VIR_DOMAIN_DEFINE_VALIDATE, as far as names go. Raises InvalidSpec."""
    subject = "define domain"
    name = root.findtext("name") or ""
    if not name or "/" in name or "\n" in name:
        raise invalid(subject, f"name {name!r} is not allowed")
    unknown = [item.tag for item in root if isinstance(item.tag, str) and not _is_known(item, _ROOT_TAGS)]
    unknown += [item.tag for item in root.iterfind("devices/*") if not _is_known(item, _DEVICE_TAGS)]
    if unknown:
        raise invalid(subject, f"XML document failed to validate against schema: {', '.join(unknown)}")
    if size_kib(root.find("memory")) <= 0 or root.find("os/type") is None:
        raise invalid(subject, "memory and os/type are needed")
    targets = [item.get("dev") for item in root.iterfind("devices/disk/target")]
    for target in targets:
        if targets.count(target) > 1:
            raise invalid(subject, f"target '{target}' duplicated for disk sources")


def _is_known(element: etree._Element, names: frozenset[str]) -> bool:
    return not isinstance(element.tag, str) or element.tag.startswith("{") or element.tag in names


def size_kib(element: etree._Element | None) -> int:
    """A size with its unit; zero where there is none."""
    if element is None or not (element.text or "").strip():
        return 0
    return int(int(element.text or "0") * _KIB[element.get("unit", "KiB")])


@dataclasses.dataclass
class FakeDomain:
    """State of one domain. `live` is there while it is active, `config` while it is persistent."""

    uuid: str
    name: str
    config: etree._Element | None
    live: etree._Element | None = None
    domain_id: int = -1
    state: DomainState = DomainState.SHUTOFF
    reason: str = "unknown"
    is_autostarted: bool = False
    has_managed_save: bool = False
    saved: etree._Element | None = None

    is_hung: bool = False
    has_missed_deadline: bool = False
    ignores_shutdown: bool = False
    ignores_unplug: bool = False
    locked_trays: set[str] = dataclasses.field(default_factory=set)
    """Targets of the drives that the guest has locked."""
    is_agent_connected: bool = False
    agent: FakeAgent = dataclasses.field(default_factory=FakeAgent)
    addresses: list[InterfaceAddress] = dataclasses.field(default_factory=list)
    sizes: dict[str, int] = dataclasses.field(default_factory=dict)
    console: FakeConsole | None = None
    counters: dict[str, int] = dataclasses.field(default_factory=dict)
    """Statistics that a test has set."""

    @property
    def is_active(self) -> bool:
        """Whether there is a QEMU."""
        return self.live is not None

    def record(self) -> DomainRecord:
        """Its row in the bulk list."""
        return DomainRecord(
            uuid=self.uuid,
            name=self.name,
            state=self.state,
            reason=self.reason,
            is_active=self.is_active,
            persistence=Persistence.PERSISTENT if self.config is not None else Persistence.TRANSIENT,
            is_autostarted=self.is_autostarted,
            has_managed_save=self.has_managed_save,
            domain_id=self.domain_id if self.is_active else None,
        )

    def stats(self) -> dict[str, object]:
        """Its row in the bulk statistics; what the monitor knows is missing while that hangs."""
        root = self.live if self.live is not None else self.config
        assert root is not None
        memory, current = size_kib(root.find("memory")), size_kib(root.find("currentMemory"))
        vcpus = root.find("vcpu")
        maximum = int(vcpus.text or "1") if vcpus is not None else 1
        values: dict[str, object] = {
            "state.state": list(DomainState).index(self.state),
            "balloon.maximum": memory,
            "balloon.current": current or memory,
            "vcpu.maximum": maximum,
            "vcpu.current": int(vcpus.get("current", maximum)) if vcpus is not None else 1,
        }
        if self.is_active:
            values |= {"cpu.time": 0, **_device_stats(root, is_hung=self.is_hung), **self.counters}
            if not self.is_hung:
                values["balloon.rss"] = memory
        return values

    def start(self, domain_id: int) -> None:
        """Run: from the saved state where there is one."""
        assert self.config is not None
        self.live = self.saved if self.has_managed_save and self.saved is not None else _live_copy(self.config)
        self.reason = "restored" if self.has_managed_save else "booted"
        self.has_managed_save, self.saved = False, None
        self.state, self.domain_id = DomainState.RUNNING, domain_id
        self.live.set("id", str(domain_id))
        self.show_agent()

    def stop(self, reason: str) -> None:
        """QEMU ends."""
        self.live, self.domain_id = None, -1
        self.state, self.reason = DomainState.SHUTOFF, reason
        self.is_hung = self.has_missed_deadline = self.is_agent_connected = False
        self.addresses.clear()

    def show_agent(self) -> None:
        """Write the agent's state into the live XML, as libvirt does."""
        if self.live is None:
            return
        for target in self.live.iterfind(f"devices/channel/target[@name='{_AGENT}']"):
            target.set("state", "connected" if self.is_agent_connected else "disconnected")

    def trees(self, *, is_live: bool, is_config: bool) -> list[etree._Element]:
        """The definitions that a change goes to. Raises Refused where one is not there."""
        found = []
        if is_config:
            if self.config is None:
                raise refused(self.uuid, "cannot change the definition of a transient domain")
            found.append(self.config)
        if is_live:
            if self.live is None:
                raise refused(self.uuid, "domain is not running")
            found.append(self.live)
        return found


def _device_stats(root: etree._Element, *, is_hung: bool) -> dict[str, object]:
    values: dict[str, object] = {}
    for number, target in enumerate(root.iterfind("devices/disk/target")):
        values[f"block.{number}.name"] = target.get("dev", "")
        if not is_hung:
            values |= {f"block.{number}.{name}": 0 for name in ("rd.reqs", "rd.bytes", "wr.reqs", "wr.bytes")}
    for number, _ in enumerate(root.iterfind("devices/interface")):
        values[f"net.{number}.name"] = f"vnet{number}"
        values |= {f"net.{number}.{way}.{what}": 0 for way in ("rx", "tx") for what in ("bytes", "pkts")}
    return values


def refused(uuid: str, message: str) -> Refused:
    """What libvirt's OPERATION_INVALID becomes."""
    return Refused(f"domain {uuid}: libvirt says: {message}", reason="LibvirtRefused")


def _live_copy(config: etree._Element) -> etree._Element:
    live = copy.deepcopy(config)
    counts: dict[str, int] = {}
    for device in live.iterfind("devices/*"):
        number = counts.get(str(device.tag), 0)
        counts[str(device.tag)] = number + 1
        if device.find("alias") is None and device.tag != "emulator":
            etree.SubElement(device, "alias", name=f"{device.tag}{number}")
        _show_running(device)
    return live


def _show_running(device: etree._Element) -> None:
    target = device.find("target")
    if device.tag == "memory" and target is not None and target.find("current") is None:
        requested = target.find("requested")
        if requested is not None:
            current = etree.SubElement(target, "current", unit=requested.get("unit", "KiB"))
            current.text = requested.text


def set_metadata(root: etree._Element, element: etree._Element) -> None:
    """Put an element into `<metadata>`, in place of those of its namespace."""
    metadata = root.find("metadata")
    if metadata is None:
        metadata = etree.Element("metadata")
        root.insert(len(root.findall("name")) + len(root.findall("uuid")), metadata)
    for old in metadata.findall("*"):
        if etree.QName(old).namespace == etree.QName(element).namespace:
            metadata.remove(old)
    metadata.append(copy.deepcopy(element))


def find_device(root: etree._Element, device: etree._Element) -> etree._Element | None:
    """The device that libvirt takes for the same: disks by target, NICs by MAC, others by alias."""
    for candidate in root.iterfind(f"devices/{device.tag}"):
        if _identity(candidate) == _identity(device) and _identity(device) is not None:
            return candidate
    return None


def _identity(device: etree._Element) -> str | None:
    path, attribute = {"disk": ("target", "dev"), "interface": ("mac", "address")}.get(
        str(device.tag), ("alias", "name")
    )
    element = device.find(path)
    value = element.get(attribute) if element is not None else None
    return value.lower() if value is not None else None


def attach(root: etree._Element, device: etree._Element, uuid: str) -> None:
    """Add a device. Raises Unsupported for an alias and InvalidSpec for a target that is taken."""
    action = f"attach to domain {uuid}"
    alias = str(device.xpath("string(alias/@name)"))
    if alias and root.xpath("boolean(devices/*/alias[@name=$alias])", alias=alias):
        raise Unsupported(f"{action}: libvirt says: unsupported configuration: non unique alias detected: {alias}")
    if device.tag == "disk" and find_device(root, device) is not None:
        raise invalid(action, f"target '{_identity(device)}' duplicated for disk sources")
    devices = root.find("devices")
    if devices is None:
        devices = etree.SubElement(root, "devices")
    added = copy.deepcopy(device)
    if root.get("id") is not None:
        _show_running(added)
    devices.append(added)


def detach(root: etree._Element, device: etree._Element, uuid: str) -> str:
    """Remove a device; returns its alias. Raises NotFound."""
    found = find_device(root, device)
    if found is None:
        raise NotFound(f"detach from domain {uuid}: libvirt says: device {_identity(device)} not found")
    found.getparent().remove(found)  # type: ignore[union-attr]
    return found.xpath("string(alias/@name)")  # type: ignore[return-value]


def update(root: etree._Element, device: etree._Element, uuid: str) -> None:
    """Change a device in place. Raises NotFound, and Unsupported for what libvirt cannot change."""
    found = find_device(root, device)
    action = f"update a device of domain {uuid}"
    if found is None:
        raise NotFound(f"{action}: libvirt says: no device matches {_identity(device)}")
    if device.tag == "memory":
        _update_memory(found, device, action)
        return
    allowed = _UPDATABLE.get(str(device.tag))
    if allowed is None:
        raise Unsupported(f"{action}: libvirt says: live update of {device.tag} is not supported")
    for tag in sorted({str(item.tag) for item in (*found, *device)} - allowed):
        if _text(found.find(tag)) != _text(device.find(tag)) and device.find(tag) is not None:
            raise Unsupported(f"{action}: libvirt says: cannot modify {device.tag} {tag}")
    for tag in allowed - {"alias", "address", "target"}:
        _replace(found, device, tag)
    if device.tag == "interface":
        found.set("type", device.get("type", "network"))


def _update_memory(found: etree._Element, device: etree._Element, action: str) -> None:
    wanted, target = device.find("target/requested"), found.find("target")
    if wanted is None or target is None:
        raise Unsupported(f"{action}: libvirt says: only the requested size can change")
    if size_kib(wanted) > size_kib(target.find("size")):
        raise invalid(action, "requested size must be smaller than or equal to @size")
    for tag in ("requested", "current"):
        old = target.find(tag)
        if old is not None:
            old.text, unit = wanted.text, wanted.get("unit", "KiB")
            old.set("unit", unit)


def _replace(found: etree._Element, device: etree._Element, tag: str) -> None:
    old, new = found.find(tag), device.find(tag)
    if old is not None:
        found.remove(old)
    if new is not None:
        found.insert(0, copy.deepcopy(new))


def _text(element: etree._Element | None) -> bytes:
    return b"" if element is None else etree.tostring(element, method="c14n", with_tail=False)


def set_vcpus(root: etree._Element, count: int, uuid: str) -> None:
    """Set the number of vCPUs. Raises Refused beyond the maximum, Unsupported below what was there at boot."""
    vcpu = root.find("vcpu")
    maximum = int(vcpu.text or "1") if vcpu is not None else 1
    if vcpu is None or not 1 <= count <= maximum:
        raise refused(uuid, f"requested vcpus is greater than max allowable vcpus for the domain: {count} > {maximum}")
    if root.get("id") is not None:
        _plug_vcpus(root, vcpu, count, uuid)
    vcpu.set("current", str(count))
    if count == maximum:
        del vcpu.attrib["current"]


def _plug_vcpus(root: etree._Element, vcpu: etree._Element, count: int, uuid: str) -> None:
    """The list of single vCPUs appears with the first change of a running domain."""
    items = root.findall("vcpus/vcpu")
    if not items:
        booted = int(vcpu.get("current", vcpu.text or "1"))
        vcpus = etree.Element("vcpus")
        for number in range(int(vcpu.text or "1")):
            state = ("yes", "no") if number < booted else ("no", "yes")
            etree.SubElement(vcpus, "vcpu", id=str(number), enabled=state[0], hotpluggable=state[1])
        vcpu.addnext(vcpus)
        items = list(vcpus)
    if any(item.get("hotpluggable") == "no" for item in items[count:]):
        message = "failed to find appropriate hotpluggable vcpus to reach the desired target vcpu count"
        raise Unsupported(f"set vCPUs of domain {uuid}: libvirt says: {message}")
    for number, item in enumerate(items):
        item.set("enabled", "yes" if number < count else "no")


def set_memory(root: etree._Element, size_bytes: int, uuid: str) -> None:
    """Set the balloon's target. Raises Refused beyond the maximum."""
    memory = root.find("memory")
    if memory is None or size_bytes // 1024 > size_kib(memory):
        raise refused(uuid, "cannot set memory higher than max memory")
    current = root.find("currentMemory")
    if current is None:
        current = etree.Element("currentMemory")
        memory.addnext(current)
    current.set("unit", "KiB")
    current.text = str(size_bytes // 1024)


def to_text(root: etree._Element) -> str:
    """As libvirt prints it: without secure fields."""
    copied = copy.deepcopy(root)
    for graphics in copied.iterfind("devices/graphics[@passwd]"):
        for name in ("passwd", "passwdValidTo", "connected"):
            graphics.attrib.pop(name, "")
    etree.indent(copied)
    return etree.tostring(copied, encoding="unicode")
