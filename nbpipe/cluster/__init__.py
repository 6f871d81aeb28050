"""`nbpipe test --cluster`: the notebooks of a plan on workers elsewhere, results as they come.

    run                what stands in for the scheduler of this machine, at the client
    exchange, wire     the folder that client and workers share; tasks and results as JSON
    worker             takes notebooks and runs them, by its `worker_scheduler`
    takeover           what a killed client left, for a later run
    array_workers      workers as a job array; `dask_workers`, ... as tasks of a Dask cluster

Jobs and schedulers are `batch` and `reference`, how a notebook runs is `execution`: nothing of
either is decided here.
"""
