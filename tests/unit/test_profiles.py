"""Profiles: whose file may say what, what may be overridden, and what never reaches a scheduler."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nbpipe import cli, config
from nbpipe.errors import ConfigError, UsageError
from nbpipe.reference import profiles, spelling
from nbpipe.reference.errors import ProfileError
from nbpipe.reference.profiles import Profile, override
from nbpipe.reference.schedulers.protocol import JobRequest, batches

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbpipe.reference.profiles import Profiles

GIB = 1024**3
SITE = """
[profiles.parallel]
title = "Parallel"
scheduler = "slurm"
cores = 12
memory = "125G"
walltime = "4:00:00"
queue = "regular"
setup = ["module load python"]
extra = ["--constraint=haswell"]
allow = {walltime = "<=12:00:00", cores = "<=64", memory = "<=250G", queue = ["debug", "regular"]}
"""


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Profiles]:
    """Return a function that loads profiles from the texts of up to three files."""

    def call(site: str = "", user: str = "", project: str = "") -> Profiles:
        configs = {}
        for name, text in (("site", site), ("user", user), ("project", project)):
            folder = tmp_path / name
            folder.mkdir()
            (folder / "nbpipe.toml").write_text(text)
            configs[name] = config.load(folder)
        return profiles.load(**configs)

    return call


def parallel(load: Callable[..., Profiles]) -> Profile:
    return load(SITE).get("parallel")


def test_a_profile_is_typed(load: Callable[..., Profiles], tmp_path: Path) -> None:
    profile = parallel(load)
    assert (profile.cores, profile.memory, profile.walltime) == (12, 125 * GIB, 4 * 3600)
    assert (profile.setup, profile.extra) == (("module load python",), ("--constraint=haswell",))
    assert profile.source == tmp_path / "site/nbpipe.toml"


def test_a_profile_is_called_as_people_know_it(load: Callable[..., Profiles]) -> None:
    assert parallel(load).label == "Parallel - 12 cores, 125 GB, 4 hours"


@pytest.mark.parametrize(
    ("profile", "resources"),
    [
        (Profile(name="a"), "1 core"),
        (Profile(name="a", cores=2, walltime=90 * 60), "2 cores, 90 minutes"),
        (Profile(name="a", memory=1536 * 1024**2), "1 core, 1.5 GB"),
        (Profile(name="a", nodes=4, gpus=1, walltime=172800), "4 nodes, 1 core, 1 GPU, 2 days"),
        (Profile(name="a", walltime=3661), "1 core, 1:01:01"),
    ],
)
def test_resources_are_told_in_words(profile: Profile, resources: str) -> None:
    assert profile.resources == resources


def test_an_unknown_profile_is_an_error_that_lists_the_known_ones(
    load: Callable[..., Profiles],
) -> None:
    with pytest.raises(ProfileError, match="unknown profile 'paralel'") as caught:
        load(SITE).get("paralel")
    assert caught.value.hint == (
        "Did you mean 'parallel'? Known: local, parallel (see `nbpipe profiles`)."
    )


def test_what_is_allowed_can_be_overridden(load: Callable[..., Profiles]) -> None:
    wanted = {"walltime": "12:00:00", "cores": "64", "memory": "250G", "queue": "debug"}
    profile = override(parallel(load), {**wanted, "account": None})
    assert (profile.walltime, profile.cores, profile.memory) == (12 * 3600, 64, 250 * GIB)
    assert profile.queue == "debug"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"walltime": "12:00:01"}, "walltime 12:00:01 is not allowed\n  Allowed: <=12:00:00."),
        ({"cores": 65}, "cores 65 is not allowed"),
        ({"memory": "251G"}, "memory 251 GB is not allowed"),
        ({"queue": "big"}, "queue 'big' is not allowed\n  Allowed: one of debug, regular."),
        ({"account": "m1"}, "account cannot be overridden\n  What may be: walltime <=12"),
        ({"nodes": "2"}, "nodes cannot be overridden"),
        ({"setup": "rm -rf"}, "'setup' cannot be overridden"),
        ({"extra": "--uid=0"}, "'extra' cannot be overridden"),
        ({"scheduler": "local"}, "'scheduler' cannot be overridden"),
    ],
)
def test_what_is_not_allowed_is_refused(
    load: Callable[..., Profiles], wanted: dict[str, object], said: str
) -> None:
    with pytest.raises(ProfileError) as caught:
        override(parallel(load), wanted)
    assert said in str(caught.value)


def test_a_profile_of_the_site_without_allow_stays_as_it_is(load: Callable[..., Profiles]) -> None:
    profile = load("[profiles.small]\ncores = 1").get("small")
    with pytest.raises(ProfileError, match="cores cannot be overridden"):
        override(profile, {"cores": 2})
    assert override(profile, {"cores": 1}) == profile


@pytest.mark.parametrize("key", ["setup", "extra"])
@pytest.mark.parametrize("whose", ["user", "project"])
@pytest.mark.parametrize("name", ["parallel", "mine", "local"])
def test_setup_and_extra_are_the_sites_alone(
    load: Callable[..., Profiles], tmp_path: Path, key: str, whose: str, name: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(SITE, **{whose: f"[profiles.{name}]\n{key} = ['curl evil']"})
    assert str(caught.value).startswith(
        f"{tmp_path}/{whose}/nbpipe.toml: profiles.{name}: `{key}` may be set in the site's own "
        "file only"
    )


def test_a_user_changes_a_profile_of_the_site_within_its_limits(
    load: Callable[..., Profiles],
) -> None:
    changed = load(
        SITE,
        user='[profiles.parallel]\nwalltime = "8h"\ntitle = "Mine"',
        project="[profiles.parallel]\ncores = 24",
    ).get("parallel")
    assert changed.label == "Mine - 24 cores, 125 GB, 8 hours"
    assert changed.setup == ("module load python",)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('walltime = "13h"', "walltime 13:00:00 is not allowed"),
        ('account = "m1"', "account cannot be overridden"),
        ("allow = {account = true}", "`allow` of a profile of the site"),
        ('scheduler = "local"', "`scheduler` of a profile of the site"),
        ('parallel-environment = "x"', "`parallel-environment` of a profile of the site"),
    ],
)
def test_a_user_changes_nothing_else(load: Callable[..., Profiles], line: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(SITE, user=f"[profiles.parallel]\n{line}")
    assert said in str(caught.value)


def test_a_user_has_profiles_of_their_own(load: Callable[..., Profiles]) -> None:
    profile = load(SITE, user="[profiles.mine]\ncores = 2").get("mine")
    assert override(profile, {"cores": 99, "account": "m1"}).cores == 99


def test_a_file_given_twice_is_the_sites(tmp_path: Path) -> None:
    (tmp_path / "nbpipe.toml").write_text(SITE)
    same = config.load(tmp_path)
    assert profiles.load(site=same, user=None, project=same).get("parallel").setup


HOSTILE = [
    "1:00\n#SBATCH --uid=0",
    "debug\n",
    "-A",
    "--uid=0",
    "a b",
    "a;b",
    "$(id)",
    "`id`",
    "a\x00b",
    "a\x1b[31m",
    "a\u2028b",
    "",
]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
@pytest.mark.parametrize("key", sorted({*profiles.OVERRIDABLE} - {"constraint"}))
def test_no_text_of_a_user_is_more_than_a_value(key: str, text: str) -> None:
    with pytest.raises(UsageError):
        override(Profile(name="mine"), {key: text})


@pytest.mark.parametrize("text", [each for each in HOSTILE if each], ids=ascii)
@pytest.mark.parametrize(
    "key", ["scheduler", "memory", "walltime", "queue", "account", "parallel-environment"]
)
def test_no_text_of_a_users_file_is_more_than_a_value(tmp_path: Path, key: str, text: str) -> None:
    from nbpipe.config.dump import toml  # noqa: PLC0415

    (tmp_path / "nbpipe.toml").write_text(f"[profiles.mine]\n{key} = {toml(text)}")
    with pytest.raises(ConfigError, match=r"nbpipe.toml: profiles.mine: "):
        profiles.load(site=None, user=None, project=config.load(tmp_path))


@pytest.mark.parametrize("text", ["a\nb", "a\x1b[31mb", "a\u2028b"], ids=ascii)
def test_a_title_is_one_printable_line(tmp_path: Path, text: str) -> None:
    from nbpipe.config.dump import toml  # noqa: PLC0415

    (tmp_path / "nbpipe.toml").write_text(f"[profiles.mine]\ntitle = {toml(text)}")
    with pytest.raises(ConfigError, match="holds control characters"):
        profiles.load(site=None, user=None, project=config.load(tmp_path))


@pytest.mark.parametrize("text", [*HOSTILE, "1starts-with-a-digit", "a/b", "a" * 101], ids=ascii)
def test_no_name_of_a_job_is_more_than_a_name(text: str) -> None:
    with pytest.raises(UsageError):
        request(name=text)


@pytest.mark.parametrize("field", ["folder", "stdout", "stderr"])
@pytest.mark.parametrize(
    "text", ["/a\n#$ -P x", "relative", "/a%j", "/a$HOME", "/a,b", "/a:b", "/a^b", "/a'b", '/a"b']
)
def test_no_path_of_a_job_is_expanded_or_split(field: str, text: str) -> None:
    with pytest.raises(UsageError, match=f"the job's {field}"):
        request(**{field: Path(text)})


@pytest.mark.parametrize("text", ["-A", "1\n2", "1;id", "$(id)", "", "x1", "--all"])
def test_no_id_of_a_job_is_an_option(text: str) -> None:
    with pytest.raises(UsageError, match="is not a valid job id"):
        request(after=(text,))
    with pytest.raises(UsageError, match="is not a valid job id"):
        batches([text])


def request(**changes: object) -> JobRequest:
    usual = {
        "name": "job",
        "command": ("/opt/job.sh", "/run"),
        "folder": Path("/run"),
        "stdout": Path("/run/out"),
        "stderr": Path("/run/err"),
        "profile": Profile(name="p"),
    }
    return JobRequest(**{**usual, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2:00:00", 7200),
        ("1-12:00:00", 129_600),
        ("4h", 14_400),
        ("90m", 5400),
        ("1h30m", 5400),
        ("2d", 172_800),
        ("45s", 45),
    ],
)
def test_a_length_of_time_is_read(text: str, seconds: int) -> None:
    assert spelling.duration(text, "walltime") == seconds


@pytest.mark.parametrize(
    "text", ["90", "1:00", "0:00:00", "-1h", "1:60:00", "\u0661h", "4 hours", "1h "]
)
def test_what_means_something_else_to_each_scheduler_is_no_length_of_time(text: str) -> None:
    with pytest.raises(UsageError, match="is not a duration"):
        spelling.duration(text, "walltime")


@pytest.mark.parametrize(
    ("text", "size"),
    [("125G", 125 * GIB), ("512 MB", GIB // 2), ("1.5GiB", 3 * GIB // 2), ("2t", 2048 * GIB)],
)
def test_an_amount_of_memory_is_read(text: str, size: int) -> None:
    assert spelling.memory(text, "memory") == size


@pytest.mark.parametrize("text", ["125", "0G", "1K", "-1G", "9999T", "G", "1.2.3G"])
def test_what_is_no_amount_of_memory_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not an amount of memory"):
        spelling.memory(text, "memory")


@pytest.mark.parametrize(
    ("allow", "said"),
    [
        ("{setup = true}", "allow.setup: not a key that may be overridden"),
        ('{walltime = "12h"}', "allow.walltime: '12h' is not a limit"),
        ('{walltime = "<=soon"}', "'soon' is not a duration"),
        ('{queue = "<=a"}', "allow.queue: '<=a' is not a limit"),
        ('{queue = ["a b"]}', "queue: 'a b' is not a name"),
    ],
)
def test_a_limit_that_means_nothing_is_an_error(
    load: Callable[..., Profiles], allow: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(f"[profiles.p]\nallow = {allow}")
    assert said in str(caught.value)


def test_the_command_lists_them_as_in_a_menu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "site.toml").write_text(SITE)
    (tmp_path / "home/nbpipe").mkdir(parents=True)
    (tmp_path / "home/nbpipe/nbpipe.toml").write_text("[profiles.mine]\ncores = 2")
    monkeypatch.setenv("NBPIPE_SITE", str(tmp_path / "site.toml"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert cli.run(["profiles"]) == 0
    assert capsys.readouterr().out == (
        "local     This machine - 1 core  (local)\n"
        "parallel  Parallel - 12 cores, 125 GB, 4 hours  (slurm)\n"
        "            may be changed: walltime <=12:00:00, cores <=64, memory <=250G, "
        "queue one of debug, regular\n"
        "mine      mine - 2 cores  (local)\n"
        "            may be changed: cores, memory, memory-per-core, walltime, queue, account, "
        "qos, constraint, reservation, nodes, gpus, variables\n"
    )


def test_a_profile_of_a_scheduler_that_is_not_there_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "site.toml").write_text('[profiles.quick]\nscheduler = "slrum"\n')
    monkeypatch.setenv("NBPIPE_SITE", str(tmp_path / "site.toml"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert cli.run(["profiles"]) == 0
    told = "quick - 1 core  (slrum: no such scheduler; known: gridengine, htcondor, local, "
    assert told in capsys.readouterr().out


def test_a_sites_file_that_is_named_must_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NBPIPE_SITE", str(tmp_path / "none.toml"))
    assert cli.run(["profiles"]) == 4
    assert "none.toml: cannot be read: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "a b",
        "$(id)",
        "`id`",
        "a;b",
        "-x",
        "--uid=0",
        "cpu\n#SBATCH",
        "cpu'",
        "a|b c",
        "",
        "( ",
        "&a",
    ],
)
def test_a_constraint_is_names_and_operators_only(text: str) -> None:
    with pytest.raises(UsageError):
        override(Profile(name="a"), {"constraint": text})


@pytest.mark.parametrize("text", ["cpu", "cpu&nvme", "[rack1|rack2]", "(a|b)&c", "gpu*4"])
def test_constraints_of_slurm_are_accepted(text: str) -> None:
    assert override(Profile(name="a"), {"constraint": text}).constraint == text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("A", text) for text in ("$(id)", "`id`", "a;b", "a|b", "a&b", "'a'", '"a"', "a\\b")],
        *[("A", text) for text in ("a\nB=c", "a\0b", ">x", "x" * 1001)],
        *[(name, "x") for name in ("1A", "A B", "A=B", "A-B", "", "NBPIPE_RUN", "SLURM_JOB_ID")],
    ],
)
def test_no_variable_is_written_for_a_shell(name: str, value: str) -> None:
    with pytest.raises(UsageError):
        profiles.with_variables(Profile(name="a"), {name: value}, "--variable")


def test_variables_of_the_site_are_overridden_as_far_as_allowed(
    load: Callable[..., Profiles],
) -> None:
    site = """
    [profiles.a]
    variables = {THREADS = "12", TREE = "/site", PLACE = "x"}
    allow = {variables = ["THREADS"]}
    """
    user = '[profiles.a]\nvariables = {MINE = "1", THREADS = "2"}'
    found = load(site, user).get("a")
    assert found.variables == {"THREADS": "2", "TREE": "/site", "PLACE": "x", "MINE": "1"}
    more = profiles.with_variables(found, {"THREADS": "3", "NEW": "y", "TREE": "/site"}, "-")
    assert (more.variables["THREADS"], more.variables["NEW"]) == ("3", "y")
    with pytest.raises(ProfileError, match="variable TREE cannot be overridden"):
        profiles.with_variables(found, {"TREE": "/mine"}, "--variable")


def test_one_amount_of_memory_takes_the_place_of_the_other() -> None:
    profile = Profile(name="a", memory=8 * GIB, cores=4)
    per_core = override(profile, {"memory-per-core": "1G"})
    assert (per_core.memory, per_core.node_memory) == (None, 4 * GIB)
    assert per_core.resources == "4 cores, 1 GB per core"
    again = override(per_core, {"memory": "2G"})
    assert (again.memory_per_core, again.node_memory) == (None, 2 * GIB)
    with pytest.raises(UsageError, match="exclude each other"):
        override(profile, {"memory": "1G", "memory-per-core": "1G"})


@pytest.mark.parametrize(
    "allow",
    ['{qos = "<=2"}', '{constraint = "<=a"}', '{variables = "A"}', '{variables = ["A B"]}'],
)
def test_a_limit_of_a_name_is_a_list_of_choices(load: Callable[..., Profiles], allow: str) -> None:
    with pytest.raises(ConfigError):
        load(f"[profiles.a]\nallow = {allow}")


def test_the_site_says_which_qos_may_be_asked_for(load: Callable[..., Profiles]) -> None:
    allow = 'allow = {qos = ["debug", "regular"], memory-per-core = "<=4G"}'
    profile = load(f"[profiles.a]\n{allow}").get("a")
    assert override(profile, {"qos": "debug", "memory-per-core": "4G"}).qos == "debug"
    for wanted in ({"qos": "premium"}, {"memory-per-core": "5G"}, {"reservation": "r"}):
        with pytest.raises(ProfileError):
            override(profile, wanted)
