"""What is left of environments when somebody ends the search."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest

from nbpipe.bisecting.venvs import builder
from nbpipe.bisecting.verdict import ENDS, Interrupted, handling

if TYPE_CHECKING:
    from pathlib import Path


def search_ended_by(number: signal.Signals, folder: Path) -> None:
    with builder([sys.executable], {}, []):
        (made,) = folder.iterdir()
        (made / "environment-1").mkdir()
        with handling(signal.SIG_IGN):
            signal.signal(number, signal.SIG_DFL)  # as the end of a run does
        os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", ENDS)
def test_whoever_ends_it_between_two_steps_finds_nothing_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match="interrupted; nothing was changed"):
        search_ended_by(number, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(number) is before
