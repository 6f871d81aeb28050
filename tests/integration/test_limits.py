"""A notebook may print without end; the runner's memory and its disk stay bounded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from ondisk import Collection, Ended

MEGABYTE = 1_000_000

MEASURED = """
import pathlib, re, sys
from nbpipe.cli import run
code = run(sys.argv[2:])
status = pathlib.Path('/proc/self/status').read_text()
pathlib.Path(sys.argv[1]).write_text(re.search(r'VmHWM:\\s*(\\d+) kB', status)[1])
sys.exit(code)
"""

SMALL_LINES = "line = 'x' * 100\nfor n in range(20_000_000):\n    print(line)"
LONG_LINES = "line = 'x' * 1_000_000\nfor n in range(2_000):\n    print(line, flush=True)"
ONE_TEXT = "print('x' * 200_000_000)"
SHOWN = (
    "from IPython.display import display\n"
    "for n in range(2_000):\n    display({'text/plain': 'x' * 1_000_000}, raw=True)"
)
UPDATED = (
    "from IPython.display import display\n"
    "handle = display({'text/plain': ''}, raw=True, display_id=True)\n"
    "for n in range(2_000):\n    handle.update({'text/plain': 'x' * 1_000_000}, raw=True)"
)
ONE_SHOWN = (
    "from IPython.display import display\ndisplay({'text/plain': 'x' * 90_000_000}, raw=True)"
)
ONE_PRINTED = "print('x' * 90_000_000)"


def measured(collection: Collection, *arguments: str) -> tuple[Ended, float]:
    """Run `nbpipe test`; return with it the most memory that the runner held, in megabytes."""
    peak = collection.root.parent / "peak"
    command = collection.command(*arguments)
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(peak), *command[command.index("test") :]],
        cwd=collection.root,
        env=os.environ | collection.environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    kilobytes = int(peak.read_text(encoding="ascii"))
    return collection.ended(done.returncode, done.stdout, done.stderr), kilobytes * 1024 / MEGABYTE


@pytest.fixture
def linux(need: Callable[[bool, str], None]) -> None:
    """Ask for /proc."""
    need(Path("/proc/self/status").exists(), "/proc")


@pytest.mark.usefixtures("linux")
@pytest.mark.parametrize(
    "source",
    [SMALL_LINES, LONG_LINES, ONE_TEXT, SHOWN, UPDATED],
    ids=["small lines", "long lines", "one text", "displays", "updates"],
)
def test_two_gigabytes_of_output_do_not_fill_the_runners_memory(
    collection: Collection, source: str
) -> None:
    collection.notebook("n.ipynb", "print('before')", source, "print('never')")
    ended, peak = measured(collection)
    told = ended["n.ipynb"]
    assert (told["failure"]["category"], told["failure"]["cell"]) == ("output-limit", 1)
    assert told["cells"] == {"total": 3, "executed": 2}
    assert peak < 300
    assert (ended.output_dir / told["executed"]).stat().st_size < 110 * MEGABYTE


@pytest.mark.usefixtures("linux")
@pytest.mark.parametrize("source", [ONE_SHOWN, ONE_PRINTED], ids=["shown", "printed"])
def test_ninety_megabytes_at_once_pass_and_are_all_in_the_copy(
    collection: Collection, source: str
) -> None:
    collection.notebook("n.ipynb", source, "print('after')")
    ended, peak = measured(collection)
    assert (ended.code, ended["n.ipynb"]["outcome"]) == (0, "passed")
    copy = ended.executed("n.ipynb")
    assert _length(copy.cells[0].outputs) == 90_000_000
    assert copy.cells[1].outputs[0]["text"] == "after\n"
    assert peak < 300


def _length(outputs: list[dict[str, str]]) -> int:
    texts = [output.get("text") or output["data"]["text/plain"] for output in outputs]  # type: ignore[index]
    return sum(len(text.rstrip("\n")) for text in texts)


def test_the_limit_is_one_for_each_notebook(collection: Collection) -> None:
    for name in "abc":
        collection.notebook(f"{name}.ipynb", "print('x' * 700_000)")
    ended = collection.test("--output-limit", "1", "-n", "2")
    assert (ended.code, ended.err.count("PASSED")) == (0, 3)


def test_the_limit_counts_all_cells_of_a_notebook_together(collection: Collection) -> None:
    collection.notebook("n.ipynb", *["print('x' * 400_000)"] * 3, "print('never')")
    ended = collection.test("--output-limit", "1")
    failure = ended["n.ipynb"]["failure"]
    assert (failure["category"], failure["cell"]) == ("output-limit", 2)
    assert failure["message"] == "the notebook was stopped: more than 1 MB of output"
    sizes = [_length(cell.outputs) for cell in ended.executed("n.ipynb").cells]
    assert sizes[:2] == [400_000, 400_000]
    assert sizes[3] == 0


def test_a_notebook_has_a_limit_of_its_own(collection: Collection) -> None:
    for name in "ab":
        collection.notebook(f"{name}.ipynb", "print('x' * 1_500_000)")
    (collection.root / "nbpipe.toml").write_text(
        '[test]\noutput-limit = 1\n[[test.overrides]]\npaths = ["b.ipynb"]\noutput-limit = 2\n',
        encoding="utf-8",
    )
    ended = collection.test()
    assert ended["a.ipynb"]["failure"]["category"] == "output-limit"
    assert ended["b.ipynb"]["outcome"] == "passed"


def test_a_process_that_writes_past_the_protocol_is_stopped_too(collection: Collection) -> None:
    past = "import os, sys\nlog = getattr(sys.stdout, '_original_stdstream_copy', 1)\n"
    flood = "while True:\n    os.write(log, b'x' * 100_000)"
    collection.notebook("n.ipynb", "print('before')", past + flood)
    collection.notebook("next.ipynb", "1")
    ended = collection.test("--output-limit", "1", "-n", "1")
    failure = ended["n.ipynb"]["failure"]
    assert (failure["category"], failure["cell"]) == ("output-limit", 1)
    assert "kernel's own output" in failure["message"]
    assert ended["next.ipynb"]["outcome"] == "passed"


def test_output_that_no_one_can_interrupt_is_stopped_with_its_kernel(
    collection: Collection,
) -> None:
    deaf = (
        "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "while True:\n    print('x' * 1000)"
    )
    collection.notebook("n.ipynb", deaf)
    (collection.root / "nbpipe.toml").write_text("[test]\ngrace = 1\n", encoding="utf-8")
    ended = collection.test("--output-limit", "2")
    assert ended["n.ipynb"]["failure"]["category"] == "output-limit"
    assert 1_900_000 < _length(ended.executed("n.ipynb").cells[0].outputs) <= 2_000_000
