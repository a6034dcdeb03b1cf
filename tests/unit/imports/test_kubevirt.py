"""KubeVirt's documents where they differ from what one would think at first."""

from __future__ import annotations

from typing import Any

import pytest

from xvirt.imports.documents import read_documents
from xvirt.imports.result import Imported
from xvirt.model.errors import InvalidSpec


def machine(
    spec: dict[str, Any] | None = None, devices: dict[str, Any] | None = None, name: str = "web"
) -> dict[str, Any]:
    """A machine with parts of its template's spec, and of its devices."""
    domain = {"memory": {"guest": "1Gi"}, "devices": {"autoattachPodInterface": False, **(devices or {})}}
    template = {"terminationGracePeriodSeconds": 30, **(spec or {})}
    template["domain"] = {**domain, **template.get("domain", {})}
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": name},
        "spec": {"template": {"spec": template}},
    }


def data_volume(name: str, **spec: Any) -> dict[str, Any]:
    """A blank DataVolume."""
    storage = {"storage": {"resources": {"requests": {"storage": "1Gi"}}}, "source": {"blank": {}}}
    return {
        "apiVersion": "cdi.kubevirt.io/v1beta1",
        "kind": "DataVolume",
        "metadata": {"name": name},
        "spec": {**storage, **spec},
    }


def spec_of(imported: Imported, kind: str = "VirtualMachine") -> dict[str, Any]:
    """The spec of the only document of a kind."""
    (found,) = [item["spec"] for item in imported.documents if item["kind"] == kind]
    spec: dict[str, Any] = found
    return spec


def missed(imported: Imported) -> list[str]:
    """Paths of what did not come over."""
    return [problem.path for report in imported.reports for problem in report.unmapped]


def noted(imported: Imported) -> list[str]:
    """Paths of what came over with another meaning."""
    return [problem.path for report in imported.reports for problem in report.notes]


def test_images_of_one_short_name_stay_two_images() -> None:
    volumes = [
        {"name": "a", "containerDisk": {"image": "quay.io/a/debian:12"}},
        {"name": "b", "containerDisk": {"image": "ghcr.io/b/debian:12"}},
        {"name": "c", "containerDisk": {"image": "quay.io/a/debian:12"}},
        {"name": "d", "hostDisk": {"path": "/a/disk.img", "type": "Disk"}},
        {"name": "e", "hostDisk": {"path": "/b/disk.img", "type": "Disk"}},
    ]
    imported = read_documents([machine({"volumes": volumes})])
    images = {item["metadata"]["name"]: item["spec"] for item in imported.documents if item["kind"] == "VirtualImage"}
    used = [images[disk["source"]["image"]]["source"] for disk in spec_of(imported)["disks"]]
    assert [source.get("containerDisk", source).get("image", source.get("path")) for source in used] == [
        "quay.io/a/debian:12",
        "ghcr.io/b/debian:12",
        "quay.io/a/debian:12",
        "/a/disk.img",
        "/b/disk.img",
    ]
    assert len(images) == 4


@pytest.mark.parametrize(
    "documents",
    [
        [machine(name="web.1"), machine(name="web-1")],
        [data_volume("a.b"), data_volume("a-b")],
        [machine(), machine({"hostname": "x", "domain": {"cpu": {"cores": 3}}})],
    ],
    ids=["machines", "volumes", "contents"],
)
def test_two_objects_that_would_have_one_name_are_refused(documents: list[dict[str, Any]]) -> None:
    with pytest.raises(InvalidSpec, match="two different objects"):
        read_documents(documents)


def test_the_same_object_twice_is_one() -> None:
    with_template = machine()
    with_template["spec"]["dataVolumeTemplates"] = [data_volume("root")]
    imported = read_documents([data_volume("root"), with_template, with_template])
    assert [item["kind"] for item in imported.documents] == ["VirtualDisk", "VirtualMachine"]


def test_what_two_systems_declare_under_one_name_is_refused_unless_it_was_there_unchanged() -> None:
    there = {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "VirtualMachine",
        "metadata": {"name": "web"},
        "spec": {"memory": {"size": "2Gi"}},
    }
    assert spec_of(read_documents([machine()], [there]))["memory"] == {"size": "1Gi"}
    act = {
        "apiVersion": "doslab.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": "web"},
        "spec": {"lifecycle": {"changeNumberOfCPU": {"count": 2}}},
    }
    with pytest.raises(InvalidSpec, match="two different objects"):
        read_documents([act, machine()], [there])


def test_a_volume_without_a_disk_gets_one_unless_it_is_a_folder() -> None:
    volumes = [
        {"name": "data", "emptyDisk": {"capacity": "1Gi"}},
        {"name": "folder", "persistentVolumeClaim": {"claimName": "x"}},
        {"name": "words", "configMap": {"name": "x"}},
    ]
    imported = read_documents([machine({"volumes": volumes}, {"filesystems": [{"name": "folder", "virtiofs": {}}]})])
    assert [disk["name"] for disk in spec_of(imported)["disks"]] == ["data"]
    assert spec_of(imported)["disks"][0]["bus"] == "sata"
    paths = missed(imported)
    assert "spec.template.spec.domain.devices.filesystems" in paths
    assert "spec.template.spec.volumes[2]" in paths


@pytest.mark.parametrize("binding", [{}, {"bridge": {}}, {"masquerade": {}}])
def test_a_card_that_is_to_be_absent_is_left_out(binding: dict[str, Any]) -> None:
    networks = [{"name": "lan", "multus": {"networkName": "lan"}}]
    imported = read_documents(
        [machine({"networks": networks}, {"interfaces": [{"name": "lan", "state": "absent", **binding}]})]
    )
    assert "nics" not in spec_of(imported)
    assert noted(imported) == ["spec.template.spec.domain.devices.interfaces[0].state"]


def test_a_tpm_is_had_unless_it_is_switched_off() -> None:
    assert "tpm" not in spec_of(read_documents([machine(devices={"tpm": {"enabled": False}})]))["devices"]
    assert spec_of(read_documents([machine(devices={"tpm": {}})]))["devices"]["tpm"] is True


def test_usb_redirection_without_options_is_told() -> None:
    imported = read_documents([machine(devices={"clientPassthrough": {}})])
    assert missed(imported) == ["spec.template.spec.domain.devices.clientPassthrough"]


@pytest.mark.parametrize(
    ("domain", "path"),
    [
        ({"memory": {"guest": "1e9"}}, "memory.guest"),
        ({"resources": {"requests": {"cpu": "2k"}}}, "resources.requests.cpu"),
        ({"resources": {"limits": {"memory": "x"}}}, "resources.limits.memory"),
    ],
)
def test_a_quantity_that_is_none_is_refused_with_its_path(domain: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        read_documents([machine({"domain": domain})])
    assert caught.value.problems[0].path == f"spec.template.spec.domain.{path}"


def test_limits_of_processors_win_over_requests() -> None:
    resources = {"requests": {"cpu": "500m"}, "limits": {"cpu": "1500m"}}
    imported = read_documents([machine({"domain": {"resources": resources}})])
    assert spec_of(imported)["cpu"]["cores"] == 2
    assert missed(imported) == ["spec.template.spec.domain.resources.requests.cpu"]


def test_what_is_no_map_of_labels_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="must be a map"):
        read_documents([machine({"nodeSelector": ["x"]})])


def test_native_io_has_no_cache() -> None:
    disks = [{"name": "a", "disk": {}, "io": "native"}]
    volumes = [{"name": "a", "emptyDisk": {"capacity": "1Gi"}}]
    assert spec_of(read_documents([machine({"volumes": volumes}, {"disks": disks})]))["disks"][0]["cache"] == "none"


def test_a_probe_that_waits_longer_than_is_had_is_noted() -> None:
    imported = read_documents([machine({"readinessProbe": {"tcpSocket": {"port": 1}, "timeoutSeconds": 60}})])
    assert noted(imported) == ["spec.template.spec.readinessProbe.timeoutSeconds"]


@pytest.mark.parametrize("metadata", ["x", {}, {"name": ["x"]}, None])
def test_an_object_without_a_name_is_refused(metadata: Any) -> None:
    for document in ({**machine(), "metadata": metadata}, {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}):
        with pytest.raises(InvalidSpec) as caught:
            read_documents([document])
        assert caught.value.problems[0].path.startswith("metadata")


def test_a_data_volume_that_is_not_among_the_documents_is_told() -> None:
    imported = read_documents([machine({"volumes": [{"name": "a", "dataVolume": {"name": "x"}}]})])
    assert missed(imported) == ["spec.template.spec.volumes[0].dataVolume.name"]


def test_a_command_that_is_no_list_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="must be a list"):
        read_documents([machine({"livenessProbe": {"exec": {"command": "true"}}})])
