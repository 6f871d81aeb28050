"""What is wrong in one kernel.json is the matter of its notebooks; a run, --list, doctor agree."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ondisk import Collection

IPYKERNEL = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
GOOD = {"argv": IPYKERNEL, "display_name": "Own", "language": "python"}

BROKEN = {
    "number in env": (
        {"env": {"OMP_NUM_THREADS": 1}},
        'env.OMP_NUM_THREADS is 1, which is not text; write "1"',
    ),
    "null in env": ({"env": {"A": None}}, "env.A is null, which is not text"),
    "list in env": ({"env": {"A": ["b"]}}, 'env.A is ["b"], which is not text'),
    "true in env": ({"env": {"A": True}}, "env.A is true, which is not text"),
    "null character": ({"env": {"A": "a\0b"}}, "env.A has a null character"),
    "odd name": ({"env": {"A=B": "c"}}, "env.'A=B' cannot be the name of a variable"),
    "number in argv": (
        {"argv": [*IPYKERNEL, 3]},
        'argv[5] is 3, which is not text; write "3"',
    ),
    "empty argv": ({"argv": []}, "argv is empty; it is the command that starts the kernel"),
    "provisioner": (
        {"metadata": {"kernel_provisioner": {"provisioner_name": "nowhere"}}},
        "the kernel provisioner 'nowhere' is not installed",
    ),
    "provisioner is text": (
        {"metadata": {"kernel_provisioner": "nowhere"}},
        "metadata.kernel_provisioner is not an object",
    ),
}

UNREADABLE: dict[str, Callable[[Path], object]] = {
    "no JSON": lambda file: file.write_text("{"),
    "no object": lambda file: file.write_text("[]"),
    "no UTF-8": lambda file: file.write_bytes(b'{"argv": ["\xe9"]}'),
    "a folder": lambda file: file.mkdir(),
    "a dangling link": lambda file: file.symlink_to("nowhere"),
    "env is a list": lambda file: file.write_text(json.dumps(GOOD | {"env": ["A=1"]})),
    "interrupt_mode": lambda file: file.write_text(json.dumps(GOOD | {"interrupt_mode": "odd"})),
    "display_name": lambda file: file.write_text(json.dumps(GOOD | {"display_name": 3})),
}


@pytest.fixture
def install(collection: Collection, tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that returns the path of a new kernel's kernel.json."""

    def path(name: str) -> Path:
        file = tmp_path / "jupyter/kernels" / name / "kernel.json"
        file.parent.mkdir(parents=True)
        collection.environ["JUPYTER_PATH"] = str(tmp_path / "jupyter")
        return file

    return path


def named(kernel: str) -> dict[str, str]:
    """Return a notebook's word for its kernel."""
    return {"name": kernel, "display_name": "Own", "language": "python"}


def said(collection: Collection, *arguments: str) -> str:
    """Return what another command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "nbpipe", *arguments],
        cwd=collection.root,
        env=collection.environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    return " ".join(done.stdout.split()) + " ".join(done.stderr.split())


def test_a_kernel_json_that_cannot_start_a_kernel_fails_its_notebooks(
    collection: Collection, install: Callable[[str], Path]
) -> None:
    collection.notebook("good.ipynb", "print('fine')")
    files = {}
    for number, (changes, _) in enumerate(BROKEN.values()):
        files[number] = install(f"broken{number}")
        files[number].write_text(json.dumps(GOOD | changes))
        collection.notebook(f"{number}.ipynb", "1", kernelspec=named(f"broken{number}"))
    ended = collection.test()
    assert ended.code == 1, ended.out + ended.err
    assert ended["good.ipynb"]["outcome"] == "passed"
    listed, checked = said(collection, "test", "--list"), said(collection, "doctor")
    for number, (_, why) in enumerate(BROKEN.values()):
        failure = ended[f"{number}.ipynb"]["failure"]
        assert failure["category"] == "kernel-missing"
        reason = f"{files[number]}: {why}"
        assert failure["message"] == f"kernel 'broken{number}' cannot be started: {reason}"
        assert " ".join(f"cannot be started: {reason}".split()) in listed
        assert " ".join(f"kernel 'broken{number}' does not work: {reason}".split()) in checked
    signatures = {ended[f"{number}.ipynb"]["failure"]["signature"] for number in files}
    assert len(signatures) == len(BROKEN)


@pytest.mark.parametrize("how", UNREADABLE)
def test_a_kernel_json_that_jupyter_cannot_read_counts_as_not_installed(
    collection: Collection, install: Callable[[str], Path], how: str
) -> None:
    file = install("unreadable")
    UNREADABLE[how](file)
    collection.notebook("good.ipynb", "print('fine')")
    collection.notebook("other.ipynb", "1", kernelspec=named("unreadable"))
    other = {"name": "unreadable", "display_name": "Own", "language": "cobol"}
    collection.notebook("cobol.ipynb", "1", kernelspec=other)
    ended = collection.test()
    assert ended.code == 1, ended.out + ended.err
    assert ended["good.ipynb"]["outcome"] == ended["other.ipynb"]["outcome"] == "passed"
    assert ended["cobol.ipynb"]["failure"]["category"] == "kernel-missing"
    if file.is_file():  # else Jupyter does not take the folder for a kernel's
        for text in (ended.err, said(collection, "doctor")):
            assert "kernel unreadable cannot be used: " in text
            assert f"({file})" in text


def test_a_kernel_json_that_changes_after_the_plan_fails_its_notebook(
    collection: Collection, install: Callable[[str], Path]
) -> None:
    file = install("own")
    file.write_text(json.dumps(GOOD))
    changes: list[Any] = [GOOD | {"env": {"A": 1}}, GOOD | {"argv": []}, []]
    for number, content in enumerate(changes):
        write = f"open({str(file)!r}, 'w').write({json.dumps(content)!r})"
        collection.notebook(f"{number}/1.ipynb", write)
        collection.notebook(f"{number}/2.ipynb", "1", kernelspec=named("own"))
        file.write_text(json.dumps(GOOD))
        ended = collection.test("-n", "1", str(number))
        failure = ended[f"{number}/2.ipynb"]["failure"]
        assert failure["category"] == "kernel-missing", failure
        assert "kernel 'own' cannot be" in failure["message"]
        assert ended[f"{number}/1.ipynb"]["outcome"] == "passed"


def test_a_wrapper_beside_kernel_json_runs_and_doctor_agrees(
    collection: Collection, install: Callable[[str], Path], tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    wrappers = {
        "resource": ["{resource_dir}/helper.sh", *IPYKERNEL],
        "on-path": ["helper-on-path", *IPYKERNEL],
        "shell": ["{resource_dir}/helper.sh", "sh", "-c", 'exec "$0" "$@"', *IPYKERNEL],
        "missing": ["{resource_dir}/nowhere.sh", *IPYKERNEL],
        "tilde": ["~/helper.sh", *IPYKERNEL],
        "relative": ["./helper.sh", *IPYKERNEL],
    }
    text = '#!/bin/sh\nexec "$@"\n'
    for name, argv in wrappers.items():
        file = install(name)
        env = {"PATH": f"{tmp_path}/bin:${{PATH}}"}
        file.write_text(json.dumps(GOOD | {"argv": argv, "env": env}))
        collection.notebook(f"{name}.ipynb", "print('fine')", kernelspec=named(name))
    helpers = [tmp_path / f"jupyter/kernels/{name}/helper.sh" for name in ("resource", "shell")]
    for helper in (*helpers, tmp_path / "bin/helper-on-path", collection.root / "helper.sh"):
        helper.write_text(text)
        helper.chmod(0o755)
    ended = collection.test()
    outcomes = {name: ended[f"{name}.ipynb"]["outcome"] for name in wrappers}
    fine = {"resource", "on-path", "shell", "relative"}
    assert outcomes == {name: "passed" if name in fine else "failed" for name in wrappers}
    checked = said(collection, "doctor")
    doubted = {name for name in wrappers if f"kernel '{name}' does not work" in checked}
    assert doubted == {"missing", "tilde"}
    assert "~ is not replaced there" in checked
