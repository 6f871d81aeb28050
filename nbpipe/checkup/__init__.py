"""What a run would miss on this machine: kernels, their interpreters, packages; how to get them.

    checkup = examine(selection, config, environ=os.environ)
    for finding in checkup.findings: ...

Stands above the services, beside the runner. No notebook is executed, no package that one of
them names is imported, nothing is written; interpreters of kernels are asked in processes of
their own.
"""

from __future__ import annotations

from nbpipe.checkup.examination import examine
from nbpipe.checkup.findings import Checkup, Finding, KernelState, Severity

__all__ = ["Checkup", "Finding", "KernelState", "Severity", "examine"]
