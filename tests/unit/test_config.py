from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from nbpipe import config
from nbpipe.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def load(folder: Path, text: str, name: str = "nbpipe.toml") -> config.Config:
    (folder / name).write_text(text)
    return config.load(folder)


def problems(folder: Path, text: str, name: str = "nbpipe.toml") -> list[str]:
    """Return the lines about problems in a file with that text."""
    with pytest.raises(ConfigError) as caught:
        load(folder, text, name)
    assert str(folder / name) in str(caught.value)
    told = [line.strip() for line in str(caught.value).splitlines()[1:-1]]
    return [re.sub(r"^line \d+: ", "", line) for line in told]


def test_without_a_file_everything_is_a_default(tmp_path: Path) -> None:
    found = config.load(tmp_path)
    assert found.file is None
    assert found.root == tmp_path
    assert found.given == frozenset()
    assert found.settings.test.timeout == 600
    assert found.settings.test.jobs == "auto"
    assert found.settings.test.missing_kernel == "fail"


def test_a_link_to_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "nbpipe.toml").symlink_to("gone.toml")
    with pytest.raises(ConfigError, match=r"nbpipe.toml: cannot be read: No such file"):
        config.load(tmp_path)


def test_the_nearest_file_upwards_holds_and_its_folder_is_the_root(tmp_path: Path) -> None:
    inner = tmp_path / "a/b/c"
    inner.mkdir(parents=True)
    (tmp_path / "nbpipe.toml").write_text("[test]\njobs = 3")
    (tmp_path / "a/b/nbpipe.toml").write_text("[test]\njobs = 4")
    found = config.load(inner)
    assert found.root == tmp_path / "a/b"
    assert found.settings.test.jobs == 4
    assert found.given == {"test", "test.jobs"}


def test_a_table_in_pyproject_is_as_good(tmp_path: Path) -> None:
    found = load(tmp_path, "[tool.nbpipe.test]\njobs = 3", "pyproject.toml")
    assert found.settings.test.jobs == 3
    assert found.file == tmp_path / "pyproject.toml"


def test_nbpipe_toml_comes_before_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.nbpipe.test]\njobs = 3")
    assert load(tmp_path, "[test]\njobs = 4").settings.test.jobs == 4


@pytest.mark.parametrize("text", ["", "[project]\nname = 'x'", "tool = 3", "[tool.ruff]"])
def test_somebody_elses_pyproject_is_passed_over(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text, "pyproject.toml").file is None


def test_a_file_that_is_named_is_read_instead(tmp_path: Path) -> None:
    (tmp_path / "nbpipe.toml").write_text("[test]\njobs = 3")
    (tmp_path / "else").mkdir()
    other = tmp_path / "else/ci.toml"
    other.write_text("[test]\njobs = 5")
    found = config.load(tmp_path, file=other)
    assert found.settings.test.jobs == 5
    assert found.root == tmp_path / "else"


def test_keys_with_dashes_lists_and_tables_are_read(tmp_path: Path) -> None:
    test = load(
        tmp_path,
        """
[test]
include = ["notebooks/**"]
missing-kernel = "skip"
kernel-map = {"desi 22" = "python3"}
timeout = 60
parameters = {n = 3}
[[test.overrides]]
paths = ["slow/"]
timeout = 1800.5
""",
    ).settings.test
    assert test.include == ("notebooks/**",)
    assert test.missing_kernel == "skip"
    assert test.kernel_map == {"desi 22": "python3"}
    assert test.timeout == 60
    assert test.parameters == {"n": 3}
    assert test.overrides[0].paths == ("slow/",)
    assert test.overrides[0].timeout == 1800.5


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("timeot = 1", "test.timeot: unknown key; did you mean `timeout`?"),
        ("Output_Dir = 'x'", "test.Output_Dir: unknown key; did you mean `output-dir`?"),
        ('jobs = "many"', "test.jobs: expected a whole number or \"auto\", got 'many'"),
        ("jobs = 1.5", 'test.jobs: expected a whole number or "auto", got a number'),
        ("jobs = 0", "test.jobs: expected a whole number >= 1"),
        ('missing-kernel = "x"', "test.missing-kernel: expected \"fail\" or \"skip\", got 'x'"),
        ("retries = 'x'", "test.retries: expected a whole number, got text"),
        ("retries = -1", "test.retries: expected a whole number >= 0"),
        ("kernel = 1", "test.kernel: expected text, got a whole number"),
        ("timeout = '1'", "test.timeout: expected a number, got text"),
        ("timeout = true", "test.timeout: expected a number, got true or false"),
        ("grace = -1", "test.grace: expected a number > 0.0"),
        ("include = 'a'", "test.include: expected a list, got text"),
        ("exclude = ['a', 1]", "test.exclude: expected text, got a whole number at [1]"),
        (
            "kernel-map = {a = 1}",
            "test.kernel-map: expected text, got a whole number for a value in it",
        ),
        ("parameters = 1", "test.parameters: expected a table, got a whole number"),
        ("all-errors = 1", "test.all-errors: expected true or false, got a whole number"),
        ("overrides = 1", "test.overrides: expected a list, got a whole number"),
        ("overrides = [1]", "test.overrides[0]: expected a table, got 1"),
        ("overrides = [{retries = 1}]", "test.overrides[0]: `paths` is missing"),
        (
            "overrides = [{paths = ['a']}, {paths = ['b'], skip = 1}]",
            "test.overrides[1].skip: expected text, got a whole number",
        ),
    ],
)  # fmt: skip
def test_a_problem_names_its_key_and_what_is_right(tmp_path: Path, text: str, problem: str) -> None:
    assert problems(tmp_path, f"[test]\n{text}") == [problem]


def test_an_unknown_table_with_no_near_name_lists_the_known_ones(tmp_path: Path) -> None:
    known = "check, collection, github, history, new, notify, profiles, reference, spaces, test"
    told = f"qqqqqq: unknown key; known here: {known}, webhook"
    assert problems(tmp_path, "[qqqqqq]") == [told]


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    text = "[test]\ntimeot = 1\nretries = 'x'\n[tset]\n[[test.overrides]]\nskip = 1"
    assert problems(tmp_path, text) == [
        "test.timeot: unknown key; did you mean `timeout`?",
        "test.retries: expected a whole number, got text",
        "test.overrides[0].skip: expected text, got a whole number",
        "test.overrides[0]: `paths` is missing",
        "tset: unknown key; did you mean `test`?",
    ]


def test_a_table_of_pyproject_that_is_none_is_a_problem(tmp_path: Path) -> None:
    assert problems(tmp_path, "[tool]\nnbpipe = 3", "pyproject.toml") == [
        "tool.nbpipe: expected a table, got 3"
    ]


def test_broken_toml_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nbpipe.toml: is not TOML: .*at line 2, column 11"):
        load(tmp_path, "[test]\ntimeout = \n")


def test_another_encoding_is_told(tmp_path: Path) -> None:
    (tmp_path / "nbpipe.toml").write_bytes("# é".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"nbpipe.toml: is not UTF-8 text") as caught:
        config.load(tmp_path)
    assert caught.value.hint == "Save it as UTF-8."


def test_a_named_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.toml: cannot be read: No such file"):
        config.load(tmp_path, file=tmp_path / "none.toml")


def test_a_reference_is_a_table_of_its_own_name(tmp_path: Path) -> None:
    text = """
    [reference.minitest]
    outputs = ["*.fits"]
    keys = ["TARGETID"]
    [[reference.minitest.columns]]
    names = ["Z"]
    absolute = 1e-4
    [[reference.minitest.expected]]
    paths = ["zcat.fits"]
    until = 2026-12-31
    reason = "a known bias"
    """
    (found,) = load(tmp_path, text).settings.reference.items()
    name, reference = found
    assert (name, reference.outputs, reference.keys) == ("minitest", ("*.fits",), ("TARGETID",))
    assert reference.columns[0].absolute == 1e-4
    assert reference.expected[0].until.isoformat() == "2026-12-31"


def test_what_is_wrong_in_a_named_table_is_named_with_it(tmp_path: Path) -> None:
    text = """
    [reference.a]
    output = ["x"]
    [reference."../up"]
    [[reference.b.expected]]
    paths = ["x"]
    until = "soon"
    reason = "r"
    """
    unknown, name, date = problems(tmp_path, text)
    assert unknown == "reference.a.output: unknown key; did you mean `outputs`?"
    assert name.startswith("reference.../up: expected at most 100 letters, digits")
    assert date.startswith("reference.b.expected[0].until: ")


def test_a_reference_that_is_no_table_is_refused(tmp_path: Path) -> None:
    assert problems(tmp_path, "reference = 3") == [
        "reference: expected a table for each name, got 3"
    ]
