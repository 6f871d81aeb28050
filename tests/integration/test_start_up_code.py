"""Code that runs when an interpreter starts: in the notebook's folder, and to its end.

Sites use it for their own needs: `sitecustomize`, .pth files, IPython's start-up files.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from ondisk import Collection

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")

WAYS = pytest.mark.parametrize("way", ["--fork", "--no-fork"])

SEES_ITS_FOLDER = "import os\nos.environ['STARTED_IN'] = os.getcwd()\n"
LOOKS = "import os\nprint(os.environ['STARTED_IN'] == os.getcwd())"

AT_THE_END = {
    "handler": (
        "import atexit, os\n"
        "def statistics():\n"
        "    with open('{folder}/%d' % os.getpid(), 'w') as stream: stream.write('all of it')\n"
        "atexit.register(statistics)\n"
    ),
    "partial": (
        "import atexit, functools, pathlib\n"
        "write = pathlib.Path('{folder}/partial').write_text\n"
        "atexit.register(functools.partial(write, 'all of it'))\n"
    ),
    "file": "stream = open('{folder}/file', 'w')\nstream.write('all of it')\n",
    "finalizer": (
        "import pathlib, weakref\nclass It: pass\nit = It()\n"
        "weakref.finalize(it, pathlib.Path('{folder}/finalizer').write_text, 'all of it')\n"
    ),
    "thread": (
        "import pathlib, threading\n"
        "def work():\n    threading.main_thread().join()\n"
        "    pathlib.Path('{folder}/thread').write_text('all of it')\n"
        "threading.Thread(target=work).start()\n"
    ),
}
"""What start-up code may leave to be done when the process ends."""


def at_start(collection: Collection, folder: Path, code: str) -> None:
    """Have every Python process execute this when it starts."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code, encoding="utf-8")
    folders = filter(None, [str(folder), os.environ.get("PYTHONPATH")])
    collection.environ["PYTHONPATH"] = os.pathsep.join(folders)


def seen(collection: Collection, *arguments: str) -> dict[str, str]:
    """Return what all notebooks print."""
    ended = collection.test(*arguments)
    assert ended.code == 0, ended.out + ended.err
    assert ended.report is not None
    paths = [each["path"] for each in ended.report["notebooks"]]
    return {path: ended.executed(path).cells[0].outputs[0]["text"].strip() for path in paths}


@WAYS
def test_start_up_code_sees_the_notebook_s_folder(
    collection: Collection, tmp_path: Path, way: str
) -> None:
    at_start(collection, tmp_path / "site", SEES_ITS_FOLDER)
    for path in ("a/1.ipynb", "a/2.ipynb", "a/3.ipynb", "b/1.ipynb", "b/2.ipynb", "c.ipynb"):
        collection.notebook(path, LOOKS)
    assert {*seen(collection, "-n", "2", way).values()} == {"True"}
    if way == "--fork":  # those of the folder with the most notebooks share a server
        log = (collection.output_dir / "a/3.log").read_text(encoding="utf-8")
        assert "not forked" not in log
        log = (collection.output_dir / "b/2.log").read_text(encoding="utf-8")
        assert (
            f"kernel not forked: {tmp_path}/site/sitecustomize.py has run in another folder" in log
        )


@WAYS
def test_a_pth_file_and_ipython_s_start_up_files_see_the_notebook_s_folder(
    collection: Collection, tmp_path: Path, way: str
) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = tmp_path / "venv/lib" / version / "site-packages"
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    line = "import os; os.environ['STARTED_IN'] = os.getcwd()\n"
    (packages / "usage.pth").write_text(line, encoding="utf-8")
    startup = tmp_path / "ipython/profile_default/startup"
    startup.mkdir(parents=True)
    line = "import os; os.environ['IPYTHON_STARTED_IN'] = os.getcwd()\n"
    (startup / "00-own.py").write_text(line, encoding="utf-8")
    spec = tmp_path / "jupyter/kernels/own/kernel.json"
    spec.parent.mkdir(parents=True)
    argv = [str(tmp_path / "venv/bin/python"), "-m", "ipykernel_launcher"]
    content = {"argv": [*argv, "-f", "{connection_file}"], "display_name": "Own"}
    spec.write_text(json.dumps(content | {"language": "python"}), encoding="utf-8")
    collection.environ |= {
        "JUPYTER_PATH": str(tmp_path / "jupyter"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    both = f"{LOOKS}, os.environ['IPYTHON_STARTED_IN'] == os.getcwd())".replace("())", "()", 1)
    for path in ("a/1.ipynb", "a/2.ipynb", "b/1.ipynb"):
        kernelspec = {"name": "own", "display_name": "Own"}
        collection.notebook(path, both, kernelspec=kernelspec)
    assert {*seen(collection, "-n", "1", way).values()} == {"True True"}


@pytest.mark.parametrize("way", ["--fork", "--no-fork", "alone"])
@pytest.mark.parametrize("left", AT_THE_END)
def test_what_start_up_code_leaves_to_be_done_is_done(
    collection: Collection, tmp_path: Path, way: str, left: str
) -> None:
    folder = tmp_path / "done"
    folder.mkdir()
    code = AT_THE_END[left].format(folder=folder)
    kernels_only = "import sys\nif {'ipykernel_launcher', '-c'} & {*sys.orig_argv}:\n"
    indented = "".join(f"    {line}\n" for line in code.splitlines())
    at_start(collection, tmp_path / "site", kernels_only + indented)
    for name in ("a",) if way == "alone" else ("a", "b"):
        collection.notebook(f"{name}.ipynb", "import os\nprint(os.getpid())")
    kernels = seen(collection, *([] if way == "alone" else [way]))
    done = {path.name: path.read_text() for path in folder.iterdir()}
    wanted = {*kernels.values()} if left == "handler" else {left}
    assert {name: done.get(name) for name in wanted} == dict.fromkeys(wanted, "all of it")


def test_a_kernel_with_plain_start_up_code_is_still_killed_at_its_end(
    collection: Collection, tmp_path: Path
) -> None:
    at_start(collection, tmp_path / "site", SEES_ITS_FOLDER)
    late = "class It:\n    def __del__(self): open('done', 'w').close()\n\nit = It()\nprint('fine')"
    collection.notebook("a.ipynb", late)
    assert seen(collection) == {"a.ipynb": "fine"}
    assert not (collection.root / "done").exists()
