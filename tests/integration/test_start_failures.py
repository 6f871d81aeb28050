"""Kernels that end before they are ready: each with the reason that it gave, in its own group."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from ondisk import Collection

PYTHON = sys.executable

LIBRARY = "libR.so: cannot open shared object file: No such file or directory"

REASONS = {
    "licence": ([PYTHON, "-c", "import sys; sys.exit('licence expired')"], "licence expired"),
    "old": ([PYTHON, "-m", "IPython.kernel"], "No module named IPython.kernel"),
    "profile": (
        [PYTHON, "-m", "ipykernel", "-f", "{connection_file}", "--profile=nosuch"],
        "Profile 'nosuch' not found.",
    ),
    "library": (
        ["sh", "-c", f"echo R: error while loading shared libraries: {LIBRARY} >&2; exit 127"],
        LIBRARY,
    ),
    "denied": (["sh", "-c", "cat < /proc/1/nowhere; echo /opt/x: Permission denied >&2; exit 126"],
               "Permission denied"),
    "command": (["sh", "-c", "no-such-program"], "no-such-program: not found"),
    "conda": (
        ["sh", "-c", "echo \"CondaError: Run 'conda init' before 'conda activate'\" >&2; exit 1"],
        "CondaError: Run 'conda init' before 'conda activate'",
    ),
    "traceback": (
        [PYTHON, "-c", "raise ValueError('a setting of the site')"],
        "ValueError: a setting of the site",
    ),
    "chatty": (
        ["sh", "-c", "echo 'fatal: no token' >&2; echo 'see the manual' >&2; exit 3"],
        "fatal: no token",
    ),
}  # fmt: skip

SILENT = {"silent": ["sh", "-c", "exit 3"], "killed": ["sh", "-c", "kill -9 $$"]}


@pytest.fixture
def kernels(collection: Collection, tmp_path: Path) -> Collection:
    """Return a collection with a notebook for each of these kernels."""
    commands = {name: argv for name, (argv, _) in REASONS.items()} | SILENT
    for name, argv in commands.items():
        spec = tmp_path / "jupyter/kernels" / name / "kernel.json"
        spec.parent.mkdir(parents=True)
        content = {"argv": argv, "display_name": name, "language": "python"}
        spec.write_text(json.dumps(content), encoding="utf-8")
        kernelspec = {"name": name, "display_name": name, "language": "python"}
        collection.notebook(f"{name}.ipynb", "1", kernelspec=kernelspec)
        collection.notebook(f"again/{name}.ipynb", "2", kernelspec=kernelspec)
    collection.environ["JUPYTER_PATH"] = str(tmp_path / "jupyter")
    return collection


def test_a_kernel_that_does_not_start_is_told_with_its_reason(kernels: Collection) -> None:
    ended = kernels.test("-n", "2")
    assert ended.code == 1
    for name, (_, reason) in REASONS.items():
        failure = ended[f"{name}.ipynb"]["failure"]
        assert failure["category"] == "kernel-died"
        assert failure["message"].startswith("the kernel ended before it was ready: exit code ")
        assert failure["message"].endswith(reason)
        assert reason in failure["traceback"]
    for name, how in {"silent": "exit code 3", "killed": "killed by SIGKILL"}.items():
        message = f"the kernel ended before it was ready: {how}"
        assert ended[f"{name}.ipynb"]["failure"]["message"] == message
    names = [*REASONS, *SILENT]
    signatures = {name: ended[f"{name}.ipynb"]["failure"]["signature"] for name in names}
    assert len({*signatures.values()}) == len(names)
    again = {name: ended[f"again/{name}.ipynb"]["failure"]["signature"] for name in names}
    assert again == signatures
