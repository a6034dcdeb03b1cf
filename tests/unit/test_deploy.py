"""The systemd unit: accepted by systemd's own check, and as closed as docs/operating.md says."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "xvirt-node.service"
EXPOSURE_MAX_TENTHS = 25
"""`systemd-analyze security` of systemd 252 says 2.4; a line taken out of the unit costs more than the rest of this."""


def _sections() -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for line in UNIT.read_text().splitlines():
        heading = re.fullmatch(r"\[(\w+)\]", line)
        if heading:
            found[heading[1]] = []
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found[next(reversed(found))].append((key, value))
    return found


def _service(key: str) -> list[str]:
    return [value for name, value in _sections()["Service"] if name == key]


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    assert program, "systemd-analyze is missing; ./dev setup installs systemd"
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def test_systemd_accepts_the_unit_without_a_warning(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/xvirt/bin/xvirt-node", "/bin/true"))
    answer = _analyze("verify", str(copy))
    assert (answer.returncode, answer.stdout + answer.stderr) == (0, "")


def test_the_units_exposure_is_what_the_documentation_says() -> None:
    answer = _analyze("security", "--offline=true", f"--threshold={EXPOSURE_MAX_TENTHS}", str(UNIT))
    assert answer.returncode == 0, answer.stdout


def test_the_plugin_may_stop_without_its_machines_and_tells_systemd_itself() -> None:
    assert _service("Type") == ["notify"]
    assert _service("KillMode") == ["mixed"]
    assert _service("WatchdogSec") == ["60s"]
    assert not any("libvirt" in value for key, value in _sections()["Unit"] if key in ("Requires", "BindsTo", "PartOf"))


def test_every_exception_of_the_unit_has_its_reason() -> None:
    text = UNIT.read_text()
    for key in ("PrivateDevices=false", "MemoryDenyWriteExecute=false", "RestrictAddressFamilies=AF_NETLINK"):
        before = text.partition(key)[0].rstrip().splitlines()[-1]
        assert before.startswith("# Exception: "), key
    for capability in _service("CapabilityBoundingSet")[0].split():
        assert re.search(rf"#   .*{capability}", text), capability


def test_the_config_is_checked_before_each_start() -> None:
    assert "--check-config" in _service("ExecStartPre")[0]
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT.read_text())
    assert parser["Install"]["WantedBy"] == "multi-user.target"
