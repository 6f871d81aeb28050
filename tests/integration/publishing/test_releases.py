"""Looking at releases, going back, proving and clearing away: the service and its commands."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner, Result

import nbpipe
from nbpipe.cli.publish import command as publish
from nbpipe.cli.release import command as release
from nbpipe.config.settings import Keep
from nbpipe.errors import UsageError
from nbpipe.publishing.errors import Busy
from nbpipe.publishing.reconcile import Result as Ended
from nbpipe.publishing.releases import operations
from nbpipe.publishing.releases.journal import Event
from nbpipe.publishing.releases.retention import Moment, moment

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Origin

    from nbpipe.publishing.reconcile import Reconciler

    Follow = Callable[..., Reconciler]


@pytest.fixture
def heads(origin: Origin, follow: Follow) -> list[str]:
    """Publish three commits, one after the other."""
    worker, made = follow(), []
    for number in range(3):
        made.append(origin.publish({"same": b"s", "a": str(number).encode(), f"f{number}": b""}))
        worker.reconcile_once()
    return made


def test_releases_are_listed_with_what_people_ask_for(follow: Follow, heads: list[str]) -> None:
    found = operations.releases(follow().publisher)

    assert [each.commit for each in found] == heads[::-1]
    assert [each.current for each in found] == [True, False, False]
    assert [each.subject for each in found] == ["commit 3", "commit 2", "commit 1"]
    assert {each.author for each in found} == {"A. Maintainer"}
    assert {each.files for each in found} == {3}


def test_a_release_shows_what_changed(follow: Follow, heads: list[str]) -> None:
    found, changes = operations.show(follow().publisher, heads[2][:8])

    assert found.commit == heads[2]
    assert changes.before == heads[1]
    assert (changes.added, changes.changed, changes.removed) == (("f2",), ("a",), ("f1",))


def test_a_rollback_holds_until_it_is_unpinned(
    origin: Origin, follow: Follow, heads: list[str]
) -> None:
    worker = follow()

    assert operations.rollback(worker.publisher, reason="broken plots") == heads[1]
    newer = origin.publish({"a": b"newer"})
    outcome = worker.reconcile_once()

    assert (outcome.result, outcome.current, outcome.wanted) == (Ended.PINNED, heads[1], newer)
    assert (worker.mirror.link / "a").read_bytes() == b"1"
    assert worker.health().pinned == heads[1]
    assert operations.unpin(worker.publisher) is True
    assert worker.reconcile_once().current == newer
    events = [(entry.event, entry.forced) for entry in worker.mirror.journal.entries()[-3:]]
    assert events == [
        (Event.ROLLED_BACK, False),
        (Event.UNPINNED, False),
        (Event.PUBLISHED, False),
    ]


def test_a_rollback_that_was_cut_short_is_finished_by_the_worker(
    follow: Follow, heads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = follow()
    monkeypatch.setattr(worker.publisher, "show", lambda _: exec("raise KeyboardInterrupt"))  # noqa: S102
    with pytest.raises(KeyboardInterrupt):
        operations.rollback(worker.publisher, heads[0])

    assert follow().reconcile_once().current == heads[0]


def test_a_release_that_is_gone_can_be_rolled_back_to_from_the_cache(
    follow: Follow, heads: list[str]
) -> None:
    worker = follow()
    worker.publisher._retire(heads[0])

    assert operations.rollback(worker.publisher, heads[0]) == heads[0]
    assert (worker.mirror.link / "a").read_bytes() == b"0"


@pytest.mark.parametrize("name", ["zzz", "0123456789", "../../etc"])
def test_an_unknown_release_is_a_usage_error(follow: Follow, heads: list[str], name: str) -> None:
    with pytest.raises(UsageError, match="release not found"):
        operations.rollback(follow().publisher, name)


def damage(folder: Path) -> None:
    (folder / "a").chmod(0o644)
    (folder / "a").write_bytes(b"X")
    folder.chmod(0o755)
    (folder / "same").unlink()
    (folder / "extra").write_bytes(b"extra")
    folder.chmod(0o555)


def test_a_damaged_release_is_found_and_mended(
    follow: Follow, heads: list[str], look: Callable[[Path], dict[str, bytes]]
) -> None:
    worker = follow()
    folder = worker.mirror.release(heads[2])
    damage(folder)

    only_told = operations.verify(worker.publisher, repair=False)
    mended = operations.verify(worker.publisher, heads[2])
    after = operations.verify(worker.publisher)

    (bad,) = [each for each in only_told if each.damages]
    assert (bad.commit, bad.repaired) == (heads[2], False)
    assert {str(each) for each in bad.damages} == {
        "a: its mode is 0644",
        "a: its content is not what was published",
        "same: the file is missing",
        "extra: does not belong here",
    }
    assert [each.repaired for each in mended] == [True]
    assert [each.damages for each in after] == [(), (), ()]
    assert look(folder) == {"a": b"2", "f2": b"", "same": b"s"}
    assert worker.mirror.journal.entries()[-1].event is Event.REPAIRED


def test_gc_spares_the_current_and_the_pinned_however_old(follow: Follow, heads: list[str]) -> None:
    operations.rollback(follow().publisher, heads[0])
    worker = follow(keep=Keep(releases=1, days=0))

    assert operations.gc(worker.publisher, dry_run=True) == [heads[1], heads[2]]
    assert operations.gc(worker.publisher) == [heads[1], heads[2]]
    assert worker.mirror.releases() == [heads[0]]
    assert operations.gc(worker.publisher) == []


def test_gc_keeps_young_ones(follow: Follow, heads: list[str]) -> None:
    worker = follow(keep=Keep(releases=1, days=7))

    assert operations.gc(worker.publisher) == []
    assert set(worker.mirror.releases()) == set(heads)


@pytest.mark.parametrize("ahead", [700, -700])
def test_a_clock_that_is_wrong_once_costs_no_release_that_was_just_current(
    origin: Origin, follow: Follow, heads: list[str], ahead: float
) -> None:
    keep = Keep(releases=1, days=7)
    follow(keep=keep).reconcile_once()
    last = origin.publish({"a": b"while the clock is wrong"})
    wrong = follow(keep=keep)
    wrong.publisher.now = wrong._now = lambda: time.time() + ahead * 86_400

    assert wrong.reconcile_once().current == last
    after = origin.publish({"a": b"when it is right again"})
    worker = follow(keep=keep)
    worker.reconcile_once()
    assert set(worker.mirror.releases()) == {*heads, last, after}
    assert [each.commit for each in operations.releases(worker.publisher)] == [
        *(after, last),
        *heads[::-1],
    ]
    worker.publisher.moment = lambda: (
        now := moment(),
        Moment(now.boot, now.uptime + 8 * 86_400, now.wall),
    )[1]
    assert operations.gc(worker.publisher) == [*heads, last]
    assert worker.mirror.releases() == [after]


@pytest.fixture
def run(origin: Origin, tmp_path: Path, heads: list[str]) -> Callable[..., Result]:
    """Return a function that runs a command with the collection's configuration."""
    file = tmp_path / "nbpipe.toml"
    file.write_text(
        f'[[collection]]\nname = "notebooks-latest"\norigin = "{origin.path}"\n'
        f'root = "{tmp_path}/srv"\nprotocols = ["file"]\nkeep = {{releases = 1, days = 0}}\n'
    )
    # The names of the whole command line's: click remembers those of the first call.
    names = {"help_option_names": ["-h", "--help"]}
    commands = {"publish": publish, "release": release}
    group = click.Group(commands=commands, context_settings=names)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(group, [*arguments, "--config", str(file)])

    return invoke


def test_publish_says_what_it_did(run: Callable[..., Result], origin: Origin) -> None:
    again = run("publish")
    head = origin.publish({"a": b"9"}, force=True)
    forced = run("publish", "notebooks-latest")

    assert again.output.endswith(f"unchanged, current is {again.output.split()[-1]}\n")
    assert forced.output == (
        f"notebooks-latest: published, current is {head[:12]} (the branch was rewritten)\n"
    )
    assert (again.exit_code, forced.exit_code) == (0, 0)


def test_publish_fails_where_the_branch_is_gone(run: Callable[..., Result], origin: Origin) -> None:
    origin.git("update-ref", "-d", "refs/heads/main")

    ended = run("publish")

    assert ended.exit_code == 1
    assert "branch not found: main" in ended.stderr


def test_the_release_commands_tell_their_story(
    run: Callable[..., Result], heads: list[str]
) -> None:
    listed = run("release", "list").output.splitlines()
    shown = run("release", "show").output
    back = run("release", "rollback", "--reason", "plots")
    pinned = run("release", "list").output.splitlines()[0]
    would = run("release", "gc", "--dry-run").output
    gone = run("release", "gc").output
    free = run("release", "unpin")

    assert [line.split()[0] for line in listed] == [head[:12] for head in heads[::-1]]
    assert re.search(r"  ~ a\n", shown)
    assert back.output.startswith(f"notebooks-latest: current is {heads[1][:12]}, pinned;")
    assert pinned.startswith(heads[1][:12])
    assert "current,pinned" in pinned
    assert free.output == f"notebooks-latest: published, current is {heads[2][:12]}\n"
    assert would == f"would remove {heads[0][:12]}\nwould remove {heads[2][:12]}\n"
    assert gone == f"removed {heads[0][:12]}\nremoved {heads[2][:12]}\n"


def test_verify_ends_with_1_where_damage_stays(
    run: Callable[..., Result], follow: Follow, heads: list[str]
) -> None:
    damage(follow().mirror.release(heads[2]))

    assert run("release", "verify", "--no-repair").exit_code == 1
    assert run("release", "verify").exit_code == 0
    assert run("release", "verify", "--no-repair").exit_code == 0


def test_a_listing_does_nothing_to_a_terminal(
    run: Callable[..., Result], origin: Origin, follow: Follow
) -> None:
    origin.push(origin.files({"a": b"7"}), subject="\x1b[2Jcleared\u202e")
    follow().reconcile_once()

    assert "\x1b" not in run("release", "list").output
    assert os.linesep in run("release", "list").output


SEPARATORS = {
    "line separator": ("\u2028", r"\u2028"),
    "paragraph separator": ("\u2029", r"\u2029"),
    "next line": ("\x85", r"\x85"),
    "form feed": ("\x0c", r"\x0c"),
    "vertical tab": ("\x0b", r"\x0b"),
    "file separator": ("\x1c", r"\x1c"),
    "unit separator": ("\x1f", r"\x1f"),
    "carriage return": ("\r", r"\r"),
}


@pytest.mark.parametrize(("mark", "spelled"), SEPARATORS.values(), ids=SEPARATORS)
def test_what_ends_a_line_elsewhere_ends_none_in_a_subject_or_a_name(
    run: Callable[..., Result], origin: Origin, follow: Follow, mark: str, spelled: str
) -> None:
    origin.environ["GIT_AUTHOR_NAME"] = f"A{mark}Person"
    head = origin.push(origin.files({"a": b"7"}), subject=f"Mend{mark}the plots")
    follow().reconcile_once()

    listed, shown = run("release", "list"), run("release", "show", head)

    assert (listed.exit_code, shown.exit_code) == (0, 0), listed.output
    assert listed.output.startswith(head[:12])
    assert len(listed.output.splitlines()) == len(follow().mirror.releases())
    assert f"Mend{spelled}the plots" in listed.output.splitlines()[0]
    date = operations.show(follow().publisher, head)[0].date
    assert f"  author   A{spelled}Person, {date}" in shown.output
    assert operations.show(follow().publisher, head)[0].subject == f"Mend{mark}the plots"


def test_looking_waits_for_nobody(follow: Follow, heads: list[str]) -> None:
    with follow().publisher.at_work(patience=1):
        assert len(operations.releases(follow().publisher)) == 3
        assert operations.show(follow().publisher, "current")[0].commit == heads[2]


def test_looking_at_nothing_shows_nothing(follow: Follow) -> None:
    assert operations.releases(follow().publisher) == []


def test_steering_waits_for_its_turn_and_says_who_has_it(
    follow: Follow, heads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "_PATIENCE", 0.1)
    with (
        follow().publisher.at_work(patience=1),
        pytest.raises(Busy, match=f"process {os.getpid()} is at work"),
    ):
        operations.rollback(follow().publisher)


def test_watch_publishes_until_it_is_told_to_end(
    origin: Origin, tmp_path: Path, run: Callable[..., Result], follow: Follow
) -> None:
    head = origin.publish({"a": b"watched"})
    code = "import sys; from nbpipe.cli.publish import command; command(sys.argv[1:])"
    arguments = ["--watch", "--config", str(tmp_path / "nbpipe.toml")]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(nbpipe.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stderr=subprocess.PIPE, env=environ, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if f"published {head}" in line:
                break
        process.send_signal(signal.SIGTERM)
        process.communicate()

    assert process.returncode == 0
    assert follow().mirror.current() == head
