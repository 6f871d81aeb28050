"""What a green run may owe to this machine: threads of libraries, packages of the home, secrets."""

from __future__ import annotations

import json
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nbpipe.execution.kernels import capacity
from nbpipe.system import machine

if TYPE_CHECKING:
    from collections.abc import Callable

    from ondisk import Collection, Ended

PRINTS = f"import os; print([os.environ.get(name) for name in {capacity.VARIABLES}])"
BASE = getattr(sys, "_base_executable", sys.executable)
"""Outside of the virtual environment that the tests run in, which has no packages of the home."""


def kernel(collection: Collection, name: str, home: Path, **environ: str) -> dict[str, object]:
    """Install a kernel whose Python looks for packages in a home; return a notebook's metadata."""
    folder = collection.root.parent / "jupyter/kernels" / name
    folder.mkdir(parents=True)
    spec = {
        "argv": [BASE, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": name,
        "language": "python",
        "env": {"HOME": str(home), "PYTHONPATH": sysconfig.get_path("purelib"), **environ},
    }
    (folder / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    collection.environ["JUPYTER_PATH"] = str(folder.parents[1])
    return {"kernelspec": {"name": name, "display_name": name, "language": "python"}}


def site(home: Path) -> Path:
    """Return the folder of a home's packages."""
    return home / ".local/lib" / "python{}.{}".format(*sys.version_info) / "site-packages"


def install(home: Path, name: str, version: str, **files: str) -> None:
    """Put a distribution with one module, or with these files, into a home."""
    files = files or {f"{name}.py": "value = 1\n"}
    info = site(home) / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "RECORD").write_text("".join(f"{each},,\n" for each in files))
    for each, text in files.items():
        (site(home) / each).parent.mkdir(parents=True, exist_ok=True)
        (site(home) / each).write_text(text)


def printed(ended: Ended, path: str) -> str:
    return str(ended.executed(path).cells[-1].outputs[0].text).strip()


def of(ended: Ended, path: str) -> list[str | None]:
    """Return the variables that a notebook printed."""
    found: list[str | None] = json.loads(
        printed(ended, path).replace("'", '"').replace("None", "null")
    )
    return found


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take out of the environment what a machine may have set."""
    for name in (*capacity.VARIABLES, *capacity._JOBS):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("plain")
def test_the_libraries_of_notebooks_that_run_at_once_share_the_cores(
    collection: Collection,
) -> None:
    for name in ("a", "b", "c"):
        collection.notebook(f"{name}.ipynb", PRINTS)
    each = max(1, machine.cores() // 2)
    ended = collection.test("-n", "2")
    for name in ("a", "b", "c"):
        assert of(ended, f"{name}.ipynb") == [str(each)] * len(capacity.VARIABLES)
        assert ended[f"{name}.ipynb"]["threads"] == each
    assert ended.report is not None
    assert ended.report["run"]["threads"] == each


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("arguments", [("-n", "1"), ("-n", "2", "--threads", "off")])
def test_nothing_is_set_for_one_at_a_time_or_where_it_is_off(
    collection: Collection, arguments: tuple[str, ...]
) -> None:
    for name in ("a", "b"):
        collection.notebook(f"{name}.ipynb", PRINTS)
    ended = collection.test(*arguments)
    assert of(ended, "a.ipynb") == of(ended, "b.ipynb") == [None] * len(capacity.VARIABLES)
    assert ended["a.ipynb"]["threads"] is None


@pytest.mark.usefixtures("plain")
def test_a_number_and_an_override_are_taken_forked_or_not(collection: Collection) -> None:
    for name in ("a", "b", "c"):
        collection.notebook(f"{name}.ipynb", PRINTS)
    (collection.root / "nbpipe.toml").write_text(
        '[test]\nthreads = 3\n[[test.overrides]]\npaths = ["b.ipynb"]\nthreads = 7\n'
        '[[test.overrides]]\npaths = ["c.ipynb"]\nthreads = "off"\n'
    )
    for fork in ("--fork", "--no-fork"):
        ended = collection.test("-n", "2", fork)
        assert of(ended, "a.ipynb")[0] == "3"
        assert of(ended, "b.ipynb")[0] == "7"
        assert of(ended, "c.ipynb")[0] is None


@pytest.mark.usefixtures("plain")
def test_what_is_set_already_stays(collection: Collection, tmp_path: Path) -> None:
    metadata = kernel(collection, "own", tmp_path / "home", OPENBLAS_NUM_THREADS="5")
    collection.notebook("a.ipynb", PRINTS, **metadata)
    collection.notebook("b.ipynb", PRINTS)
    collection.environ |= {"RAYON_NUM_THREADS": "9"}
    ended = collection.test("-n", "2")
    a, b = (
        dict(zip(capacity.VARIABLES, of(ended, each), strict=True))
        for each in ("a.ipynb", "b.ipynb")
    )
    assert (a["OPENBLAS_NUM_THREADS"], a["RAYON_NUM_THREADS"]) == ("5", "9")
    assert b["RAYON_NUM_THREADS"] == "9"
    assert b["OPENBLAS_NUM_THREADS"] == str(max(1, machine.cores() // 2))


@pytest.mark.usefixtures("plain")
def test_a_job_of_a_scheduler_keeps_what_it_was_given(collection: Collection) -> None:
    for name in ("a", "b"):
        collection.notebook(f"{name}.ipynb", PRINTS)
    collection.environ |= {"SLURM_JOB_ID": "12", "OMP_NUM_THREADS": "6"}
    ended = collection.test("-n", "2")
    assert of(ended, "a.ipynb") == ["6", *[None] * (len(capacity.VARIABLES) - 1)]


BLAS = """\
import ctypes, glob, os, numpy
[library] = glob.glob(os.path.dirname(numpy.__file__) + '.libs/libscipy_openblas*')
print(ctypes.CDLL(library).scipy_openblas_get_num_threads64_())
"""


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("preload", [(), ("--preload", "numpy")])
def test_a_library_takes_its_share_preloaded_or_not(
    collection: Collection, need: Callable[[bool, str], None], preload: tuple[str, ...]
) -> None:
    libraries = Path(sysconfig.get_path("platlib")).glob("numpy.libs/libscipy_openblas*")
    need(bool(list(libraries)), "numpy with its own OpenBLAS")
    for name in ("a", "b"):
        collection.notebook(f"{name}.ipynb", BLAS)
    ended = collection.test("-n", "2", *preload)
    assert printed(ended, "a.ipynb") == str(max(1, machine.cores() // 2))
    assert printed(collection.test("-n", "1", *preload), "b.ipynb") == str(machine.cores())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    install(folder, "homely", "1.2")
    install(folder, "Other_Thing", "3", **{"other/__init__.py": "", "other/part.py": ""})
    install(folder, "unused", "1")
    return folder


@pytest.mark.parametrize("fork", ["--fork", "--no-fork"])
def test_a_green_run_that_depended_on_the_packages_of_the_home_is_reported(
    collection: Collection, home: Path, fork: str
) -> None:
    metadata = kernel(collection, "outside", home)
    collection.notebook("green.ipynb", "import homely", "import other.part", **metadata)
    collection.notebook("again.ipynb", "import homely", **metadata)
    collection.notebook("plain.ipynb", "import json", **metadata)
    html, markdown = collection.root.parent / "html", collection.root.parent / "r.md"
    ended = collection.test(
        fork, "--report", f"html={html}", "--report", f"markdown={markdown}", "-n", "1"
    )
    assert ended.code == 0, ended.out
    assert ended["green.ipynb"]["home"] == {"Other_Thing": "3", "homely": "1.2"}
    assert ended["again.ipynb"]["home"] == {"homely": "1.2"}
    assert ended["plain.ipynb"]["home"] == {}
    note = "imported from the home, not from the environment: Other_Thing 3, homely 1.2"
    assert note in ended["green.ipynb"]["notes"]
    for told in (ended.out, (html / "index.html").read_text(), markdown.read_text()):
        assert note in told


def test_packages_of_the_home_are_hidden_or_passed_over_in_silence(
    collection: Collection, home: Path
) -> None:
    metadata = kernel(collection, "outside", home)
    collection.notebook("a.ipynb", "import homely", **metadata)
    collection.notebook("b.ipynb", "import homely", **metadata)
    configuration = collection.root / "nbpipe.toml"
    configuration.write_text('[test]\nuser-site = "off"\n')
    ended = collection.test()
    assert ended["a.ipynb"]["failure"]["category"] == "missing-package"
    configuration.write_text('[test]\nuser-site = "on"\n')
    ended = collection.test()
    assert ended.code == 0
    assert ended["a.ipynb"]["notes"] == []
    assert "from the home" not in ended.out


def test_a_notebook_that_fails_over_a_package_of_the_home_is_reported_too(
    collection: Collection, home: Path
) -> None:
    metadata = kernel(collection, "outside", home)
    collection.notebook("a.ipynb", "import homely; homely.gone", **metadata)
    ended = collection.test()
    assert ended["a.ipynb"]["outcome"] == "failed"
    assert ended["a.ipynb"]["home"] == {"homely": "1.2"}


def test_an_editable_package_and_start_up_code_of_the_home_count(
    collection: Collection, home: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "edited.py").write_text("")
    install(home, "edited", "0.1", **{"edited.pth": f"{source}\n"})
    (site(home) / "edited-0.1.dist-info/top_level.txt").write_text("edited\n")
    (site(home) / "usercustomize.py").write_text("")
    metadata = kernel(collection, "outside", home)
    collection.notebook("a.ipynb", "import edited", **metadata)
    assert collection.test()["a.ipynb"]["home"] == {"edited": "0.1", "usercustomize": ""}


def test_a_file_beside_the_notebook_that_hides_a_module_is_reported(
    collection: Collection,
) -> None:
    first = "import sys; sys.path.insert(0, '.')"
    collection.notebook("nb/a.ipynb", "import turtle, yaml, own")  # IPython looks there last
    collection.notebook("nb/b.ipynb", first, "import turtle, yaml, own")
    collection.notebook("nb/c.ipynb", first, "import own; open('yaml/__init__.py').read()")
    for name in ("turtle.py", "yaml/__init__.py", "own.py"):
        file = collection.root / "nb" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("")
    ended = collection.test()
    assert ended.code == 0, ended.out
    assert ended["nb/a.ipynb"]["shadowed"] == ["yaml"]
    assert ended["nb/b.ipynb"]["shadowed"] == ["turtle", "yaml"]
    assert ended["nb/c.ipynb"]["shadowed"] == []
    assert (
        "turtle was imported from a file beside the notebook, which hides Python's own" in ended.out
    )
    assert collection.test()["nb/b.ipynb"]["shadowed"] == ["turtle", "yaml"]  # from the cache


@pytest.mark.parametrize("arguments", [(), ("--no-fork",)])
def test_a_kernel_inherits_everything_but_the_secrets_of_the_configuration(
    collection: Collection, arguments: tuple[str, ...]
) -> None:
    names = ["BEACONS", "DATABASE", "GITHUB_TOKEN", "MINE"]
    code = f"import os; print([os.environ.get(name) for name in {names}])"
    for name in ("a", "b"):
        collection.notebook(f"{name}.ipynb", code)
    (collection.root / "nbpipe.toml").write_text(
        '[[collection]]\nname = "c"\norigin = "o"\nroot = "/srv"\nsecrets = ["env:BEACONS"]\n'
        '[history]\nurl = "env:DATABASE"\n[github]\nname = "tests"\n'
    )
    database = f"sqlite:///{collection.root.parent}/runs.db"
    collection.environ |= {**dict.fromkeys(names, "1"), "DATABASE": database}
    ended = collection.test("-n", "2", *arguments)
    assert of(ended, "a.ipynb") == of(ended, "b.ipynb") == [None, None, "1", "1"]


SERVERS = """
import pathlib
def parent(process):
    stat = pathlib.Path("/proc", str(process), "stat").read_text()
    return stat.rpartition(")")[2].split()[1]
def is_server_of(runner, folder):
    try:
        return parent(folder.name) == runner and b"CONTROL" in (folder / "cmdline").read_bytes()
    except OSError:  # it has ended
        return False
server = parent(parent("self"))
runner = parent(server)
folders = pathlib.Path("/proc").glob("[0-9]*")
print([each.name for each in folders if is_server_of(runner, each)] == [server])
"""


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("arguments", [("-n", "2"), ("-n", "2", "--threads", "3")])
def test_the_one_server_that_starts_early_has_the_threads_already(
    collection: Collection, arguments: tuple[str, ...]
) -> None:
    for name in ("a", "b", "c"):
        collection.notebook(f"{name}.ipynb", SERVERS)
    ended = collection.test(*arguments, "--preload", "wave")
    assert ended.code == 0, ended.out
    assert {printed(ended, f"{name}.ipynb") for name in ("a", "b", "c")} == {"True"}
