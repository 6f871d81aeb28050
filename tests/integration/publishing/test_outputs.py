"""With `outputs = "executed"` readers see what the gate's run made of the notebooks."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from click.testing import CliRunner

from nbpipe.cli.getlatest import command as getlatest
from nbpipe.config.settings import Keep
from nbpipe.publishing import publisher
from nbpipe.publishing.copies.substance import substance
from nbpipe.publishing.reconcile import Result
from nbpipe.publishing.releases import manifest, operations
from nbpipe.publishing.releases.journal import Event, Trigger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from conftest import Origin

    from nbpipe.publishing.reconcile import Reconciler
    from nbpipe.publishing.releases.manifest import Manifest

    Follow = Callable[..., Reconciler]

RUNS = (
    "import os, subprocess, sys; out = os.environ['NBPIPE_OUTPUTS']; sys.exit(subprocess.call("
    "[sys.executable, '-m', 'nbpipe', 'test', '--output-dir', out, "
    "'--report', f'json={out}/report.json', {more}], cwd=sys.argv[1]))"
)
"""A gate as an operator writes it, with the real `nbpipe test`."""
COPIES = """
import json, os, pathlib, sys
out, candidate = (pathlib.Path(os.environ[k]) for k in ('NBPIPE_OUTPUTS', 'NBPIPE_CANDIDATE'))
count = pathlib.Path({count!r})
number = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(number))
told = []
for path in candidate.rglob('*.ipynb'):
    name = path.relative_to(candidate).as_posix()
    made = json.loads(path.read_text())
    for cell in made['cells']:
        if cell['cell_type'] == 'code':
            text = {text}
            cell['outputs'] = [{{'output_type': 'stream', 'name': 'stdout', 'text': text}}]
            cell['metadata']['execution'] = {{'iopub.execute_input': 'now'}}
    made['metadata']['papermill'] = {{'input_path': str(path)}}
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    (out / name).write_text(json.dumps(made))
    told.append({{'path': name, 'outcome': 'passed', 'executed': name}})
run = {{'id': f'run-{{number}}', 'started': '2026-01-31T12:00:00Z'}}
report = {{'run': run, 'notebooks': told}}
(out / 'report.json').write_text(json.dumps(report))
"""
"""A gate that says it has run everything, without the seconds that kernels take."""


def gate(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def quick(tmp_path: Path, text: str = "f'run {number}'") -> tuple[str, ...]:
    return gate(COPIES.format(count=str(tmp_path / "count"), text=text))


def runs(tmp_path: Path) -> int:
    return int((tmp_path / "count").read_text())


def notebook(*cells: str, **outputs: object) -> bytes:
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# T", id="m")])
    for number, source in enumerate(cells):
        made.cells.append(nbformat.v4.new_code_cell(source, id=f"c{number}", **outputs))
    return str(nbformat.writes(made)).encode()


def texts(path: Path) -> list[str]:
    cells = json.loads(path.read_bytes())["cells"]
    outputs = [o for cell in cells for o in cell.get("outputs", ())]
    return ["".join(o.get("text") or o["data"]["text/plain"]).strip() for o in outputs]


def current(worker: Reconciler) -> Path:
    return worker.mirror.path / "current"


def held(worker: Reconciler) -> Manifest:
    found = manifest.read(worker.mirror.state / "manifests", worker.mirror.current() or "")
    assert found
    return found


def get(folder: Path, source: Path, *more: str) -> dict[str, Any]:
    words = [str(folder), "--from", str(source), "--json", *more]
    done = CliRunner().invoke(getlatest, words)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_readers_see_the_outputs_of_the_run_that_passed_and_keep_their_copies(
    origin: Origin, follow: Follow, tmp_path: Path
) -> None:
    clock = "import time, os; print(time.time_ns())"
    first = {
        "a/clock.ipynb": notebook(clock, "print(os.getcwd())"),
        "skip.ipynb": notebook("1/0"),
        "b.ipynb": notebook("print('b')"),
    }
    origin.publish(first)
    worker = follow(
        outputs="executed", gate=gate(RUNS.replace("{more}", "'--exclude', 'skip.ipynb'"))
    )

    outcome = worker.reconcile_once()

    assert (outcome.result, outcome.error) == (Result.PUBLISHED, None)
    assert outcome.warnings == ("published as stored, since the gate did not run it: skip.ipynb",)
    shown = current(worker)
    assert texts(shown / "b.ipynb") == ["b"]
    assert texts(shown / "a/clock.ipynb")[1:] == ["notebooks-latest/a"]
    assert (shown / "skip.ipynb").read_bytes() == first["skip.ipynb"]
    for path in ("a/clock.ipynb", "b.ipynb"):
        data = (shown / path).read_bytes()
        nbformat.validate(nbformat.reads(data.decode(), as_version=4))
        assert substance(data) == substance(first[path])
        assert str(tmp_path).encode() not in data
    known = held(worker)
    assert (known.executed, bool(known.run), bool(known.ran)) == (2, True, True)
    sources = {file.path: file.source for file in known.files if file.source}
    assert sources["b.ipynb"] == origin.git("rev-parse", "main:b.ipynb")
    assert [v.damages for v in operations.verify(worker.publisher)] == [()]

    mine = tmp_path / "mine"
    get(mine, worker.mirror.path)
    untouched = (mine / "a/clock.ipynb").read_bytes()
    edited = (mine / "b.ipynb").read_bytes().replace(b"# T", b"# My title")
    (mine / "b.ipynb").write_bytes(edited)
    origin.publish(first | {"more.ipynb": notebook("print('more')")})
    worker.reconcile_once()
    assert (shown / "a/clock.ipynb").read_bytes() != untouched

    told = get(mine, worker.mirror.path)

    assert (told["added"], told["updated"], told["beside"]) == (["more.ipynb"], [], [])
    assert (mine / "a/clock.ipynb").read_bytes() == untouched
    assert (mine / "b.ipynb").read_bytes() == edited


def test_a_copy_is_unchanged_by_outputs_and_updated_by_a_cell(
    origin: Origin, follow: Follow, tmp_path: Path
) -> None:
    files = {name: notebook("x = 1") for name in ("same.ipynb", "ran.ipynb", "edited.ipynb")}
    origin.publish(files)
    worker = follow(outputs="executed", gate=quick(tmp_path))
    worker.reconcile_once()
    source, mine = worker.mirror.path, tmp_path / "mine"
    get(mine, source)
    (mine / "ran.ipynb").write_bytes((mine / "ran.ipynb").read_bytes().replace(b"run 1", b"mine"))
    edited = (mine / "edited.ipynb").read_bytes().replace(b"x = 1", b"x = 2")
    (mine / "edited.ipynb").write_bytes(edited)
    before = {path: path.read_bytes() for path in mine.glob("*.ipynb")}

    for number in range(2, 4):
        origin.publish(files | {"README": b"%d" % number})
        worker.reconcile_once()
        assert texts(current(worker) / "same.ipynb") == [f"run {number}"]
        looked = get(mine, source, "--dry-run")
        told = get(mine, source)
        assert (looked["updated"], looked["up_to_date"]) == (told["updated"], told["up_to_date"])
        assert (told["updated"], set(told["up_to_date"])) == (
            ["README"] * (number > 2),
            {"same.ipynb", "ran.ipynb"},
        )
        assert (told["executed"], told["beside"], told["kept"]) == ([], [], ["edited.ipynb"])
        assert {path: path.read_bytes() for path in mine.glob("*.ipynb")} == before

    origin.publish({**dict.fromkeys(files, notebook("x = 3")), "README": b"3"})
    worker.reconcile_once()
    told = get(mine, source)

    assert set(told["updated"]) == {"same.ipynb", "ran.ipynb"}
    assert texts(mine / "same.ipynb") == ["run 4"]
    assert texts(mine / "ran__executed.ipynb") == ["mine"]
    assert (mine / "edited.ipynb").read_bytes() == edited
    assert len(told["beside"]) == 1


def test_nothing_is_run_again_where_nothing_changed_and_a_switch_makes_the_release_anew(
    origin: Origin, follow: Follow, tmp_path: Path
) -> None:
    stored = notebook("x = 1")
    origin.publish({"a.ipynb": stored, "big.ipynb": notebook("y = '" + "y" * 3000 + "'")})
    follow().reconcile_once()
    made = follow(outputs="executed", gate=quick(tmp_path), output_limit=0.003)

    outcome = made.reconcile_once()

    assert (outcome.result, runs(tmp_path)) == (Result.PUBLISHED, 1)
    (warning,) = outcome.warnings
    assert warning.endswith("it is larger than `output-limit` (0.003 MB): big.ipynb")
    assert made.mirror.journal.last(Event.REMADE)
    assert texts(current(made) / "a.ipynb") == ["run 1"]
    again = follow(outputs="executed", gate=quick(tmp_path), output_limit=0.003, symlinks="refuse")
    assert again.reconcile_once().result is Result.UNCHANGED
    assert again.reconcile_once().result is Result.UNCHANGED
    assert (runs(tmp_path), held(again).run) == (1, "run-1")

    back = follow(gate=quick(tmp_path), symlinks="refuse")
    assert back.reconcile_once().result is Result.PUBLISHED
    assert runs(tmp_path) == 1
    assert (current(back) / "a.ipynb").read_bytes() == stored
    assert [v.damages for v in operations.verify(back.publisher)] == [()]


def test_rollback_shows_the_outputs_of_that_release(
    origin: Origin, follow: Follow, tmp_path: Path
) -> None:
    worker = follow(outputs="executed", gate=quick(tmp_path))
    origin.publish({"a.ipynb": notebook("x = 1")})
    worker.reconcile_once()
    origin.publish({"a.ipynb": notebook("x = 2")})
    worker.reconcile_once()

    operations.rollback(worker.publisher)

    assert texts(current(worker) / "a.ipynb") == ["run 1"]
    assert worker.reconcile_once().result is Result.PINNED
    assert runs(tmp_path) == 2
    assert {v.damages for v in operations.verify(worker.publisher)} == {()}


@pytest.mark.parametrize("kept", [True, False])
def test_a_damaged_executed_notebook_is_repaired_from_what_is_kept_or_as_stored(
    origin: Origin, follow: Follow, tmp_path: Path, *, kept: bool
) -> None:
    worker = follow(outputs="executed", gate=quick(tmp_path))
    stored = notebook("x = 1")
    origin.publish({"a.ipynb": stored})
    worker.reconcile_once()
    path = current(worker) / "a.ipynb"
    good = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(b"x" * len(good))
    path.chmod(0o444)
    for file in (worker.mirror.state / "outputs").iterdir():
        if not kept:
            file.write_bytes(b"not what it was")

    (verdict,) = operations.verify(worker.publisher)

    assert verdict.repaired
    assert path.read_bytes() == (good if kept else stored)
    assert [v.damages for v in operations.verify(worker.publisher)] == [()]
    assert worker.reconcile_once().result is (Result.UNCHANGED if kept else Result.PUBLISHED)
    assert texts(current(worker) / "a.ipynb") == ["run 1" if kept else "run 2"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("pass", "the gate left no report.json in NBPIPE_OUTPUTS"),
        (
            "import os; open(os.environ['NBPIPE_OUTPUTS'] + '/report.json', 'w').write('{')",
            "the report.json of the gate's run cannot be read",
        ),
        (
            "import os; os.symlink('/etc/passwd', os.environ['NBPIPE_OUTPUTS'] + '/report.json')",
            "the gate left no report.json in NBPIPE_OUTPUTS",
        ),
    ],
)
def test_a_gate_without_a_usable_run_publishes_what_is_stored_and_says_so(
    origin: Origin, follow: Follow, code: str, said: str
) -> None:
    stored = notebook("x = 1")
    origin.publish({"a.ipynb": stored})
    worker = follow(outputs="executed", gate=gate(code))

    outcome = worker.reconcile_once()

    (warning,) = outcome.warnings
    assert warning.startswith(f"every notebook is published as stored: {said}")
    assert (current(worker) / "a.ipynb").read_bytes() == stored
    assert worker.reconcile_once().result is Result.UNCHANGED


def test_without_a_gate_what_is_stored_is_published(origin: Origin, follow: Follow) -> None:
    stored = notebook("x = 1")
    origin.publish({"a.ipynb": stored})

    outcome = follow(outputs="executed").reconcile_once()

    assert "needs a `gate`" in outcome.warnings[0]
    assert (current(follow()) / "a.ipynb").read_bytes() == stored


def test_a_full_disk_leaves_the_last_release(
    origin: Origin, follow: Follow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = follow(outputs="executed", gate=quick(tmp_path))
    good = origin.publish({"a.ipynb": notebook("x = 1")})
    worker.reconcile_once()
    head = origin.publish({"a.ipynb": notebook("x = 2")})

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28), "outputs")

    with monkeypatch.context() as patch:
        patch.setattr("nbpipe.publishing.releases.outputs.Kept.keep", full)
        outcome = worker.reconcile_once()

    assert (outcome.result, outcome.current) == (Result.FAILED, good)
    assert "No space left" in (outcome.error or "")
    assert not list((worker.mirror.state / "building").glob("*/*"))
    assert worker.reconcile_once().current == head
    assert texts(current(worker) / "a.ipynb") == ["run 3"]


def test_what_no_release_has_any_more_is_not_kept(
    origin: Origin, follow: Follow, tmp_path: Path
) -> None:
    worker = follow(outputs="executed", gate=quick(tmp_path), keep=Keep(releases=1, days=0))
    for number in range(3):
        origin.publish({"a.ipynb": notebook(f"x = {number}")})
        worker.reconcile_once()
    operations.gc(worker.publisher)

    names: Sequence[str] = os.listdir(worker.mirror.state / "outputs")  # noqa: PTH208
    used = {f.blob for c in worker.mirror.releases() for f in worker.publisher.manifest(c).files}
    assert set(names) == used
    assert len(names) <= 2


@pytest.mark.parametrize(
    ("step", "switch"),
    [
        ("outputs.take", False),
        ("build.change", False),
        ("manifest.write", False),
        ("build.seal", False),
        ("manifest.write", True),
        ("build.seal", True),
    ],
)
def test_cut_short_at_any_step_it_shows_a_whole_release_and_heals(
    origin: Origin, follow: Follow, tmp_path: Path, *, step: str, switch: bool
) -> None:
    head = origin.publish({"a.ipynb": notebook("x = 1")})
    first = follow() if switch else follow(outputs="executed", gate=quick(tmp_path))
    first.reconcile_once()
    if not switch:
        head = origin.publish({"a.ipynb": notebook("x = 2")})
    # In a process of its own, which is killed as it comes to that step.
    child = os.fork()
    if child == 0:
        try:
            _kill_at(step)
            follow(outputs="executed", gate=quick(tmp_path)).reconcile_once()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    left = current(first) / "a.ipynb"
    assert nbformat.reads(left.read_text(), as_version=4).cells

    healed = follow(outputs="executed", gate=quick(tmp_path))
    outcome = healed.reconcile_once(Trigger.STARTUP)

    assert os.WIFSIGNALED(status)
    assert (outcome.error, outcome.current) == (None, head)
    assert texts(current(healed) / "a.ipynb") == [f"run {runs(tmp_path)}"]
    assert {v.damages for v in operations.verify(healed.publisher)} == {()}
    assert healed.reconcile_once().result is Result.UNCHANGED


def _kill_at(step: str) -> None:
    """Have this process killed where it comes to that step."""

    def kill(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    name, attribute = step.split(".")
    setattr(getattr(publisher, name), attribute, kill)
