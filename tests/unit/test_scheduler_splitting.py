"""Arrays beyond a scheduler's limit become several, by what the scheduler itself answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from recorded import Recorded

from nbpipe.reference.errors import SubmissionRefused
from nbpipe.reference.profiles import Profile
from nbpipe.reference.schedulers.gridengine import GridEngine
from nbpipe.reference.schedulers.htcondor import HTCondor
from nbpipe.reference.schedulers.lsf import LSF
from nbpipe.reference.schedulers.pbs import PBS
from nbpipe.reference.schedulers.protocol import JobRequest
from nbpipe.reference.schedulers.slurm import Slurm

FOLDER = Path("/runs/r")
REQUEST = JobRequest(
    name="nbpipe-test-1",
    command=("/opt/job.sh", str(FOLDER)),
    folder=FOLDER,
    stdout=FOLDER / "worker.out",
    stderr=FOLDER / "worker.err",
    profile=Profile(name="p"),
)


@pytest.fixture
def programs(tmp_path: Path) -> Recorded:
    return Recorded(tmp_path)


def words(programs: Recorded, program: str, beginning: str) -> list[str]:
    """Return the argument of each call that begins like this."""
    return [word for call in programs.calls(program) for word in call if word.startswith(beginning)]


def test_slurm_splits_at_the_index_that_its_controller_allows(programs: Recorded) -> None:
    programs.program("scontrol", "MaxArraySize            = 4\nMaxJobCount             = 10000\n")
    programs.program("sbatch", "7\n")
    jobs = Slurm(programs.environ).submit_array(REQUEST, 8)
    assert jobs == ("7_1", "7_2", "7_3", "7_1", "7_2", "7_3", "7_1", "7_2")
    assert words(programs, "sbatch", "--array=") == ["--array=1-3", "--array=1-3", "--array=1-2"]
    assert words(programs, "sbatch", "--error=") == [
        "--error=/runs/r/worker.err.%a",
        "--error=/runs/r/worker.err.2.%a",
        "--error=/runs/r/worker.err.3.%a",
    ]
    assert set(words(programs, "sbatch", "--job-name=")) == {"--job-name=nbpipe-test-1"}


def test_slurm_refuses_more_jobs_than_its_controller_keeps(programs: Recorded) -> None:
    programs.program("scontrol", "MaxArraySize = 1001\nMaxJobCount = 10\n")
    programs.program("sbatch", "7\n")
    with pytest.raises(SubmissionRefused, match=r"11 tasks .* \(MaxJobCount=10\)"):
        Slurm(programs.environ).submit_array(REQUEST, 11)
    assert not (programs.folder / "sbatch.calls").exists()


def test_a_refused_part_cancels_the_others_and_says_how_many_were_taken(
    programs: Recorded,
) -> None:
    programs.program("scontrol", "MaxArraySize = 3\n")
    programs.program("scancel")
    programs.program("sbatch", "7\n")
    slurm = Slurm(programs.environ)
    taken = programs.folder / "sbatch"
    text = taken.read_text()
    refusal = "if '.2.%a' in str(sys.argv): sys.exit('sbatch: error: job submit limit')\n"
    taken.write_text(text.replace("answer = json", f"{refusal}answer = json"))
    with pytest.raises(SubmissionRefused, match="job submit limit") as caught:
        slurm.submit_array(REQUEST, 5)
    assert caught.value.hint.startswith("It took 2 of 5 tasks. ")
    assert programs.calls("scancel") == [["7_1", "7_2"]]


@pytest.mark.parametrize("said", ["", "MaxArraySize = 0\n"])
def test_a_limit_that_is_not_known_splits_nothing(programs: Recorded, said: str) -> None:
    programs.program(
        "scontrol", said, err="" if said else "slurm_load_ctl_conf", code=int(not said)
    )
    programs.program("sbatch", "7\n")
    assert len(Slurm(programs.environ).submit_array(REQUEST, 5)) == 5
    assert words(programs, "sbatch", "--array=") == ["--array=1-5"]


def test_grid_engine_answers_by_its_configuration(programs: Recorded) -> None:
    programs.program("qconf", "#global:\nmax_aj_instances             2000\nmax_aj_tasks  3\n")
    programs.program("qsub", "9.1-3:1\n")
    assert len(GridEngine(programs.environ).submit_array(REQUEST, 5)) == 5
    assert words(programs, "qsub", "1-") == ["1-3", "1-2"]


def test_pbs_answers_by_its_server(programs: Recorded) -> None:
    programs.program("qstat", "Server: srv\n    server_state = Active\n    max_array_size = 2\n")
    programs.program("qsub", "13[].srv\n")
    assert len(PBS(programs.environ).submit_array(REQUEST, 4)) == 4
    assert words(programs, "qsub", "1-") == ["1-2", "1-2"]


def test_lsf_answers_by_its_parameters(programs: Recorded) -> None:
    programs.program("bparams", "        MAX_JOB_ARRAY_SIZE = 3\n")
    programs.program("bsub", "Job <5> is submitted to default queue <normal>.\n")
    assert len(LSF(programs.environ).submit_array(REQUEST, 4, at_once=2)) == 4
    assert words(programs, "bsub", "nbpipe") == ["nbpipe-test-1[1-3]%1", "nbpipe-test-1[1-1]%1"]


def test_htcondor_answers_by_its_configuration(programs: Recorded) -> None:
    programs.program("condor_config_val", "2\n")
    programs.program("condor_submit", "17.0 - 17.1\n")
    assert HTCondor(programs.environ).submit_array(REQUEST, 4) == ("17.0", "17.1", "17.0", "17.1")
