"""The command line of getlatest: what it prints, how it ends, how fast it starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nbpipe.cli.copy_report import report_lines
from nbpipe.cli.getlatest import Bar, main
from nbpipe.publishing.copies.report import Report
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
        "  1 deleted upstream, kept here",
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
        "    01_Intro: is no folder (a link or a file of yours); 2 files below it not updated"
        in capsys.readouterr().out.splitlines()
    )


def test_json_names_everything(mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]) -> None:
    main(["copy", "--only", "README.md", "--json"])
    table = json.loads(capsys.readouterr().out)
    assert (table["format"], table["added"], table["new_folder"]) == (1, ["README.md"], True)
    assert table["release"] == "aaa".ljust(40, "0")


def test_list_shows_folders_and_releases(
    mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror.publish("bbb", {"x/one.ipynb": "1"})
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("notebooks-latest: release bbb000000000, from ")
    assert lines[1:4] == ["folders", "  x/  1 notebook, 1 file", "releases"]
    assert sorted(lines[4:]) == ["  aaa" + "0" * 37, "  bbb" + "0" * 37 + "  current"]
    assert list(Path.cwd().iterdir()) == []


def test_list_as_json(mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert table["folders"] == [
        {"path": ".", "files": 1, "notebooks": 0},
        {"path": "01_Intro", "files": 2, "notebooks": 1},
    ]
    assert table["releases"] == [{"commit": "aaa".ljust(40, "0"), "current": True}]


def test_restore_without_a_value_is_everything(mirror: HandMadeMirror) -> None:
    main(["copy"])
    Path("copy/README.md").unlink()
    assert main(["copy", "--restore"]) == 0
    assert Path("copy/README.md").read_text() == "3"


def test_restore_of_what_is_no_file_is_wrong_usage(
    mirror: HandMadeMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--restore", "copy"]) == 4
    assert "--restore copy: there is no such folder or file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--nonsense"], "No such option"),
        (["a", "b"], "unexpected extra argument"),
        (["--only", "nope"], "--only nope: there is no such folder or file in this release"),
        (["--release", "fff"], "--release fff: no such release"),
        (["--from", "/nowhere"], "--from /nowhere: is no mirror and no release"),
        (["--from", "ext::sh -c id"], "--from ext::sh -c id: is no mirror and no release"),
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
        "g.main(['copy']); print([n for n in ('rich', 'nbformat', 'git') if n in sys.modules])"
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


def test_without_a_terminal_there_is_no_bar() -> None:
    times = iter([0.0, 5.0, 6.0])
    with Bar("copy", show=False, clock=lambda: next(times)) as bar:
        bar(1, 10)
        assert bar._bar is None
