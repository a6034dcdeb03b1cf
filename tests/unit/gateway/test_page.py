"""docs/gateway.md: its config is one, and its tables name what is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from nodeplugin.store import OPERATIONS_PER_OBJECT_MAX
from xvirt.gateway.config import GatewayConfig, load_config
from xvirt.gateway.server import HEALTH
from xvirt.gateway.subresources import Acts
from xvirt.wire.statuses import CODES

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "gateway.md").read_text()
SOURCES = "".join(
    file.read_text()
    for place in ("xvirt/gateway", "nodeplugin/converge", "nodeplugin")
    for file in (ROOT / place).glob("*.py")
)


def section(heading: str) -> str:
    return PAGE.split(f"## {heading}\n", 1)[1].split("\n## ")[0]


def test_the_config_is_right_but_for_its_files(tmp_path: Path) -> None:
    text = re.search(r"```yaml\n(.*?)```", section("Config"), re.DOTALL)
    assert text is not None
    config = text[1]
    for number, name in enumerate(re.findall(r"/etc/xvirt/[\w./-]+", config)):
        file = tmp_path / str(number)
        file.touch()
        config = config.replace(name, str(file))
    path = tmp_path / "gateway.yaml"
    path.write_text(config)
    found = load_config(path)
    defaults: Any = GatewayConfig(tls=found.tls, nodes=found.nodes)
    assert found == defaults


def test_the_table_names_every_subresource_with_its_methods_and_verbs() -> None:
    rows = [line.split("|")[1:4] for line in PAGE.splitlines() if re.match(r"\| `(start|description)`", line)]
    told = {
        name: (re.findall(r"[A-Z]{3,}", row[1]), re.findall(r"`(\w+)`", row[2]))
        for row in rows
        for name in re.findall(r"`(\w+)`", row[0])
    }
    table = Acts(None, None).table()  # type: ignore[arg-type]
    assert told == {
        name: (list(item.rights), [verbs[0] for verbs in item.rights.values()]) for name, item in table.items()
    }


def test_every_reason_of_the_table_is_one_that_is_given() -> None:
    rows = [line.split("|")[1:3] for line in section("What is refused").splitlines() if re.match(r"\| \d", line)]
    reasons = {(int(row[0]), name) for row in rows for name in re.findall(r"`(\w+)`", row[1])}
    assert len(reasons) > 15
    general = {reason for _, reason in CODES.values()}
    assert [name for _, name in reasons if f'"{name}"' not in SOURCES and name not in general] == []


def test_the_figures_are_those_of_the_code() -> None:
    assert f"the last {OPERATIONS_PER_OBJECT_MAX} operations" in PAGE
    assert all(f"`{path}`" in PAGE for path in HEALTH if path != "/healthz")
