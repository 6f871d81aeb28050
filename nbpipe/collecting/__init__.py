"""Which notebooks run, in which order, on which kernel, and why each other one does not.

`plan` reads folders and the heads of notebooks; nothing is executed here, no kernel is started
and nothing is written.
"""

from __future__ import annotations

from nbpipe.collecting.kernels import InstalledKernel, installed_kernels
from nbpipe.collecting.plans import NothingPlanned, Selection, choose, plan
from nbpipe.collecting.walks import RUN_MARK

__all__ = [
    "RUN_MARK",
    "InstalledKernel",
    "NothingPlanned",
    "Selection",
    "choose",
    "installed_kernels",
    "plan",
]
