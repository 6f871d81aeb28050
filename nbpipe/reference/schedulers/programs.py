"""The only place that runs a scheduler's programs: argument lists, no shell, a time limit.

A program that fails says why on standard error; those words are kept. Whether a failure means
"no", "no such job" or "no answer" differs by scheduler: each brings its patterns.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbpipe.reference.errors import SchedulerMissing, SchedulerOutage, SubmissionRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHOWN = 2000
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""What a site's wrapper may put around its words."""
_OF_A_JOB = (
    *("NBPIPE_TASK_INDEX", "SLURM_ARRAY_TASK_ID", "SGE_TASK_ID", "PBS_ARRAY_INDEX", "LSB_JOBINDEX"),
    *("PMI_", "PMI2_", "PMIX_", "OMPI_COMM_", "OMPI_UNIVERSE_SIZE", "OMPI_MCA_ess_"),
)
"""Prefixes of variables that say which task of which job this process is.

A job that is submitted from inside of another one may inherit them: it would take its parent's
index for its own, and its MPI library would look for the parent's launcher.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a program said."""

    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """Return what it complained about, in one line."""
        text = self.err.strip() or self.out.strip() or f"exit code {self.code}"
        return " ".join(text[:_SHOWN].split())


class Programs:
    """A scheduler's programs in one environment."""

    def __init__(  # noqa: PLR0913  (keywords)
        self,
        scheduler: str,
        *,
        environ: Mapping[str, str] | None = None,
        without: tuple[str, ...] = (),
        keep: tuple[str, ...] = (),
        timeout: float = 60.0,
        outage: str = r"(?!)",
    ) -> None:
        """Take the environment as it is now.

        Args:
            scheduler: Its name, for messages.
            environ: In place of this process's environment.
            without: Prefixes of variables that would change the answers; they are left out.
            keep: Variables that are passed on all the same.
            timeout: Seconds for one program.
            outage: Pattern of the complaints that mean "no answer" when submitting.
        """
        given = os.environ if environ is None else environ
        without = (*without, *_OF_A_JOB)
        self._environ = {
            name: value
            for name, value in given.items()
            if name in keep or not name.startswith(without)
        }
        self._environ |= {"LC_ALL": "C", "TZ": "UTC"}
        self._scheduler = scheduler
        self._timeout = timeout
        self._outage = re.compile(outage, re.IGNORECASE)

    def call(self, *words: str, text: str = "", environ: Mapping[str, str] | None = None) -> Answer:
        """Run a program to its end, whatever that is.

        Raises:
            SchedulerMissing: There is no such program.
            SchedulerOutage: It did not end in time.
        """
        try:
            done = subprocess.run(
                words,
                input=text,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                env={**self._environ, **(environ or {})},
                timeout=self._timeout,
                check=False,
            )
        except (FileNotFoundError, PermissionError) as error:
            raise SchedulerMissing(
                f"{self._scheduler}: the program {words[0]} cannot be started: {error.strerror}",
                hint="Run this where the scheduler's programs are, such as a login node.",
            ) from error
        except subprocess.TimeoutExpired as error:
            raise SchedulerOutage(
                f"{self._scheduler}: {words[0]} gave no answer in {self._timeout:g} seconds",
                hint="Nothing is known about any job because of that; ask again later.",
            ) from error
        return Answer(code=done.returncode, out=done.stdout, err=done.stderr)

    def submit(self, *words: str, text: str = "", environ: Mapping[str, str] | None = None) -> str:
        """Return what a submitting program printed.

        Raises:
            SubmissionRefused: The scheduler will not take the job.
            SchedulerOutage: There was no answer.
            SchedulerMissing: There is no such program.
        """
        answer = self.call(*words, text=text, environ=environ)
        if answer.code == 0:
            return answer.out.strip()
        if self._outage.search(answer.err + answer.out):
            raise self.outage(words[0], answer)
        raise SubmissionRefused(
            f"{self._scheduler} refused the job: {answer.words}",
            hint="Change the profile (`nbpipe profiles`), or submit from a host of the cluster.",
        )

    def ask(
        self, *words: str, nothing: str = r"(?!)", environ: Mapping[str, str] | None = None
    ) -> str:
        """Return the answer to a question; "" where the complaint is that there is nothing.

        Raises:
            SchedulerOutage: There was no answer.
            SchedulerMissing: There is no such program.
        """
        answer = self.call(*words, environ=environ)
        if answer.code == 0:
            return answer.out
        if re.search(nothing, answer.err + answer.out, re.IGNORECASE):
            return answer.out
        raise self.outage(words[0], answer)

    def said(self, program: str, out: str, *patterns: str) -> re.Match[str]:
        """Return the last line of an answer that fits one of the patterns as a whole.

        A site's wrapper may print lines of its own before it and after it: a banner, a warning,
        the state of somebody's budget.

        Raises:
            SchedulerOutage: No line does.
        """
        for line in reversed(_COLOURS.sub("", out).splitlines()):
            for pattern in patterns:
                if found := re.fullmatch(pattern, line.strip()):
                    return found
        raise self.unreadable(program, out)

    def outage(self, program: str, answer: Answer) -> SchedulerOutage:
        """Return the error for a program that could not answer."""
        return SchedulerOutage(
            f"{self._scheduler}: {program} failed: {answer.words}",
            hint="Nothing is known about any job because of that; ask again later.",
        )

    def unreadable(self, program: str, text: str) -> SchedulerOutage:
        """Return the error for an answer that cannot be understood."""
        return SchedulerOutage(
            f"{self._scheduler}: the answer of {program} cannot be understood: {text[:200]!r}",
            hint="Nothing is known about any job because of that; ask again later.",
        )


def document(text: str, start: str) -> str:
    """Return an answer from the first line that begins with `start`; "" where none does.

    A site's wrapper may print lines of its own before it.
    """
    found = re.search(rf"^\s*{re.escape(start)}", text, re.MULTILINE)
    return text[found.start() :] if found else ""
