"""The operator's config file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.ratchets import ROOT
from xvirt.model.errors import InvalidSpec
from xvirt.operator.config import OperatorConfig, load_config

TLS = "tls: {certificate: /dev/null, key: /dev/null, ca: /dev/null}\n"
HEAD = "apiVersion: xvirt.io/v1alpha1\nkind: OperatorConfig\n"


def load(tmp_path: Path, text: str) -> OperatorConfig:
    path = tmp_path / "operator.yaml"
    path.write_text(text)
    return load_config(path)


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(InvalidSpec) as error:
        load(tmp_path, text)
    return [str(problem) for problem in error.value.problems]


def test_a_config_with_nothing_but_its_files_has_defaults(tmp_path: Path) -> None:
    config = load(tmp_path, HEAD + TLS)
    assert config.kubeconfig is None
    assert (config.lease.name, config.lease.namespace) == ("xvirt-operator", None)
    assert config.host_settings.port == 9443
    assert config.holder_settings.priority_class == "xvirt-machines"


def test_what_is_set_reaches_holders_and_hosts(tmp_path: Path) -> None:
    text = HEAD + TLS + "hosts: {cpuAllocationRatio: 4, memoryOvercommit: 120, maxMachines: 7, port: 1}\n"
    config = load(tmp_path, text + "holder: {image: 'example.org/holder:v1', overhead: 64Mi, priorityClass: ''}\n")
    assert config.holder_settings.cpu_allocation_ratio == config.host_settings.cpu_allocation_ratio == 4
    assert config.holder_settings.memory_overcommit_percent == config.host_settings.memory_overcommit_percent == 120
    assert (config.host_settings.machines_max, config.host_settings.port) == (7, 1)
    assert (config.holder_settings.image, config.holder_settings.priority_class) == ("example.org/holder:v1", "")
    assert config.holder_settings.overhead_bytes == 64 << 20


def test_every_mistake_is_told_with_its_line(tmp_path: Path) -> None:
    found = problems(tmp_path, HEAD + TLS + "hosts: {port: 0}\nwhat: 1\nlisten: nowhere\n")
    assert any(":4: hosts.port" in line for line in found)
    assert any(":5: what" in line for line in found)


def test_a_rule_is_told_with_its_line(tmp_path: Path) -> None:
    assert any(":4: listen" in line for line in problems(tmp_path, HEAD + TLS + "listen: nowhere\n"))


def test_files_that_are_not_there_are_told(tmp_path: Path) -> None:
    text = HEAD + "tls: {certificate: /nowhere/a, key: /dev/null, ca: /nowhere/b}\nkubeconfig: /nowhere/c\n"
    found = problems(tmp_path, text)
    assert [name for name in ("/nowhere/a", "/nowhere/b", "/nowhere/c") if any(name in line for line in found)] == [
        "/nowhere/a",
        "/nowhere/b",
        "/nowhere/c",
    ]


def test_no_plain_connection_to_nodes_can_be_had(tmp_path: Path) -> None:
    assert any("tls" in line for line in problems(tmp_path, HEAD))


def test_the_config_that_is_deployed_is_right_but_for_its_files(tmp_path: Path) -> None:
    text = (ROOT / "deploy/kustomize/base/operator-config.yaml").read_text()
    for name in ("tls.crt", "tls.key", "ca.crt"):
        text = text.replace(f"/etc/xvirt/tls/{name}", "/dev/null")
    assert load(tmp_path, text).listen == "0.0.0.0:8080"
