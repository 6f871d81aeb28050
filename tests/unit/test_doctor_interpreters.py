from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nbpipe.checkup import advice, interpreters
from nbpipe.checkup.interpreters import ask
from nbpipe.collecting import InstalledKernel

if TYPE_CHECKING:
    import pytest

LAUNCHER = ("-m", "ipykernel_launcher", "-f", "{connection_file}")


def kernel(*argv: str, resources: Path | None = None, language: str = "python") -> InstalledKernel:
    program = argv[0]
    return InstalledKernel(
        name="tried",
        display_name="Tried",
        language=language,
        argv=argv,
        interpreter=program if Path(program).exists() else None,
        resource_dir=str(resources or "/nowhere"),
    )


def script(path: Path, *lines: str) -> str:
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return str(path)


def test_an_interpreter_tells_its_version_and_what_it_has_not() -> None:
    answer = ask(kernel(sys.executable, *LAUNCHER), ["json", "nosuch", "ipykernel"], os.environ)
    assert answer.works is True
    assert answer.version == ".".join(map(str, sys.version_info[:3]))
    assert answer.missing == {"nosuch"}
    assert answer.installer == f"{sys.executable} -m pip install"


def test_a_module_is_not_imported_to_be_found(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')")
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    answer = ask(kernel(sys.executable, *LAUNCHER), ["loud"], environ)
    assert answer.missing == frozenset()
    assert not (tmp_path / "imported").exists()


def test_modules_of_the_folder_that_doctor_runs_in_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here.py").touch()
    monkeypatch.chdir(tmp_path)
    answer = ask(kernel(sys.executable, *LAUNCHER), ["here"], os.environ)
    assert answer.missing == {"here"}


def test_the_kernels_own_variables_hold(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/private.py").touch()
    spec = {"argv": [], "env": {"PYTHONPATH": "${BASE}/lib"}}
    (tmp_path / "kernel.json").write_text(json.dumps(spec))
    own = kernel(sys.executable, *LAUNCHER, resources=tmp_path)
    answer = ask(own, ["private"], {**os.environ, "BASE": str(tmp_path)})
    assert answer.missing == frozenset()


def test_a_python_without_ipykernel_does_not_work(tmp_path: Path) -> None:
    bare = kernel(sys.executable, "-I", "-S", *LAUNCHER, resources=tmp_path)
    answer = ask(bare, ["json"], os.environ)
    assert answer.works is False
    assert answer.problem == "it has no module ipykernel_launcher"
    assert answer.installer == f"{sys.executable} -I -S -m pip install"


def test_an_ipykernel_that_cannot_be_imported_does_not_work(tmp_path: Path) -> None:
    (tmp_path / "ipykernel.py").write_text("raise ImportError('libzmq is gone')")
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    answer = ask(kernel(sys.executable, *LAUNCHER), [], environ)
    assert answer.works is False
    assert answer.problem == "import ipykernel: ImportError: libzmq is gone"


def test_a_wrapper_around_python_is_asked_through(tmp_path: Path) -> None:
    wrapper = script(tmp_path / "wrap", "echo welcome", f'exec {sys.executable} "$@"')
    answer = ask(kernel(wrapper, *LAUNCHER), ["nosuch"], os.environ)
    assert answer.works is True
    assert answer.missing == {"nosuch"}
    assert answer.installer == f"{wrapper} -m pip install"


def test_a_program_that_is_no_python_is_not_asked(tmp_path: Path) -> None:
    answer = ask(kernel(script(tmp_path / "almond"), "{connection_file}"), ["a"], os.environ)
    assert answer.works is None
    assert answer.problem == "its program is not a Python interpreter"


def test_xpython_is_asked_through_the_python_beside_it(tmp_path: Path) -> None:
    script(tmp_path / "python", f'exec {sys.executable} "$@"')
    xpython = kernel(script(tmp_path / "xpython"), "-f", "{connection_file}")
    assert ask(xpython, ["nosuch"], os.environ).missing == {"nosuch"}


def test_a_program_that_is_gone_does_not_work() -> None:
    answer = ask(kernel("/gone/python", *LAUNCHER), [], os.environ)
    assert answer.works is False
    assert answer.problem == "program not found: /gone/python"


def test_an_interpreter_that_breaks_says_why(tmp_path: Path) -> None:
    broken = script(tmp_path / "python", "echo 'libpython3.so: cannot open' >&2", "exit 127")
    answer = ask(kernel(broken, *LAUNCHER), [], os.environ)
    assert answer.works is False
    assert answer.problem == "it does not answer: libpython3.so: cannot open"


def test_a_program_of_another_machine_does_not_work(tmp_path: Path) -> None:
    (tmp_path / "python").write_bytes(b"\x7fELF and so on")
    (tmp_path / "python").chmod(0o755)
    answer = ask(kernel(str(tmp_path / "python"), *LAUNCHER), [], os.environ)
    assert answer.works is False
    assert answer.problem == f"{tmp_path}/python cannot be started: Exec format error"


def test_an_interpreter_that_hangs_is_given_up_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreters, "PATIENCE", 0.2)
    hanging = script(tmp_path / "python", "sleep 600")
    answer = ask(kernel(hanging, *LAUNCHER), [], os.environ)
    assert answer.works is False
    assert answer.problem == "it did not answer within 0.2 s"


def test_a_part_of_a_namespace_is_found_where_another_part_is(tmp_path: Path) -> None:
    (tmp_path / "google/cloud/here").mkdir(parents=True)
    (tmp_path / "google/single.py").touch()
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    asked = ["google.cloud.here", "google.single", "google.cloud.nowhere", "nosuch.part"]
    answer = ask(kernel(sys.executable, *LAUNCHER), asked, environ)
    assert answer.missing == {"google.cloud.nowhere", "nosuch.part"}


def test_packages_of_the_home_are_told_apart_with_what_they_hide(tmp_path: Path) -> None:
    base = getattr(sys, "_base_executable", sys.executable)  # a virtual environment has no home
    version = "python{}.{}".format(*sys.version_info)
    home, packages = tmp_path / f".local/lib/{version}/site-packages", tmp_path / "site-packages"
    for folder in (home / "Some_thing-2.0.dist-info", home / "only-1.dist-info"):
        folder.mkdir(parents=True)
    (packages / "some_thing-1.9.dist-info").mkdir(parents=True)
    (packages / "other-1.dist-info").mkdir()
    environ = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(packages)}
    answer = ask(kernel(base, "-c"), [], environ)
    assert answer.home == str(home)
    assert answer.of_home == (("only", "1", ""), ("Some_thing", "2.0", "1.9"))
    [finding] = advice.about_home({"tried": answer})
    assert finding.severity == "note"
    assert finding.what.endswith("not of its environment: only 1, Some_thing 2.0 (hides 1.9)")
    hidden = ask(kernel(base, "-c"), [], {**environ, "PYTHONNOUSERSITE": "1"})
    assert (hidden.home, hidden.of_home) == ("", ())
    assert list(advice.about_home({"tried": hidden})) == []
