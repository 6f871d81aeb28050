"""What a text may be that reaches a scheduler, and how amounts are written.

Everything here refuses; nothing is cleaned or quoted into shape. Options are passed to programs
as lists, so what is left to refuse is what the schedulers themselves would read as more than a
name: line ends (a new directive), a leading dash (an option), and the characters that their file
names expand (`%` Slurm and LSF, `$` Grid Engine and HTCondor, `^` PBS, `:` and `,` lists of
hosts).
"""

from __future__ import annotations

import contextlib
import math
import re

from nbpipe.errors import UsageError
from nbpipe.system import units

MIB = units.MIB

clock = units.clock
memory_in_words = units.asked
duration_in_words = units.in_words

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@,+-]{0,99}")
_CONSTRAINT = re.compile(r"[A-Za-z0-9(\[][A-Za-z0-9_.&|*()\[\],:+-]{0,199}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_RESERVED = ("NBPIPE_", "SLURM_", "SBATCH_", "PBS_", "LSB_", "SGE_", "_CONDOR_")
"""How variables begin that a job has from nbpipe or from its scheduler."""
_SHELL = re.compile(r"\$\(|[`\"'\\;&|<>]")
"""What means something to a shell only, and would be kept as it stands."""
_JOB_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}")
_PROFILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_NOT_IN_PATH = re.compile(r"[%$^:,\"'`\\*?\[\]{}|;&<>#]")
_JOB_ID = re.compile(r"\d+[A-Za-z0-9_.+\[\]-]{0,200}", re.ASCII)
_MOST_SECONDS = 10 * 366 * 86_400
_MOST_BYTES = 1024**5


def name(text: str, what: str) -> str:
    """Return the text if it can be the name of a queue, an account, a parallel environment.

    Raises:
        UsageError: It holds anything but letters, digits and `_.@,+-`, or begins with a dash.
    """
    if _NAME.fullmatch(text):
        return text
    raise UsageError(
        f"{what}: {text!r} is not a name that is safe to pass to a scheduler",
        hint="Letters, digits and _.@,+- are accepted; the first is a letter or a digit.",
    )


def job_name(text: str) -> str:
    """Return the text if it can be the name of a job with every scheduler.

    Raises:
        UsageError: It does not begin with a letter, or holds more than letters, digits, `_.-`.
    """
    if _JOB_NAME.fullmatch(text):
        return text
    raise UsageError(
        f"the job's name {text!r} cannot be given to a scheduler",
        hint="Begin with a letter; letters, digits and _.- are accepted, 100 at most.",
    )


def profile_name(text: str, where: str) -> str:
    """Return the text if it can be the name of a profile.

    Raises:
        UsageError: It holds more than letters, digits, `_-`.
    """
    if _PROFILE_NAME.fullmatch(text):
        return text
    raise UsageError(
        f"{where}: {text!r} cannot be the name of a profile",
        hint="Letters, digits, - and _ are accepted; the first is a letter or a digit.",
    )


def line(text: str, what: str) -> str:
    """Return the text if it is one line without control characters.

    Raises:
        UsageError: It is not.
    """
    if text.isprintable() and len(text) <= 1000:  # noqa: PLR2004  (more than any line needs)
        return text
    raise UsageError(
        f"{what}: {text[:80]!r} holds control characters, or is too long",
        hint="Write one line of printable text.",
    )


def constraint(text: str, what: str) -> str:
    """Return the text if it names features of nodes, or is an expression of them.

    Raises:
        UsageError: It holds anything but names and Slurm's operators, or begins with a dash.
    """
    if _CONSTRAINT.fullmatch(text):
        return text
    raise UsageError(
        f"{what}: {text!r} is not a constraint that is safe to pass to a scheduler",
        hint="Names of features are accepted, joined by & or |, in parentheses or brackets.",
    )


def variable(name: str, value: str, what: str) -> str:
    """Return a variable's value if a job can have it; it is never given to a shell.

    Raises:
        UsageError: The name cannot be a variable's or is taken, or the value is written for a
            shell, which nobody would ask.
    """
    if not _VARIABLE.fullmatch(name):
        raise UsageError(
            f"{what}: {name!r} cannot be the name of a variable",
            hint="Letters, digits and _ are accepted; the first is not a digit.",
        )
    if name.startswith(_RESERVED):
        raise UsageError(
            f"{what}: {name} is set by nbpipe or by the scheduler", hint="Choose another name."
        )
    if found := _SHELL.search(value):
        raise UsageError(
            f"{what}: {name}: {found.group()!r} is for a shell, and no shell reads it",
            hint="Write the plain value; $NAME stands for a variable of yours.",
        )
    return line(value, f"{what}: {name}")


def path(text: str, what: str) -> str:
    """Return the text if it is an absolute path that no scheduler expands or splits.

    Raises:
        UsageError: It is not.
    """
    found = _NOT_IN_PATH.search(text)
    if text.startswith("/") and text.isprintable() and not found:
        return text
    reason = f"{found.group()!r} means something to a scheduler" if found else "not absolute"
    if not text.isprintable():
        reason = "it holds control characters"
    raise UsageError(
        f"{what}: {text!r} cannot be given to a scheduler: {reason}",
        hint="Use a folder with a plain name.",
    )


def memory(text: str, what: str) -> int:
    """Return the bytes of an amount of memory that a job can ask for.

    Schedulers count in MiB: less than one could not be asked for.

    Raises:
        UsageError: The text is not such an amount.
    """
    with contextlib.suppress(ValueError):
        if MIB <= (size := units.size(text)) <= _MOST_BYTES:
            return size
    raise UsageError(
        f"{what}: {text!r} is not an amount of memory from 1M to 1024T",
        hint='Write a number with K, M, G or T, such as "125G".',
    )


def duration(text: str, what: str) -> int:
    """Return the seconds of a duration, whole ones, as schedulers count.

    A bare number is refused: to Slurm it is minutes, to Grid Engine seconds.

    Raises:
        UsageError: The text is not a duration.
    """
    with contextlib.suppress(ValueError):
        if not units.is_bare(text) and (seconds := units.seconds(text)) <= _MOST_SECONDS:
            return math.ceil(seconds)
    raise UsageError(
        f"{what}: {text!r} is not a duration",
        hint='Write "H:MM:SS", "D-HH:MM:SS", or units as in "4h", "90m", "1h30m".',
    )


def job_id(text: str) -> str:
    """Return the text if it can be a job's id.

    That is `12`, `12_3`, `12+0`, `12.3` or `12[3].server`; a cluster (`12;name`) is apart from it.

    Raises:
        UsageError: It cannot.
    """
    if _JOB_ID.fullmatch(text):
        return text
    raise UsageError(
        f"{text!r} is not a valid job id", hint="Take it from `nbpipe reference list`."
    )
