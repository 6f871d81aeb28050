"""Which jobs are a run's: by certain marks only, from what each scheduler tells of its jobs."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from recorded import Recorded

from nbpipe.reference.errors import SchedulerOutage
from nbpipe.reference.schedulers.gridengine import GridEngine
from nbpipe.reference.schedulers.htcondor import HTCondor
from nbpipe.reference.schedulers.lsf import LSF
from nbpipe.reference.schedulers.pbs import PBS
from nbpipe.reference.schedulers.protocol import JobState
from nbpipe.reference.schedulers.slurm import Slurm, steps_of
from nbpipe.reference.schedulers.unnoted import (
    CLOCKS,
    How,
    Marks,
    Seen,
    Step,
    Submissions,
    belongs,
    related,
)

RUN = Path("/store/mini/runs/20260131T120000-abcdef")
START, END = 1_769_860_800.0, 1_769_864_400.0
SINCE = datetime.fromtimestamp(START, UTC)
MARKS = Marks(folder=RUN, sessions=frozenset({("login1", 4711)}), since=START)
SEEN = Seen(id="12", submitted=START + 60, folders=("/users/jane",), host="login1", session=17)


@pytest.fixture
def programs(tmp_path: Path) -> Recorded:
    return Recorded(tmp_path)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (SEEN, None),
        (replace(SEEN, folders=(str(RUN),)), How.FOLDER),
        (replace(SEEN, folders=("/users/jane", f"{RUN}/work/qa")), How.FOLDER),
        (replace(SEEN, folders=(f"{RUN}-2/work",)), None),
        (replace(SEEN, folders=(str(RUN.parent),)), None),
        (replace(SEEN, folders=("",)), None),
        (replace(SEEN, session=4711), How.SESSION),
        (replace(SEEN, session=4711, host="login1.site.example"), How.SESSION),
        (replace(SEEN, session=4711, host="localhost"), How.SESSION),
        (replace(SEEN, session=4711, host="login2"), None),
        (replace(SEEN, session=4711, submitted=None), None),
        (replace(SEEN, session=4711, submitted=START - CLOCKS - 1), None),
        (replace(SEEN, variables={"NBPIPE_CHILDREN": f"{RUN}/children"}), How.VARIABLES),
        (replace(SEEN, variables={"NBPIPE_CHILDREN": "/store/mini/runs/other/children"}), None),
    ],
)
def test_a_job_is_a_runs_by_a_certain_mark_only(seen: Seen, expected: How | None) -> None:
    assert belongs(seen, MARKS) is expected


def test_what_somebody_submits_in_a_runs_folder_before_or_after_it_is_not_the_runs() -> None:
    here = replace(SEEN, folders=(str(RUN),))
    assert belongs(replace(here, submitted=START - CLOCKS - 1), MARKS) is None
    ended = replace(MARKS, until=END)
    assert belongs(replace(here, submitted=END + CLOCKS), ended) is How.FOLDER
    assert belongs(replace(here, submitted=END + CLOCKS + 1), ended) is None


def test_a_runs_folder_is_the_same_by_a_link_to_it(tmp_path: Path) -> None:
    (tmp_path / "real" / "run").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    seen = replace(SEEN, folders=(str(tmp_path.resolve() / "real" / "run" / "work"),))
    assert belongs(seen, replace(MARKS, folder=tmp_path / "link" / "run")) is How.FOLDER


def test_a_job_that_waits_for_one_of_the_runs_is_only_related() -> None:
    assert related(replace(SEEN, after=("3", "5")), {"5"}) == "it waits for job 5"
    assert related(replace(SEEN, after=("50",)), {"5"}) == ""


def test_slurms_queue_tells_folder_session_and_dependency(programs: Recorded) -> None:
    programs.program(
        "squeue",
        "5_[1-3]  |localhost |5957 |1769860861 |afterany:2(unfulfilled),afterok:4_*(failed)|/  |\n"
        "5_4|localhost|5957|1769860861|(null)|/|\n"
        "6+0|login1|17|1769860862|(null)|/scratch/a|b|\n"
        "squeue: a line of something else\n",
    )
    slurm = Slurm(programs.environ)
    answer = slurm.submitted(SINCE, near=(), ended=False)
    assert answer.jobs == (
        Seen(
            id="5",
            submitted=1_769_860_861.0,
            folders=("/",),
            host="localhost",
            session=5957,
            after=("2", "4"),
        ),
        Seen(
            id="6",
            submitted=1_769_860_862.0,
            folders=("/scratch/a|b",),
            host="login1",
            session=17,
        ),
    )
    (call,) = programs.calls("squeue")
    assert call[:4] == ["-h", "-t", "all", "-u"]


def test_each_cluster_where_the_run_has_jobs_is_asked(programs: Recorded) -> None:
    programs.program("squeue", "7|login1|17|1769860862|(null)|/|\n")
    answer = Slurm(programs.environ).submitted(SINCE, near=("3", "4;two"), ended=False)
    assert [each.id for each in answer.jobs] == ["7", "7;two"]
    assert [each[-2:] for each in programs.calls("squeue")][1] == ["-M", "two"]


def test_slurms_accounting_tells_the_folder_of_jobs_that_left_the_queue(programs: Recorded) -> None:
    programs.program("sacct", "8_1|1769860862|/a|b\n8_2|1769860862|/a|b\n9|Unknown|/c\n")
    answer = Slurm(programs.environ).submitted(SINCE, near=(), ended=True)
    assert answer.jobs == (
        Seen(id="8", submitted=1_769_860_862.0, folders=("/a|b",)),
        Seen(id="9", folders=("/c",)),
    )
    (call,) = programs.calls("sacct")
    assert call[call.index("-S") + 1] == "2026-01-31T12:00:00"


def test_without_accounting_slurm_says_what_it_cannot_tell(programs: Recorded) -> None:
    programs.program("sacct", err="Slurm accounting storage is disabled\n", code=1)
    answer = Slurm(programs.environ).submitted(SINCE, near=(), ended=True)
    assert answer == Submissions(
        blind="without accounting, jobs that left the queue cannot be found"
    )
    programs.program("sacct", err="sacct: error: slurm_persist_conn_open: failed\n", code=1)
    with pytest.raises(SchedulerOutage):
        Slurm(programs.environ).submitted(SINCE, near=(), ended=True)


def test_the_steps_that_srun_made_are_told_from_the_jobs_own() -> None:
    text = (
        "12|wrap|COMPLETED|0:0|9|2|sbatch a.sh\n"
        "12.batch|batch|COMPLETED|0:0|9|2|\n"
        "12.extern|extern|COMPLETED|0:0|9|2|\n"
        "12.0|quickquasars|FAILED|1:0|3|2|srun -n 2 quickquasars --a=b|c\n"
        "12.1|spectra|CANCELLED by 0|0:15|5|1|srun spectra\n"
        "13_2.0|task|RUNNING|0:0|5|1|srun task\n"
    )
    assert steps_of(text) == {
        "12": (
            Step(
                id="12.0",
                name="quickquasars",
                state=JobState.FAILED,
                exit=1,
                seconds=3.0,
                cores=2,
                call="srun -n 2 quickquasars --a=b|c",
            ),
            Step(
                id="12.1",
                name="spectra",
                state=JobState.CANCELLED,
                seconds=5.0,
                cores=1,
                call="srun spectra",
            ),
        ),
        "13": (
            Step(
                id="13_2.0",
                name="task",
                state=JobState.RUNNING,
                exit=0,
                seconds=5.0,
                cores=1,
                call="srun task",
            ),
        ),
    }


GRID_ENGINE = """\
==============================================================
job_number:                 5
submission_time:            Sat Jan 31 12:01:02 2026
owner:                      jane
sge_o_home:                 /users/jane
sge_o_workdir:              /scratch/a
sge_o_host:                 login1
cwd:                        /scratch/b
env_list:                   A=x,y,NBPIPE_CHILDREN=/store/run/children,PATH=/bin
jid_predecessor_list (req): 4
jid_predecessor_list:       4,3
script_file:                sleep
==============================================================
job_number:                 6
submission_time:            Sat Jan 31 12:01:03 2026
sge_o_workdir:              /scratch/a
env_list:                   TERM=NONE
"""


def test_grid_engines_queue_tells_folders_and_variables(programs: Recorded) -> None:
    listed = "".join(
        f"<job_list><JB_job_number>{job}</JB_job_number><state>r</state></job_list>"
        for job in (5, 6)
    )
    programs.program("qstat", f"<job_info>{listed}</job_info>")
    known = GridEngine(programs.environ)._queue()
    assert [job.id for job in known] == ["5", "6"]
    file = programs.folder / "qstat"
    file.write_text(
        file.read_text().replace(
            "sys.stdout.write(", f"sys.stdout.write({GRID_ENGINE!r} if '-j' in sys.argv else "
        )
    )
    answer = GridEngine(programs.environ).submitted(SINCE, near=(), ended=False)
    assert answer.jobs == (
        Seen(
            id="5",
            submitted=datetime(2026, 1, 31, 12, 1, 2, tzinfo=UTC).timestamp(),
            folders=("/scratch/a", "/scratch/b"),
            host="login1",
            variables={"NBPIPE_CHILDREN": "/store/run/children"},
            after=("4", "3"),
        ),
        Seen(
            id="6",
            submitted=datetime(2026, 1, 31, 12, 1, 3, tzinfo=UTC).timestamp(),
            folders=("/scratch/a",),
        ),
    )
    assert programs.calls("qstat")[-1] == ["-j", "5,6"]
    ended = GridEngine(programs.environ).submitted(SINCE, near=(), ended=True)
    assert "cannot be found" in ended.blind


def test_pbs_tells_the_variables_of_a_job(programs: Recorded) -> None:
    programs.program("qselect", "12.server\n13[].server\n")
    facts = {
        "ctime": "Sat Jan 31 12:01:02 2026",
        "depend": "afterok:11.server@server",
        "Variable_List": {
            "PBS_O_WORKDIR": "/scratch/a",
            "PBS_O_HOST": "login1.example.org",
            "NBPIPE_CHILDREN": "/store/run/children",
        },
    }
    jobs = {"12.server": facts, "13[].server": {"Variable_List": {}}}
    programs.program("qstat", json.dumps({"Jobs": jobs}))
    first, second = PBS(programs.environ).submitted(SINCE, near=(), ended=True).jobs
    assert (first.id, first.folders, first.after) == ("12", ("/scratch/a",), ("11",))
    assert first.submitted == datetime(2026, 1, 31, 12, 1, 2, tzinfo=UTC).timestamp()
    assert first.variables["NBPIPE_CHILDREN"] == "/store/run/children"
    assert (second.id, second.folders) == ("13[]", ())
    (call,) = programs.calls("qselect")
    assert call[0] == "-x"
    assert call[-1] == "-tc.ge.202601311200"


def test_lsf_tells_the_folders_of_a_job(
    programs: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/users/jane")
    facts = {
        "JOBID": "21",
        "JOBINDEX": "0",
        "STAT": "RUN",
        "SUBMIT_TIME": "Jan 31 12:01",
        "FROM_HOST": "login1",
        "SUB_CWD": "$HOME/run/work",
        "EXEC_CWD": "/users/jane/run/work",
        "DEPENDENCY": "done(20)",
    }
    programs.program("bjobs", json.dumps({"COMMAND": "bjobs", "JOBS": 1, "RECORDS": [facts]}))
    lsf = LSF(programs.environ, today=lambda: date(2026, 2, 1))
    (seen,) = lsf.submitted(SINCE, near=(), ended=False).jobs
    assert (seen.id, seen.after, seen.host) == ("21", ("20",), "login1")
    assert seen.folders == ("/users/jane/run/work", "/users/jane/run/work")
    assert seen.submitted == datetime(2026, 1, 31, 12, 1, tzinfo=UTC).timestamp()
    assert "CLEAN_PERIOD" in lsf.submitted(SINCE, near=(), ended=True).blind


def test_htcondor_tells_the_folder_and_environment_of_a_cluster(programs: Recorded) -> None:
    ads = [
        {
            "ClusterId": 17,
            "ProcId": process,
            "QDate": 1_769_860_862,
            "Iwd": "/scratch/a",
            "Environment": "A=1 NBPIPE_CHILDREN=/store/run/children B=2",
        }
        for process in (0, 1)
    ]
    programs.program("condor_q", json.dumps(ads))
    programs.program("condor_history", "")
    condor = HTCondor(programs.environ)
    (seen,) = condor.submitted(SINCE, near=(), ended=False).jobs
    assert seen == Seen(
        id="17",
        submitted=1_769_860_862.0,
        folders=("/scratch/a",),
        variables={"NBPIPE_CHILDREN": "/store/run/children"},
    )
    assert condor.submitted(SINCE, near=(), ended=True).jobs == ()
    (call,) = programs.calls("condor_history")
    assert f"QDate >= {int(START)}" in call[1]
