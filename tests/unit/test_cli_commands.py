"""The commands: help with examples, versions, colours, and what `config` and `--list` show."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
import pytest

from nbpipe import __version__, cli
from nbpipe.cli import COMMANDS, nbpipe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., tuple[int, str, str]]

NOTEBOOK = json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a collection with one notebook, in which the commands run."""
    (tmp_path / "first.ipynb").write_text(NOTEBOOK)
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def run(root: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command and returns its code, output and errors."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = cli.run([*arguments])
        captured = capsys.readouterr()
        return int(code), captured.out, captured.err

    return call


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_command_has_help_with_an_example(run: Run, command: str, option: str) -> None:
    code, out, err = run(command, option)
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: nbpipe {command} ")
    assert "Example" in out
    assert f" nbpipe {command}" in out.partition("Example")[2]


def leaves() -> list[list[str]]:
    """Return every command that is no group, as words."""
    context = click.Context(nbpipe)
    found = []
    for name in COMMANDS:
        command = nbpipe.get_command(context, name)
        inner = command.commands if isinstance(command, click.Group) else {}
        found += [[name, each] for each in inner] or [[name]]
    return found


@pytest.mark.parametrize("words", leaves(), ids=" ".join)
def test_every_command_takes_a_configuration_and_debug(run: Run, words: list[str]) -> None:
    out = run(*words, "--help")[1]
    assert "Example" in out
    assert "--config " in out
    assert "--debug " in out


def test_the_help_lists_every_command_with_an_example(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert "Example: nbpipe test 'notebooks/**/*.ipynb'" in out
    assert [name for name in COMMANDS if f"\n  {name} " not in out] == []


def test_the_version_is_shown(run: Run) -> None:
    assert run("--version") == (0, f"nbpipe, version {__version__}\n", "")


@pytest.mark.parametrize(
    ("environ", "arguments", "colored"),
    [
        ({}, [], False),
        ({}, ["--color", "always"], True),
        ({"FORCE_COLOR": "1"}, [], True),
        ({"FORCE_COLOR": "1"}, ["--color", "never"], False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, [], False),
        ({"NO_COLOR": "1"}, ["--color", "always"], True),
        ({"NO_COLOR": ""}, ["--color", "always"], True),
        ({"FORCE_COLOR": ""}, [], False),
    ],
)
def test_colours_are_shown_where_they_are_wanted(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
    arguments: list[str],
    colored: bool,  # noqa: FBT001  (a column of the table above)
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    code, out, _ = run("test", "--list", *arguments)
    assert code == 0
    assert "first.ipynb" in out
    assert ("\x1b[" in out) is colored


def test_config_shows_every_setting_with_its_origin(run: Run, root: Path) -> None:
    (root / "nbpipe.toml").write_text("[test]\njobs = 3\n[[test.overrides]]\npaths = ['a']")
    code, out, _ = run("config")
    assert code == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[:2] == [f"# root: {root}", f"# file: {root}/nbpipe.toml"]
    assert "jobs = 3 # nbpipe.toml" in lines
    assert "timeout = 600.0 # default" in lines
    assert "# kernel is not set # default" in lines
    override = lines.index("[[test.overrides]]")
    assert lines[override + 1] == 'paths = ["a"] # nbpipe.toml'
    assert "port = 8080 # default" in lines


def test_what_config_shows_is_a_configuration_of_the_same_meaning(run: Run, root: Path) -> None:
    text = '[test]\njobs = 3\nkernel-map = {"a b" = "c"}\n[[test.overrides]]\npaths = ["a"]'
    (root / "nbpipe.toml").write_text(text)
    shown = run("config")[1]
    first = json.loads(run("config", "--json")[1])
    (root / "nbpipe.toml").write_text(shown)
    second = json.loads(run("config", "--json")[1])
    assert [each["value"] for each in first["settings"]] == [
        each["value"] for each in second["settings"]
    ]
    assert first["overrides"] == second["overrides"] == [{"paths": ["a"]}]


def test_config_without_a_file_says_so(run: Run, root: Path) -> None:
    out = run("config")[1]
    assert out.startswith(f"# root: {root}\n# file: none; everything is a default\n")


def test_config_as_json_names_the_origin_of_each_key(run: Run, root: Path) -> None:
    (root / "pyproject.toml").write_text("[tool.nbpipe.test]\njobs = 3")
    code, out, _ = run("config", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["format"] == 1
    assert document["root"] == str(root)
    settings = {each["key"]: (each["value"], each["origin"]) for each in document["settings"]}
    assert settings["test.jobs"] == (3, str(root / "pyproject.toml"))
    assert settings["test.retries"] == (0, "default")
    assert settings["test.kernel"] == (None, "default")


def test_config_reads_the_file_that_is_named(run: Run, root: Path) -> None:
    (root / "ci.toml").write_text("[test]\njobs = 7")
    assert "\njobs = 7" in run("config", "--config", "ci.toml")[1]


def test_the_keys_are_described_even_where_the_file_is_broken(run: Run, root: Path) -> None:
    (root / "nbpipe.toml").write_text("[")
    code, out, err = run("config", "--keys")
    assert (code, err) == (0, "")
    assert "\n[test]\n" in out
    assert (
        "\n  timeout  (number, more than 0; default: 600.0)\n      Seconds for one cell.\n" in out
    )
    assert "\n[[test.overrides]]\n  paths  (list of text, not empty; required)\n" in out


def test_the_keys_are_described_to_programs(run: Run) -> None:
    (jobs,) = (
        k for k in json.loads(run("config", "--keys", "--json")[1])["keys"] if k["key"] == "jobs"
    )
    assert jobs == {
        "table": "test",
        "key": "jobs",
        "type": 'whole number, at least 1 or "auto"',
        "required": False,
        "default": "auto",
        "meaning": "Number of notebooks to run in parallel (auto: one per core).",
    }


def test_an_empty_shard_passes_and_writes_its_reports(
    run: Run, root: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    code, out, _ = run("test", "--shard", "2/2", "--report", "json=report.json")
    assert (code, out.splitlines()[-1].partition(" in ")[0]) == (0, "no notebooks")
    report = json.loads((root / "report.json").read_text())
    assert report["notebooks"] == []
    assert report["excluded"] == [{"path": "first.ipynb", "reason": "in another shard (1/2)"}]


def test_the_list_is_aligned_whatever_script_a_name_is_in(run: Run, root: Path) -> None:
    (root / "星図.ipynb").write_text(NOTEBOOK)
    (root / "é\u0301tude.ipynb").write_text(NOTEBOOK)
    lines = run("test", "--list", "--color", "never")[1].splitlines()
    assert [line[7:] for line in lines if line.endswith("  python3")] == [
        "first.ipynb  python3",
        "é\u0301tude.ipynb  python3",
        "星図.ipynb   python3",
    ]
