"""The parts of the lab that need no root."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tools.lab.boot import Boot, read_boot
from tools.lab.errors import LabError
from tools.lab.processes import (
    Process,
    _parse_stat,
    children_of,
    find_process,
    read_record,
    spawn_recorded,
    wait_until,
)
from tools.lab.settings import empty_directory, node_config, write_node_directories
from tools.lab.spec import MAX_NODES, Accelerator, LabSpec, NodePaths, node_address


@pytest.mark.parametrize("name", ["", "a/b", "..", "-a", "A", "a" * 41, "a\n", "a b"])
def test_a_lab_name_that_is_not_a_plain_label_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="lab name"):
        LabSpec(name)


@pytest.mark.parametrize("nodes", [0, -1, MAX_NODES + 1])
def test_a_number_of_nodes_out_of_range_is_refused(nodes: int) -> None:
    with pytest.raises(ValueError, match="nodes asked for"):
        LabSpec(nodes=nodes)


def test_a_directory_too_deep_for_sockets_is_refused() -> None:
    with pytest.raises(ValueError, match="too long for sockets"):
        LabSpec(directory=Path("/" + "d" * 90))


def test_node_names_and_addresses_are_distinct() -> None:
    names = LabSpec(nodes=MAX_NODES).node_names
    assert names[:2] == ("node-a", "node-b")
    assert len(set(names)) == MAX_NODES
    assert [node_address(index) for index in range(2)] == ["10.77.0.11", "10.77.0.12"]


def test_a_boot_file_is_read_as_it_was_written() -> None:
    boot = Boot("node-a", Path("/lab"), {"/etc/x": Path("/lab/x")}, Path("/lab/c"), Path("/lab/log"), 7, None)
    assert read_boot(boot.to_json()) == boot


def test_the_plugins_configuration_names_node_address_and_accelerator() -> None:
    config = yaml.safe_load(node_config("node-b", "10.77.0.12", Accelerator.KVM))
    assert config["nodeName"] == "node-b"
    assert config["listen"] == "10.77.0.12:9443"
    assert config["accelerator"] == "kvm"
    assert config["tls"]["certificate"] == "/etc/xvirt/pki/node-b.crt"


def test_a_cluster_is_served_through_its_operator_and_gateway_alone() -> None:
    config = yaml.safe_load(
        node_config("node-b", "10.77.0.12", Accelerator.TCG, "6ba7b810-9dad-41d1-80b4-00c04fd430c8")
    )
    assert config["authorities"] == ["local", "*/*/*", "6ba7b810-9dad-41d1-80b4-00c04fd430c8"]
    served = {client["commonName"]: client["authority"] for client in config["clients"]}
    assert served.pop("admin") == "local"
    assert served.pop("stacks") == "*/*/*"
    assert set(served.values()) == {"6ba7b810-9dad-41d1-80b4-00c04fd430c8"}
    assert set(served) == {"xvirt-operator", "xvirt-gateway"}


def test_writing_a_nodes_directories_twice_keeps_what_is_in_them(tmp_path: Path) -> None:
    spec, paths = LabSpec(nodes=2), NodePaths(tmp_path / "node-a")
    write_node_directories(spec, 0, paths)
    kept = paths.binds["/var/lib/xvirt"] / "disk"
    kept.write_text("data")
    before = (paths.binds["/etc/libvirt"] / "libvirtd.conf").read_text()
    write_node_directories(spec, 0, paths)
    assert kept.read_text() == "data"
    assert (paths.binds["/etc/libvirt"] / "libvirtd.conf").read_text() == before
    assert "10.77.0.12 node-b" in paths.binds["/etc/hosts"].read_text()


def test_emptying_a_directory_does_not_follow_links(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    for directory in (inside / "sub", outside):
        directory.mkdir(parents=True)
    (outside / "kept").touch()
    (inside / "link").symlink_to(outside)
    empty_directory(inside)
    assert list(inside.iterdir()) == []
    assert (outside / "kept").exists()


def test_a_command_name_with_spaces_and_parentheses_does_not_shift_the_fields() -> None:
    fields = " ".join(str(number) for number in range(3, 53)).replace("3", "S", 1)
    stat = _parse_stat(f"12 (a) b (c) {fields}\n")
    assert (stat.state, stat.parent, stat.start_ticks) == ("S", 4, 22)


def test_a_process_with_the_pid_but_another_start_time_is_neither_alive_nor_signalled() -> None:
    child = subprocess.Popen(["sleep", "60"])
    try:
        real = find_process(child.pid)
        assert real is not None
        imposter = Process(real.pid, real.start_ticks + 1)
        assert real.is_alive()
        assert not imposter.is_alive()
        imposter.send(signal.SIGKILL)
        assert child.poll() is None
        real.send(signal.SIGKILL)
        assert child.wait(timeout=10) == -signal.SIGKILL
        assert not real.is_alive()
    finally:
        child.kill()
        child.wait()


def test_a_spawned_process_is_on_record_with_its_children(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "import subprocess; subprocess.run(['sleep', '60'])"]
    process = spawn_recorded(argv, tmp_path / "pids" / "it", tmp_path / "log")
    try:
        assert read_record(tmp_path / "pids" / "it") == process
        wait_until(lambda: len(children_of(process)) == 1, 10, "the child")
    finally:
        for one in [*children_of(process), process]:
            one.send(signal.SIGKILL)
            one.wait_gone(10)


def test_a_process_on_record_has_become_its_program_once_it_is_no_shell_any_more(tmp_path: Path) -> None:
    process = spawn_recorded(["sleep", "600"], tmp_path / "pids" / "it", tmp_path / "log")
    try:
        wait_until(lambda: process.has_become("sleep"), 10, "the shell to be replaced")
        assert children_of(process) == []
        assert not process.has_become("sh")
    finally:
        process.send(signal.SIGKILL)
        process.wait_gone(10)
    assert not process.has_become("sleep")


def test_a_record_of_an_earlier_boot_or_a_torn_one_names_nobody(tmp_path: Path) -> None:
    record = tmp_path / "record"
    stat = Path("/proc/self/stat").read_text()
    record.write_text(f"{stat}00000000-0000-0000-0000-000000000000\n")
    assert read_record(record) is None
    record.write_text(stat)
    assert read_record(record) is None
    record.write_text(stat + Path("/proc/sys/kernel/random/boot_id").read_text())
    assert read_record(record) == find_process(os.getpid())


def test_a_wait_that_runs_out_names_what_it_waited_for() -> None:
    with pytest.raises(LabError, match="the moon"):
        wait_until(lambda: False, 0.02, "the moon")
