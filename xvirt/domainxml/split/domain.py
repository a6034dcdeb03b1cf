"""A domain split, and put together again."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from lxml import etree

from xvirt.domainxml.assemble import assemble_domain, drop_adopted_aliases
from xvirt.domainxml.context import DomainContext
from xvirt.domainxml.difference import difference
from xvirt.domainxml.disks import SEED_ALIAS
from xvirt.domainxml.domain import render_domain
from xvirt.domainxml.elements import alias_of, attribute, text_of
from xvirt.domainxml.kept import keep_bare, spell_alike
from xvirt.domainxml.normal import strip_fillings
from xvirt.domainxml.placement import keep_placement
from xvirt.domainxml.split.disks import split_disks
from xvirt.domainxml.split.hardware import split_cpu, split_devices, split_firmware, split_memory
from xvirt.domainxml.split.layout import bare_copy, is_given_back
from xvirt.domainxml.split.nics import split_nics
from xvirt.model.checks import find_problems
from xvirt.model.codec import encode
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.machine.hardware import Cpu, Devices, Firmware
from xvirt.model.meta import ObjectMeta, Resource
from xvirt.model.validation import check_rules
from xvirt.model.virtualmachine import MachineBase, MachineDeletionPolicy, RunStrategy, VirtualMachineSpec

_HYPERVISORS = ("kvm", "qemu")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DomainIdentity:
    """What a domain is called on its host, and what it runs on: of no spec, kept from the domain itself."""

    uuid: str
    name: str
    domain_type: str
    architecture: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split:
    """A domain as it would be declared. `spec.domain` is the overlay; `notes` say what a reader of it should know."""

    spec: VirtualMachineSpec
    identity: DomainIdentity
    notes: tuple[str, ...] = ()

    @property
    def overlay(self) -> Mapping[str, Any]:
        """What no typed field says; empty where all is typed."""
        return self.spec.domain or {}


def split_domain(root: etree._Element) -> Split:
    """The smallest typed spec of a domain, with an overlay for the rest. `root` is a definition, as libvirt dumps the inactive one.

    What libvirt fills in by itself and where it put devices (addresses, controllers) is left out: `join_domain` with the domain itself
    keeps it, as a node does. Raises InvalidSpec for what is no domain of QEMU, and where a typed field that every machine must
    have cannot hold the domain's value.
    """
    domain = bare_copy(root)
    _check_kind(domain)
    identity = DomainIdentity(
        uuid=text_of(domain, "uuid"),
        name=domain.findtext("name") or "",
        domain_type=domain.get("type", ""),
        architecture=attribute(domain, "os/type", "arch") or "x86_64",
    )
    return _Splitter(domain, identity, _notes(root, domain)).split()


def join_domain(split: Split, kept: etree._Element | None = None) -> etree._Element:
    """The definition that a split stands for. `kept` is the definition that its host has: places and spellings are taken from it."""
    return _assemble(split.spec, split.identity, kept)


def _assemble(spec: VirtualMachineSpec, identity: DomainIdentity, kept: etree._Element | None) -> etree._Element:
    root = assemble_domain(_resource(spec), _context(identity))
    if kept is not None:
        keep_placement(root, kept, None)
        keep_bare(root, kept)
    return root


def _resource(spec: VirtualMachineSpec) -> Resource:
    return Resource("VirtualMachine", ObjectMeta(name="adopted"), spec)


def _context(identity: DomainIdentity) -> DomainContext:
    return DomainContext(
        uuid=identity.uuid,
        name=identity.name,
        domain_type=identity.domain_type,
        architecture=identity.architecture,
        disks={},
        networks={},
    )


def _check_kind(domain: etree._Element) -> None:
    if domain.tag != "domain":
        raise InvalidSpec([Problem("", f"<{domain.tag}> is no domain", "give the XML of a domain")])
    if domain.get("type") not in _HYPERVISORS:
        message = f"a domain of type {domain.get('type')!r} is none of QEMU's"
        raise InvalidSpec([Problem("domain.@type", message, "only domains of QEMU, with or without KVM, are declared")])
    if text_of(domain, "os/type") != "hvm":
        message = f"os type {text_of(domain, 'os/type')!r} is no full virtual machine"
        raise InvalidSpec([Problem("domain.os.type", message, "only type hvm is declared")])
    if any(alias_of(disk) == SEED_ALIAS for disk in domain.iterfind("devices/disk")):
        message = "has a seed volume of xVirt's, whose content its document alone knows"
        raise InvalidSpec([Problem("domain.devices.disk", message, "take the document from the domain's metadata")])


def _notes(root: etree._Element, domain: etree._Element) -> tuple[str, ...]:
    notes = []
    comments = sum(1 for item in root.iter() if not isinstance(item.tag, str))
    if comments:
        notes.append(f"{comments} comments are left out: libvirt keeps none")
    if root.get("id") is not None:
        notes.append("this is a running domain's XML, with what holds for this run only; split the inactive one")
    if domain.find("cpu/numa/cell") is not None:
        notes.append("spec.domain.cpu.numa says how much memory each cell has; change it together with spec.memory")
    return tuple(notes)


class _Splitter:
    """One domain on its way; nothing of it is kept."""

    def __init__(self, domain: etree._Element, identity: DomainIdentity, notes: tuple[str, ...]) -> None:
        self._domain = domain
        self._identity = identity
        self._notes = notes

    def split(self) -> Split:
        """With less and less typed, and less and less left to the host, until putting it together gives the domain."""
        for typed in (self._typed(), self._plain()):
            for is_stripped in (True, False):
                spec = self._overlaid(typed, is_stripped=is_stripped)
                if spec is not None and self._gives_back(spec):
                    return Split(spec=spec, identity=self._identity, notes=self._notes)
        problem = Problem("domain", "cannot be put together again as it is", "this is a fault of xVirt's; report it")
        raise InvalidSpec([problem], reason="NotReversible")

    def _typed(self) -> VirtualMachineSpec:
        return dataclasses.replace(
            self._plain(),
            cpu=split_cpu(self._domain),
            firmware=split_firmware(self._domain),
            disks=split_disks(self._domain),
            nics=split_nics(self._domain),
            devices=split_devices(self._domain),
        )

    def _plain(self) -> VirtualMachineSpec:
        """Only what every machine must have."""
        counts = split_cpu(self._domain)
        spec = VirtualMachineSpec(
            base=MachineBase.BARE,
            cpu=Cpu(cores=counts.cores, max=counts.max),
            memory=split_memory(self._domain),
            machine=attribute(self._domain, "os/type", "machine") or "pc",
            firmware=Firmware(),
            devices=Devices(guest_agent=False, rng=False, hotplug_ports=0),
            run_strategy=RunStrategy.MANUAL,
            deletion_policy=MachineDeletionPolicy.DETACH,
        )
        problems = find_problems(VirtualMachineSpec, encode(spec), "spec") or list(check_rules(spec, "spec"))
        if problems:
            raise InvalidSpec(problems)
        return spec

    def _overlaid(self, typed: VirtualMachineSpec, *, is_stripped: bool) -> VirtualMachineSpec | None:
        base = render_domain(_resource(typed), _context(self._identity))
        drop_adopted_aliases(base, typed)
        keep_placement(base, self._domain, None)
        wanted = copy.deepcopy(self._domain)
        spell_alike(base, wanted)
        strip_fillings(base)
        if is_stripped:
            strip_fillings(wanted)
        tree = difference(base, wanted)
        return dataclasses.replace(typed, domain=tree or None)

    def _gives_back(self, spec: VirtualMachineSpec) -> bool:
        return is_given_back(functools.partial(_assemble, spec, self._identity, self._domain), self._domain)
