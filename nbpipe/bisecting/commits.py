"""Which commit broke a notebook: git's own bisection, with the notebook as the judge.

Works in a worktree of its own below a temporary folder; the user's tree, the history and whoever
is notified notice nothing. Nothing here prints.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nbpipe import collecting, history, worktree
from nbpipe.bisecting.verdict import Verdict, judge
from nbpipe.config import load
from nbpipe.errors import NbpipeError, UsageError
from nbpipe.system import git as system_git

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nbpipe.config import Config

_FIRST_BAD = re.compile(r"^([0-9a-f]{40,64}) is the first bad commit", re.MULTILINE)
_KNOWN_RUNS = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """One commit and how the notebook does there."""

    commit: str
    verdict: Verdict
    why: str
    """The failure's cause, or why it could not be judged."""
    run: str | None = None
    """The run of the history that told it; None where it was executed now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstBad:
    """The answer: one commit, or several between which nobody can decide."""

    commits: tuple[str, ...]


class Bisection:
    """The search for one notebook.

    Args:
        root: The collection's.
        path: The notebook's, as reports name it.
        retries: A failing notebook is tried so many times more before a commit is bad.
        known: Commit -> what the history says.
        tell: Is told of every commit that is judged.
    """

    def __init__(
        self,
        root: Path,
        path: str,
        *,
        retries: int,
        known: Mapping[str, Judged],
        tell: Callable[[Judged], None],
    ) -> None:
        self._root = root
        self._path = path
        self._retries = retries
        self._known = known
        self._tell = tell

    def search(self, good: str, bad: str) -> FirstBad:
        """Return the first bad commit.

        Raises:
            UsageError: A revision is none, or is not what it is said to be.
            Interrupted: A signal ended it.
        """
        first, last = (commit_of(self._root, each) for each in (good, bad))
        prefix = git(self._root, "rev-parse", "--show-prefix").strip()
        with _worktree(self._root, last) as tree:
            for name, commit, wanted in (("bad", last, "bad"), ("good", first, "good")):
                git(tree, "checkout", "-q", "--force", "--detach", commit)
                judged = self._judge(commit, tree / prefix)
                if judged.verdict != wanted:
                    skip = judged.verdict is Verdict.SKIP
                    how = "cannot be judged" if skip else f"is {judged.verdict}"
                    raise UsageError(
                        f"--{name} {commit[:12]}: {self._path} {how} there"
                        f"{': ' if judged.why else ''}{judged.why}",
                        hint="Give a revision where it passes (--good) and one where it fails.",
                    )
            said = git(tree, "bisect", "start", last, first)
            while not (found := self._end(tree, said)):
                commit = commit_of(tree, "HEAD")
                verdict = self._judge(commit, tree / prefix).verdict
                said = git(tree, "bisect", verdict.value, allowed=(0, 2))
            return found

    def _end(self, tree: Path, said: str) -> FirstBad | None:
        """Return the answer where git has it."""
        if match := _FIRST_BAD.search(said):
            return FirstBad(commits=(match[1],))
        if "only 'skip'ped commits left" not in said:
            return None
        candidates = [line for line in said.split("\n") if re.fullmatch("[0-9a-f]{40,64}", line)]
        return FirstBad(commits=tuple(candidates or [commit_of(tree, "refs/bisect/bad")]))

    def _judge(self, commit: str, root: Path) -> Judged:
        judged = self._known.get(commit) or self._execute(commit, root)
        self._tell(judged)
        return judged

    def _execute(self, commit: str, root: Path) -> Judged:
        # What an earlier commit left would count here: products, and bytecode, which Python takes
        # for current by the second and the size of its source.
        git(root, "clean", "-ffdxq", ":/")
        try:
            config = load(root)
            path = root / path_at(self._root, self._path, commit, root)
            selection = collecting.Selection(cwd=config.root, patterns=(str(path),))
            plan = collecting.plan(selection, config, kernels=collecting.installed_kernels())
        except NbpipeError as error:
            return Judged(commit=commit, verdict=Verdict.SKIP, why=_first_line(error, root))
        verdict, why = judge(plan, self._retries)
        return Judged(commit=commit, verdict=verdict, why=why)


def _first_line(error: NbpipeError, tree: Path) -> str:
    """Return what an error says, without the folder that is gone when it is read."""
    return str(error).split("\n", 1)[0].replace(f"{tree}{os.sep}", "")


def path_at(root: Path, path: str, commit: str, tree: Path) -> str:
    """Return the path that a notebook has at a commit: another one before it was renamed.

    Args:
        root: The collection's.
        path: The notebook's path now, relative to the root.
        commit: The commit.
        tree: The root as it is at the commit.
    """
    if (tree / path).exists():
        return path
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        before = worktree.renames(root, commit).get(path)
        if before is not None:
            return before
        later = worktree.renames(root, "HEAD", commit)  # a commit that is ahead of this tree
        return next((new for new, old in later.items() if old == path), path)
    return path


def known(config: Config, path: str) -> dict[str, Judged]:
    """Return what the history says about a notebook at commits, where it says only one thing.

    Under its former names, too.
    """
    judged: dict[str, Judged | None] = {}
    try:
        with history.open_history(config.settings.history, config.root) as past:
            runs = past.runs(_KNOWN_RUNS)
            commits = {run.id: run.commit for run in runs}
            results = past.notebook(path, _KNOWN_RUNS)
            for former in _former_names(config.root, path):
                results += past.notebook(former, _KNOWN_RUNS)
    except history.HistoryError:
        return {}
    for result in results:
        commit = commits.get(result.run)
        if not commit or result.outcome not in {"passed", "failed"}:
            continue
        verdict = Verdict.GOOD if result.outcome == "passed" else Verdict.BAD
        failure = result.failures[0] if result.failures else None
        why = failure.signature if failure else ""
        new = Judged(commit=commit, verdict=verdict, why=why, run=result.run)
        before = judged.setdefault(commit, new)
        if before is not None and before.verdict is not verdict:
            judged[commit] = None  # both: the environment changed, or it is flaky
    return {commit: each for commit, each in judged.items() if each is not None}


def _former_names(root: Path, path: str) -> list[str]:
    """Return the names that a notebook had in the commits before this one, the latest first."""
    try:
        said = git(
            root, "log", "--follow", "--format=", "--name-only", "-z", "--relative", "--", path
        )
    except UsageError:
        return []
    names = [name.strip("\n") for name in said.split("\0")]
    return [name for name in dict.fromkeys(names) if name and name != path]


def commit_of(root: Path, revision: str) -> str:
    """Return the commit that a revision names.

    Raises:
        UsageError: It names none.
    """
    name = f"{revision}^{{commit}}"
    words = ("rev-parse", "--verify", "--quiet", "--end-of-options", name)
    found = git(root, *words, allowed=(0, 1, 128)).strip()
    if not re.fullmatch("[0-9a-f]{40,64}", found):
        raise UsageError(
            f"{revision}: not a revision of the repository in {root}",
            hint="Name a commit, branch or tag; a shallow clone has only the newest commits.",
        )
    return found


def git(root: Path, *words: str, allowed: tuple[int, ...] = (0,)) -> str:
    """Return what git prints.

    Raises:
        UsageError: It is not installed, or ends with another code than is allowed.
    """
    try:  # a worktree of many or large files takes its time
        done = system_git.run(*system_git.NO_HOOKS, "-C", str(root), *words, timeout=None)
    except OSError as error:
        raise UsageError(f"git cannot be run: {error.strerror}", hint="Install git.") from error
    out = done.stdout.decode("utf-8", "surrogateescape")
    if done.returncode not in allowed:
        said = (done.stderr.decode("utf-8", "replace") or out).strip().split("\n")[-1]
        raise UsageError(f"{root}: git {words[0]}: {said}")
    return out


@contextlib.contextmanager
def _worktree(root: Path, commit: str) -> Iterator[Path]:
    """Give a worktree that is gone afterwards, with its refs."""
    with tempfile.TemporaryDirectory(prefix="nbpipe-bisect-") as folder:
        tree = Path(folder).resolve() / "tree"
        git(root, "worktree", "add", "--quiet", "--force", "--detach", str(tree), commit)
        try:
            yield tree
        finally:
            git(root, "worktree", "remove", "--force", "--force", str(tree), allowed=(0, 128))
