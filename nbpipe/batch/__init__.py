"""One notebook as a job of a scheduler: the reference run of a release.

    submission   a notebook with its collection -> a run's folder -> a job
    job          what runs inside the job: `python -m nbpipe.batch.job FOLDER`
    children     which jobs belong to a run, on whichever scheduler
    run_views    how the job and its children stand; wait; cancel
    collect      a run that has ended -> its manifest
    promotion    promote, compare, accept

This room knows both the engine (`execution`, `runner`) and the schedulers (`reference`), which do
not know each other. Nothing of the command line enters it.
"""
