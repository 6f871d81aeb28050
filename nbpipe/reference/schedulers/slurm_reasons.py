"""What a person can do about a job that Slurm will not start, by Slurm's own reason.

Most reasons pass by themselves (`Priority`, `Resources`, a limit on running jobs): of those there
is nothing to say. Source: SchedMD's list of job reason codes, and what slurmctld 22.05 answers.
"""

from __future__ import annotations

import re

_SMALLER = "ask for less, or for another partition, and submit again"
_ADVICE: tuple[tuple[str, str], ...] = (
    (
        r"PartitionTimeLimit|(QOS|Assoc)?MaxWall\w*|(QOS|Assoc)MaxWallDurationPerJobLimit|TimeLimit",
        (
            "the job asks for more time than it may have: submit again with a shorter --walltime "
            "or with another --queue (`sinfo -o '%P %l'` shows the limits of partitions)"
        ),
    ),
    (r"PartitionNodeLimit|PartitionConfig", f"no node of the partition fits the job: {_SMALLER}"),
    (r"PartitionDown|PartitionInactive", "the partition is closed: ask its administrators"),
    (r"BadConstraints", f"no node has what the job asks for: {_SMALLER}"),
    (
        (
            r"(QOS|Assoc|Association|Max)\w*(PerJob|PerNode|MinCpu|MinGRES|MinMemory|MinBilling)\w*"
            r"|MaxMemPerLimit|(QOS|Association|Assoc)ResourceLimit"
        ),
        f"the job asks for more than one job may have: {_SMALLER}",
    ),
    (
        r"(Assoc|QOS)Grp\w*(?<!Run)Minutes(Limit)?|QOSTimeLimit|AssociationTimeLimit",
        "the budget of the account is used up: charge another --account, or ask for more",
    ),
    (
        r"InvalidAccount|InvalidQOS|AccountNotAllowed|QOSNotAllowed|QOSUsageThreshold",
        (
            "the account or its QOS may not be used here: submit again with another --account "
            "(`sacctmgr show associations user=$USER` lists yours)"
        ),
    ),
    (
        r"DependencyNeverSatisfied",
        "the job that it waits for did not end as it should: cancel it and submit again",
    ),
    (r"JobHeldUser", "a user holds it: `scontrol release` the job"),
    (r"JobHeldAdmin", "an administrator, or a limit, holds it: ask the administrators"),
    (
        (
            r"launch failed requeued held|JobLaunchFailure|JobHoldMaxRequeue|"
            r"BadJobFile|InvalidBBSpec|BurstBufferStageIn\w*"
        ),
        (
            "it could not be started and is held: `scontrol show job` tells why; mend it, then "
            "`scontrol release` the job"
        ),
    ),
    (
        r"ReqNodeNotAvail.*|Nodes required for job are DOWN.*|NodeDown|FrontEndDown",
        (
            "nodes that it needs are down, drained or reserved (a maintenance): a shorter "
            "--walltime may fit before it, another --queue may have nodes (`sinfo -R` tells why)"
        ),
    ),
    (r"ReservationDeleted", "its reservation does not exist any more: submit again without it"),
    (r"InvalidReservation|ReservationInvalid", "its reservation cannot be used: submit without it"),
    (r"Licenses", "it waits for licences (`scontrol show licenses`): it starts when some are free"),
    (r"DeadLine", "it cannot end before its deadline any more: cancel it and submit again"),
)
_PATTERNS = [(re.compile(pattern), text) for pattern, text in _ADVICE]


def advice(reason: str) -> str:
    """Return what to do about a pending job of which Slurm says this; "" where waiting helps."""
    for pattern, text in _PATTERNS:
        if pattern.fullmatch(reason.strip("()")):
            return text
    return ""
