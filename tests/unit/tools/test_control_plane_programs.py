"""A user's own control plane comes first, and only whole."""

from pathlib import Path

import pytest

from tools.controlplane import PROGRAM, Part, find_programs, programs
from tools.controlplane.programs import KUBERNETES_VERSION


def _put(folder: Path, *names: str) -> None:
    folder.mkdir()
    for name in names:
        (folder / name).write_text("")
        (folder / name).chmod(0o755)


def test_assets_come_before_path_and_path_before_a_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _put(tmp_path / "assets", *Part)
    _put(tmp_path / "bin", *Part)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    assert find_programs().commands[Part.ETCD] == (str(tmp_path / "assets" / "etcd"),)
    monkeypatch.delenv("KUBEBUILDER_ASSETS")
    assert find_programs().commands[Part.SCHEDULER] == (str(tmp_path / "bin" / "kube-scheduler"),)


def test_a_set_that_lacks_a_part_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _put(tmp_path / "assets", "etcd", "kube-apiserver")  # what envtest downloads
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setattr(programs, "build", lambda program: Path("/cache") / program.name)
    commands = find_programs().commands
    assert commands[Part.ETCD] == ("/cache/controlplane", "etcd")
    assert commands[Part.API_SERVER] == ("/cache/controlplane", "kube-apiserver")


def test_the_release_is_the_one_of_the_module() -> None:
    module = (PROGRAM.source / "go.mod").read_text()
    assert f"k8s.io/kubernetes v{KUBERNETES_VERSION}\n" in module
    assert f"version.gitVersion=v{KUBERNETES_VERSION}" in PROGRAM.ldflags
