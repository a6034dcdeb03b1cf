"""Bad documents beside their problems, word for word.

`XVIRT_WRITE_GOLDEN=1` writes the problems anew; read the difference before you commit it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from xvirt.model.codec import canonical_json, from_json, parse
from xvirt.model.documents import load_documents
from xvirt.model.errors import InvalidSpec
from xvirt.model.validation import validate

GOLDEN = Path(__file__).parent / "bad-documents.yaml"
HEAD = "# Each document beside every problem that it has, word for word: CLI, Pulumi, operator and node all say this.\n"
CASES: list[dict[str, Any]] = yaml.safe_load(GOLDEN.read_text())


class _Dumper(yaml.SafeDumper):
    """Documents as blocks, as people write them."""


_Dumper.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, "|" if "\n" in text else None)
)


def load(case: dict[str, Any]) -> dict[str, Any]:
    return load_documents(case["document"], case["name"])[0].document


def refusal(document: dict[str, Any]) -> list[str]:
    with pytest.raises(InvalidSpec) as caught:
        parse(document)
    return [str(problem) for problem in caught.value.problems]


@pytest.fixture(scope="module", autouse=True)
def _write_golden() -> None:
    if os.environ.get("XVIRT_WRITE_GOLDEN"):
        for case in CASES:
            case["problems"] = [str(problem) for problem in validate(load(case))]
        GOLDEN.write_text(HEAD + yaml.dump(CASES, Dumper=_Dumper, sort_keys=False, width=200, allow_unicode=True))


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_row_104_a_bad_document_gives_the_same_paths_and_words_on_every_way_in(case: dict[str, Any]) -> None:
    document = load(case)
    from_wire = from_json(canonical_json(document))
    assert [str(problem) for problem in validate(document)] == case["problems"]
    assert refusal(document) == case["problems"]
    assert refusal(from_wire) == case["problems"]
    assert case["problems"]


def test_row_104_the_order_in_which_fields_are_written_changes_nothing() -> None:
    for case in CASES:
        document = load(case)
        assert refusal(dict(reversed(document.items()))) == case["problems"]
