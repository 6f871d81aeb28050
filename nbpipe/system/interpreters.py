"""Questions to an interpreter: a process of its own that answers and ends. The only place to ask.

It runs in no folder of anybody's, so that nothing of a collection is on its path, in a session of
its own, so that all of it ends when its time is over. What it prints before `MARK` (a
`sitecustomize` may) is not the answer.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import string
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MARK = "nbpipe-answer:"
"""What a question prints before its answer."""
PATIENCE = 60.0
"""Seconds for an answer; on a network's file system the first start is slow."""

_PYTHON = re.compile(r"(pypy|python)[\d.]*(\.exe)?")


class NoAnswerError(Exception):
    """The interpreter did not answer; the text says why, as the end of a sentence."""


def command(program: str, argv: Sequence[str]) -> list[str] | None:
    """Return how a kernel's Python is started; None where that cannot be seen.

    What stands before `-m` in the kernelspec starts it: `env A=b python -m ipykernel_launcher`.

    Args:
        program: What is started for the first word.
        argv: The kernelspec's.
    """
    if "-m" in argv:
        return [program, *argv[1 : list(argv).index("-m")]]
    return [program] if _PYTHON.fullmatch(Path(program).name) else None


def substituted(own: Mapping[str, object], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a kernelspec sets, `${NAME}` in them replaced.

    Source: https://jupyter-client.readthedocs.io/en/stable/kernels.html#kernel-specs
    """
    return {name: string.Template(str(text)).safe_substitute(environ) for name, text in own.items()}


def ask(  # noqa: PLR0913  (a process has as many sides)
    command: Sequence[str],
    question: str,
    *arguments: str,
    environ: Mapping[str, str],
    given: str = "",
    option: str = "-c",
    patience: float = PATIENCE,
) -> str:
    """Return what an interpreter answers, without white space around it.

    Args:
        command: How it is started.
        question: A program that prints `MARK` and the answer.
        arguments: The program's.
        environ: All of its environment.
        given: Its standard input.
        option: How it takes a program: `-c` for Python, `-e` for R.
        patience: Seconds until it is ended.

    Raises:
        NoAnswerError: It cannot be started, is silent, or says something else.
    """
    try:
        process = subprocess.Popen(
            [*command, option, question, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=os.sep,
            env=dict(environ),
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise NoAnswerError(f"{command[0]} cannot be started: {error.strerror}") from error
    with process:
        try:
            said, complained = process.communicate(given, timeout=patience)
        except subprocess.TimeoutExpired:
            _end(process)
            raise NoAnswerError(f"it did not answer within {patience:g} s") from None
        except BaseException:
            _end(process)
            raise
    _, mark, answer = said.rpartition(MARK)
    if mark:
        return answer.strip()
    last = (complained.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
    raise NoAnswerError(f"it does not answer: {last.strip()}")


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
