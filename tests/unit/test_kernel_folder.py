"""The private folder of a kernel goes, even where no descriptor is left to look into it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nbpipe.execution.kernels.kernel import Kernel

if TYPE_CHECKING:
    import pytest

WITHOUT_DESCRIPTORS = """
import os, resource
from nbpipe.execution.kernels.kernel import Kernel

kernel = Kernel("python3", max_message_bytes=-1, shutdown="immediate")
folder = kernel._make_folder(ipc=True)
open(f"{folder}/k-1", "w").close()
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
taken = []
try:
    while True:
        taken.append(open("/dev/null"))
except OSError:
    kernel._give_back()
    assert os.path.exists(folder)
for each in taken:
    each.close()
print(folder, end="")
"""


def test_it_goes_when_the_kernel_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    kernel = Kernel("python3", max_message_bytes=-1, shutdown="immediate")
    folder = Path(kernel._make_folder(ipc=True))
    (folder / "k-1").touch()
    kernel._give_back()
    assert list(tmp_path.iterdir()) == []


def test_it_goes_at_the_end_of_the_process_where_no_descriptor_was_left() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_DESCRIPTORS], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout
    assert not Path(ended.stdout).exists()
