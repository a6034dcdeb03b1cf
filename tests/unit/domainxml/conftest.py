"""Machines and contexts for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from lxml import etree

from xvirt.domainxml.domain import DiskBacking, DomainContext, NetworkBacking, render_domain
from xvirt.model.codec import parse
from xvirt.model.meta import Resource

UID = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"

MachineMaker = Callable[..., Resource]
Renderer = Callable[..., etree._Element]


def make_machine(**spec: Any) -> Resource:
    """A valid VirtualMachine; 256 MiB unless said."""
    return parse(
        {
            "apiVersion": "xvirt.io/v1alpha1",
            "kind": "VirtualMachine",
            "metadata": {"name": "web"},
            "spec": {"memory": {"size": "256Mi"}, **spec},
        }
    )


def make_disks(*names: str, **fields: Any) -> list[dict[str, Any]]:
    """Blank disks of 1 GiB."""
    return [{"name": name, "source": {"size": "1Gi"}, **fields} for name in names]


def render(machine: Resource, domain_type: str = "qemu", seed_path: str | None = None) -> etree._Element:
    """The machine on a host where everything that it names is there."""
    spec = machine.spec
    context = DomainContext(
        uuid=UID,
        name=f"default_{machine.metadata.name}",
        domain_type=domain_type,
        architecture="x86_64",
        disks={
            disk.name: DiskBacking(f"/pool/{disk.name}", disk.format.value)
            for disk in spec.disks
            if disk.source is not None
        },
        networks={nic.network: NetworkBacking(network=f"default_{nic.network}") for nic in spec.nics},
        seed_path=seed_path,
        console_log_path="/log/console",
    )
    return render_domain(machine, context)


@pytest.fixture
def machine() -> MachineMaker:
    """Makes a VirtualMachine from spec fields."""
    return make_machine


@pytest.fixture
def disks() -> Callable[..., list[dict[str, Any]]]:
    """Makes blank disks."""
    return make_disks


@pytest.fixture
def rendered() -> Renderer:
    """Renders a machine made from spec fields."""

    def make(*, domain_type: str = "qemu", seed_path: str | None = None, **spec: Any) -> etree._Element:
        return render(make_machine(**spec), domain_type, seed_path)

    return make
