"""`docs/limits.md` misses no bound, and nothing may grow that nobody holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.gen import limits
from tools.gen.limits import PAGE, LimitsFailed, generate_limits


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of one module, of which nothing is known."""
    (tmp_path / "nodeplugin").mkdir()
    (tmp_path / "xvirt").mkdir()
    monkeypatch.setattr(limits, "HELD_BY", {})
    return tmp_path


def _page(root: Path, source: str) -> str:
    (root / "nodeplugin" / "part.py").write_text(source)
    return generate_limits(root)[PAGE].decode()


def test_a_bound_stands_on_the_page_with_its_value_and_reason(root: Path) -> None:
    page = _page(root, '"""A part."""\nSIZE_MAX_BYTES = 4 << 10\n"""Since a | page is so large."""\nOTHER = 3\n')
    assert "## nodeplugin.part\n\nA part.\n" in page
    assert "| `SIZE_MAX_BYTES` | 4,096 | Since a \\| page is so large. |" in page
    assert "OTHER" not in page


def test_fields_of_limits_stand_on_the_page(root: Path) -> None:
    page = _page(
        root, "class PartLimits:\n    wait_s: float = 2.5\n    calls: int = limits.CALLS_MAX\n    name: str = ''\n"
    )
    assert "| `PartLimits.wait_s` | 2.5 |" in page
    assert "| `PartLimits.calls` | `limits.CALLS_MAX` |" in page
    assert "PartLimits.name" not in page


@pytest.mark.parametrize(
    "source",
    [
        "import queue\nfound = queue.Queue()\n",
        "import queue\nfound = queue.SimpleQueue()\n",
        "import collections\nfound = collections.deque([1])\n",
        "from concurrent.futures import ThreadPoolExecutor\nfound = ThreadPoolExecutor()\n",
        "import threading\nthreading.Thread(target=print).start()\n",
        "import functools\n@functools.cache\ndef work(value: int) -> int:\n    return value\n",
    ],
)
def test_what_may_grow_without_anybody_to_hold_it_is_refused(root: Path, source: str) -> None:
    with pytest.raises(
        LimitsFailed, match=r"nodeplugin/part.py makes a \w+ without a bound of its own; give it one, or"
    ):
        _page(root, source)


@pytest.mark.parametrize(
    "source",
    [
        "import queue\nfound = queue.Queue(8)\n",
        "import collections\nfound = collections.deque([1], maxlen=8)\n",
        "from concurrent.futures import ThreadPoolExecutor\nfound = ThreadPoolExecutor(max_workers=8)\n",
        "import functools\n@functools.lru_cache(maxsize=8)\ndef work(value: int) -> int:\n    return value\n",
    ],
)
def test_what_has_a_bound_of_its_own_needs_no_entry(root: Path, source: str) -> None:
    assert "part.py" not in _page(root, source)


def test_an_entry_for_what_is_there_no_more_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HELD_BY", {("nodeplugin/part.py", "Queue"): "one answer"})
    with pytest.raises(LimitsFailed, match="makes no Queue any more"):
        _page(root, "")


def test_the_page_of_this_tree_names_the_bounds_that_everybody_meets() -> None:
    page = generate_limits(Path(__file__).resolve().parents[3])[PAGE].decode()
    for name in ("STREAMS_MAX", "CALLS_PER_CLIENT_MAX", "READER_QUEUE_MAX", "DOCUMENT_MAX_BYTES", "THREADS_MAX"):
        assert f"| `{name}` |" in page
    assert "| `ImageLimits.downloads_max` | 2 |" in page
    assert "| `HypervisorOptions.agent_timeout_s` | 3 |" in page
