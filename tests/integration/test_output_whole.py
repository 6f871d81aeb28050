"""Output is whole: a kernel that is faster than its queue is emptied waits, and drops nothing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ondisk import Collection

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")

STOP_THE_RUNNER = (
    "import psutil, subprocess\n"
    "runner = next(each for each in psutil.Process().parents() if 'nbpipe' in each.cmdline())\n"
    "runner.suspend()\n"
    "waking = ['sh', '-c', f'sleep 3; kill -CONT {runner.pid}']\n"
    "subprocess.Popen(waking, stdout=subprocess.DEVNULL, start_new_session=True)\n"
)
"""A runner that gets no processor for a while, as on a busy machine, and reads nothing."""

LINES = {
    "flushed": "for number in range({lines}): print(number, flush=True)",
    "plain": "for number in range({lines}): print(number)",
    "displayed": (
        "for number in range({lines}):\n    display({{'text/plain': str(number)}}, raw=True)"
    ),
    "child": "import subprocess\nsubprocess.run(['seq', '0', str({lines} - 1)], check=True)\nNone",
    "shell": "!seq 0 $(({lines} - 1))",
}


COUNT = 5000


@pytest.mark.parametrize(("way", "shutdown"), [("--fork", "auto"), ("--no-fork", "immediate")])
def test_no_line_of_output_is_lost(collection: Collection, way: str, shutdown: str) -> None:
    text = f'[test]\nshutdown = "{shutdown}"\n'
    (collection.root / "nbpipe.toml").write_text(text, encoding="utf-8")
    for name, code in LINES.items():
        work = STOP_THE_RUNNER + code.format(lines=COUNT)
        collection.notebook(f"{name}.ipynb", work, "1")
    ended = collection.test("-n", "1", way)
    assert ended.code == 0, ended.out
    for name in LINES:
        outputs = ended.executed(f"{name}.ipynb").cells[0].outputs
        texts = [each.get("text") or f"{each['data']['text/plain']}\n" for each in outputs]
        assert "".join(texts).split() == [str(number) for number in range(COUNT)], name
        assert not ended[f"{name}.ipynb"].get("notes")
