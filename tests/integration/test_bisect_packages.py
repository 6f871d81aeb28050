"""Real environments, real pip and real kernels; the packages are wheels made here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
import zipfile
from pathlib import Path

import pytest
from ondisk import write_notebook


class Site:
    """A collection, a folder of wheels, and lock files in a folder elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "collection"
        self.wheels = folder / "wheels"
        self.temporary = folder / "temporary"
        for each in (self.root, self.wheels, self.temporary):
            each.mkdir()
        (self.root / "nbpipe.toml").touch()
        # Nothing is downloaded: this one lends the modules that run these tests.
        lent = folder / "lent"
        lent.mkdir()
        for each in Path(sysconfig.get_path("purelib")).iterdir():
            if each.suffix not in {".dist-info", ".pth"}:
                (lent / each.name).symlink_to(each)
        self.wheel("ipykernel", "99.0", **{"lent.pth": str(lent)})
        self.environ = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
        self.environ |= {"PIP_FIND_LINKS": str(self.wheels), "PIP_NO_INDEX": "1"}
        self.environ |= {"TMPDIR": str(self.temporary), "PYTHONWARNINGS": ""}
        self.environ["PIP_CONFIG_FILE"] = os.devnull

    def wheel(self, name: str, version: str, *, needs: str = "", **files: str) -> None:
        info = f"{name}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        metadata += f"Requires-Dist: {needs}\n" if needs else ""
        tag = "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        content = files or {f"{name}.py": f"version = {version!r}\n"}
        content |= {f"{info}/METADATA": metadata, f"{info}/WHEEL": tag}
        record = "".join(f"{each},,\n" for each in [*content, f"{info}/RECORD"])
        file = self.wheels / f"{name}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(file, "w") as archive:
            for path, text in {**content, f"{info}/RECORD": record}.items():
                archive.writestr(path, text)

    def kernel(self, name: str, *pins: str) -> None:
        """Install a kernel with an environment of its own."""
        place = self.folder / name
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
        pip = [sys.executable, "-m", "pip", "--python", str(place / "bin/python")]
        subprocess.run([*pip, "install", "-q", "ipykernel", *pins], env=self.environ, check=True)
        argv = [str(place / "bin/python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        file = self.folder / "jupyter/kernels" / name / "kernel.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"argv": argv, "display_name": name, "language": "python"}))
        self.environ["JUPYTER_PATH"] = str(self.folder / "jupyter")

    def lock(self, name: str, **pins: str) -> str:
        file = self.folder / name
        file.write_text("".join(f"{each}=={version}\n" for each, version in pins.items()))
        return str(file)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "nbpipe", *words]

    def nbpipe(self, *words: str, code: int = 0) -> tuple[str, str]:
        done = subprocess.run(
            self.command(*words),
            cwd=self.root,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout, done.stderr

    def bisect(self, good: str, bad: str, *words: str, code: int = 0) -> tuple[str, str]:
        words = ("bisect", "a.ipynb", "--environment", good, bad, "--retries", "0", *words)
        out, err = self.nbpipe(*words, code=code)
        assert "Traceback" not in err
        assert list(self.temporary.iterdir()) == []
        return out, err


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_the_package_that_broke_a_notebook_is_found(site: Site) -> None:
    for name in ("alpha", "beta", "gamma"):
        site.wheel(name, "1.0")
        site.wheel(name, "2.0")
    site.wheel("delta", "1.0", needs="beta<2")
    write_notebook(
        site.root / "a.ipynb",
        "import beta, sys\nassert sys.prefix != sys.base_prefix",
        "assert beta.version == '1.0', 'beta is new'",
    )
    before = (site.root / "a.ipynb").read_bytes()
    site.environ["PIP_TARGET"] = site.environ["PIP_PREFIX"] = str(site.folder / "own")
    good = site.lock("good.txt", alpha="1.0", beta="1.0", gamma="1.0")
    bad = site.lock("bad.txt", alpha="2.0", beta="2.0", gamma="2.0", delta="1.0")
    out, err = site.bisect(good, bad)
    assert out == "the first bad package: beta 1.0 -> 2.0\n\n  AssertionError: beta is new\n"
    assert "  good  0 of 4 changed\n  bad   4 of 4 changed  AssertionError: beta is new\n" in err
    assert "pip check: delta 1.0 has requirement beta<2, but you have beta 2.0." in err
    assert f"ipykernel was added, which {good} does not have" in err
    assert {each.name for each in site.root.iterdir()} == {"nbpipe.toml", "a.ipynb"}
    assert (site.root / "a.ipynb").read_bytes() == before
    assert not (site.folder / "own").exists()
    assert "no history yet" in site.nbpipe("history", code=4)[1]


def test_packages_that_do_not_fit_or_cannot_be_installed_are_skipped(site: Site) -> None:
    site.wheel("alpha", "1.0")
    site.wheel("alpha", "2.0", **{"alpha.py": "import beta\nassert beta.version == '2.0', 'old'\n"})
    site.wheel("beta", "1.0")
    site.wheel("beta", "2.0")
    code = "import beta, alpha", "assert getattr(alpha, 'version', '') == '1.0', 'new'"
    write_notebook(site.root / "a.ipynb", *code)
    good = site.lock("good.txt", alpha="1.0", beta="1.0")
    bad = site.lock("bad.txt", alpha="2.0", beta="2.0")
    out, err = site.bisect(good, bad)
    assert "  skip  1 of 2 changed: alpha  fails for another reason: AssertionError: old" in err
    assert out.startswith("the first bad package: alpha 1.0 -> 2.0\nwith at least one of these")
    assert "\n  beta 1.0 -> 2.0\n" in out
    missing = site.lock("missing.txt", alpha="3.0", beta="2.0")
    err = site.bisect(good, missing, code=4)[1]
    assert "missing.txt: a.ipynb cannot be judged there: cannot be installed: No matching" in err


def test_packages_that_say_they_belong_together_are_changed_together(site: Site) -> None:
    for name in ("gamma", "zeta"):
        site.wheel(name, "1.0")
        site.wheel(name, "2.0")
    for version, rest in (("1.0", "<2"), ("2.0", ">=2")):
        code = f"import zeta\nassert zeta.version == {version!r}, 'unfit'\n"
        site.wheel("alpha", version, needs=f"zeta{rest}", **{"alpha.py": code})
    write_notebook(site.root / "a.ipynb", "import alpha, gamma\nassert gamma.version == '1.0'")
    pins = dict.fromkeys(("alpha", "gamma", "zeta"), "1.0")
    good = site.lock("good.txt", **pins)
    bad = site.lock("bad.txt", **dict.fromkeys(pins, "2.0"))
    out, err = site.bisect(good, bad)
    assert out.startswith("the first bad package: gamma 1.0 -> 2.0\n")
    assert "\n  good  2 of 3 changed: alpha, zeta\n" in err
    assert "unfit" not in err


def test_what_a_run_told_is_not_executed_again(site: Site) -> None:
    for name in ("alpha", "beta"):
        site.wheel(name, "1.0")
        site.wheel(name, "2.0")
    site.kernel("mine", "alpha==1.0", "beta==1.0")
    subprocess.run(["git", "init", "-q", str(site.root)], check=True)
    spec = {"name": "mine", "language": "python", "display_name": "Mine"}
    code = "import alpha\nassert alpha.version == '1.0', 'alpha is new'"
    write_notebook(site.root / "a.ipynb", code, kernelspec=spec)
    site.nbpipe("test", "a.ipynb", "--no-fork")
    good = site.lock("good.txt", alpha="1.0", beta="1.0")
    bad = site.lock("bad.txt", alpha="2.0", beta="2.0")
    out, err = site.bisect(good, bad)
    assert out.startswith("the first bad package: alpha 1.0 -> 2.0\n")
    first, second, third = err.splitlines()[:3]
    assert first.startswith("  good  0 of 2 changed  (run 2")
    assert second == "  bad   2 of 2 changed  AssertionError: alpha is new"
    assert third == "  bad   1 of 2 changed: alpha  AssertionError: alpha is new"
    write_notebook(site.root / "a.ipynb", code, "import nosuch", kernelspec=spec)
    err = site.bisect(good, bad, code=4)[1]
    assert "good.txt: a.ipynb is bad there: ModuleNotFoundError: No module named 'nosuch'" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_whoever_ends_it_finds_nothing_left(site: Site, number: signal.Signals) -> None:
    site.wheel("alpha", "1.0")
    site.wheel("alpha", "2.0")
    mark = site.folder / "runs"
    code = f"import pathlib, time\npathlib.Path({str(mark)!r}).touch()\ntime.sleep(600)"
    write_notebook(site.root / "a.ipynb", code)
    files = site.lock("good.txt", alpha="1.0"), site.lock("bad.txt", alpha="2.0")
    process = subprocess.Popen(
        site.command("bisect", "a.ipynb", "--environment", *files),
        cwd=site.root,
        env=site.environ,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 120
    while not mark.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.1)
    process.send_signal(number)
    assert "interrupted; nothing was changed" in process.communicate(timeout=120)[1]
    assert process.returncode == 2
    assert list(site.temporary.iterdir()) == []
