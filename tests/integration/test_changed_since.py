"""`--changed-since`: real notebooks, real kernels, real git; each kind of change."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from changing import Changing, changing
from jupyter_client.kernelspec import find_kernel_specs
from ondisk import Collection

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PYTHON = {"kernelspec": {"name": "python3", "display_name": "p", "language": "python"}}
R = {"kernelspec": {"name": "ir", "display_name": "R", "language": "R"}}

FORK = """\
import multiprocessing
def work():
    open('../data/' + 'child.csv').read()
child = multiprocessing.get_context('fork').Process(target=work)
child.start()
child.join()
assert child.exitcode == 0
"""
MAKE = """\
import os
text = open('../data/raw' + '.csv').read()
os.makedirs('../products', exist_ok=True)
with open('../products/' + 'p.csv', 'w') as out:
    out.write(text.upper())
"""
CELLS = {
    "plain": ["print(1)"],
    "reader": ["%reset -f", "print(open('../data/' + 'x.csv').read())"],
    "importer": ["import sys\nsys.path.insert(0, '../lib')", "import mod\nprint(mod.value)"],
    "optional": [
        "try:\n    print(open('cfg' + '.toml').read())\nexcept FileNotFoundError:\n    pass",
        "try:\n    import extra\nexcept ImportError:\n    pass",
    ],
    "lister": ["import os\nprint(sorted(os.listdir('../data')))"],
    "asker": ["import os\nname = '../data/' + 'x'\nprint(os.path.exists(name))"],
    "sheller": ["!true"],
    "forker": [FORK],
    "make": [MAKE],
    "use": ["print(open('../products/' + 'p.csv').read())"],
    "packaged": ["import brought\nprint(brought.value)"],
}
ALWAYS = {"sheller"}
ALL = set(CELLS)


def build(folder: Path) -> Changing:
    """Make the collection, run everything once, and commit what there is."""
    repository = changing(folder)
    for name, cells in CELLS.items():
        repository.collection.notebook(f"nb/{name}.ipynb", *cells, **PYTHON)
    repository.write("data/x.csv", "1\n")
    repository.write("data/raw.csv", "a\n")
    repository.write("data/child.csv", "a\n")
    repository.write("data/below/unused.csv", "a\n")
    repository.write("lib/mod.py", "from pack.inner import value\n")
    optional = "try:\n    from pack import fast\nexcept ImportError:\n    pass\n"
    repository.write("lib/pack/__init__.py", optional)
    repository.write("lib/pack/inner.py", "value = 1\n")
    repository.write(".gitignore", "products/\n__pycache__/\n")
    package(folder, "1.0")
    repository.collection.environ["PYTHONPATH"] = path_with(folder)
    repository.commit()
    repository.run("nb/make.ipynb")
    repository.run("-n", "1")  # or what reads a product runs while it is written
    return repository


def path_with(folder: Path) -> str:
    """Return a PYTHONPATH with the folder's packages."""
    return os.pathsep.join([f"{folder}/site-packages", os.environ.get("PYTHONPATH", "")]).rstrip(
        ":"
    )


def package(folder: Path, version: str) -> None:
    """Install a package in a version."""
    site = folder / "site-packages"
    shutil.rmtree(site, ignore_errors=True)
    (site / f"brought-{version}.dist-info").mkdir(parents=True)
    (site / f"brought-{version}.dist-info/RECORD").write_text("brought.py,,\n", encoding="utf-8")
    (site / "brought.py").write_text("value = 1\n", encoding="utf-8")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    build(folder)
    return folder


@pytest.fixture
def repository(original: Path, tmp_path: Path) -> Changing:
    """Return a clone, as it were, with everything that was there, the history too."""
    folder = tmp_path / "copy"
    shutil.copytree(original, folder, symlinks=True)
    root = folder / "repository"
    environ = {"XDG_STATE_HOME": f"{folder}/state", "PYTHONPATH": path_with(folder)}
    return Changing(Collection(root, folder / "output", environ), root)


def names(affected: dict[str, str]) -> set[str]:
    return {path.removeprefix("nb/").removesuffix(".ipynb") for path in affected}


def rename(repository: Changing) -> None:
    (repository.top / "data/x.csv").rename(repository.top / "data/y.csv")


def delete_module(repository: Changing) -> None:
    (repository.top / "lib/pack/inner.py").unlink()


def link(repository: Changing) -> None:
    """Put a link in the place of a folder."""
    (repository.top / "lib").rename(repository.top / "library")
    (repository.top / "lib").symlink_to("library")


def edit(path: str, text: str = "2\n") -> Callable[[Changing], None]:
    return lambda repository: repository.write(path, text)


CHANGES = [
    ("nothing", lambda _: None, set()),
    ("a data file", edit("data/x.csv"), {"reader"}),
    ("a data file that nobody reads", edit("data/below/unused.csv"), set()),
    ("a file that a child of the kernel reads", edit("data/child.csv"), {"forker"}),
    ("a module", edit("lib/mod.py", "value = 2\n"), {"importer"}),
    ("a module that a module imports", edit("lib/pack/inner.py", "value = 2\n"), {"importer"}),
    ("a module that was looked for", edit("lib/pack/fast.py", ""), {"importer", "asker"}),
    ("a module in the way", edit("nb/brought.py"), {"packaged", "asker"}),
    ("a file that was looked for", edit("nb/cfg.toml"), {"optional", "asker"}),
    ("a module that was not there", edit("nb/extra.py", ""), {"optional", "asker"}),
    ("a new file in a folder that is listed", edit("data/new.csv"), {"lister", "asker"}),
    ("a new file in a folder below", edit("data/below/new.csv"), {"asker"}),
    ("what a producer reads", edit("data/raw.csv", "b\n"), {"make", "use", "asker"}),
    ("a product by hand", edit("products/p.csv", "b\n"), {"use"}),
    ("a text", edit("README.md", "b\n"), {"asker"}),
    ("a renamed file", rename, {"reader", "lister", "asker"}),
    ("a deleted module", delete_module, {"importer", "asker"}),
    ("a folder that becomes a link", link, {"importer", "asker"}),
    ("a comment in the configuration", edit("nbpipe.toml", "# nothing\n"), set()),
    (
        "a setting of one notebook",
        edit("nbpipe.toml", '[[test.overrides]]\npaths = ["nb/plain.ipynb"]\nall-errors = true\n'),
        {"plain"},
    ),
    ("a setting of all", edit("nbpipe.toml", "[test]\nparameters = {x = 1}\n"), ALL),
    ("a higher limit", edit("nbpipe.toml", "[test]\ntimeout = 700\ngrace = 1\n"), set()),
    ("a limit within which all passed", edit("nbpipe.toml", "[test]\ntimeout = 599\n"), set()),
    ("a limit that may be too low", edit("nbpipe.toml", "[test]\nnotebook-timeout = 0.01\n"), ALL),
    ("another number of slots", edit("nbpipe.toml", "[test]\njobs = 1\nretries = 2\n"), set()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "expected"), [each[1:] for each in CHANGES], ids=[each[0] for each in CHANGES]
)
def test_a_change_affects(
    repository: Changing, change: Callable[[Changing], None], expected: set[str]
) -> None:
    change(repository)
    dirty = repository.affected()
    assert names(dirty) == expected | ALWAYS
    before = repository.git("rev-parse", "HEAD")
    repository.commit()
    assert names(repository.affected(before)) == expected | ALWAYS


def test_the_notebook_itself_and_a_new_one_run(repository: Changing) -> None:
    repository.collection.notebook("nb/plain.ipynb", "print(2)", **PYTHON)
    repository.collection.notebook("nb/new.ipynb", "print(2)", **PYTHON)
    found = repository.affected()
    assert names(found) == {"plain", "new", "asker"} | ALWAYS
    assert found["nb/plain.ipynb"] == "itself changed since HEAD"
    assert found["nb/new.ipynb"] == "it was never run"


def test_another_version_of_an_imported_package(repository: Changing) -> None:
    package(repository.top.parent, "2.0")
    found = repository.affected()
    assert names(found) == {"packaged"} | ALWAYS
    assert found["nb/packaged.ipynb"] == "brought is 2.0, and was 1.0 in run RUN"


def test_another_kernel(repository: Changing) -> None:
    with_kernel = repository.top / "nbpipe.toml"
    folder = repository.top.parent / "jupyter/kernels/other"
    folder.mkdir(parents=True)
    spec = {
        "argv": ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "other",
        "language": "python",
    }
    (folder / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    repository.collection.environ["JUPYTER_PATH"] = str(folder.parents[1])
    with_kernel.write_text('[[test.overrides]]\npaths = ["nb/plain.ipynb"]\nkernel = "other"\n')
    found = repository.affected()
    assert names(found) == {"plain"} | ALWAYS
    assert found["nb/plain.ipynb"] == "its kernel is other, and was python3"


def test_products_that_are_not_there_are_made_again_for_who_needs_them(
    repository: Changing,
) -> None:
    shutil.rmtree(repository.top / "products")
    assert names(repository.affected()) == ALWAYS
    repository.collection.notebook("nb/use.ipynb", "open('../products/' + 'p.csv')", **PYTHON)
    assert names(repository.affected()) == {"make", "use", "asker"} | ALWAYS


def test_what_did_not_pass_runs_again(repository: Changing) -> None:
    repository.write("data/x.csv", "2\n")
    repository.collection.notebook("nb/plain.ipynb", "1 / 0", **PYTHON)
    assert repository.collection.test("--changed-since", "HEAD").code == 1
    repository.commit()
    found = repository.affected()
    assert names(found) == {"plain"} | ALWAYS
    assert found["nb/plain.ipynb"] == "failed in run RUN"


def test_the_others_are_skipped_with_the_reason_in_every_report(repository: Changing) -> None:
    repository.write("data/x.csv", "2\n")
    junit = repository.top.parent / "junit.xml"
    ended = repository.run("--changed-since", "HEAD", "--report", f"junit={junit}")
    assert ended.report is not None
    executed = {each["path"] for each in ended.report["notebooks"] if each["outcome"] == "passed"}
    assert executed == {"nb/reader.ipynb", "nb/sheller.ipynb"}
    reason = ended["nb/plain.ipynb"]["reason"]
    assert reason.startswith("unaffected since run 20")
    skipped = ET.parse(junit).findall(".//skipped")  # noqa: S314  (our own)
    assert [each.get("message") for each in skipped].count(reason) == len(CELLS) - 2
    assert reason in ended.out


def test_a_commit_that_is_not_there_is_an_error(repository: Changing) -> None:
    ended = repository.collection.test("--changed-since", "nosuch")
    assert ended.code == 4
    assert "--changed-since nosuch: no such commit in" in ended.err
    assert "HEAD~1" in ended.err


def test_a_commit_beyond_a_shallow_clone_is_an_error_that_says_how_to_get_it(
    repository: Changing, tmp_path: Path
) -> None:
    first = repository.git("rev-parse", "HEAD")
    repository.commit()
    clone = tmp_path / "clone"
    subprocess.run(
        ["git", "clone", "-q", "--depth=1", f"file://{repository.top}", str(clone)],
        check=True, timeout=120,
    )  # fmt: skip
    shallow = Collection(clone, tmp_path / "output", repository.collection.environ)
    ended = shallow.test("--list", "--changed-since", first)
    assert ended.code == 4
    assert f"git fetch --depth=1 origin {first}" in ended.err
    assert shallow.test("--list", "--changed-since", "HEAD").code == 0


def test_a_folder_without_git_is_an_error(collection: Collection) -> None:
    collection.notebook("a.ipynb", "1")
    ended = collection.test("--changed-since", "HEAD")
    assert ended.code == 4
    assert "is in no repository of git" in ended.err


def test_a_merge_and_a_detached_head(repository: Changing) -> None:
    base = repository.git("rev-parse", "HEAD")
    repository.git("checkout", "-q", "-b", "topic")
    repository.write("data/x.csv", "2\n")
    topic = repository.commit()
    repository.git("checkout", "-q", "main")
    repository.write("lib/mod.py", "value = 2\n")
    main = repository.commit()
    repository.git("merge", "-q", "--no-ff", "-m", "merge", topic)
    repository.git("checkout", "-q", "--detach")
    assert names(repository.affected(base)) == {"reader", "importer"} | ALWAYS
    repository.run("nb/importer.ipynb", "nb/reader.ipynb")
    assert names(repository.affected(main)) == {"reader"} | ALWAYS
    assert names(repository.affected(topic)) == {"importer"} | ALWAYS


def test_a_run_without_a_history_runs_everything(repository: Changing) -> None:
    repository.collection.environ["XDG_STATE_HOME"] = str(repository.top.parent / "elsewhere")
    assert names(repository.affected()) == ALL


def test_what_the_last_pass_does_not_cover_runs_whatever_the_commit(repository: Changing) -> None:
    repository.write("data/x.csv", "2\n")
    repository.commit()
    found = repository.affected()
    assert names(found) == {"reader"} | ALWAYS
    assert found["nb/reader.ipynb"] == "data/x.csv changed since run RUN"


LIBC = """\
import ctypes
libc = ctypes.CDLL(None)
libc.open.restype = ctypes.c_int
room = ctypes.create_string_buffer(100)
name = 'x'
file = libc.open(('../data/' + name + '.csv').encode(), 0)
libc.read(file, room, 100)
libc.close(file)
print(room.value)
"""
ARROW = """\
import pyarrow as pa
name = 'x'
print(pa.memory_map('../data/' + name + '.csv').read())
"""
FORKED = f"""\
import multiprocessing
def work():
    exec({LIBC!r}, {{}})
child = multiprocessing.get_context('fork').Process(target=work)
child.start()
child.join()
assert child.exitcode == 0
"""


@pytest.mark.parametrize("code", [LIBC, ARROW, FORKED], ids=["libc", "arrow", "a child"])
def test_what_compiled_code_opens_is_known_by_its_name(tmp_path: Path, code: str) -> None:
    repository = changing(tmp_path)
    repository.collection.notebook("nb/reads.ipynb", code, **PYTHON)
    repository.write("data/x.csv", "1\n")
    repository.write("data/y.csv", "1\n")
    repository.commit()
    repository.run()
    assert repository.affected() == {}
    repository.write("data/y.csv", "2\n")
    repository.write("nb/new.py", "")
    assert repository.affected() == {}
    repository.write("data/x.csv", "2\n")
    assert repository.affected() == {"nb/reads.ipynb": "data/x.csv changed since run RUN"}


def test_a_file_of_which_compiled_code_did_without_may_come(tmp_path: Path) -> None:
    repository = changing(tmp_path)
    tries = "import pyarrow as pa\ntry:\n    pa.OSFile('o' + '.bin')\nexcept OSError:\n    pass"
    repository.collection.notebook("nb/tries.ipynb", tries, **PYTHON)
    pattern = "import pyarrow.dataset as ds\nprint(ds.dataset('../' + 'parts').count_rows())"
    repository.collection.notebook("nb/pattern.ipynb", pattern, **PYTHON)
    repository.collection.notebook("nb/write.ipynb", "open('log.txt', 'w').write('1')", **PYTHON)
    make = "import pyarrow as pa, pyarrow.parquet as pq; pq.write_table(pa.table({'a': [1]}), "
    for place in ("parts/a/1.parquet", "o.bin"):
        (repository.top / place).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [sys.executable, "-c", f"{make}{str(repository.top / place)!r})"], check=True
        )
    (repository.top / "o.bin").rename(tmp_path / "o.bin")
    repository.write(".gitignore", "log.txt\n")
    repository.commit()
    repository.run("-n", "1")
    repository.collection.notebook("nb/write.ipynb", "open('log.txt', 'w').write('2')", **PYTHON)
    assert names(repository.affected()) == {"write"}
    (repository.top / "parts/b").mkdir()
    shutil.copy(repository.top / "parts/a/1.parquet", repository.top / "parts/b/1.parquet")
    assert names(repository.affected()) == {"write", "tries", "pattern"}
    shutil.rmtree(repository.top / "parts/b")
    shutil.copy(tmp_path / "o.bin", repository.top / "nb/o.bin")
    assert names(repository.affected()) == {"write", "tries"}


def test_what_compiled_code_makes_is_a_product(tmp_path: Path) -> None:
    repository = changing(tmp_path)
    make = (
        "import pyarrow as pa\nwith pa.OSFile('../' + 'p.bin', 'wb') as file:\n    file.write(b'1')"
    )
    use = "import pyarrow as pa\nprint(pa.OSFile('../' + 'p.bin').read())"
    repository.collection.notebook("1/make.ipynb", make, **PYTHON)
    repository.collection.notebook("2/use.ipynb", use, **PYTHON)
    repository.write(".gitignore", "p.bin\n")
    repository.commit()
    repository.run("-n", "1")
    repository.run("-n", "1")
    assert repository.affected() == {}
    repository.collection.notebook("1/make.ipynb", make.replace("1", "2"), **PYTHON)
    assert repository.affected() == {
        "1/make.ipynb": "itself changed since HEAD",
        "2/use.ipynb": "it reads p.bin, which 1/make.ipynb writes, and that runs",
    }


def test_where_it_cannot_be_seen_what_compiled_code_opens_the_notebook_runs(
    tmp_path: Path,
) -> None:
    repository = changing(tmp_path)
    repository.collection.notebook("nb/reads.ipynb", LIBC, **PYTHON)
    repository.collection.notebook("nb/plain.ipynb", "import json", **PYTHON)
    repository.write("data/x.csv", "1\n")
    repository.commit()
    blind = (
        "from nbpipe.impact import openings; openings._MOST_FOLDERS = 1;"
        " import runpy; runpy.run_module('nbpipe', run_name='__main__')"
    )
    command = [sys.executable, "-c", blind, *repository.collection.command()[3:]]
    subprocess.run(
        command, cwd=repository.top, env=repository.collection.environment, check=True, timeout=300
    )
    assert repository.affected() == {
        "nb/reads.ipynb": "what it reads is not known: what compiled code opens"
        " (ctypes (the interpreter)) cannot be seen: it has more than 1 folders"
    }


def test_a_notebook_of_r_is_read(repository: Changing, need: Callable[[bool, str], None]) -> None:
    need("ir" in find_kernel_specs(), "an R kernel")
    note = repository.collection.notebook
    note("r/spelled.ipynb", "source('f.R'); read.csv('../data/x.csv')", **R)
    note("r/made.ipynb", "read.csv(paste0('../data/', 'x.csv'))", **R)
    repository.write("r/f.R", "read.csv('../data/raw.csv')\n")
    repository.run("r")
    repository.commit()
    found = {path for path in repository.affected() if path.startswith("r/")}
    assert found == {"r/made.ipynb"}
    for path in ("data/x.csv", "data/raw.csv", "r/f.R"):
        (repository.top / path).write_text("1 + 1\n")
        assert "r/spelled.ipynb" in repository.affected()
        repository.git("checkout", "-q", path)
