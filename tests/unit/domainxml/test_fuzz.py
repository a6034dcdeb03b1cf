"""The parsers under a coverage-guided fuzzer, for a bounded time. It begins alike each time; XVIRT_FUZZ_SECONDS=600 begins anew."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from xvirt.domainxml.tree_documents import Form, write_document
from xvirt.domainxml.xmltext import parse_xml

ROOT = Path(__file__).resolve().parents[3]
SECONDS = os.environ.get("XVIRT_FUZZ_SECONDS", "")
SEEDS = [
    "<!-- a --><domain type='kvm'><name>x</name><devices><disk/><controller/><disk/></devices></domain>",
    "<a xmlns:p='urn:u' xmlns:q='urn:u'>one<p:b q:c='1'/><![CDATA[<&>]]><?pi x?></a>",
    "<a xml:space='preserve'> <b/>\n</a>",
]


def test_row_67_no_bytes_get_past_the_parsers_or_come_back_as_another_document(tmp_path: Path) -> None:
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    for number, text in enumerate(SEEDS):
        for place, form in enumerate(Form):
            (seeds / f"{number}-{form.value}").write_bytes(
                bytes([place]) + write_document(parse_xml(text), form).encode()
            )
    target = Path(__file__).with_name("fuzz_documents.py")
    options = [
        f"-max_total_time={SECONDS or 10}",
        f"-seed={0 if SECONDS else 1}",
        "-max_len=2048",
        "-timeout=20",
        f"-artifact_prefix={tmp_path}/",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(target), *options, str(seeds)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Done " in done.stderr
