"""Which task of an array a job is; the job asks, so this imports nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLES = (
    "NBPIPE_TASK_INDEX",  # local, HTCondor: set by us
    "SLURM_ARRAY_TASK_ID",
    "SGE_TASK_ID",  # "undefined" outside an array
    "PBS_ARRAY_INDEX",
    "LSB_JOBINDEX",  # "0" outside an array
)


def index_in(environ: Mapping[str, str]) -> int | None:
    """Return the index, from 1; None for a job that is in no array."""
    for variable in VARIABLES:
        text = environ.get(variable, "")
        if text.isascii() and text.isdigit() and int(text) > 0:
            return int(text)
    return None
