"""Notebooks nobody here wrote: what other projects ship to test themselves with.

Their source distributions are downloaded in the versions that `peers/*.toml` pin, executed, and
every notebook in them is compared with that table: what its own project's tests expect of it,
what we decide, and why where the two differ. A notebook that the table forgot fails the test.

Needs pip and a package index. The network is out of reach of the notebooks, so that the table
holds everywhere; packages that it calls absent are none of the `test` extra's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.kernelspec import find_kernel_specs

PEERS = sorted(Path(__file__).with_name("peers").glob("*.toml"))
NOWHERE = "http://127.0.0.1:9"
"""A proxy that refuses every connection: nobody listens on the discard port."""

AGREED = {
    ("passes", "passed"),
    ("not executed", "passed"),
    ("fails", "failed"),
    ("is invalid", "failed"),
    ("skips", "skipped"),
}


def unavailable(reason: str) -> None:
    if os.environ.get("NBPIPE_REQUIRE") == "all":
        pytest.fail(reason)
    pytest.skip(reason)


def unpacked(name: str, version: str, folder: Path) -> Path:
    """Return the folder of a source distribution, freshly downloaded."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    wish = ["--no-deps", "--no-binary", name, f"{name}=={version}", "--dest", str(folder)]
    done = subprocess.run([*pip, *wish], capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["pip said nothing"]
        unavailable(f"{name} {version} could not be downloaded: {said[-1]}")
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "data_filter"):  # Python 3.11.4 and later
            tar.extractall(folder, filter="data")
        else:
            tar.extractall(folder)  # noqa: S202  (pinned versions from PyPI)
    return folder / archive.name.removesuffix(".tar.gz")


def environment(folder: Path) -> dict[str, str]:
    """Return an environment without a network, a user's profile or another Python first."""
    inherited = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), NOWHERE)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {
        **inherited,
        **proxies,
        "PATH": path,
        "IPYTHONDIR": str(folder / "ipython"),
        "NBEXECUTE_TEST_PARALLEL_TMPDIR": str(folder),  # where nbclient's pair of notebooks meets
    }


def report(sources: Path, arguments: list[str]) -> dict[str, Any]:
    """Run `nbpipe test` in a folder; return its JSON report."""
    folder = sources.parent
    command = [sys.executable, "-m", "nbpipe", "test", "--jobs", "2", "--progress", "none"]
    output = [
        "--output-dir",
        str(folder / "executed"),
        "--report",
        f"json={folder / 'report.json'}",
    ]
    done = subprocess.run(
        [*command, *output, *arguments],
        cwd=sources,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    result: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return result


def row(notebook: dict[str, Any]) -> dict[str, Any]:
    """Return what the report says of a notebook, as the tables write it."""
    failure = notebook["failure"]
    found = {"ours": notebook["outcome"], "kernel": notebook["kernel"]}
    if failure:
        found |= {"category": failure["category"], "cell": failure["cell"]}
    return found


def expected(entry: dict[str, Any]) -> dict[str, Any]:
    """Return what a table expects, with what it need not write."""
    found = {"ours": entry["ours"], "kernel": entry.get("kernel", "python3")}
    if entry["ours"] == "excluded":
        return {"ours": "excluded"}
    if entry["ours"] == "failed":
        found |= {"category": entry["category"], "cell": entry.get("cell")}
    return found


def without_their_kernel(table: dict[str, Any]) -> set[str]:
    """Return the notebooks that need a kernel which a machine may lack, where it does."""
    installed = find_kernel_specs()
    lacking = {
        path: entry["needs"]
        for path, entry in table["notebooks"].items()
        if entry.get("needs", "python3") not in installed
    }
    if lacking and os.environ.get("NBPIPE_REQUIRE") == "all":
        pytest.fail(f"kernels that are not installed: {lacking}")
    return set(lacking)


def outcomes(sources: Path, table: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what became of every notebook of a distribution: at once, save those kept apart."""
    found: dict[str, dict[str, Any]] = {}
    together = ["--timeout", "120"]
    apart: set[str] = set()
    for group in table.get("apart", []):
        apart |= set(group["notebooks"])
        if options := group.get("options"):
            run = report(sources, [*options, *group["notebooks"]])
            found |= {each["path"]: row(each) for each in run["notebooks"]}
    for path in sorted(apart):
        together += ["--exclude", path]
    run = report(sources, together)
    found |= {each["path"]: row(each) for each in run["notebooks"]}
    left_out = {each["path"] for each in run["excluded"]} - set(found)
    return found | {path: {"ours": "excluded"} for path in left_out}


@pytest.mark.parametrize("peer", PEERS, ids=lambda path: path.stem)
def test_every_notebook_of_a_peer_ends_as_the_table_says(peer: Path, tmp_path: Path) -> None:
    table = tomllib.loads(peer.read_text())
    sources = unpacked(table["name"], table["version"], tmp_path)
    (tmp_path / "slow_clock.py").write_text(
        "import time\n_clock = time.time\ntime.time = lambda: _clock() / 60\n"
    )

    found = outcomes(sources, table)

    undecided = without_their_kernel(table)
    assert {path: each for path, each in found.items() if path not in undecided} == {
        path: expected(entry) for path, entry in table["notebooks"].items() if path not in undecided
    }


@pytest.mark.parametrize("peer", PEERS, ids=lambda path: path.stem)
def test_a_table_gives_its_reason_wherever_we_decide_otherwise(peer: Path) -> None:
    table = tomllib.loads(peer.read_text())
    unexplained = [
        path
        for path, entry in table["notebooks"].items()
        if (entry["peer"], entry["ours"]) not in AGREED and not entry.get("why")
    ]

    assert unexplained == []
