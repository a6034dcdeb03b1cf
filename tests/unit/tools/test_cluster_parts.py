"""Parts of the dev cluster that need no cluster."""

from pathlib import Path

import pytest
import yaml
from cryptography import x509

from tools.cluster.api import collection_path, read_access
from tools.cluster.hosts import HostKind, HostsSpec, parse_hosts
from tools.cluster.kubeconfigs import write_kubeconfig
from tools.cluster.nodes import NodeSpec
from tools.cluster.pki import CLUSTER, Identity, issue, make_pki
from tools.cluster.spec import ControlPlaneSpec, NodeWatch, choose_ports, read_spec


def test_hosts_are_read_as_they_are_written() -> None:
    assert parse_hosts("lab:2") == HostsSpec(HostKind.LAB, 2)
    assert str(parse_hosts("fake:100")) == "fake:100"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("two", "write lab:N or fake:N"),
        ("lab", "write lab:N or fake:N"),
        ("lab:0", "1 to 9 lab hosts are possible"),
        ("lab:10", "1 to 9 lab hosts are possible"),
        ("fake:1001", "1 to 1000 fake hosts are possible"),
        ("fake:-1", "write lab:N or fake:N"),
    ],
)
def test_hosts_that_cannot_be_say_what_can(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_hosts(text)


def test_certificates_name_user_and_groups_and_keys_are_private(tmp_path: Path) -> None:
    make_pki(tmp_path / "pki")
    before = (tmp_path / "pki" / "ca.crt").read_bytes()
    make_pki(tmp_path / "pki")
    assert (tmp_path / "pki" / "ca.crt").read_bytes() == before
    certificate, key = issue(tmp_path / "pki", "ann", CLUSTER, Identity("ann", ("red", "blue")))
    subject = x509.load_pem_x509_certificate(certificate.read_bytes()).subject
    assert subject.rfc4514_string() == "CN=ann,O=blue,O=red"
    assert key.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "pki").stat().st_mode & 0o777 == 0o700


def test_a_kubeconfig_is_read_back_and_its_owners_alone(tmp_path: Path) -> None:
    make_pki(tmp_path / "pki")
    files = [tmp_path / "pki" / name for name in ("ca.crt", "admin.crt", "admin.key")]
    config = write_kubeconfig(tmp_path / "kubeconfig", "https://127.0.0.1:6443", *files)
    access = read_access(config)
    assert (access.host, access.port, access.ca) == ("127.0.0.1", 6443, files[0].read_text())
    assert config.stat().st_mode & 0o777 == 0o600
    assert yaml.safe_load(config.read_text())["current-context"] == "xvirt"


def test_a_control_planes_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    spec = ControlPlaneSpec(tmp_path, node_watch=NodeWatch(1, 2, 3), api_server_flags=("--v=2",))
    ports = choose_ports()
    assert read_spec(tmp_path, spec.to_json(ports)) == (spec, ports)
    assert len({ports.etcd, ports.etcd_peer, ports.api_server, ports.controller_manager, ports.scheduler}) == 5


def test_a_node_is_a_host_where_it_has_a_port() -> None:
    plain, host = NodeSpec("a").document(), NodeSpec("b", host_port=9443).document()
    assert "xvirt.io/host" not in plain["metadata"]["labels"]
    assert host["metadata"]["labels"]["xvirt.io/host"] == "true"
    assert host["metadata"]["annotations"]["xvirt.io/node-port"] == "9443"


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (("v1", "Pod", "n"), "/api/v1/namespaces/n/pods"),
        (("v1", "Node"), "/api/v1/nodes"),
        (("xvirt.io/v1alpha1", "VirtualMachine", "n"), "/apis/xvirt.io/v1alpha1/namespaces/n/virtualmachines"),
        (("scheduling.k8s.io/v1", "PriorityClass"), "/apis/scheduling.k8s.io/v1/priorityclasses"),
        (("networking.k8s.io/v1", "NetworkPolicy", "n"), "/apis/networking.k8s.io/v1/namespaces/n/networkpolicies"),
    ],
)
def test_paths_of_kinds(arguments: tuple[str, ...], path: str) -> None:
    assert collection_path(*arguments) == path
