"""What stands in lock files, and how two of them differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nbpipe.bisecting import locks
from nbpipe.bisecting.recalled import Recalled
from nbpipe.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

MARKERS = {"python_version": "3.11", "sys_platform": "linux", "extra": ""}
COMMIT = "0123456789" * 4
PYLOCK = 'lock-version = "1.0"\ncreated-by = "a test"\n'


def lock(folder: Path, text: str, name: str = "lock.txt") -> locks.Lock:
    file = folder / name
    file.write_text(text)
    return locks.read(file, MARKERS)


def versions(found: locks.Lock) -> dict[str, str]:
    return {name: pin.version for name, pin in found.pins.items()}


def test_what_pip_freeze_writes_is_read(tmp_path: Path) -> None:
    text = f"""# frozen
Jinja2==3.1.4
typing_extensions==4.12.0   # why not
own @ git+https://example.org/own@{COMMIT}
-e git+https://example.org/it@{COMMIT}#egg=It_Too&subdirectory=x
local===1.0+weird~
"""
    assert versions(lock(tmp_path, text)) == {
        "jinja2": "3.1.4",
        "typing-extensions": "4.12.0",
        "own": f"git+https://example.org/own@{COMMIT}",
        "it-too": f"git+https://example.org/it@{COMMIT}",
        "local": "1.0+weird~",
    }


def test_hashes_markers_and_continued_lines_are_read(tmp_path: Path) -> None:
    text = """--index-url https://example.org/simple
numpy==1.26.4 ; python_version >= "3.9" \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via scipy
colorama==0.4.6 ; sys_platform == 'win32'
requests[socks]==2.32
"""
    found = lock(tmp_path, text)
    assert versions(found) == {"numpy": "1.26.4", "requests": "2.32"}
    assert found.pins["numpy"].hashes == ("sha256:aa", "sha256:bb")
    assert found.pins["numpy"].requirement == "numpy==1.26.4"
    assert found.options == ("--index-url https://example.org/simple",)


def test_a_folder_of_wheels_beside_the_lock_file_is_found_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    found = lock(tmp_path, "--no-index\n--find-links wheels\n")
    assert found.options == ("--no-index", f"--find-links {tmp_path / 'wheels'}")


def test_a_pylock_is_read(tmp_path: Path) -> None:
    text = f"""{PYLOCK}
[[packages]]
name = "numpy"
version = "2.0.0"
marker = "python_version >= '3.9'"
sdist = {{url = "https://example.org/numpy-2.0.0.tar.gz", hashes = {{sha256 = "bb"}}}}
[[packages.wheels]]
url = "https://example.org/numpy-2.0.0-py3-none-any.whl"
hashes = {{sha256 = "aa"}}
[[packages]]
name = "colorama"
version = "0.4.6"
marker = "sys_platform == 'win32'"
sdist = {{url = "https://example.org/colorama-0.4.6.tar.gz", hashes = {{sha256 = "cc"}}}}
[[packages]]
name = "own"
vcs = {{type = "git", url = "https://example.org/own", commit-id = "{COMMIT}"}}
[[packages]]
name = "packed"
archive = {{url = "https://example.org/packed.zip", hashes = {{sha256 = "dd"}}}}
"""
    found = lock(tmp_path, text, "pylock.toml")
    assert versions(found) == {
        "numpy": "2.0.0",
        "own": f"git+https://example.org/own@{COMMIT}",
        "packed": "https://example.org/packed.zip",
    }
    assert found.pins["numpy"].hashes == ("sha256:aa", "sha256:bb")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("numpy>=1", ":2: numpy>=1: is not pinned to one version"),
        ("numpy", ":2: numpy: is not pinned to one version"),
        ("numpy==1.*", ":2: numpy==1.*: is not pinned to one version"),
        ("numpy==1,>0", "is not pinned to one version"),
        ("-e .", ":2: -e .: an editable install has no fixed version"),
        ("-r other.txt", ":2: -r other.txt: this option is not taken here"),
        ("numpy 1.26", ":2: numpy 1.26: not a valid requirement"),
        ("./a.whl", ":2: ./a.whl: not a valid requirement"),
        ("a==1.1", ":2: a is 1.1, and was 1.0 above"),
    ],
)
def test_a_line_that_is_no_pin_is_refused_with_its_place(
    tmp_path: Path, line: str, said: str
) -> None:
    with pytest.raises(UsageError) as error:
        lock(tmp_path, f"a==1.0\n{line}\n")
    assert said in str(error.value)
    assert str(tmp_path / "lock.txt") in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("packages = 1", "not a valid pylock.toml: Unexpected type int"),
        ("nonsense", "is not TOML"),
        ("[[packages]]\nversion = '1'", "Missing required value in 'packages[0].name'"),
        ("[[packages]]\nname = 'a'\ndirectory = {path = '.'}", "a: a folder has no fixed version"),
        ("[[packages]]\nname = 'a'\nversion = '1'", "packages[0]"),
    ],
)
def test_a_pylock_that_is_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        lock(tmp_path, PYLOCK + text, "pylock.toml")
    assert said in str(error.value)
    assert str(tmp_path / "pylock.toml") in str(error.value)


def test_a_pylock_of_a_later_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"version 2\.0 is not supported"):
        lock(tmp_path, PYLOCK.replace("1.0", "2.0") + "packages = []", "pylock.later.toml")


def test_a_file_that_is_not_text_or_not_there_is_told(tmp_path: Path) -> None:
    file = tmp_path / "utf16.txt"
    file.write_bytes("a==1\n".encode("utf-16"))
    with pytest.raises(UsageError, match="is not text in UTF-8"):
        locks.read(file, MARKERS)
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        locks.read(tmp_path / "none.txt", MARKERS)


def test_what_changed_came_and_went_is_told(tmp_path: Path) -> None:
    good = lock(tmp_path, "a==1.0\nb==1\nsame==1.0\n", "good.txt")
    bad = lock(tmp_path, "a==2.0\nc==3\nsame==1.0.0 --hash=sha256:aa\n", "bad.txt")
    changes = locks.differences(good, bad)
    assert [str(each) for each in changes] == ["a 1.0 -> 2.0", "b removed (1)", "c added (3)"]
    made = locks.mixed(good, changes[1:])
    assert {name: pin.version for name, pin in made.items()} == {
        "a": "1.0",
        "same": "1.0",
        "c": "3",
    }


def test_what_a_run_recorded_holds_only_for_the_same_versions_and_no_others(tmp_path: Path) -> None:
    known = Recalled("run", {"a": "1.0", "b-c": "2"}, frozenset({"a", "b-c", "unused"}))
    assert known.holds(lock(tmp_path, "a==1\nb_c==2.0\nunused==5").pins)
    assert not known.holds(lock(tmp_path, "a==1.1\nb_c==2").pins)
    assert not known.holds(lock(tmp_path, "a==1.0").pins)
    assert not known.holds(lock(tmp_path, "a==1.0\nb_c==2\nnew==1").pins)
    assert not known.holds(lock(tmp_path, "a @ https://example.org/a-1.0.zip\nb_c==2").pins)
