"""Real schedulers for tests: daemons of our own, in private folders, on private ports.

`slurm_cluster` and `gridengine_cluster` are fixtures of the session (see tests/conftest.py). No
service of the machine is used or touched; every process is ended by its id at the end. They need
root and the packages that `.ci/run` installs; without them a test is skipped, or fails where
NBPIPE_REQUIRE=all asks for everything.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import psutil
import pytest
from ondisk import lacking

from nbpipe.reference import looks
from nbpipe.reference.looks import Followed
from nbpipe.reference.schedulers.protocol import JobRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from nbpipe.reference.profiles import Profile
    from nbpipe.reference.schedulers.protocol import JobState, Scheduler
    from nbpipe.reference.state import Standing

PATIENCE = 180.0
"""Seconds after which a condition counts as never coming true."""


def until(condition: Callable[[], object], what: str = "the condition") -> None:
    """Wait for a condition, generously."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what} did not come true in {PATIENCE:g} seconds"
        time.sleep(0.05)


def need_programs(*programs: str) -> None:
    """Skip the test where one is missing, or root's rights are."""
    missing = [each for each in programs if shutil.which(each, path=search_path()) is None]
    if missing:
        lacking(f"a program ({', '.join(missing)})")
    if os.geteuid() != 0:
        lacking("root, which the daemons of a scheduler need,")


def search_path() -> str:
    """Return PATH with the folders of daemons."""
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens at."""
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(count):
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            found.append(int(listener.getsockname()[1]))
        return found


def listening(port: int) -> bool:
    """Return whether somebody listens at a port."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


class Daemons:
    """Processes that run in the foreground below this one, with their logs in one folder."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self.environ = {**os.environ, "PATH": search_path(), **environ}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *command: str) -> None:
        """Start a daemon under a name."""
        with (self.folder / f"{name}.out").open("ab") as out:
            self._running[name] = subprocess.Popen(
                command,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run(self, *command: str, text: str = "") -> str:
        """Return what a program prints; it must succeed."""
        done = subprocess.run(
            command,
            env=self.environ,
            input=text,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def works(self, *command: str) -> bool:
        """Return whether a program succeeds."""
        return self.answers("", *command)

    def answers(self, expected: str, *command: str) -> bool:
        """Return whether a program succeeds and prints this."""
        done = subprocess.run(
            command,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return done.returncode == 0 and expected in done.stdout

    def alive(self, name: str) -> bool:
        """Return whether a daemon has not ended."""
        return self._running[name].poll() is None

    def wait_for(self, name: str, condition: Callable[[], object]) -> None:
        """Wait until a daemon is ready; show its log where it ends instead."""
        until(lambda: condition() or not self.alive(name), f"{name} being ready")
        assert self.alive(name), (self.folder / f"{name}.out").read_text(errors="replace")[-3000:]

    def stop(self, name: str, number: int = signal.SIGTERM) -> None:
        """End a daemon and all that it started."""
        process = self._running.pop(name)
        below = []
        with contextlib.suppress(psutil.Error):
            below = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(PATIENCE)
        for each in below:
            with contextlib.suppress(psutil.Error):
                each.kill()

    def stop_all(self) -> None:
        """End them, the last one first."""
        for name in reversed([*self._running]):
            self.stop(name)


class SlurmCluster:
    """Slurm with accounting: two virtual nodes of 4 processors, a preemptible partition.

    Subclasses are smaller ones: one node, without accounting or with that of another cluster.
    """

    NAME = "nbpipe"
    NODES: tuple[str, ...] = ("n1", "n2")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.munge = folder / "munge.socket"
        self.daemons = Daemons(folder, {"SLURM_CONF": str(folder / "slurm.conf")})
        self.ports = dict(
            zip(("ctld", "dbd", "sql", *self.NODES), free_ports(3 + len(self.NODES)), strict=True)
        )

    @property
    def environ(self) -> dict[str, str]:
        """Return the environment in which Slurm's programs find this cluster."""
        return self.daemons.environ

    def start(self) -> None:
        """Start all daemons and wait for them."""
        self._configure()
        self._start_munge()
        self._start_database()
        self.start_accounting()
        self._register()
        self.daemons.run("sacctmgr", "-i", "add", "qos", "interactive")
        self._start_cluster()
        self._warm_up()

    def _register(self) -> None:
        until(lambda: self.daemons.works("sacctmgr", "-i", "add", "cluster", self.NAME))

    def _start_cluster(self) -> None:
        self.start_controller()
        for node in self.NODES:
            self.start_node(node)
        self.wait_for_nodes()

    def wait_for_nodes(self) -> None:
        """Wait until all nodes would take a job."""
        command = ("sinfo", "-h", "-N", "-p", "normal", "-o", "%t")
        ready = {"idle", "mix", "alloc"}
        until(lambda: set(self.daemons.run(*command).split()) <= ready, "nodes being ready")

    def start_accounting(self) -> None:
        """Start slurmdbd."""
        self.daemons.start("slurmdbd", "slurmdbd", "-D")
        self.daemons.wait_for("slurmdbd", lambda: listening(self.ports["dbd"]))

    def start_controller(self, *options: str) -> None:
        """Start slurmctld; with `-c` it has forgotten all jobs."""
        self.daemons.start("slurmctld", "slurmctld", "-D", *options)
        self.daemons.wait_for("slurmctld", lambda: self.daemons.answers("UP", "scontrol", "ping"))

    def stop_controller(self) -> None:
        """Stop slurmctld; jobs go on."""
        self.daemons.stop("slurmctld")

    def start_node(self, node: str) -> None:
        """Start a node's slurmd."""
        (self.folder / f"spool.{node}").mkdir(exist_ok=True)
        self.daemons.start(node, "slurmd", "-D", "-N", node)
        self.daemons.wait_for(node, lambda: listening(self.ports[node]))

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        files = {"key-file": key.name, "socket": "munge.socket", "log-file": "munge.log",
                 "pid-file": "munge.pid", "seed-file": "munge.seed"}  # fmt: skip
        options = [f"--{option}={self.folder / name}" for option, name in files.items()]
        self.daemons.start(
            "munged", "munged", "--foreground", "--force", "--num-threads=4", *options
        )
        self.daemons.wait_for("munged", (self.folder / "munge.socket").exists)

    def _start_database(self) -> None:
        data = self.folder / "mysql"
        self.daemons.run(
            *("mariadb-install-db", "--no-defaults", f"--datadir={data}", "--user=root"),
            *("--auth-root-authentication-method=normal", "--skip-test-db"),
        )
        self.daemons.start(
            *("mariadbd", "mariadbd", "--no-defaults", f"--datadir={data}", "--user=root"),
            *("--bind-address=127.0.0.1", f"--port={self.ports['sql']}", "--skip-name-resolve"),
            *(f"--socket={self.folder / 'sql'}", f"--pid-file={self.folder / 'sql.pid'}"),
            *("--innodb-buffer-pool-size=64M", "--innodb-flush-log-at-trx-commit=0"),
        )
        self.daemons.wait_for("mariadbd", lambda: listening(self.ports["sql"]))
        self.daemons.run(
            *("mariadb", "--no-defaults", f"--socket={self.folder / 'sql'}", "-u", "root", "-e"),
            "CREATE USER slurm@'127.0.0.1' IDENTIFIED BY 'slurm';"
            "GRANT ALL ON *.* TO slurm@'127.0.0.1'",
        )

    def _warm_up(self) -> None:
        """Wait until the accounting knows of a job; the first one takes seconds."""
        job = self.daemons.run("sbatch", "--parsable", "-o", "/dev/null", "--wrap=true").strip()
        until(lambda: self.daemons.answers("COMPLETED", "sacct", "-n", "-j", job, "-o", "State"))

    def _configure(self) -> None:
        folder, ports = self.folder, self.ports
        self._configure_accounting()
        host = socket.gethostname()
        nodes = "\n".join(
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[node]} CPUs=4 "
            f"RealMemory=4000 Feature=cpu,{node}"
            for node in self.NODES
        )
        (folder / "state").mkdir()
        (folder / "slurm.conf").write_text(f"""\
ClusterName={self.NAME}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports["ctld"]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={self.munge}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
MailProg=/bin/true
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=200
MaxArraySize=5
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
MinJobAge=300
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000,bf_interval=1,requeue_delay=1
{self._accounting()}
{nodes}
PartitionName=normal Nodes=ALL Default=YES PriorityTier=10 PreemptMode=OFF MaxTime=INFINITE
PartitionName=scavenge Nodes=ALL PriorityTier=1 PreemptMode=REQUEUE MaxTime=INFINITE
""")

    def _accounting(self) -> str:
        """Return the lines of slurm.conf about accounting."""
        return f"""\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={self.ports["dbd"]}
AccountingStoragePass={self.munge}"""

    def _configure_accounting(self) -> None:
        folder, ports = self.folder, self.ports
        (folder / "slurmdbd.conf").write_text(f"""\
AuthType=auth/munge
AuthInfo=socket={self.munge}
DbdHost={socket.gethostname()}
DbdAddr=127.0.0.1
DbdPort={ports["dbd"]}
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={ports["sql"]}
StorageUser=slurm
StoragePass=slurm
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.log
""")
        (folder / "slurmdbd.conf").chmod(0o600)


class UnaccountedSlurm(SlurmCluster):
    """Slurm that keeps no accounting, as on small machines: sacct says that it is disabled."""

    NAME = "unaccounted"
    NODES = ("u1",)

    def start(self) -> None:
        """Start its daemons and wait for them."""
        self._configure()
        self._start_munge()
        self._start_cluster()

    def _accounting(self) -> str:
        return "AccountingStorageType=accounting_storage/none"

    def _configure_accounting(self) -> None:
        """Do without slurmdbd."""


class SecondSlurm(SlurmCluster):
    """Another cluster on the slurmdbd of the first one; `-M second` reaches it."""

    NAME = "second"
    NODES = ("s1",)

    def __init__(self, folder: Path, first: SlurmCluster) -> None:
        super().__init__(folder)
        self.munge = first.munge
        self.ports["dbd"] = first.ports["dbd"]

    def start(self) -> None:
        """Start its daemons and wait for them."""
        self._configure()
        self._register()
        self._start_cluster()

    def _configure_accounting(self) -> None:
        """Leave slurmdbd to the first cluster."""


Cluster = TypeVar("Cluster", bound=SlurmCluster)


@pytest.fixture(scope="session")
def slurm_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """Return a Slurm of our own."""
    need_programs("slurmctld", "slurmd", "sbatch", "munged", "slurmdbd", "mariadbd")
    yield from _started(SlurmCluster(tmp_path_factory.mktemp("slurm")))


@pytest.fixture(scope="session")
def unaccounted_slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UnaccountedSlurm]:
    """Return a Slurm of our own that keeps no accounting."""
    need_programs("slurmctld", "slurmd", "sbatch", "munged")
    yield from _started(UnaccountedSlurm(tmp_path_factory.mktemp("unaccounted")))


@pytest.fixture(scope="session")
def second_slurm(
    slurm_cluster: SlurmCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SecondSlurm]:
    """Return a second cluster beside `slurm_cluster`."""
    yield from _started(SecondSlurm(tmp_path_factory.mktemp("second"), slurm_cluster))


def _started(cluster: Cluster) -> Iterator[Cluster]:
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.daemons.stop_all()


class Jobs:
    """Jobs with short scripts on one scheduler, followed to their ends by `asking.look`."""

    def __init__(self, scheduler: Scheduler, folder: Path, profile: Profile) -> None:
        self.scheduler = scheduler
        self.folder = folder
        self.profile = profile
        self.seen: dict[str, list[Standing]] = {}
        self._followed: dict[str, Followed] = {}

    def request(self, name: str, text: str, **more: object) -> JobRequest:
        """Return a request for a script with these lines; fields of the profile may differ."""
        script = self.folder / f"{name}.sh"
        script.write_text(f"#!/bin/bash\n{text}\n")
        request = JobRequest(
            name=name,
            command=(str(script), str(self.folder)),
            folder=self.folder,
            stdout=self.folder / f"{name}.out",
            stderr=self.folder / f"{name}.err",
            profile=self.profile,
            warning=0,
        )
        of_profile = {key: more.pop(key) for key in [*more] if hasattr(self.profile, key)}
        return replace(request, profile=replace(self.profile, **of_profile), **more)

    def submit(self, name: str, text: str, **more: object) -> str:
        """Submit a script; return the job's id."""
        request = self.request(name, text, **more)
        profile = request.profile
        job = self.scheduler.submit(request)
        return self.follow(job, walltime=profile.walltime, memory=profile.memory)

    def follow(self, job: str, **more: object) -> str:
        """Follow a job from now on."""
        self._followed[job] = replace(Followed(id=job), **more)
        self.seen[job] = []
        return job

    def cancel(self, *jobs: str) -> None:
        """Cancel jobs, as somebody who remembers it."""
        self.scheduler.cancel(jobs)
        for job in jobs:
            self._followed[job] = replace(self._followed[job], cancelled=True)

    def look(self, now: float | None = None) -> dict[str, Standing]:
        """Look at all jobs once."""
        moment = time.monotonic() if now is None else now
        standings = looks.look(self.scheduler, [*self._followed.values()], now=moment)
        for job, standing in standings.items():
            self._followed[job] = replace(self._followed[job], standing=standing)
            if [each.state for each in self.seen[job][-1:]] != [standing.state]:
                self.seen[job].append(standing)
        return standings

    def until(self, job: str, *states: JobState) -> Standing:
        """Look until a job is in one of these states."""
        until(lambda: self.look()[job].state in states, f"job {job} being {states}")
        return self._followed[job].standing

    def ended(self, job: str) -> Standing:
        """Look until a job has ended; return how."""
        until(lambda: self.look()[job].state.ended, f"job {job} having ended")
        return self._followed[job].standing
