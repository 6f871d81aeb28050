"""Notebooks as jobs of a scheduler: one as a reference run, or a collection in slices.

    submission   a notebook with its collection -> a run's folder -> a job
    job          what runs inside the job: `python -m nbpipe.batch.job FOLDER`
    children     which jobs belong to a run, on whichever scheduler
    following    how the job and its children stand; wait; cancel
    gathering    a finished run -> its manifest
    judging      promote, compare, accept
    cluster      `nbpipe test --cluster`: a plan on workers, results as they come
    exchange     the folder that client and workers of it share
    taking       what a killed client left, for a later run
    wire         tasks and results as JSON, for the way to a job and back

This room knows both the engine (`execution`, `runner`) and the schedulers (`reference`), which do
not know each other. Nothing of the command line enters it.
"""
