"""Ids in every form that schedulers use, found between whatever a site's wrappers print.

Banners and warnings are those that users met: Lonestar's checks before sbatch's answer (nipype
#1330), a JSV's warning before qsub's (MISO #105), an esub's defaults before bsub's (batchtools
#244), sbatch's remark on the partition (easybuild-framework #4061), `on cluster` (parsl #2636).
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from recorded import Recorded, Spoken

from nbpipe.reference.errors import SchedulerOutage
from nbpipe.reference.profiles import Profile
from nbpipe.reference.schedulers.gridengine import GridEngine
from nbpipe.reference.schedulers.htcondor import HTCondor
from nbpipe.reference.schedulers.lsf import LSF
from nbpipe.reference.schedulers.pbs import PBS
from nbpipe.reference.schedulers.programs import Programs
from nbpipe.reference.schedulers.protocol import JobRequest, JobState, NoAccounting
from nbpipe.reference.schedulers.slurm import Slurm, advice

if TYPE_CHECKING:
    from collections.abc import Callable

    Made = Callable[..., Any]

S = JobState
FOLDER = Path("/scratch/run")
REQUEST = JobRequest(
    name="ref-1",
    command=("/opt/job.sh", str(FOLDER)),
    folder=FOLDER,
    stdout=FOLDER / "job.out",
    stderr=FOLDER / "job.err",
    profile=Profile(name="p"),
)
SCHEDULERS: dict[str, Made] = {
    "sbatch": Slurm, "qsub": PBS, "bsub": LSF, "condor_submit": HTCondor,
}  # fmt: skip


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Spoken:
    return Spoken(monkeypatch)


BANNERS = [
    "",
    "-----\n   Welcome to the Lonestar 5 Supercomputer\n-----\n--> Checking allocation...OK\n",
    "sbatch: no partition specified, using default partition m100_all_serial\n",
    "JSV: No h_data is set; setting default h_data=1G (if this value is too small, it fails)\n",
    "Job class: regular\nYour project has 1200 hours left\n\n",
    "\x1b[1;33mWarning: maintenance on 2026-12-01, 10.5 hours from now\x1b[0m\n",
]
AFTER = ["", "Estimated start: tomorrow, 12:00\n", "\x1b[0m\n"]


@pytest.mark.parametrize(
    ("program", "make", "said", "job"),
    [
        ("sbatch", Slurm, "5001", "5001"),
        ("sbatch", Slurm, "5001;cluster2", "5001;cluster2"),
        ("sbatch", Slurm, "Submitted batch job 5001", "5001"),
        ("sbatch", Slurm, "Submitted batch job 5001 on cluster slaking", "5001;slaking"),
        ("sbatch", Slurm, "\x1b[32m5001\x1b[0m", "5001"),
        ("qsub", PBS, "123.pbs-server.example.org", "123.pbs-server.example.org"),
        ("qsub", PBS, "10.ip-10-0-6-176", "10.ip-10-0-6-176"),
        ("qsub", PBS, "123", "123"),
        ("qsub", GridEngine, "42", "42"),
        ("qsub", GridEngine, 'Your job 42 ("ref-1") has been submitted', "42"),
        ("bsub", LSF, "Job <607844> is submitted to queue <medium>.", "607844"),
        ("bsub", LSF, "Job <607844> is submitted to default queue <normal>.", "607844"),
        ("condor_submit", HTCondor, "17.0 - 17.0", "17.0"),
    ],
)
def test_the_id_is_found_between_lines_of_the_site(
    monkeypatch: pytest.MonkeyPatch, program: str, make: Made, said: str, job: str
) -> None:
    for before, after in itertools.product(BANNERS, AFTER):
        answer = f"{before}{said}\n{after}"
        monkeypatch.setattr(Programs, "submit", lambda *words, said=answer, **_: (words, said)[1])
        assert make({}).submit(REQUEST) == job, (program, answer)


@pytest.mark.parametrize("program", SCHEDULERS)
def test_an_answer_without_an_id_is_an_outage_as_the_job_may_have_been_taken(
    programs: Spoken, program: str
) -> None:
    programs.program(program, "Welcome!\nYour project has 1200 hours left\n")
    with pytest.raises(SchedulerOutage, match="cannot be understood"):
        SCHEDULERS[program](programs.environ).submit(REQUEST)


@pytest.mark.parametrize(
    ("program", "make", "said", "jobs"),
    [
        ("sbatch", Slurm, "5001;c2", ("5001_1;c2", "5001_2;c2")),
        ("qsub", PBS, "123[].srv", ("123[1].srv", "123[2].srv")),
        ("qsub", PBS, "123[]", ("123[1]", "123[2]")),
        ("qsub", GridEngine, "42.1-2:1", ("42.1", "42.2")),
        (
            "qsub",
            GridEngine,
            'Your job-array 42.1-2:1 ("x y") has been submitted',
            ("42.1", "42.2"),
        ),
        ("bsub", LSF, "Job <7> is submitted to queue <q>.", ("7[1]", "7[2]")),
        ("condor_submit", HTCondor, "17.0 - 17.1", ("17.0", "17.1")),
    ],
)
def test_the_tasks_of_an_array_are_found_between_lines_of_the_site(
    programs: Spoken, program: str, make: Made, said: str, jobs: tuple[str, ...]
) -> None:
    for asked_for_limits in ("scontrol", "qstat", "qconf", "bparams", "condor_config_val"):
        programs.program(asked_for_limits, "")
    programs.program(program, f"{BANNERS[1]}{said}\n")
    assert make(programs.environ).submit_array(REQUEST, 2) == jobs


SQUEUE = "{}|{}|{}|1795254300|{}\n"


@pytest.mark.parametrize(
    "job", ["5001", "5001;c2", "05001", "5001.batch", "5001.0", "5001_[1-2]", "5001_[1-2]%1"]
)
def test_every_form_of_a_slurm_id_is_asked_about_by_what_slurm_knows(
    programs: Spoken, job: str
) -> None:
    lines = SQUEUE.format("5001_1", "COMPLETED", "None", "a|b") + SQUEUE.format(
        "5001_2", "RUNNING", "None", "a|b"
    )
    programs.program("squeue", f"CLUSTER: c2\nsqueue is cached | 5 s\n{lines}")
    slurm = Slurm(programs.environ)
    assert slurm.poll([job])[job].state is S.RUNNING
    (call,) = programs.calls("squeue")
    assert call[call.index("-j") + 1] == "5001"
    assert ("-M" in call) == (";" in job)
    programs.program("scancel")
    slurm.cancel([job])
    assert programs.calls("scancel")[0][-1] == "5001"


def test_a_federated_job_is_told_by_the_cluster_that_started_it(tmp_path: Path) -> None:
    """As two federated clusters of Slurm 22.05 answer on the one where it was submitted."""
    programs = Recorded(tmp_path)
    here = SQUEUE.format("67108888", "REVOKED", "None", "wrap")
    there = f"CLUSTER: nbpipe\n{here}\nCLUSTER: second\n" + SQUEUE.format(
        "67108888", "RUNNING", "None", "wrap"
    )
    (tmp_path / "here").write_text(here)
    (tmp_path / "there").write_text(there)
    program = tmp_path / "squeue"
    program.write_text(
        f'#!/bin/sh\ncd {tmp_path}\ncase " $* " in *" -M all "*) cat there;; *) cat here;; esac\n'
    )
    program.chmod(0o755)
    slurm = Slurm(programs.environ)
    assert slurm.poll(["67108888"])["67108888"].state is S.RUNNING
    (tmp_path / "there").write_text(here)
    assert slurm.poll(["67108888"]) == {}, "the accounting tells"
    rows = [
        "67108888|REVOKED|3:0|100|None|150|0|1|0|00:00:00||||wrap",
        "67108888|FAILED|3:0|100|110|150|40|2|80|00:10.000|||s1|wrap",
    ]
    programs.program("sacct", "\n".join(rows))
    ((record,),) = slurm.account(["67108888"]).values()
    assert (record.state, record.exit_code, record.hosts) == (S.FAILED, 3, "s1")
    assert "--federation" in programs.calls("sacct")[-1]


def test_a_part_is_not_the_whole(programs: Spoken) -> None:
    lines = [
        ("5001_1", "COMPLETED"),
        ("5001_11", "RUNNING"),
        ("5001+1", "PENDING"),
        ("50", "FAILED"),
    ]
    programs.program("squeue", "".join(SQUEUE.format(*each, "None", "x") for each in lines))
    slurm = Slurm(programs.environ)
    assert slurm.poll(["5001_1"])["5001_1"].state is S.COMPLETED
    assert slurm.poll(["5001+1"])["5001+1"].state is S.PENDING
    assert slurm.poll(["500", "1"]) == {}


@pytest.mark.parametrize("name", ["a|b", "a|b|c;d", "two\nlines", "5001|RUNNING", "", "ü €"])
def test_odd_names_of_jobs_change_nothing(programs: Spoken, name: str) -> None:
    programs.program("squeue", SQUEUE.format("7", "PENDING", "Priority", name))
    status = Slurm(programs.environ).poll(["7"])["7"]
    assert (status.state, status.reason) == (S.PENDING, "Priority")
    assert status.name == name.partition("\n")[0]
    row = f"7|FAILED|3:0|100|110|150|40|2|80|00:10|||node1|{name}\n"
    programs.program("sacct", row)
    ((record,),) = Slurm(programs.environ).account(["7"]).values()
    assert (record.state, record.exit_code, record.name) == (S.FAILED, 3, name.partition("\n")[0])


def pbs(**jobs: dict[str, object]) -> str:
    return json.dumps({"timestamp": 1, "Jobs": {job.replace("_", ""): jobs[job] for job in jobs}})


def ended(code: int, **more: object) -> dict[str, object]:
    used = {"walltime": "00:01:40", "cput": "00:01:00", "mem": "4kb"}
    return {
        "job_state": "F",
        "Exit_status": code,
        "stime": "1795254300",
        "resources_used": used,
        "Resource_List": {"ncpus": 2},
        "Job_Name": "a",
        **more,
    }


@pytest.mark.parametrize("job", ["13[].srv", "13[]", "13", "013[].srv", "13[].other"])
def test_a_pbs_array_is_as_its_subjobs_are(programs: Spoken, job: str) -> None:
    """The parent's own exit status is 1 for any failure, and it has used nothing."""
    subjobs = {"13[1].srv": ended(0), "13[2].srv": ended(3)}
    going = {"13[].srv": {"job_state": "B"}, **subjobs, "13[3].srv": {"job_state": "Q"}}
    server = PBS(programs.environ)
    programs.program("qstat", f"Site banner\n{pbs(**going)}")
    assert server.poll([job])[job].state is S.RUNNING
    assert server.account([job]) == {}, "not before the last one has ended"
    expired = {key: {**value, "job_state": "X"} for key, value in subjobs.items()}
    programs.program("qstat", pbs(**{"13[].srv": ended(1, resources_used={})}, **expired))
    ((whole,),) = server.account([job]).values()
    assert (whole.state, whole.core_seconds) == (S.FAILED, 400)
    assert server.account(["13[1].srv"])["13[1].srv"][0].state is S.COMPLETED


def test_a_qstat_that_answers_of_the_first_job_only_is_asked_again(tmp_path: Path) -> None:
    """As OpenPBS does since 23 (openpbs issue 2672)."""
    programs = Recorded(tmp_path)
    answers = {"10": pbs(**{"10.ip-10-0-6-176": ended(0)}), "11": pbs(**{"11.ip": ended(3)})}
    programs.program("qstat", answers["10"])
    second = tmp_path / "second.json"
    second.write_text(answers["11"])
    script = tmp_path / "qstat"
    script.write_text(
        f"#!/bin/sh\necho >>{tmp_path}/asked\n"
        f'case " $* " in *" 10 "*) cat {tmp_path}/first.json;; *) cat {second};; esac\n'
    )
    (tmp_path / "first.json").write_text(answers["10"])
    found = PBS(programs.environ).account(["10", "11"])
    assert [found[job][0].exit_code for job in ("10", "11")] == [0, 3]
    assert len((tmp_path / "asked").read_text()) == 2


def test_pbs_jobs_that_finished_without_an_exit_status_do_not_go_on_for_ever(
    programs: Spoken,
) -> None:
    lost, deleted = ended(0), ended(0, comment="Not Running: Queue not started and terminated")
    del lost["Exit_status"], deleted["Exit_status"]
    programs.program("qstat", pbs(**{"13.srv": lost, "14.srv": deleted}))
    states = {job: each.state for job, each in PBS(programs.environ).poll(["13", "14"]).items()}
    assert states == {"13": S.LOST, "14": S.CANCELLED}


def bjobs(*jobs: tuple[str, str, str]) -> str:
    """Return what bjobs writes of (id, index, state)."""
    keys = ("JOBID", "JOBINDEX", "STAT")
    records = [{**dict(zip(keys, job, strict=True)), "RUN_TIME": "10 s"} for job in jobs]
    return json.dumps({"COMMAND": "bjobs", "JOBS": len(jobs), "RECORDS": records})


@pytest.mark.parametrize("job", ["123", "123[1-3]", "0123"])
def test_an_lsf_array_is_as_its_elements_are(programs: Spoken, job: str) -> None:
    lsf = LSF(programs.environ)
    programs.program("bjobs", bjobs(("123", "1", "DONE"), ("123[2]", "2", "PEND")))
    assert lsf.poll([job])[job].state is S.PENDING
    assert lsf.account([job]) == {}, "not before the last one has ended"
    programs.program("bjobs", bjobs(("123", "1", "DONE"), ("123", "2", "EXIT")))
    assert lsf.account([job])[job][0].state is S.FAILED
    assert lsf.account(["123[1]"])["123[1]"][0].state is S.COMPLETED


@pytest.mark.parametrize("job", ["17", "17.0", "017"])
def test_an_htcondor_job_is_its_cluster(programs: Spoken, job: str) -> None:
    programs.program("condor_q", json.dumps([{"ClusterId": 17, "ProcId": 0, "JobStatus": 2}]))
    programs.program("condor_history", "")
    assert HTCondor(programs.environ).poll([job])[job].state is S.RUNNING
    assert HTCondor(programs.environ).account([job]) == {}


def test_an_htcondor_cluster_has_ended_when_all_of_its_jobs_have(programs: Spoken) -> None:
    programs.program("condor_q", json.dumps([{"ClusterId": 17, "ProcId": 1, "JobStatus": 2}]))
    done = {"ClusterId": 17, "ProcId": 0, "JobStatus": 4, "ExitCode": 0}
    programs.program("condor_history", json.dumps([done]))
    assert HTCondor(programs.environ).account(["17"]) == {}
    assert HTCondor(programs.environ).account(["17.0"])["17.0"][0].state is S.COMPLETED


QACCT = """\
==============================================================
qname        all.q
hostname     node1
jobname      {name}
jobnumber    42
taskid       {task}
qsub_time    Sat Nov 21 09:49:45 2026
failed       0
exit_status  {code}
ru_wallclock 10
slots        1
"""


@pytest.mark.parametrize("job", ["42", "042", "42.1-3:1"])
def test_a_grid_engine_array_is_as_its_tasks_are(programs: Spoken, job: str) -> None:
    text = QACCT.format(task=1, code=0, name="a") + QACCT.format(task=2, code=3, name="a")
    programs.program("qacct", text)
    nothing = "<job_info><queue_info/><job_info/></job_info>"
    programs.program("qstat", nothing)
    engine = GridEngine(programs.environ)
    ((whole,),) = engine.account([job]).values()
    assert (whole.state, whole.core_seconds) == (S.FAILED, 20)
    assert engine.account(["42.1"])["42.1"][0].state is S.COMPLETED
    third = "<JB_job_number>42</JB_job_number><tasks>3</tasks><state>r</state>"
    programs.program("qstat", f"<job_info><job_list>{third}</job_list></job_info>")
    assert engine.account([job]) == {}, "not before the last one has ended"
    programs.program("qstat", err="error: unable to contact qmaster", code=1)
    with pytest.raises(SchedulerOutage):
        engine.account([job])
    programs.program("qdel")
    engine.cancel([job])
    assert programs.calls("qdel") == [["42"]]


def test_two_jobs_that_had_one_id_are_two_records(programs: Spoken) -> None:
    """An array and, after the ids began anew, a job of another name."""
    old = QACCT.format(task=1, code=3, name="old") + QACCT.format(task=2, code=0, name="old")
    new = QACCT.format(task="undefined", code=0, name="new").replace("2026", "2027")
    programs.program("qacct", old + new)
    programs.program("qstat", "<job_info><queue_info/><job_info/></job_info>")
    records = GridEngine(programs.environ).account(["42"])["42"]
    assert [(each.name, each.state) for each in records] == [
        ("old", S.FAILED),
        ("new", S.COMPLETED),
    ]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("PartitionTimeLimit", "--walltime"),
        ("QOSMaxWallDurationPerJobLimit", "--walltime"),
        ("AssocMaxWallDurationPerJobLimit", "--walltime"),
        ("PartitionConfig", "ask for less"),
        ("PartitionNodeLimit", "ask for less"),
        ("BadConstraints", "no node has"),
        ("QOSMaxCpuPerJobLimit", "more than one job may have"),
        ("AssocMaxGRESPerJob", "more than one job may have"),
        ("QOSMinCpuNotSatisfied", "more than one job may have"),
        ("AssocGrpCPUMinutesLimit", "budget"),
        ("QOSGrpBillingMinutes", "budget"),
        ("InvalidAccount", "--account"),
        ("InvalidQOS", "--account"),
        ("DependencyNeverSatisfied", "did not end as it should"),
        ("ReqNodeNotAvail, UnavailableNodes:n[1-4]", "sinfo -R"),
        ("Nodes required for job are DOWN, DRAINED or reserved for jobs in other", "sinfo -R"),
        ("Licenses", "licences"),
        ("JobHeldUser", "scontrol release"),
        ("JobHeldAdmin", "administrators"),
        ("launch failed requeued held", "scontrol release"),
    ],
)
def test_slurms_reason_comes_with_advice(reason: str, words: str) -> None:
    assert words in advice(reason)


@pytest.mark.parametrize(
    "reason",
    [
        *("", "None", "Priority", "Resources", "Dependency", "BeginTime", "JobArrayTaskLimit"),
        *("QOSMaxJobsPerUserLimit", "AssocGrpCpuLimit", "QOSMaxCpuPerUserLimit", "Reservation"),
        *("QOSGrpCPURunMinutesLimit", "AssocGrpCPURunMinutesLimit", "Cleaning", "Prolog"),
    ],
)
def test_where_waiting_helps_nothing_is_advised(reason: str) -> None:
    assert not advice(reason)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (
            {"comment": "Can Never Run: Insufficient amount of resource: ncpus (R: 9 A: 4 T: 4)"},
            "ask for less",
        ),
        (
            {"comment": "Not Running: Placement set is too small: Not enough free nodes available"},
            "ask for less",
        ),
        ({"comment": "Not Running: Queue not started."}, "the queue is stopped"),
        ({"job_state": "H", "Hold_Types": "u"}, "qrls"),
        ({"job_state": "H", "Hold_Types": "s", "comment": "job held, too many failed"}, "qstat -f"),
        ({"job_state": "H", "Hold_Types": "s", "depend": "afterok:12.srv"}, ""),
        ({"comment": "Not Running: Insufficient amount of resource: ncpus"}, ""),
        ({"comment": "Not Running: Job would conflict with reservation or top job"}, ""),
        ({"job_state": "R", "comment": "Job run at Mon Apr 09 at 09:35"}, ""),
    ],
)
def test_pbs_comments_come_with_advice(
    programs: Spoken, facts: dict[str, object], words: str
) -> None:
    programs.program("qstat", pbs(**{"13.srv": {"job_state": "Q", **facts}}))
    status = PBS(programs.environ).poll(["13.srv"])["13.srv"]
    assert status.reason == facts.get("comment", "")
    assert words in status.advice
    assert bool(words) == bool(status.advice)


@pytest.mark.parametrize(
    ("stat", "reason", "words"),
    [
        ("PEND", "Dependency condition invalid or never satisfied;", "did not end as it should"),
        ("PEND", "The queue is inactivated by its time windows;", "queue is closed"),
        ("PEND", "Not enough hosts to meet the job's spanning requirement;", "bhosts"),
        ("PSUSP", "The job was suspended by the user while pending;", "bresume"),
        ("PEND", "New job is waiting for scheduling;", ""),
        ("PEND", "User has reached the per-user job slot limit of the queue;", ""),
        ("RUN", "", ""),
    ],
)
def test_lsf_reasons_come_with_advice(programs: Spoken, stat: str, reason: str, words: str) -> None:
    facts = {"JOBID": "7", "JOBINDEX": "0", "STAT": stat, "PEND_REASON": reason}
    programs.program("bjobs", json.dumps({"RECORDS": [facts]}))
    status = LSF(programs.environ).poll(["7"])["7"]
    assert status.reason == reason
    assert words in status.advice
    assert bool(words) == bool(status.advice)


def test_a_held_htcondor_job_says_why_and_how_to_go_on(programs: Spoken) -> None:
    held = {"HoldReasonCode": 6, "HoldReason": "Failed to execute '/opt/x': no such file"}
    job = {"ClusterId": 17, "ProcId": 0, "JobStatus": 5, "QDate": 1795254300, **held}
    programs.program("condor_q", json.dumps([job]))
    status = HTCondor(programs.environ).poll(["17"])["17"]
    assert (status.state, status.reason) == (S.FAILED, held["HoldReason"])
    assert "condor_release 17.0" in status.advice


QSTAT = """<?xml version='1.0'?>
<job_info><queue_info/><job_info><job_list state="pending">
<JB_job_number>6</JB_job_number><JB_name>big</JB_name><state>{}</state>
<JB_submission_time>2020-11-30T19:31:40</JB_submission_time>
</job_list></job_info></job_info>
"""


def test_grid_engine_is_asked_whether_any_queue_would_take_a_job_that_waits(
    programs: Spoken,
) -> None:
    """As Son of Grid Engine 8.1.9 answers, for a job of 500 slots and one that fits."""
    engine = GridEngine(programs.environ)
    programs.program("qstat", f"Site banner\n{QSTAT.format('qw')}")
    offers = 'Job 6 cannot run in PE "smp" because it only offers 0 slots'
    programs.program("qalter", f"{offers}\nverification: no suitable queues\n", code=1)
    status = engine.poll(["6"])["6"]
    assert (status.state, status.reason) == (S.PENDING, offers)
    assert status.advice.startswith("no queue would ever take it")
    assert programs.calls("qalter") == [["-w", "v", "6"]]
    programs.program("qalter", "verification: found suitable queue(s)\n")
    assert not engine.poll(["6"])["6"].advice


def test_a_grid_engine_job_that_waits_for_another_one_is_not_held(programs: Spoken) -> None:
    class Answers(GridEngine):
        def _queue(self) -> Any:  # noqa: ANN401
            from nbpipe.reference.schedulers.gridengine import entries  # noqa: PLC0415

            return list(entries(QSTAT.format("hqw")))

    programs.program("qstat", "job_number: 6\njid_predecessor_list:       5\n")
    assert not Answers(programs.environ).poll(["6"])["6"].advice
    programs.program("qstat", "job_number: 6\nscheduling info: Job is in hold state\n")
    assert "qrls 6" in Answers(programs.environ).poll(["6"])["6"].advice


REMEMBERED = "{:<40}|{:<30}|{:<9}|1795254300|1795254310|{:<12}|2    |u1   |a|b |\n"


def test_a_slurm_without_accounting_is_asked_for_what_its_queue_remembers(
    programs: Spoken,
) -> None:
    """As Slurm 22.05 answers with accounting_storage/none."""
    programs.program("sacct", err="Slurm accounting storage is disabled\n", code=1)
    lines = [
        ("5001_1", "COMPLETED", "0", "1795254410"),
        ("5001_2", "FAILED", "768", "1795254360"),
        ("7", "FAILED", "9", "1795254310"),
        ("8", "RUNNING", "0", "N/A"),
    ]
    programs.program("squeue", "".join(REMEMBERED.format(*each) for each in lines))
    slurm = Slurm(programs.environ)
    ((whole,), (killed,)) = slurm.account(["5001", "7"]).values()
    assert (whole.state, whole.exit_code, whole.core_seconds) == (S.FAILED, 3, 300)
    assert (killed.state, killed.signal, killed.name) == (S.FAILED, 9, "a|b")
    with pytest.raises(NoAccounting, match="no accounting is kept here") as raised:
        slurm.account(["7", "8", "9"])
    assert list(raised.value.found) == ["7"]


@pytest.mark.parametrize(
    ("make", "leaking", "kept"),
    [
        (
            Slurm,
            ["SLURM_NTASKS", "SLURM_MEM_PER_CPU", "SBATCH_ACCOUNT", "SRUN_DEBUG"],
            "SLURM_CONF",
        ),
        (Slurm, ["PMI_RANK", "PMIX_NAMESPACE", "OMPI_COMM_WORLD_RANK"], "SLURM_JWT"),
        (GridEngine, ["SGE_TASK_ID", "SGE_O_HOME", "JOB_ID", "PE_HOSTFILE", "NSLOTS"], "SGE_ROOT"),
        (PBS, ["PBS_JOBID", "PBS_NODEFILE", "PBS_O_WORKDIR", "PBS_ARRAY_INDEX"], "PBS_SERVER"),
        (LSF, ["LSB_JOBID", "LSB_HOSTS", "LSB_DJOB_HOSTFILE", "LS_SUBCWD"], "LSF_ENVDIR"),
        (HTCondor, ["_CONDOR_SCRATCH_DIR", "_CONDOR_JOB_AD"], "_CONDOR_SCHEDD_HOST"),
        (HTCondor, ["NBPIPE_TASK_INDEX", "SLURM_ARRAY_TASK_ID"], "CONDOR_CONFIG"),
    ],
)
def test_a_job_that_is_submitted_from_a_job_is_not_told_its_parents_place(
    tmp_path: Path, make: Made, leaking: list[str], kept: str
) -> None:
    file = tmp_path / "program"
    file.write_text("#!/bin/sh\nenv\n")
    file.chmod(0o755)
    outside = {"PATH": f"{tmp_path}:/usr/bin:/bin", **dict.fromkeys([*leaking, kept], "7")}
    told = make(outside)._programs.call("program").out
    names = {line.partition("=")[0] for line in told.splitlines()}
    assert kept in names
    assert not names & set(leaking)
