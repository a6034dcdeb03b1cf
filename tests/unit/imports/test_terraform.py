"""Terraform states that are not of their form, or of other machines."""

from __future__ import annotations

from typing import Any

import pytest

from xvirt.imports.documents import read_documents
from xvirt.model.errors import InvalidSpec


def state(kind: str, *instances: Any) -> dict[str, Any]:
    """A state with one resource."""
    resource = {"mode": "managed", "type": kind, "name": "x", "instances": list(instances)}
    return {"version": 4, "terraform_version": "1.9.0", "resources": [resource]}


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (state("libvirt_domain", "x"), "instances"),
        (state("libvirt_network", {"attributes": {"name": "n", "addresses": ["nonsense"]}}), "addresses"),
    ],
)
def test_a_state_that_is_not_of_its_form_is_refused(document: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        read_documents([document])
    assert caught.value.problems[0].path == path


def test_volumes_of_one_name_in_two_pools_are_refused() -> None:
    volumes = [
        {"attributes": {"id": f"/{pool}/root", "name": "root", "pool": pool, "size": 1024}} for pool in ("a", "b")
    ]
    with pytest.raises(InvalidSpec, match="two different objects"):
        read_documents([state("libvirt_volume", *volumes)])


def test_another_architecture_and_a_video_card_are_told() -> None:
    domain = {"name": "d", "arch": "aarch64", "video": [{"type": "virtio"}]}
    imported = read_documents([state("libvirt_domain", {"attributes": domain})])
    assert [problem.path for problem in imported.reports[0].unmapped] == ["arch", "video"]


def test_a_description_is_told() -> None:
    imported = read_documents([state("libvirt_domain", {"attributes": {"name": "d", "description": "mine"}})])
    assert [problem.path for problem in imported.reports[0].unmapped] == ["description"]


def test_what_a_bridge_network_says_of_addresses_is_told() -> None:
    network = {"name": "n", "mode": "bridge", "bridge": "br0", "addresses": ["10.0.0.0/24"]}
    imported = read_documents([state("libvirt_network", {"attributes": network})])
    assert [problem.path for problem in imported.reports[0].unmapped] == ["addresses"]
