"""What broke a notebook: a commit of the collection, or a package of its environment.

The notebook is the judge. Works below temporary folders; the user's tree and environments, the
history and whoever is notified notice nothing. Nothing here prints.

    Bisection(root, path, ...).search("v1", "HEAD")     the first bad commit (commits)
    PackageBisection(config, path, ...).search()        the package (packages); narrowing decides
                                                        what is tried (ordering: in which order),
                                                        locks reads, building builds
"""

from __future__ import annotations

from nbpipe.bisecting.commits import Bisection, FirstBad, Judged, git, known
from nbpipe.bisecting.packages import Guilty, PackageBisection, Step
from nbpipe.bisecting.verdict import Interrupted, Verdict

__all__ = [
    "Bisection",
    "FirstBad",
    "Guilty",
    "Interrupted",
    "Judged",
    "PackageBisection",
    "Step",
    "Verdict",
    "git",
    "known",
]
