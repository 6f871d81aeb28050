"""A problem in a configuration says in which line its key stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nbpipe import config
from nbpipe.config.lines import nearest, places
from nbpipe.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

FILE = '''# a comment = 1
[test]
timeout = 5
"retries" = 2
exclude = [
  "a = b",  # no key
  "]",
]
groups.slow = ["x"]

[[test.overrides]]
paths = ["a"]

[[test.overrides]]
paths = ["b"]
skip = """
not = "a key"
"""

[profiles."a.b"]
memory = "1G"
[[reference.desi.columns]]
name = "x"
[[reference.desi.columns]]
name = "y"
[reference.desi.columns.more]
deep = {inner = 1}
'''


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("test", 2),
        ("test.timeout", 3),
        ("test.retries", 4),
        ("test.exclude", 5),
        ("test.groups.slow", 9),
        ("test.overrides[0]", 11),
        ("test.overrides[0].paths", 12),
        ("test.overrides[1].paths", 15),
        ("test.overrides[1].skip", 16),
        ("profiles.a.b.memory", 21),
        ("reference.desi.columns[1].name", 25),
        ("reference.desi.columns[1].more.deep", 27),
    ],
)
def test_a_key_has_its_line(key: str, line: int) -> None:
    assert places(FILE)[key] == line


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("test.overrides[1].gone", 14),
        ("reference.desi.columns[1].more.deep.inner", 27),
        ("test.exclude[2]", 5),
        ("gone.key", None),
    ],
)
def test_what_has_no_line_has_that_of_what_holds_it(key: str, line: int | None) -> None:
    assert nearest(places(FILE), key) == line


def test_a_pyproject_is_named_from_our_table() -> None:
    text = "[project]\nname = 'x'\n[tool.nbpipe.test]\njobs = 0\n"
    assert places(text, below="tool.nbpipe") == {"test": 3, "test.jobs": 4}


def test_the_message_names_each_line(tmp_path: Path) -> None:
    file = tmp_path / "nbpipe.toml"
    file.write_text("[test]\njobs = 0\n\ntimout = 3\n[[test.overrides]]\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        config.load(tmp_path)
    told = str(caught.value)
    assert "  line 2: test.jobs: " in told
    assert "  line 4: test.timout: unknown key; did you mean `timeout`?" in told
    assert "  line 5: test.overrides[0]: `paths` is missing" in told


def test_a_value_that_never_ends_takes_no_time() -> None:
    text = "[test]\na = [" + '"x",\n' * 3_000
    assert places(text)["test.a"] == 2
