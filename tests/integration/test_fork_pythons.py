"""Kernels of other versions of Python are forked as well, and no notebook sees a difference.

The versions are those found here; one that is not found is skipped with the reason. Two are tried
by default, all of them where NBPIPE_LONG is set.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ondisk import Collection

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")

VERSIONS = ("3.9", "3.13")
LONG = ("3.8", "3.10", "3.12", "3.14")

CELLS = (
    "import sys, os, random, threading\nprint(sys.version_info[:2], sys.executable)",
    "print(sys.argv[:1], sys.argv[3:], os.getcwd(), sys.path[0])",
    "print(getattr(sys, 'orig_argv', [])[:3])",
    "print(sorted(vars(sys.modules['__main__'])), threading.active_count() > 0, sys.flags)",
    "import subprocess\nprint(subprocess.run(['echo', 'child'], stdout=-1).stdout)",
    "import multiprocessing as m\nwith m.get_context('fork').Pool(1) as p: print(p.map(abs, [-1]))",
    "print(input.__name__, In[1][:10])\n1 + 1",
    "import atexit\natexit.register(lambda: print('end', file=open('end', 'a')))",
    "1 / 0",
)


def found(version: str) -> Path | None:
    """Return a Python of this version, if there is one."""
    root = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    built = sorted(root.glob(f"versions/{version}.*/bin/python"))
    program = shutil.which(f"python{version}")
    candidates = [*built, *([Path(program)] if program else [])]
    for each in candidates:
        asked = [each, "-c", "import sys, venv; print('%d.%d' % sys.version_info[:2])"]
        said = subprocess.run(asked, capture_output=True, text=True, check=False)
        if said.stdout.strip() == version:
            return each
    return None


def environment(folder: Path, version: str) -> Path:
    """Return the interpreter of a new environment with the newest ipykernel of that version."""
    python = found(version)
    if python is None:
        pytest.skip(f"Python {version} is not here")
    subprocess.run([str(python), "-m", "venv", "--without-pip", folder], check=True)
    own = folder / "bin/python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", own]
    install = [*pip, "install", "-q", "ipykernel"]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no ipykernel for Python {version} ({done.stderr.strip()[-200:]})")
    return own


def texts(collection: Collection, *arguments: str) -> list[list[Any]]:
    """Return the outputs of all notebooks, as they differ from nothing but the kernel's start."""
    ended = collection.test(*arguments)
    assert ended.code == 1, ended.out + ended.err
    outputs = []
    for name in "abc":
        failure = ended[f"{name}.ipynb"]["failure"]
        assert (failure["name"], failure["cell"]) == ("ZeroDivisionError", len(CELLS) - 1), failure
        cells = ended.executed(f"{name}.ipynb").cells
        outputs.append([[*map(said, cell.outputs)] for cell in cells[:-1]])
    return outputs


def said(output: Any) -> str:  # noqa: ANN401  (a node of nbformat)
    """Return an output's text."""
    return str(output.get("text") or output.get("data") or output)


@pytest.mark.parametrize("version", [*VERSIONS, *(LONG if os.environ.get("NBPIPE_LONG") else ())])
def test_kernels_of_this_python_are_forked_and_like_spawned_ones(
    collection: Collection, tmp_path: Path, version: str
) -> None:
    python = environment(tmp_path / "environment", version)
    spec = tmp_path / "jupyter/kernels/older/kernel.json"
    spec.parent.mkdir(parents=True)
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    content = {"argv": argv, "display_name": version, "language": "python"}
    spec.write_text(json.dumps(content), encoding="utf-8")
    collection.environ |= {"JUPYTER_PATH": str(tmp_path / "jupyter"), "PYTHONPATH": ""}
    for name in "abc":
        kernelspec = {"name": "older", "display_name": version}
        collection.notebook(f"{name}.ipynb", *CELLS, kernelspec=kernelspec)
    forked = texts(collection, "-n", "2", "--fork")
    logs = [path.read_text(encoding="utf-8") for path in collection.output_dir.glob("*.log")]
    assert not [log for log in logs if "not forked" in log or "starting it again" in log]
    ends = (collection.root / "end").read_text()
    assert ends.split() == ["end"] * 3
    assert texts(collection, "-n", "2", "--no-fork") == forked
