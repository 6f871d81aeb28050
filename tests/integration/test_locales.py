"""Names and texts beyond ASCII, under locales that cannot write them."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ondisk import Collection

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
NAMES = (
    "é.ipynb".encode(),
    "Ordner→/ü.ipynb".encode(),
    b"bad\xff.ipynb",
    b"new\nline.ipynb",
    b"quote'\".ipynb",
    b"n" * 249 + b".ipynb",
    "é".encode() * 124 + b".ipynb",
)


def named(collection: Collection, name: bytes, source: str) -> None:
    """Write a notebook under a name of any bytes."""
    file = os.fsencode(collection.root) + b"/" + name
    os.makedirs(os.path.dirname(file), exist_ok=True)  # noqa: PTH103, PTH120
    os.rename(collection.notebook("made.ipynb", source), file)  # noqa: PTH104


def again(out: bytes) -> list[bytes]:
    """Return the words after `nbpipe test` of the command to run it again, to a shell."""
    [line] = [each for each in out.splitlines() if b"run it again" in each]
    script = b"printf '%s\\0' " + line.partition(b"nbpipe test ")[2]
    said = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    return said.stdout.split(b"\0")[:-1]


def test_any_name_runs_and_is_reported_under_an_ascii_locale(collection: Collection) -> None:
    for name in NAMES:
        named(collection, name, "print('é→')")
    collection.environ |= ASCII
    kinds = ("html", "junit", "markdown", "github")
    reports = [word for kind in kinds for word in ("--report", f"{kind}=made/{kind}")]
    ended = collection.test(*reports, "--progress", "plain")
    assert (ended.code, "internal error" in ended.err) == (0, False), ended.err
    assert ended.report is not None
    assert {each["outcome"] for each in ended.report["notebooks"]} == {"passed"}
    assert {"é.ipynb", "Ordner→/ü.ipynb", "bad\\xff.ipynb"} <= {
        each["path"] for each in ended.report["notebooks"]
    }
    for each in ended.report["notebooks"]:
        assert (collection.output_dir / each["executed"]).is_file()
    assert sorted(path.name for path in (collection.root / "made").iterdir()) == sorted(kinds)


def test_names_of_the_configuration_are_those_on_the_disk(collection: Collection) -> None:
    for name in ("é.ipynb", "ü.ipynb", "ö/a.ipynb"):
        named(collection, name.encode(), "assert ready")
    (collection.root / "pré.py").write_text("ready = 1\n")
    (collection.root / "nbpipe.toml").write_text(
        '[test]\nexclude = ["é.ipynb"]\nprerun = ["pré.py"]\nreports = ["markdown=à/b.md"]\n'
        '[[test.overrides]]\npaths = ["ö/"]\nskip = "später"\n',
        encoding="utf-8",
    )
    collection.environ |= ASCII
    ended = collection.test()
    assert ended.report is not None, ended.err
    outcomes = {each["path"]: each["outcome"] for each in ended.report["notebooks"]}
    assert outcomes == {"ü.ipynb": "passed", "ö/a.ipynb": "skipped"}
    assert [each["path"] for each in ended.report["excluded"]] == ["é.ipynb"]
    assert (collection.root / "à/b.md").is_file()
    ended = collection.test("-k", "ü")
    assert [each["path"] for each in (ended.report or {})["notebooks"]] == ["ü.ipynb"]


@pytest.mark.parametrize("locale", ["C", "de_DE.ISO-8859-1"])
def test_the_command_to_run_it_again_names_the_file_in_every_locale(
    collection: Collection, tmp_path: Path, locale: str, need: Callable[[bool, str], None]
) -> None:
    if locale != "C":
        need(shutil.which("localedef") is not None, "localedef")
        made = tmp_path / "locales"
        made.mkdir()
        command = shlex.split(f"localedef -i de_DE -f ISO-8859-1 {made / locale}")
        subprocess.run(command, check=False, capture_output=True)
        need((made / locale).exists(), "the source of the locale de_DE")
        collection.environ["LOCPATH"] = str(made)
    collection.environ |= {**ASCII, "LC_ALL": locale}
    named(collection, "pfeil→ä.ipynb".encode(), "1/0")
    done = subprocess.run(
        collection.command(),
        cwd=collection.root,
        env=collection.environment,
        capture_output=True,
        timeout=300,
        check=False,
    )
    [name] = again(done.stdout)
    assert os.path.exists(os.fsencode(collection.root) + b"/" + name)  # noqa: PTH110
