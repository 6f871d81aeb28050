"""A Grid Engine of our own for tests; see `clusters`."""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from clusters import Daemons, free_ports, listening, need_programs, until

if TYPE_CHECKING:
    from collections.abc import Iterator

INSTALLED = Path("/var/lib/gridengine")
PROGRAMS = Path("/usr/lib/gridengine")
SHARED = Path("/usr/share/gridengine")

QUEUE = """\
qname all.q
hostlist localhost
seq_no 0
load_thresholds NONE
suspend_thresholds NONE
nsuspend 1
suspend_interval 00:05:00
priority 0
min_cpu_interval 00:05:00
processors UNDEFINED
qtype BATCH INTERACTIVE
ckpt_list NONE
pe_list smp
rerun FALSE
slots 8
tmpdir /tmp
shell /bin/bash
prolog NONE
epilog NONE
shell_start_mode posix_compliant
starter_method NONE
suspend_method NONE
resume_method NONE
terminate_method NONE
notify 00:00:60
owner_list NONE
user_lists NONE
xuser_lists NONE
subordinate_list NONE
complex_values NONE
projects NONE
xprojects NONE
calendar NONE
initial_state default
s_rt INFINITY
h_rt INFINITY
s_cpu INFINITY
h_cpu INFINITY
s_fsize INFINITY
h_fsize INFINITY
s_data INFINITY
h_data INFINITY
s_stack INFINITY
h_stack INFINITY
s_core INFINITY
h_core INFINITY
s_rss INFINITY
h_rss INFINITY
s_vmem INFINITY
h_vmem INFINITY
"""
PARALLEL_ENVIRONMENT = """\
pe_name smp
slots 999
user_lists NONE
xuser_lists NONE
start_proc_args NONE
stop_proc_args NONE
allocation_rule $pe_slots
control_slaves FALSE
job_is_first_task TRUE
urgency_slots min
accounting_summary FALSE
qsort_args NONE
"""


class GridEngineCluster:
    """Grid Engine: a master and one execution host with 8 slots."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.master_port, self.exec_port = free_ports(2)
        self.daemons = Daemons(
            folder,
            {
                "SGE_ROOT": str(self.root),
                "SGE_CELL": "default",
                "SGE_ARCH": Daemons(folder, {}).run(str(SHARED / "util/arch")).strip(),
                "SGE_QMASTER_PORT": str(self.master_port),
                "SGE_EXECD_PORT": str(self.exec_port),
                "SGE_SINGLE_LINE": "1",
                "SGE_ND": "1",
            },
        )

    @property
    def environ(self) -> dict[str, str]:
        """Return the environment in which its programs find this cluster."""
        return self.daemons.environ

    def start(self) -> None:
        """Start the daemons and wait for them."""
        self._initialize()
        self.start_master()
        self._configure()
        self.start_exec()
        self._warm_up()

    def start_master(self) -> None:
        """Start sge_qmaster, which needs some seconds to get its port back."""
        until(lambda: not listening(self.master_port))
        self.daemons.start("qmaster", str(PROGRAMS / "sge_qmaster"))
        self.daemons.wait_for("qmaster", lambda: self.daemons.works("qconf", "-sh"))

    def stop_master(self) -> None:
        """Stop sge_qmaster; jobs go on."""
        self.daemons.stop("qmaster")

    def start_exec(self) -> None:
        """Start sge_execd."""
        self.daemons.start("execd", str(PROGRAMS / "sge_execd"))
        self.daemons.wait_for("execd", lambda: listening(self.exec_port))

    def _initialize(self) -> None:
        """Lay out what Debian's package does, below a folder of our own."""
        common, spool = self.root / "default/common", self.folder / "spool"
        for each in (common, spool / "qmaster/job_scripts", spool / "execd", spool / "db"):
            each.mkdir(parents=True)
        for name in ("bin", "lib", "util", "utilbin"):
            (self.root / name).symlink_to((INSTALLED / name).resolve())
        names = dict.fromkeys(["localhost", socket.gethostname(), socket.getfqdn(), *_loopback()])
        (common / "host_aliases").write_text(f"{' '.join(names)}\n")
        (common / "act_qmaster").write_text("localhost\n")
        changes = {
            "admin_user": "none",
            "spooling_params": str(spool / "db"),
            "qmaster_spool_dir": str(spool / "qmaster"),
            "binary_path": str(PROGRAMS),
        }
        (common / "bootstrap").write_text(_changed(SHARED / "default-bootstrap", changes))
        changes = {
            "execd_spool_dir": str(spool / "execd"),
            "mailer": "/bin/true",
            "min_uid": "0",
            "min_gid": "0",
            "load_report_time": "00:00:01",
            "reporting_params": "accounting=true reporting=false flush_time=00:00:01 joblog=false "
            "sharelog=00:00:00 accounting_flush_time=00:00:00",
        }
        configuration = self.folder / "configuration"
        configuration.write_text(_changed(SHARED / "default-configuration", changes))
        user = pwd.getpwuid(os.geteuid()).pw_name
        for words in (
            ("spoolinit", "berkeleydb", "libspoolb", str(spool / "db"), "init"),
            ("spooldefaults", "configuration", str(configuration)),
            ("spooldefaults", "complexes", str(SHARED / "util/resources/centry")),
            ("spooldefaults", "usersets", str(SHARED / "util/resources/usersets")),
            ("spooldefaults", "managers", user),
        ):
            self.daemons.run(str(PROGRAMS / words[0]), *words[1:])

    def _configure(self) -> None:
        """Make the host, the queue and the parallel environment; look for work every second."""
        run = self.daemons.run
        run("qconf", "-as", "localhost")
        host = "hostname localhost\nload_scaling NONE\ncomplex_values NONE\nuser_lists NONE\n"
        host += "xuser_lists NONE\nprojects NONE\nxprojects NONE\nusage_scaling NONE\n"
        host += "report_variables NONE\n"
        changes = {"schedule_interval": "0:0:1", "flush_submit_sec": "1", "flush_finish_sec": "1"}
        scheduler = self.folder / "sconf"
        scheduler.write_text(run("qconf", "-ssconf"))
        scheduler.write_text(_changed(scheduler, changes))
        for option, text in (("-Ae", host), ("-Ap", PARALLEL_ENVIRONMENT), ("-Aq", QUEUE)):
            file = self.folder / f"qconf{option}"
            file.write_text(text)
            run("qconf", option, str(file))
        run("qconf", "-Msconf", str(scheduler))

    def _warm_up(self) -> None:
        """Wait until a job has run and the accounting knows of it."""
        job = self.daemons.run("qsub", "-terse", "-b", "y", "-o", "/dev/null", "-j", "y", "true")
        until(lambda: self.daemons.answers("exit_status  0", "qacct", "-j", job.strip()))


def _changed(file: Path, changes: dict[str, str]) -> str:
    """Return a file of `key value` lines with other values."""
    lines = file.read_text().splitlines()
    keys = [line.split(None, 1)[0] if line.strip() else "" for line in lines]
    return "".join(
        f"{key} {changes[key]}\n" if key in changes else f"{line}\n"
        for key, line in zip(keys, lines, strict=True)
    )


def _loopback() -> list[str]:
    """Return every name that this machine has for 127.0.0.1."""
    lines = Path("/etc/hosts").read_text().splitlines()
    words = [line.partition("#")[0].split() for line in lines]
    return [name for each in words if each[:1] == ["127.0.0.1"] for name in each[1:]]


@pytest.fixture(scope="session")
def gridengine_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GridEngineCluster]:
    """Return a Grid Engine of our own."""
    need_programs("sge_qmaster", "sge_execd", "qsub", "qconf", "qacct")
    cluster = GridEngineCluster(tmp_path_factory.mktemp("gridengine"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.daemons.stop_all()
