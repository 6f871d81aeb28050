"""PBS, LSF and HTCondor, which no test can run: outputs in the form of their documentation.

Sources: PBS Professional 2022.1 User's Guide (qstat -F json, exit codes), IBM Spectrum LSF 10.1
(bjobs -json, termination reasons), HTCondor 23 manual (job ClassAd attributes, hold reasons).
"""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from recorded import Recorded

from nbpipe.reference.errors import SchedulerMissing, SchedulerOutage, SubmissionRefused
from nbpipe.reference.profiles import Profile
from nbpipe.reference.schedulers import gridengine, htcondor, pbs, slurm
from nbpipe.reference.schedulers import lsf as lsf_module
from nbpipe.reference.schedulers.gridengine import GridEngine
from nbpipe.reference.schedulers.htcondor import HTCondor
from nbpipe.reference.schedulers.lsf import LSF
from nbpipe.reference.schedulers.pbs import PBS
from nbpipe.reference.schedulers.protocol import JobRequest, JobState
from nbpipe.reference.schedulers.slurm import Slurm

GIB = 1024**3
PROFILE = Profile(
    name="p", cores=12, memory=125 * GIB, walltime=4 * 3600, queue="regular", account="m1234"
)
FOLDER = Path("/scratch/run 1")
REQUEST = JobRequest(
    name="ref-1",
    command=("/opt/job.sh", str(FOLDER)),
    folder=FOLDER,
    stdout=FOLDER / "job.out",
    stderr=FOLDER / "job.err",
    profile=PROFILE,
)


@pytest.fixture
def programs(tmp_path: Path) -> Recorded:
    return Recorded(tmp_path)


def pbs_job(**facts: object) -> str:
    """Return qstat's JSON for a job that ran for 100 seconds."""
    known = {
        "Job_Name": "ref-1",
        "job_state": "F",
        "resources_used": {
            "cpupercent": 98,
            "cput": "00:01:30",
            "mem": "348kb",
            "ncpus": 2,
            "vmem": "4316kb",
            "walltime": "00:01:40",
        },
        "qtime": "Mon Apr  9 09:34:07 2018",
        "stime": "Mon Apr  9 09:35:07 2018",
        "obittime": "Mon Apr  9 09:36:47 2018",
        "Resource_List": {"mem": "2gb", "ncpus": 2, "walltime": "00:10:00"},
        "exec_host": "pbsworks/0*2",
        "comment": "Job run at Mon Apr 09 at 09:35 on (pbsworks:ncpus=2) and finished",
    }
    job = {key: value for key, value in {**known, **facts}.items() if value is not None}
    return json.dumps({"timestamp": 1523291708, "pbs_version": "2022.1", "Jobs": {"13.srv": job}})


def test_pbs_is_given_a_list_of_options_and_the_command(programs: Recorded) -> None:
    programs.program("qsub", "13.srv\n")
    assert PBS(programs.environ).submit(replace(REQUEST, after=("12.srv",))) == "13.srv"
    assert programs.calls("qsub") == [
        [
            *("-N", "ref-1", "-r", "y", "-o", f"{FOLDER}/job.out", "-e", f"{FOLDER}/job.err"),
            *("-l", "select=1:ncpus=12:mem=128000mb", "-l", "walltime=4:00:00"),
            *("-q", "regular", "-A", "m1234", "-W", "depend=afterok:12.srv"),
            *("--", "/bin/bash", "/opt/job.sh", str(FOLDER)),
        ]
    ]


def test_the_tasks_of_a_pbs_array_have_their_index_in_the_id(programs: Recorded) -> None:
    programs.program("qsub", "13[].srv\n")
    jobs = PBS(programs.environ).submit_array(REQUEST, 3, at_once=2)
    assert jobs == ("13[1].srv", "13[2].srv", "13[3].srv")
    (call,) = programs.calls("qsub")
    assert call[call.index("-J") + 1] == "1-3%2"
    assert f"{FOLDER}/job.out.^array_index^" in call


@pytest.mark.parametrize(
    ("facts", "state", "code", "number"),
    [
        ({"Exit_status": 0}, JobState.COMPLETED, 0, None),
        ({"Exit_status": 3}, JobState.FAILED, 3, None),
        ({"Exit_status": 139}, JobState.FAILED, None, signal.SIGSEGV),
        ({"Exit_status": 265}, JobState.FAILED, None, signal.SIGKILL),
        ({"Exit_status": 271}, JobState.CANCELLED, None, signal.SIGTERM),
        ({"Exit_status": -29}, JobState.TIMEOUT, None, None),
        ({"Exit_status": -27}, JobState.OUT_OF_MEMORY, None, None),
        ({"Exit_status": -1}, JobState.FAILED, None, None),
        (
            {"Exit_status": 271, "comment": "job killed: walltime 603 exceeded limit 600"},
            JobState.TIMEOUT,
            None,
            signal.SIGTERM,
        ),
        ({"stime": None}, JobState.CANCELLED, None, None),
        ({}, JobState.LOST, None, None),
    ],
)
def test_how_a_pbs_job_ended(
    programs: Recorded,
    facts: dict[str, Any],
    state: JobState,
    code: int | None,
    number: int | None,
) -> None:
    programs.program("qstat", pbs_job(**facts))
    (record,) = PBS(programs.environ).account(["13.srv"])["13.srv"]
    assert (record.state, record.exit_code, record.signal) == (state, code, number)


def test_what_pbs_accounts_for(programs: Recorded) -> None:
    programs.program("qstat", pbs_job(Exit_status=0))
    (record,) = PBS(programs.environ).account(["13.srv"])["13.srv"]
    assert (record.elapsed, record.cores, record.core_seconds) == (100, 2, 200)
    assert (record.cpu_seconds, record.peak_memory) == (90, 348 * 1024)
    assert record.requested_memory == 2 * GIB
    assert record.started == datetime(2018, 4, 9, 9, 35, 7, tzinfo=UTC)
    assert programs.calls("qstat") == [["-x", "-f", "-F", "json", "-t", "13.srv"]]


@pytest.mark.parametrize(
    ("letter", "state"),
    [("Q", JobState.PENDING), ("R", JobState.RUNNING), ("?", JobState.UNKNOWN)],
)
def test_a_pbs_job_that_goes_on(programs: Recorded, letter: str, state: JobState) -> None:
    programs.program("qstat", pbs_job(job_state=letter, comment="Not Running: no resources"))
    pbs = PBS(programs.environ)
    status = pbs.poll(["13.srv"])["13.srv"]
    assert (status.state, status.reason) == (state, "Not Running: no resources")
    assert pbs.account(["13.srv"]) == {}


def test_a_job_that_pbs_does_not_know_is_absent_and_an_outage_is_not(programs: Recorded) -> None:
    pbs = PBS(programs.environ)
    programs.program("qstat", err="qstat: Unknown Job Id 13.srv\n", code=153)
    assert pbs.poll(["13.srv"]) == {}
    programs.program("qstat", err="Connection refused\nqstat: cannot connect to server srv", code=1)
    with pytest.raises(SchedulerOutage, match="cannot connect to server srv"):
        pbs.poll(["13.srv"])
    programs.program("qstat", '{"Jobs": {"13')
    with pytest.raises(SchedulerOutage, match="cannot be understood"):
        pbs.poll(["13.srv"])


def bjobs(**facts: str) -> str:
    """Return bjobs' JSON for a job that ran for 100 seconds."""
    record = {
        "JOBID": "13",
        "JOBINDEX": "0",
        "STAT": "EXIT",
        "JOB_NAME": "ref-1",
        "EXIT_CODE": "",
        "EXIT_REASON": "",
        "PEND_REASON": "",
        "SUBMIT_TIME": "Nov 21 09:49",
        "START_TIME": "Nov 21 09:50",
        "FINISH_TIME": "Nov 21 09:52 L",
        "RUN_TIME": "100 second(s)",
        "CPU_USED": "90.5 second(s)",
        "MAX_MEM": "512 Mbytes",
        "MEMLIMIT": "2 G",
        "SLOTS": "2",
        "EXEC_HOST": "2*hostA",
    }
    return json.dumps({"COMMAND": "bjobs", "JOBS": 1, "RECORDS": [{**record, **facts}]})


def lsf(programs: Recorded) -> LSF:
    return LSF(programs.environ, today=lambda: date(2026, 12, 1))


def test_lsf_is_given_a_list_of_options_and_a_quoted_command(programs: Recorded) -> None:
    programs.program("bsub", "Job <13> is submitted to queue <regular>.\n")
    assert lsf(programs).submit(replace(REQUEST, after=("11", "12"))) == "13"
    assert programs.calls("bsub") == [
        [
            *("-J", "ref-1", "-cwd", str(FOLDER)),
            *("-o", f"{FOLDER}/job.out", "-e", f"{FOLDER}/job.err"),
            *("-n", "12", "-R", "span[ptile=12]", "-r", "-M", "128000MB", "-W", "4:00"),
            *("-wa", "TERM", "-wt", "2", "-q", "regular", "-P", "m1234"),
            *("-w", "done(11) && done(12)", f"/bin/bash /opt/job.sh '{FOLDER}'"),
        ]
    ]


@pytest.mark.parametrize(
    ("facts", "state", "code", "number"),
    [
        ({"STAT": "DONE"}, JobState.COMPLETED, 0, None),
        ({"EXIT_CODE": "3"}, JobState.FAILED, 3, None),
        ({"EXIT_CODE": "139"}, JobState.FAILED, 139, signal.SIGSEGV),
        (
            {
                "EXIT_CODE": "140",
                "EXIT_REASON": "TERM_RUNLIMIT: job killed after reaching LSF run time limit",
            },
            JobState.TIMEOUT,
            140,
            signal.SIGUSR2,
        ),
        (
            {
                "EXIT_CODE": "137",
                "EXIT_REASON": "TERM_MEMLIMIT: job killed after reaching LSF memory usage limit",
            },
            JobState.OUT_OF_MEMORY,
            137,
            signal.SIGKILL,
        ),
        (
            {"EXIT_CODE": "130", "EXIT_REASON": "TERM_OWNER: job killed by owner"},
            JobState.CANCELLED,
            130,
            signal.SIGINT,
        ),
    ],
)
def test_how_an_lsf_job_ended(
    programs: Recorded,
    facts: dict[str, str],
    state: JobState,
    code: int,
    number: int | None,
) -> None:
    programs.program("bjobs", bjobs(**facts))
    (record,) = lsf(programs).account(["13"])["13"]
    assert (record.state, record.exit_code, record.signal) == (state, code, number)


def test_what_lsf_accounts_for(programs: Recorded) -> None:
    programs.program("bjobs", bjobs(STAT="DONE"))
    (record,) = lsf(programs).account(["13"])["13"]
    assert (record.elapsed, record.cores, record.core_seconds) == (100, 2, 200)
    assert (record.cpu_seconds, record.peak_memory) == (90.5, 512 * 1024**2)
    assert record.requested_memory == 2 * GIB
    assert record.started == datetime(2026, 11, 21, 9, 50, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "state"),
    [("PEND", JobState.PENDING), ("RUN", JobState.RUNNING), ("UNKWN", JobState.UNKNOWN)],
)
def test_an_lsf_job_that_goes_on(programs: Recorded, said: str, state: JobState) -> None:
    programs.program("bjobs", bjobs(STAT=said, JOBINDEX="2"))
    assert lsf(programs).poll(["13[2]"])["13[2]"].state is state
    assert lsf(programs).account(["13[2]"]) == {}


def test_a_job_that_lsf_does_not_know_is_absent_and_an_outage_is_not(programs: Recorded) -> None:
    unknown = {"COMMAND": "bjobs", "RECORDS": [{"JOBID": "13", "ERROR": "Job <13> is not found"}]}
    programs.program("bjobs", json.dumps(unknown), code=255)
    assert lsf(programs).poll(["13"]) == {}
    programs.program("bjobs", err="Job <13> is not found\n", code=255)
    assert lsf(programs).poll(["13"]) == {}
    programs.program("bjobs", err="LSF is down. Please wait ...\n", code=255)
    with pytest.raises(SchedulerOutage, match="LSF is down"):
        lsf(programs).poll(["13"])


def condor(**facts: object) -> str:
    """Return the ClassAd of a job that ran for 100 seconds, as condor_history writes it."""
    record = {
        "ClusterId": 13,
        "ProcId": 0,
        "JobStatus": 4,
        "ExitBySignal": False,
        "ExitCode": 0,
        "QDate": 1795254243,
        "JobStartDate": 1795254303,
        "CompletionDate": 1795254403,
        "RemoteWallClockTime": 100.0,
        "RemoteUserCpu": 80.0,
        "RemoteSysCpu": 10.0,
        "ResidentSetSize": 524288,
        "RequestMemory": 2048,
        "RequestCpus": 2,
        "LastRemoteHost": "slot1@nodeA",
        "NumJobStarts": 1,
    }
    return json.dumps([{**record, **facts}])


def test_htcondor_is_given_a_fixed_description(programs: Recorded) -> None:
    programs.program("condor_submit", "13.0 - 13.0\n")
    assert HTCondor(programs.environ).submit(REQUEST) == "13.0"
    assert programs.calls("condor_submit") == [["-terse", "-"]]
    assert programs.text("condor_submit").splitlines() == [
        "universe = vanilla",
        "executable = /bin/bash",
        "transfer_executable = false",
        "should_transfer_files = no",
        "arguments = \"'/opt/job.sh' '/scratch/run 1'\"",
        "initialdir = /scratch/run 1",
        "output = /scratch/run 1/job.out",
        "error = /scratch/run 1/job.err",
        "batch_name = ref-1",
        'My.NbpipeName = "ref-1"',
        "request_cpus = 12",
        "notification = never",
        "request_memory = 128000",
        "allowed_execute_duration = 14400",
        "accounting_group = m1234",
        'My.Queue = "regular"',
        "queue",
    ]


def test_the_tasks_of_an_htcondor_array_are_given_their_index(programs: Recorded) -> None:
    programs.program("condor_submit", "13.0 - 13.2\n")
    jobs = HTCondor(programs.environ).submit_array(REQUEST, 3, at_once=2)
    assert jobs == ("13.0", "13.1", "13.2")
    text = programs.text("condor_submit")
    assert 'environment = "NBPIPE_TASK_INDEX=$(NbpipeIndex)"\nmax_materialize = 2' in text
    assert text.endswith("queue NbpipeIndex in (1, 2, 3)\n")


def test_htcondor_refuses_dependencies_and_several_machines(programs: Recorded) -> None:
    programs.program("condor_submit", "13.0 - 13.0\n")
    for request in (
        replace(REQUEST, after=("12.0",)),
        replace(REQUEST, profile=replace(PROFILE, nodes=2)),
    ):
        with pytest.raises(SubmissionRefused, match="htcondor: ref-1"):
            HTCondor(programs.environ).submit(request)


@pytest.mark.parametrize(
    ("facts", "state", "code", "number"),
    [
        ({}, JobState.COMPLETED, 0, None),
        ({"ExitCode": 3}, JobState.FAILED, 3, None),
        ({"ExitBySignal": True, "ExitSignal": 11}, JobState.FAILED, None, 11),
        ({"JobStatus": 3, "RemoveReason": "via condor_rm"}, JobState.CANCELLED, 0, None),
        (
            {"JobStatus": 5, "HoldReasonCode": 34, "HoldReason": "memory usage exceeded"},
            JobState.OUT_OF_MEMORY,
            0,
            None,
        ),
        (
            {"JobStatus": 5, "HoldReasonCode": 47, "HoldReason": "exceeded execute duration"},
            JobState.TIMEOUT,
            0,
            None,
        ),
        (
            {"JobStatus": 5, "HoldReasonCode": 6, "HoldReason": "Failed to execute"},
            JobState.FAILED,
            0,
            None,
        ),
    ],
)
def test_how_an_htcondor_job_ended(
    programs: Recorded,
    facts: dict[str, Any],
    state: JobState,
    code: int | None,
    number: int | None,
) -> None:
    programs.program("condor_history", condor(**facts))
    (record,) = HTCondor(programs.environ).account(["13.0"])["13.0"]
    assert (record.state, record.exit_code, record.signal) == (state, code, number)


def test_what_htcondor_accounts_for(programs: Recorded) -> None:
    programs.program("condor_history", condor())
    (record,) = HTCondor(programs.environ).account(["13.0"])["13.0"]
    assert (record.elapsed, record.cores, record.core_seconds) == (100, 2, 200)
    assert (record.cpu_seconds, record.peak_memory) == (90, 512 * 1024**2)
    assert record.requested_memory == 2 * GIB
    assert record.submitted == datetime.fromtimestamp(1795254243, UTC)


@pytest.mark.parametrize(
    ("number", "state"), [(1, JobState.PENDING), (2, JobState.RUNNING), (9, JobState.UNKNOWN)]
)
def test_an_htcondor_job_that_goes_on(programs: Recorded, number: int, state: JobState) -> None:
    programs.program("condor_q", condor(JobStatus=number))
    assert HTCondor(programs.environ).poll(["13.0"])["13.0"].state is state


def test_a_job_that_htcondor_does_not_know_is_absent_and_an_outage_is_not(
    programs: Recorded,
) -> None:
    condor_pool = HTCondor(programs.environ)
    programs.program("condor_q", "")
    assert condor_pool.poll(["13.0"]) == {}
    programs.program("condor_q", err="-- Failed to fetch ads from: <127.0.0.1:9618>", code=1)
    with pytest.raises(SchedulerOutage, match="Failed to fetch ads"):
        condor_pool.poll(["13.0"])


@pytest.mark.parametrize(
    ("program", "scheduler", "words", "refused"),
    [
        ("qsub", PBS, "qsub: Unknown queue", SubmissionRefused),
        ("qsub", PBS, "qsub: cannot connect to server srv (errno=15010)", SchedulerOutage),
        ("bsub", LSF, "no-such: No such queue. Job not submitted.", SubmissionRefused),
        ("bsub", LSF, "LSF is down. Please wait ...", SchedulerOutage),
        ("condor_submit", HTCondor, "ERROR: on Line 3 of submit file", SubmissionRefused),
        ("condor_submit", HTCondor, "ERROR: Can't find address of local schedd", SchedulerOutage),
    ],
)
def test_a_refusal_is_told_from_an_outage(
    programs: Recorded, program: str, scheduler: type[PBS], words: str, refused: type[Exception]
) -> None:
    programs.program(program, err=words, code=1)
    with pytest.raises(refused, match=words[:12]):
        scheduler(programs.environ).submit(REQUEST)


@pytest.mark.parametrize("scheduler", [PBS, LSF, HTCondor])
def test_a_scheduler_that_is_not_here_says_which_program_is_missing(
    tmp_path: Path, scheduler: type[PBS]
) -> None:
    with pytest.raises(SchedulerMissing, match="cannot be started: No such file"):
        scheduler({"PATH": str(tmp_path)}).submit(REQUEST)


def test_no_more_than_a_hundred_jobs_are_asked_for_at_once(programs: Recorded) -> None:
    programs.program("qstat", err="qstat: Unknown Job Id", code=153)
    assert PBS(programs.environ).poll([f"{number}.srv" for number in range(250)]) == {}
    assert [len(call) - 5 for call in programs.calls("qstat")] == [100, 100, 50]


def test_pbs_is_asked_by_the_number_alone(programs: Recorded) -> None:
    programs.program("qstat", pbs_job(Exit_status=0))
    assert PBS(programs.environ).poll(["13"])["13"].state is JobState.COMPLETED
    assert PBS(programs.environ).account(["13"])["13"][0].core_seconds == 200


def condor_job(cluster: int, process: int, **facts: object) -> dict[str, object]:
    return {"ClusterId": cluster, "ProcId": process, "JobStatus": 4, "ExitCode": 0, **facts}


def test_an_htcondor_cluster_is_as_its_jobs_are(programs: Recorded) -> None:
    pool = HTCondor(programs.environ)
    programs.program("condor_q", json.dumps([condor_job(17, 0), condor_job(17, 1, JobStatus=2)]))
    assert pool.poll(["17"])["17"].state is JobState.RUNNING
    ended = [condor_job(17, 0), condor_job(17, 1, ExitCode=3), condor_job(170, 0, JobStatus=2)]
    programs.program("condor_q", json.dumps([]))
    programs.program("condor_history", json.dumps(ended))
    assert pool.account(["17"])["17"][0].state is JobState.FAILED
    assert pool.account(["17.0"])["17.0"][0].state is JobState.COMPLETED


@pytest.mark.parametrize("before", ["", "Job class: regular\n", "module: loaded 7\n\n"])
def test_a_line_of_the_site_before_the_id_is_no_id(programs: Recorded, before: str) -> None:
    programs.program("qsub", f"{before}13.srv\n")
    assert PBS(programs.environ).submit(REQUEST) == "13.srv"
    programs.program("condor_submit", f"{before}17.0 - 17.0\n")
    assert HTCondor(programs.environ).submit(REQUEST) == "17.0"
    programs.program("sbatch", f"{before}5001\n")
    assert Slurm(programs.environ).submit(REQUEST) == "5001"
    programs.program("qsub", f"{before}42\n")
    assert GridEngine(programs.environ).submit(REQUEST) == "42"


def test_slurm_is_asked_on_the_cluster_that_took_the_job(programs: Recorded) -> None:
    slurm = Slurm(programs.environ)
    programs.program("sbatch", "5001;second\n")
    assert slurm.submit(REQUEST) == "5001;second"
    programs.program("squeue", "CLUSTER: second\n5001|RUNNING|None\n")
    assert slurm.poll(["5001;second"])["5001;second"].state is JobState.RUNNING
    (call,) = programs.calls("squeue")
    assert call[call.index("-M") + 1] == "second"
    assert call[call.index("-j") + 1] == "5001"
    programs.program("scancel")
    slurm.cancel(["5001;second"])
    assert programs.calls("scancel") == [["-M", "second", "5001"]]


SACCT = "{}|{}|0:0|100|110|{}|40|2|80|00:10.000|{}|1G|node1\n"


@pytest.mark.parametrize("part", ["_", "+"])
def test_an_array_and_a_heterogeneous_job_are_as_their_parts_are(
    programs: Recorded, part: str
) -> None:
    slurm = Slurm(programs.environ)
    programs.program("squeue", f"5001{part}1|COMPLETED|None\n5001{part}2|PENDING|Resources\n")
    assert slurm.poll(["5001"])["5001"].state is JobState.PENDING
    rows = [(f"5001{part}1", "COMPLETED", 150, ""), (f"5001{part}2", "TIMEOUT", 190, "")]
    programs.program("sacct", "".join(SACCT.format(*row) for row in rows))
    (whole,) = slurm.account(["5001"])["5001"]
    assert (whole.state, whole.core_seconds, whole.elapsed) == (JobState.TIMEOUT, 160, 80)
    assert slurm.account([f"5001{part}1"])[f"5001{part}1"][0].state is JobState.COMPLETED


def test_a_job_that_is_submitted_from_a_job_does_not_inherit_its_size(tmp_path: Path) -> None:
    file = tmp_path / "sbatch"
    file.write_text("#!/bin/sh\nenv | grep ^SLURM >&2\necho 1\n")
    file.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_NTASKS": "2", "SLURM_MEM_PER_CPU": "300"}
    slurm = Slurm({**environ, "SLURM_CONF": "/etc/slurm.conf"})
    assert slurm._programs.call("sbatch").err == "SLURM_CONF=/etc/slurm.conf\n"


WISHES = {
    "slurm": ("qos", "constraint", "reservation"),
    "gridengine": ("constraint", "reservation"),
    "pbs": ("constraint",),
    "lsf": ("constraint", "reservation"),
    "htcondor": (),
}
OPTIONS = {
    "slurm": slurm.options,
    "gridengine": gridengine.options,
    "pbs": pbs.options,
    "lsf": lsf_module.options,
    "htcondor": htcondor.description,
}
WORDS = {
    ("slurm", "qos"): "--qos=nvme",
    ("slurm", "constraint"): "--constraint=nvme",
    ("slurm", "reservation"): "--reservation=nvme",
    ("gridengine", "constraint"): "nvme=TRUE",
    ("gridengine", "reservation"): "-ar nvme",
    ("pbs", "constraint"): ":nvme=True",
    ("lsf", "constraint"): "-R select[nvme]",
    ("lsf", "reservation"): "-U nvme",
}


@pytest.mark.parametrize("scheduler", WISHES)
@pytest.mark.parametrize("key", ["qos", "constraint", "reservation"])
def test_a_wish_is_told_to_a_scheduler_that_knows_it_and_refused_elsewhere(
    scheduler: str, key: str
) -> None:
    request = replace(REQUEST, profile=replace(PROFILE, **{key: "nvme"}))
    if key in WISHES[scheduler]:
        assert WORDS[scheduler, key] in " ".join(OPTIONS[scheduler](request))
    else:
        with pytest.raises(SubmissionRefused, match=f"{scheduler}: profile p: {key} 'nvme'"):
            OPTIONS[scheduler](request)


@pytest.mark.parametrize("scheduler", ["gridengine", "pbs", "lsf"])
def test_an_expression_of_features_is_slurms_alone(scheduler: str) -> None:
    request = replace(REQUEST, profile=replace(PROFILE, constraint="a&b"))
    with pytest.raises(SubmissionRefused, match="is not the name of a feature"):
        OPTIONS[scheduler](request)


@pytest.mark.parametrize(
    ("scheduler", "word"),
    [
        ("slurm", "--mem-per-cpu=2048M"),
        ("gridengine", "h_vmem=2048M"),
        ("pbs", "mem=24576mb"),
        ("lsf", "-M 24576MB"),
        ("htcondor", "request_memory = 24576"),
    ],
)
def test_memory_per_core_is_what_each_scheduler_counts_in(scheduler: str, word: str) -> None:
    profile = replace(PROFILE, memory=None, memory_per_core=2 * GIB)
    said = OPTIONS[scheduler](replace(REQUEST, profile=profile))
    assert word in (said if isinstance(said, str) else " ".join(said))
