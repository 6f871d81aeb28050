"""Wrong input: what happened, where, what to do next, and the exit code."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from nbpipe import cli
from nbpipe.cli import COMMANDS, test

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., tuple[int, str, str]]

NOTEBOOK = json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a collection with one notebook, in which the commands run."""
    folder = tmp_path / "collection"
    folder.mkdir()
    (folder / "first.ipynb").write_text(NOTEBOOK)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def run(root: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command and returns its code, output and errors."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = cli.run([*arguments])
        captured = capsys.readouterr()
        return int(code), captured.out, captured.err

    return call


def test_a_pattern_without_a_match_says_where_was_looked(run: Run, root: Path) -> None:
    code, out, err = run("test", "notebooks/*.ipynb")
    assert (code, out) == (5, "")
    assert err == (
        "nbpipe: no notebook was chosen\n"
        "  notebooks/*.ipynb matched no notebook\n"
        f"  It was looked for from {root}.\n"
    )


def test_one_of_several_patterns_without_a_match_is_told(run: Run, root: Path) -> None:
    (root / "empty").mkdir()
    code, out, err = run("test", "--list", "*.ipynb", "f*", "empty", "note*/*.ipynb")
    assert (code, "first.ipynb" in out) == (0, True)
    assert err == (
        "nbpipe: warning: empty matched no notebook\n"
        "nbpipe: warning: note*/*.ipynb matched no notebook\n"
    )


def test_a_pattern_that_matches_only_what_is_named_too_did_match(run: Run) -> None:
    assert run("test", "--list", "first.ipynb", "f*.ipynb")[2] == ""


def test_a_folder_without_notebooks_is_nothing_to_run(run: Run, root: Path) -> None:
    (root / "first.ipynb").unlink()
    code, _, err = run("test")
    assert code == 5
    assert "no notebook was chosen" in err


def test_exclusions_that_leave_nothing_are_named(run: Run) -> None:
    code, _, err = run("test", "--exclude", "first*")
    assert code == 5
    assert "first*" in err
    assert "A notebook that is named on its own runs even if it is excluded." in err


def test_reports_of_nothing_say_why(run: Run, root: Path) -> None:
    reports = ("--report", "json=r.json", "--report", "markdown=r.md")
    code, out, err = run("test", "--exclude", "first*", *reports)
    assert (code, out, "no notebook was chosen" in err) == (5, "", True)
    assert [*(root.parent / "state/nbpipe/runs").iterdir()] == []
    told = json.loads((root / "r.json").read_text())
    assert (told["summary"]["total"], told["notebooks"]) == (0, [])
    assert told["excluded"] == [{"path": "first.ipynb", "reason": "excluded by --exclude: first*"}]
    assert (root / "r.md").read_text().startswith("## ⏭️ nbpipe: no notebooks")


def test_an_empty_folder_that_was_named_for_the_output_stays(run: Run, root: Path) -> None:
    (root / "out").mkdir()
    assert run("test", "no*/*", "--output-dir", "out", "--report", "json")[0] == 5
    assert (root / "out").is_dir()


def test_the_list_of_nothing_writes_no_report(run: Run, root: Path) -> None:
    code, out, _ = run("test", "nothing/*", "--list", "--report", "json=r.json")
    assert (code, out, (root / "r.json").exists()) == (5, "", False)


def test_a_missing_file_is_named_with_the_nearest_one(run: Run) -> None:
    code, _, err = run("test", "frist.ipynb")
    assert code == 4
    assert err == "nbpipe: frist.ipynb: no such file or folder\n  Did you mean first.ipynb?\n"


def test_a_file_that_is_no_notebook_is_refused(run: Run, root: Path) -> None:
    (root / "data.csv").touch()
    code, _, err = run("test", "data.csv")
    assert code == 4
    assert "data.csv: not a notebook" in err
    assert "Notebooks end in .ipynb" in err


@pytest.mark.parametrize("arguments", [["--kernel", "nosuch"], ["--kernel-map", "python3=nosuch"]])
def test_an_unknown_kernel_is_told_with_the_installed_ones(run: Run, arguments: list[str]) -> None:
    code, out, err = run("test", *arguments)
    assert (code, out) == (4, "")
    assert "no kernel 'nosuch' is installed" in err
    assert re.search(r"\n  Installed: .*python3", err)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--nosuch"], "No such option --nosuch"),
        (["--jbos", "2"], "--jobs"),
        (["--jobs", "zero"], "'zero' is neither a number of at least 1 nor auto"),
        (["--jobs", "0"], "'0' is neither a number of at least 1 nor auto"),
        (["--timeout", "0"], "Invalid value for '--timeout': 0.0 is not in the range x>0"),
        (["--timeout", "long"], "Invalid value for '--timeout': 'long' is not a valid number"),
        (["--timeout", "nan"], "Invalid value for '--timeout': 'nan' is not a valid number"),
        (["--notebook-timeout", "-1"], "Invalid value for '--notebook-timeout'"),
        (["--output-limit", "0"], "Invalid value for '--output-limit'"),
        (["--retries", "-1"], "Invalid value for '--retries'"),
        (["--maxfail", "0"], "Invalid value for '--maxfail'"),
        (["--shard", "3/2"], "'3/2' is not I/N with I from 1 to N, such as 2/4"),
        (["--kernel-map", "a"], "'a' is not FROM=TO, such as desi-22.2=python3"),
        (["-p", "1x", "3"], "'1x' is not the name of a variable"),
        (["--missing-kernel", "x"], "'x' is not one of 'fail', 'skip'"),
        (["--flaky", "x"], "'x' is not one of 'pass', 'fail'"),
        (["--progress", "x"], "'x' is not one of 'auto', 'bar', 'plain', 'none'"),
        (["--color", "x"], "'x' is not one of 'auto', 'always', 'never'"),
    ],
)
def test_a_wrong_option_is_told_with_the_way_to_help(
    run: Run, arguments: list[str], said: str
) -> None:
    code, out, err = run("test", *arguments)
    assert (code, out) == (4, "")
    assert as_any_click(said) in as_any_click(err)
    assert err.startswith("nbpipe: ")
    assert err.endswith("\n  See `nbpipe test --help`.\n")


def as_any_click(text: str) -> str:
    """Return click's text without what its releases write each in their own way."""
    return text.replace("'", "").replace("option: ", "option ")


def test_an_unknown_command_is_told_with_the_way_to_help(run: Run) -> None:
    code, out, err = run("tset")
    assert (code, out) == (4, "")
    assert "No such command 'tset'. Did you mean 'test'?" in err
    assert err.endswith("\n  See `nbpipe --help`.\n")


def test_a_command_that_resembles_none_gets_no_advice(run: Run) -> None:
    code, _, err = run("frobnicate")
    assert code == 4
    assert "No such command 'frobnicate'.\n" in err


def test_no_command_at_all_shows_the_commands(run: Run) -> None:
    code, _, err = run()
    assert code == 4
    assert all(f"\n  {name} " in err for name in COMMANDS)


@pytest.mark.parametrize("expression", ["a and", "(a", "a b", "not"])
def test_an_expression_that_is_none_is_told(run: Run, expression: str) -> None:
    code, _, err = run("test", "-k", expression)
    assert code == 4
    assert f"-k {expression!r}: " in err
    assert "-k 'fits and not (slow or R)'" in err


def test_an_unknown_report_is_told_with_the_known_ones(run: Run) -> None:
    code, _, err = run("test", "--report", "pdf=a.pdf")
    assert code == 4
    assert "--report pdf=a.pdf: unknown report `pdf`" in err
    assert "Choose one of: console, junit, json" in err


def test_an_unknown_report_in_the_configuration_is_told_by_every_command(
    run: Run, root: Path
) -> None:
    (root / "nbpipe.toml").write_text('[test]\nreports = ["junit", "pdf=a.pdf"]')
    for command in ("config", "doctor", "test"):
        code, out, err = run(command)
        assert (code, out) == (4, "")
        assert (
            f"{root}/nbpipe.toml: a problem in the configuration\n  line 2: test.reports: " in err
        )
        assert "expected one of console, junit, json, html, markdown, github" in err


def test_a_name_that_is_none_is_told_in_words(run: Run, root: Path) -> None:
    (root / "nbpipe.toml").write_text(
        '[[collection]]\nname = "my notebooks"\norigin = "https://h/x"\nroot = "/srv"\n'
        '[spaces]\nname = "a/b"\n[test]\nmemory-budget = "lots"\n'
    )
    code, _, err = run("config")
    assert code == 4
    assert "regex" not in err
    assert (
        "  line 2: collection[0].name: expected at most 100 letters, digits and ._-, a letter or a"
        " digit first\n"
        "  line 6: spaces.name: expected the name of a file, without a slash\n"
        "  line 8: test.memory-budget: expected an amount of memory, such as 16G, 512M or 1.5T,"
        " or a share such as 80%\n"
    ) in err


@pytest.mark.parametrize(
    ("arguments", "resume", "patterns"),
    [
        (["--resume"], "latest", ()),
        (["--resume", "first.ipynb"], "latest", ("first.ipynb",)),
        (["--resume", "*.nb", "x"], "latest", ("*.nb", "x")),
        (["--resume", "sub"], "latest", ("sub",)),
        (["--resume", "latest", "sub"], "latest", ("sub",)),
        (["--resume", "20260131T12"], "20260131T12", ()),
        (["--resume", "20260131T120000-0af", "sub"], "20260131T120000-0af", ("sub",)),
        (["--resume=sub"], "sub", ()),
        (["--resume", "zz"], "zz", ()),
        (["--", "--resume", "sub"], None, ("--resume", "sub")),
    ],
)
def test_what_follows_resume_is_a_run_or_a_pattern(
    root: Path, arguments: list[str], resume: str | None, patterns: tuple[str, ...]
) -> None:
    (root / "sub").mkdir()
    parsed = test.command.make_context("test", arguments).params
    assert (parsed["resume"], parsed["patterns"]) == (resume, patterns)


def test_a_report_in_a_place_that_is_a_file_is_refused_before_the_run(run: Run, root: Path) -> None:
    (root / "file").touch()
    code, out, err = run("test", "--report", "json=file/report.json")
    assert (code, out) == (4, "")
    assert f"{root}/file/report.json: the report cannot be written" in err


@pytest.mark.parametrize("option", ["--prerun", "--parameters-file", "--config"])
def test_a_file_that_an_option_names_and_that_is_gone_is_told(run: Run, option: str) -> None:
    code, out, err = run("test", option, "gone.py")
    assert (code, out) == (4, "")
    assert "gone.py: cannot be read: No such file or directory" in err


@pytest.mark.parametrize(("text", "said"), [("a: [", "is not YAML"), ("[1]", "is not a mapping")])
def test_a_parameters_file_that_is_none_is_told(run: Run, root: Path, text: str, said: str) -> None:
    (root / "p.yaml").write_text(text)
    code, _, err = run("test", "--parameters-file", "p.yaml")
    assert code == 4
    assert f"--parameters-file p.yaml: {said}" in err


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("alpha: !!set {1, 2}", "alpha is of the type set"),
        ("alpha: {1: x, b: y}", "alpha has keys that are not text (int, str)"),
        ("alpha: &a [*a]", "alpha[0] holds itself"),
        ("alpha: !!binary aGk=", "alpha is of the type bytes"),
    ],
)
def test_a_parameter_that_cannot_be_injected_is_refused(
    run: Run, root: Path, text: str, why: str
) -> None:
    (root / "p.yaml").write_text(text)
    code, out, err = run("test", "--parameters-file", "p.yaml")
    assert (code, out) == (4, "")
    assert f"--parameters-file p.yaml: parameter 'alpha' cannot be injected: {why}" in err


def test_a_name_in_a_parameters_file_is_a_variables(run: Run, root: Path) -> None:
    (root / "p.yaml").write_text("two words: 1")
    code, _, err = run("test", "--parameters-file", "p.yaml")
    assert code == 4
    assert "parameter 'two words' is not the name of a variable" in err


def test_an_output_directory_with_other_files_is_refused(run: Run, root: Path) -> None:
    (root / "out").mkdir()
    (root / "out/thesis.tex").touch()
    code, out, err = run("test", "--output-dir", "out")
    assert (code, out) == (4, "")
    assert f"the output directory {root}/out is not empty, and no run of nbpipe made it" in err
    assert [each.name for each in (root / "out").iterdir()] == ["thesis.tex"]


def test_an_output_directory_that_holds_the_sources_is_refused(run: Run, root: Path) -> None:
    code, out, err = run("test", "--output-dir", ".")
    assert (code, out) == (4, "")
    assert f"the output directory {root} is not empty" in err
    assert (root / "first.ipynb").read_text() == NOTEBOOK


def test_sources_are_not_overwritten_even_in_a_folder_that_a_run_made(run: Run, root: Path) -> None:
    (root / ".nbpipe-run.json").write_text("{}")
    code, out, err = run("test", "--output-dir", ".")
    assert (code, out) == (4, "")
    assert f"the executed copy of first.ipynb would overwrite its source in {root}" in err
    assert (root / "first.ipynb").read_text() == NOTEBOOK


def test_an_output_directory_that_is_a_file_is_refused(run: Run) -> None:
    code, _, err = run("test", "--output-dir", "first.ipynb/out")
    assert code == 4
    assert "first.ipynb/out cannot be written: Not a directory" in err


@pytest.mark.parametrize("command", ["test", "doctor", "config"])
def test_all_problems_of_the_configuration_are_told_by_every_command(
    run: Run, root: Path, command: str
) -> None:
    (root / "nbpipe.toml").write_text("[test]\ntimeot = 1\nretries = 'x'")
    code, out, err = run(command)
    assert (code, out) == (4, "")
    assert err == (
        f"nbpipe: {root}/nbpipe.toml: 2 problems in the configuration\n"
        "  line 2: test.timeot: unknown key; did you mean `timeout`?\n"
        "  line 3: test.retries: expected a whole number, got text\n"
        "  Nothing was run. `nbpipe config --keys` describes every key.\n"
    )


def test_broken_toml_is_told_with_its_line(run: Run, root: Path) -> None:
    (root / "nbpipe.toml").write_text("[test]\ntimeout = \n")
    code, _, err = run("test")
    assert code == 4
    assert f"{root}/nbpipe.toml: is not TOML" in err
    assert "line 2" in err


def test_a_traceback_is_shown_only_with_debug(run: Run) -> None:
    assert "Traceback" not in run("test", "gone.ipynb")[2]
    code, _, err = run("test", "--debug", "gone.ipynb")
    assert code == 4
    assert err.startswith("Traceback (most recent call last):")
    last = "nbpipe: gone.ipynb: no such file or folder\n"
    assert last in err[err.index("nbpipe.errors.UsageError: ") :]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--parameter", "n"], "Option '--parameter' requires 2 arguments"),
        (["--timeout"], "Option '--timeout' requires an argument"),
    ],
)
def test_an_option_without_its_value_is_told(run: Run, arguments: list[str], said: str) -> None:
    code, out, err = run("test", *arguments)
    assert (code, out) == (4, "")
    assert said in err


def test_a_report_that_cannot_be_made_takes_no_other_away(
    run: Run, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("nbpipe.reports.junit.JunitReporter.report", stumble)
    code, out, err = run(
        "test", "first.ipynb", *("--report", "junit=j.xml", "--report", "json=r.json")
    )
    assert code == 3
    assert "1 passed" in out
    assert "the junit report could not be made: ZeroDivisionError" in err
    assert "The other reports are complete." in err
    assert json.loads((root / "r.json").read_text())["summary"]["passed"] == 1
    assert not (root / "j.xml").exists()


def test_debug_changes_nothing_about_a_failing_notebook(run: Run, root: Path) -> None:
    (root / "empty.ipynb").touch()
    code, out, _ = run("test", "--debug", "empty.ipynb")
    assert (code, "run it again:  nbpipe test empty.ipynb" in out) == (1, True)


def test_our_own_mistake_is_told_as_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("nbpipe.collecting.plan", broken)
    code, _, err = run("test")
    assert code == 3
    assert (
        err
        == "nbpipe: internal error: ZeroDivisionError: oh\n  Report it, with --debug's output.\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["first.ipynb"], "bisect needs to know where the notebook passes"),
        (["first.ipynb", "--environment", "a", "b", "--good", "x"], "combined with --good"),
        (["first.ipynb", "--environment", "a", "b", "--bad", "x"], "combined with --bad"),
        (["first.ipynb", "--environment", "a"], "requires 2 arguments"),
        (["../first.ipynb", "--environment", "a", "b"], "lies outside of the collection"),
        (["second.ipynb", "--environment", "a", "b"], "second.ipynb: no such file or folder"),
        (["first.ipynb", "--environment", "a", "b"], "a: cannot be read: No such file"),
        (["first.ipynb", "--environment", "one.txt", "loose.txt"], "loose.txt:2: numpy>=1: is not"),
        (["first.ipynb", "--environment", "one.txt", "one.txt"], "pin the same versions"),
    ],
)
def test_bisect_says_what_it_needs(run: Run, root: Path, words: list[str], said: str) -> None:
    (root / "one.txt").write_text("numpy==1\n")
    (root / "loose.txt").write_text("six==1\nnumpy>=1\n")
    code, out, err = run("bisect", *words)
    assert (code, out) == (4, "")
    assert said in err


@pytest.mark.parametrize("kind", ["json", "junit", "markdown", "console", "github"])
def test_a_report_never_replaces_a_notebook(run: Run, root: Path, kind: str) -> None:
    (root / "other.ipynb").write_text(NOTEBOOK)
    code, out, err = run("test", "first.ipynb", "--report", f"{kind}=other.ipynb")
    assert (code, out) == (4, "")
    assert err == (
        f"nbpipe: {root}/other.ipynb: the report cannot be written: "
        "it is a notebook, which no report replaces\n"
        "  Name another place with --report KIND=PATH.\n"
    )
    assert (root / "other.ipynb").read_text() == NOTEBOOK


@pytest.mark.parametrize("name", ["link.json", "nbpipe.toml", "prerun.py"])
def test_a_report_never_replaces_what_the_run_reads(run: Run, root: Path, name: str) -> None:
    (root / "link.json").symlink_to("first.ipynb")
    (root / "nbpipe.toml").write_text('[test]\nprerun = ["prerun.py"]\n')
    (root / "prerun.py").write_text("pass\n")
    code, _, err = run("test", "first.ipynb", "--report", f"json={name}")
    assert code == 4
    assert "the report cannot be written: " in err
    assert (root / "first.ipynb").read_text() == NOTEBOOK
    assert (root / "nbpipe.toml").read_text() == '[test]\nprerun = ["prerun.py"]\n'
    assert (root / "prerun.py").read_text() == "pass\n"


@pytest.mark.parametrize(
    "words",
    [
        ["history"],
        ["show"],
        ["profiles"],
        ["doctor"],
        ["config"],
        ["publish"],
        ["serve"],
        ["release", "list"],
        ["space", "check"],
        *(
            ["reference", word]
            for word in ("status", "wait", "collect", "compare", "list", "show", "cancel")
        ),
    ],
)
def test_a_configuration_that_is_not_there_is_told_by_every_command(
    run: Run, tmp_path: Path, words: list[str]
) -> None:
    missing = tmp_path / "none.toml"
    code, _, err = run(*words, "--config", str(missing))
    assert code == 4
    assert err.startswith(f"nbpipe: {missing}: cannot be read: No such file or directory\n")


def test_two_reports_cannot_be_one_file(run: Run, root: Path) -> None:
    code, out, err = run("test", "--report", "json=r", "--report", f"junit={root}/r")
    assert (code, out) == (4, "")
    assert err.startswith(f"nbpipe: {root}/r: the report cannot be written: the json report goes")
    assert not (root / "r").exists()
