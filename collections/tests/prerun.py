"""Site set-up that runs first in every Python notebook of the nightly run.

What belongs here is what differs between a person at a desk and a run without one: no download
in the background, no progress bar, numbers printed in one way. It must not do what a notebook
should do itself: all of them pass without it, too. Names are deleted, so that none is missed by
accident in a notebook that forgot to define it.
"""


def _site() -> None:
    import os  # noqa: PLC0415 - a notebook must import for itself what it uses
    import warnings  # noqa: PLC0415

    # Two notebooks at a time on few cores: one thread of BLAS each is faster than many.
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")

    try:
        from astropy.utils import data, iers  # noqa: PLC0415
    except ImportError:
        return  # a notebook that needs astropy will say so better than we can
    data.conf.allow_internet = False  # a test must not depend on a server's mood
    iers.conf.auto_download = False
    iers.conf.iers_degraded_accuracy = "warn"

    import numpy as np  # noqa: PLC0415

    np.set_printoptions(linewidth=100)
    # Time runs on, the table of leap seconds that astropy ships does not.
    warnings.filterwarnings("ignore", message=".*leap-second.*")


_site()
del _site
