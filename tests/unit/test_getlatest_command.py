"""The command line of getlatest: what it prints, how it ends, how fast it starts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nbpipe.cli.getlatest import main
from nbpipe.publishing.copies.progress_bar import Bar
from nbpipe.publishing.copies.report import Report
from nbpipe.publishing.copies.texts import report_lines
from nbpipe.publishing.copies.titles import title
from tests.mirrors import HandMadeMirror, tree


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HandMadeMirror:
    """A mirror that NBPIPE_MIRROR names, and an empty folder to work in."""
    made = HandMadeMirror(tmp_path / "srv")
    made.publish("aaa", {"01_Intro/a.ipynb": "1", "01_Intro/b.txt": "2", "README.md": "3"})
    (tmp_path / "desk").mkdir()
    monkeypatch.chdir(tmp_path / "desk")
    monkeypatch.setenv("NBPIPE_MIRROR", str(made.path))
    monkeypatch.setenv("HOME", str(tmp_path / "desk"))
    return made


def test_without_a_word_the_copy_is_in_notebooks(
    mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 0
    assert (Path("notebooks") / "01_Intro/a.ipynb").read_text() == "1"
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("/desk/notebooks: release aaa000000000, a new copy of 3 files")
    assert lines[1:] == ["  3 added", "    01_Intro/a.ipynb", "    01_Intro/b.txt", "    README.md"]


def test_an_update_tells_plainly_what_it_did(
    mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["copy"])
    Path("copy/README.md").write_text("mine")
    Path("copy/01_Intro/b.txt").unlink()
    mirror.publish("bbb", {"01_Intro/b.txt": "2", "README.md": "33", "new.ipynb": "n"})
    capsys.readouterr()
    assert main(["copy"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "  1 added",
        "    new.ipynb",
        "  1 placed beside yours, changed by you and upstream",
        "    README.md -> README__bbb0000.md",
        "  1 deleted upstream, kept here (--prune removes what you did not change)",
        "    01_Intro/a.ipynb",
        "  1 deleted by you, not brought back (--restore does)",
        "    01_Intro/b.txt",
    ]


def test_long_lists_are_folded() -> None:
    report = Report("c", "s", "f" * 40, made=True, added=[f"n{i:02}" for i in range(12)])
    assert report_lines(report)[1:] == [
        "  12 added",
        *[f"    n{i:02}" for i in range(9)],
        "    ... and 3 more (--json names them all)",
    ]


def test_a_long_list_in_folders_is_told_by_folder() -> None:
    names = ["README.md", *(f"01_Intro/n{i:02}.ipynb" for i in range(12))]
    report = Report("c", "s", "f" * 40, made=True, added=names)
    assert report_lines(report)[1:] == [
        "  13 added",
        "    README.md",
        "    01_Intro/  (12 files)",
    ]


def test_names_that_a_terminal_would_act_on_are_escaped() -> None:
    report = Report("c", "s", "f" * 40, added=["\x1b[2Jx"])
    assert report_lines(report)[2] == "    \\x1b[2Jx"


def test_what_could_not_be_updated_ends_with_1(
    mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("copy").mkdir()
    Path("copy/01_Intro").symlink_to("/tmp")  # noqa: S108  (never followed)
    assert main(["copy"]) == 1
    assert (
        "    01_Intro: is not a folder (a link or a file of yours); 2 files below it not updated"
        in capsys.readouterr().out.splitlines()
    )


def test_json_names_everything(mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]) -> None:
    main(["copy", "--only", "README.md", "--json"])
    table = json.loads(capsys.readouterr().out)
    assert (table["format"], table["added"], table["new_folder"]) == (1, ["README.md"], True)
    assert table["release"] == "aaa".ljust(40, "0")


def heading(text: str) -> str:
    """Return a notebook that begins with that Markdown."""
    cell = {"cell_type": "markdown", "metadata": {}, "source": text}
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def test_list_shows_notebooks_with_titles_and_releases_with_dates(
    mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror.publish("bbb", {"x/one.ipynb": heading("# *One* star"), "x/data.csv": "1", "y": ""})
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    day = r"20\d\d-\d\d-\d\d"
    assert re.match(rf"notebooks-latest: release bbb0{{9}} of {day}, from /", lines[0])
    assert lines[1:6] == [
        "folders",
        "  ./  0 notebooks, 1 file",
        "  x/  1 notebook, 2 files",
        "    x/one.ipynb  One star",
        "releases",
    ]
    first, second = sorted(lines[6:])
    assert re.fullmatch(rf"  aaa0{{37}}  {day} \d\d:\d\d", first)
    assert re.fullmatch(rf"  bbb0{{37}}  {day} \d\d:\d\d  current", second)
    assert list(Path.cwd().iterdir()) == []


def test_a_long_list_of_notebooks_is_folded_and_shown_whole_for_a_folder(
    mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror.publish("bbb", {f"x/{n:02}.ipynb": heading(f"# {n}") for n in range(12)} | {"y/z": ""})
    main(["--list"])
    said = capsys.readouterr().out
    assert "    ... and 3 more (--list --only x shows them all)\n" in said
    assert "11.ipynb" not in said
    main(["--list", "--only", "x"])
    said = capsys.readouterr().out
    assert "    x/11.ipynb  11\n" in said
    assert "y/" not in said


def test_list_as_json(mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert table["folders"] == [
        {"path": ".", "files": 1, "notebooks": 0},
        {"path": "01_Intro", "files": 2, "notebooks": 1},
    ]
    assert table["notebooks"] == [{"path": "01_Intro/a.ipynb", "title": None}]
    (release,) = table["releases"]
    assert (release["commit"], release["current"]) == ("aaa".ljust(40, "0"), True)
    assert datetime.fromisoformat(release["date"]).tzinfo == UTC


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# One", "One"),
        ("text\n\n## A [link](http://x) and `code` ##\nmore", "A link and code"),
        ("Over\n====\n", "Over"),
        ("```\n# a comment\n```\n# Heading", "Heading"),
        ("<img src='x'>\n\n# ![logo](x.png) Título", "Título"),
        ("no heading", ""),
        ("#nothing", ""),
        ("# " + " " * 100_000, ""),
    ],
)
def test_the_title_of_a_notebook(text: str, found: str) -> None:
    assert title(heading(text).encode()) == found


def test_the_title_in_the_metadata_comes_first() -> None:
    table = json.loads(heading("# Heading"))
    table["metadata"]["title"] = "Given"
    assert title(json.dumps(table).encode()) == "Given"


@pytest.mark.parametrize("text", ["", "1", "[]", '{"cells": 1}', '{"cells": [1]}', "{"])
def test_what_is_no_notebook_has_no_title(text: str) -> None:
    assert title(text.encode()) == ""


def test_a_run_of_the_users_is_told_in_a_line(
    mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror.publish("bbb", {"n.ipynb": heading("# One")})
    main(["copy"])
    table = json.loads(Path("copy/n.ipynb").read_text())
    table["metadata"]["language_info"] = {"name": "python"}
    Path("copy/n.ipynb").write_text(json.dumps(table))
    mirror.publish("ccc", {"n.ipynb": heading("# Two")})
    capsys.readouterr()
    main(["copy"])
    assert capsys.readouterr().out.splitlines()[1:] == [
        "  1 updated",
        "    n.ipynb",
        "  1 run by you: the new one has the name, your run is kept beside",
        "    n.ipynb -> n__executed.ipynb",
    ]


def test_prune_tells_what_it_removed(
    mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["copy"])
    mirror.publish("bbb", {"README.md": "3"})
    capsys.readouterr()
    assert main(["copy", "--prune"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("copy: release bbb000000000, 2 files removed")
    assert lines[1] == "  2 removed, deleted upstream and not changed by you"


def test_pointers_are_named_with_what_to_do(
    mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{7:064}\nsize 200000\n"
    mirror.publish("bbb", {"a.fits": pointer, "about.txt": pointer + "x" * 1_000})
    for _ in range(2):
        assert main(["copy"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[-3:-1] == ["  1 Git LFS pointers, not the files' own content", "    a.fits"]
        assert 'can have it published (`lfs = "fetch"`)' in lines[-1]


def test_every_line_fits_a_terminal_of_80_columns(
    mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {f"0{n}_Folder/n.ipynb": heading(f"# {n}") for n in range(4)}
    mirror.publish("bbb", files)
    main(["c", "--only", "01_Folder"])
    main(["c", "--all"])
    Path("c/00_Folder/n.ipynb").write_text("mine")
    Path("c/01_Folder/n.ipynb").write_text(files["01_Folder/n.ipynb"] + "\n")
    Path("c/02_Folder/n.ipynb").unlink()
    mirror.publish("ccc", {name: heading("# New") for name in list(files)[:3]})
    main(["c"])
    mirror.publish("ddd", {name: heading("# Newer") for name in list(files)[:3]})
    main(["c"])
    main(["c", "--prune"])
    lines = capsys.readouterr().out.splitlines()
    headings = [line for line in lines if not line.startswith("/")]
    assert max(len(line) for line in headings) <= 80, headings


def test_all_and_only_exclude_each_other(
    mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--all", "--only", "README.md"]) == 4
    assert "--all and --only exclude each other" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "5d", "soon"])
def test_a_timeout_that_is_no_duration_is_wrong_usage(
    mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    assert main(["--timeout", text]) == 4
    assert "is not a duration: seconds, or such as 90s" in capsys.readouterr().err


def test_restore_without_a_value_is_everything(mirror: HandMadeMirror) -> None:
    main(["copy"])
    Path("copy/README.md").unlink()
    assert main(["copy", "--restore"]) == 0
    assert Path("copy/README.md").read_text() == "3"


def test_restore_of_what_is_no_file_is_wrong_usage(
    mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--restore", "copy"]) == 4
    assert "--restore copy: no such folder or file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--nonsense"], "No such option"),
        (["a", "b"], "unexpected extra argument"),
        (["--only", "nope"], "--only nope: no such folder or file in this release"),
        (["--release", "fff"], "--release fff: no such release"),
        (["--from", "/nowhere"], "--from /nowhere: not a mirror, a release"),
        (
            ["--from", "ext::sh -c id"],
            "--from ext::sh -c id: not a mirror, a release",
        ),
    ],
)
def test_wrong_usage_ends_with_4(
    mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(words) == 4
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert list(Path.cwd().iterdir()) == []


def test_the_mirror_itself_is_no_place_for_a_copy(
    mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("notebooks").symlink_to(mirror.path / "current")
    assert main([]) == 4
    assert "notebooks: is the read-only original" in capsys.readouterr().err


def test_a_working_clone_itself_is_no_place_for_a_copy(
    mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    who = ["-c", "user.name=n", "-c", "user.email=e@x"]
    subprocess.run(["git", "init", "-q", "clone"], check=True)
    subprocess.run(
        ["git", *who, "-C", "clone", "commit", "-q", "--allow-empty", "-m", "x"], check=True
    )
    assert main(["--from", "clone", "clone"]) == 4
    assert "clone: is the original, in " in capsys.readouterr().err
    assert main(["--from", "clone", "clone/build"]) == 0
    monkeypatch.chdir("clone")
    assert main(["--from", "."]) == 4
    assert "Name a folder of your own, as in `getlatest ~/clone-copy`" in capsys.readouterr().err
    assert sorted(path.name for path in Path().iterdir()) == [".git", "build"]


def test_an_empty_name_is_refused(
    mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([""]) == 4
    assert capsys.readouterr().err.startswith("getlatest: the folder's name is empty\n")
    assert (list(Path().iterdir()), mirror.path.exists()) == ([], True)


def test_a_folder_that_is_a_file_is_told(
    mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("copy").write_text("mine")
    assert main(["copy"]) == 1
    assert "copy: cannot be written: Not a directory" in capsys.readouterr().err
    assert Path("copy").read_text() == "mine"


def test_a_copy_through_a_link_that_the_user_names_goes_where_it_leads(
    mirror: HandMadeMirror, tmp_path: Path
) -> None:
    (tmp_path / "scratch").mkdir()
    Path("copy").symlink_to(tmp_path / "scratch")
    assert main(["copy"]) == 0
    assert Path("copy").is_symlink()
    assert sorted(tree(tmp_path / "scratch")) == ["01_Intro/a.ipynb", "01_Intro/b.txt", "README.md"]


def test_config_names_the_sites_configuration(
    mirror: HandMadeMirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NBPIPE_MIRROR")
    site = tmp_path / "site.toml"
    site.write_text(f'[[collection]]\nname = "{mirror.path.name}"\nroot = "{mirror.path.parent}"\n')
    assert main(["copy", "--config", str(site)]) == 0
    assert Path("copy/README.md").read_text() == "3"
    monkeypatch.setenv("NBPIPE_SITE", str(site))
    assert main(["other"]) == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [(None, "cannot be read: No such file or directory"), ("[[", "is not TOML: ")],
)
def test_a_configuration_that_is_named_must_be_one(
    mirror: HandMadeMirror,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str | None,
    told: str,
) -> None:
    site = tmp_path / "site.toml"
    if text is not None:
        site.write_text(text)
    assert main(["copy", "--config", str(site)]) == 4
    assert capsys.readouterr().err.startswith(f"getlatest: {site}: {told}")
    assert not Path("copy").exists()


def test_nothing_slow_is_imported() -> None:
    slow = [
        "rich",
        "nbformat",
        "nbclient",
        "papermill",
        "msgspec",
        "git",
        "requests",
        "ctypes.util",
    ]
    code = (
        "import sys, nbpipe.cli.getlatest\n"
        "try: nbpipe.cli.getlatest.main(['--help'])\n"
        f"finally: print([n for n in {slow} if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_whole_copy_imports_nothing_slow_either(mirror: HandMadeMirror, tmp_path: Path) -> None:
    code = (
        "import sys, nbpipe.cli.getlatest as g\n"
        "g.main(['copy']); print([n for n in ('rich', 'msgspec', 'git') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_bar_appears_after_a_second_only(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 0.5, 1.5, 2.0])
    with Bar("copy", show=True, clock=lambda: next(times)) as bar:
        bar(1, 10)
        assert bar._bar is None
        bar(2, 10)
        assert bar._bar is not None
        assert bar._bar.tasks[0].completed == 2


def test_a_bar_shows_any_name_as_it_is() -> None:
    times = iter([0.0, 5.0, 6.0])
    with Bar("[/red]", show=True, clock=lambda: next(times)) as bar:
        bar(1, 10)
        assert bar._bar is not None
        assert bar._bar.tasks[0].description == r"\[/red]"


def test_several_collections_without_a_usual_one_can_be_listed(
    mirror: HandMadeMirror,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("NBPIPE_MIRROR")
    monkeypatch.setenv("NBPIPE_SITE", str(tmp_path / "none.toml"))
    for name in ("cahiers-latest", "cuadernos-latest"):
        made = HandMadeMirror(tmp_path / f"srv-{name}", name)
        made.publish("aaa", {"x": name})
        Path(name).symlink_to(made.path / "current")
    assert main(["--list"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "collections",
        "  cahiers-latest    getlatest cahiers",
        "  cuadernos-latest  getlatest cuadernos",
    ]
    assert main(["--list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["collections"] == [
        "cahiers-latest",
        "cuadernos-latest",
    ]
    assert main([]) == 4
    assert "Say which: `getlatest cahiers`, `getlatest cuadernos`" in capsys.readouterr().err
    assert main(["cuadernos"]) == 0
    assert Path("cuadernos/x").read_text() == "cuadernos-latest"
    assert main(["--list", "--collection", "cahiers"]) == 0
    assert "  cahiers-latest    getlatest cahiers  (listed here)" in capsys.readouterr().out


def test_without_a_terminal_there_is_no_bar() -> None:
    times = iter([0.0, 5.0, 6.0])
    with Bar("copy", show=False, clock=lambda: next(times)) as bar:
        bar(1, 10)
        assert bar._bar is None
