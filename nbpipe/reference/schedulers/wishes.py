"""What a profile may ask for that only some schedulers know: refused by the others, never dropped.

A job that runs without the reservation or the quality of service that was asked for is not the
job that was asked for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nbpipe.reference.errors import SubmissionRefused

if TYPE_CHECKING:
    from nbpipe.reference.profiles import Profile

_ADVICE = {
    "qos": "Slurm alone has it; elsewhere choose a queue.",
    "constraint": "Choose a queue, or ask the site for a profile with `extra`.",
    "reservation": "Choose a queue, or ask the site for a profile with `extra`.",
}


def check(scheduler: str, profile: Profile, *known: str, advice: str = "") -> None:
    """Refuse a profile that asks for what a scheduler does not have.

    Args:
        scheduler: Its name.
        profile: What is asked for.
        known: Which of qos, constraint and reservation it has.
        advice: What to do about a reservation, where there is a way.

    Raises:
        SubmissionRefused: Something else is asked for.
    """
    for key, hint in _ADVICE.items():
        value = getattr(profile, key)
        if value is not None and key not in known:
            raise SubmissionRefused(
                f"{scheduler}: profile {profile.name}: {key} {value!r}: this scheduler has none",
                hint=advice if advice and key == "reservation" else hint,
            )


def feature(scheduler: str, profile: Profile) -> str | None:
    """Return the one feature that the nodes must have; None for no wish.

    Raises:
        SubmissionRefused: It is an expression, which Slurm alone can read.
    """
    wanted = profile.constraint
    if wanted is None or re.fullmatch(r"[A-Za-z]\w*", wanted, re.ASCII):
        return wanted
    raise SubmissionRefused(
        f"{scheduler}: profile {profile.name}: constraint {wanted!r} is not the name of a feature",
        hint="Name one feature (a boolean resource); Slurm alone reads expressions.",
    )
