"""What decides about a release changes, or a commit takes most of it away."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from nbpipe.cli.publish import command as publish
from nbpipe.cli.release import command as release
from nbpipe.config.settings import ReleaseLimits
from nbpipe.publishing.health import State
from nbpipe.publishing.reconcile import Result
from nbpipe.publishing.releases import operations
from nbpipe.publishing.releases.journal import Event

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result as Ended
    from conftest import Origin

    from nbpipe.publishing.reconcile import Reconciler

    Follow = Callable[..., Reconciler]
    Look = Callable[[Path], dict[str, bytes | str]]

LARGE = b"what a pointer stands for"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n" % (
    hashlib.sha256(LARGE).hexdigest().encode(),
    len(LARGE),
)


def a_tree(origin: Origin) -> str:
    """Publish a file, an LFS pointer and a link that leads out of the tree."""
    return origin.push(
        origin.tree(
            ("100644", b"a", origin.blob(b"1")),
            ("100644", b"large.bin", origin.blob(POINTER)),
            ("120000", b"out", origin.blob(b"/etc/passwd")),
        )
    )


def test_links_that_are_refused_from_now_on_are_told_although_the_branch_has_not_moved(
    origin: Origin, follow: Follow, look: Look
) -> None:
    head = a_tree(origin)
    assert follow().reconcile_once().result is Result.PUBLISHED

    worker = follow(symlinks="refuse")
    outcomes = [worker.reconcile_once() for _ in range(2)]

    assert {outcome.result for outcome in outcomes} == {Result.REFUSED}
    assert "out: a link that leads out of the collection" in (outcomes[0].error or "")
    assert "stays as it was made under the earlier ones" in (outcomes[0].error or "")
    assert worker.health().state is State.FAILING
    assert worker.mirror.current() == head
    assert look(worker.mirror.link) == {"a": b"1", "large.bin": POINTER}
    assert follow().reconcile_once().result is Result.UNCHANGED
    assert follow().health().state is State.OK


def test_a_name_that_may_be_published_from_now_on_is(
    origin: Origin, follow: Follow, look: Look
) -> None:
    origin.push(origin.tree(("100644", b"a\\b", origin.blob(b"1"))))
    assert follow().reconcile_once().result is Result.REFUSED

    assert follow(backslashes="publish").reconcile_once().result is Result.PUBLISHED
    assert follow().reconcile_once().result is Result.REFUSED
    assert look(follow().mirror.link) == {"a\\b": b"1"}


def test_a_release_is_made_anew_of_the_same_commit_in_one_step(
    origin: Origin, follow: Follow, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = a_tree(origin)
    worker = follow()
    worker.reconcile_once()
    other = follow(lfs="fetch", gate=("true",))
    monkeypatch.setattr(other.publisher.cache, "large", lambda _: iter([LARGE]))
    seen = []
    swap = other.publisher._swap

    def looking(fresh: Path, old: Path) -> bool:
        seen.append(look(worker.mirror.link))
        swapped = swap(fresh, old)
        seen.append(look(worker.mirror.link))
        return swapped

    monkeypatch.setattr(other.publisher, "_swap", looking)

    outcomes = [other.reconcile_once() for _ in range(2)]

    whole = {"a": b"1", "large.bin": POINTER}
    assert seen == [whole, whole | {"large.bin": LARGE}]
    assert [outcome.result for outcome in outcomes] == [Result.PUBLISHED, Result.UNCHANGED]
    assert other.mirror.releases() == [head]
    assert operations.verify(other.publisher, repair=False)[0].damages == ()
    assert [entry.event for entry in other.mirror.journal.entries()] == [
        Event.PUBLISHED,
        Event.REMADE,
    ]
    assert list((other.mirror.state / "building").iterdir()) == []


def test_readers_see_a_whole_release_where_folders_cannot_be_swapped(
    origin: Origin, follow: Follow, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = a_tree(origin)
    follow().reconcile_once()
    worker = follow(lfs="fetch")
    publisher = worker.publisher
    monkeypatch.setattr(publisher.cache, "large", lambda _: iter([LARGE]))
    monkeypatch.setattr(publisher, "_swap", lambda *_: False)
    seen = []
    for name in ("_detour", "_take_away", "_build", "_clear_detours"):
        step = getattr(publisher, name)

        def looking(*words: object, step: Callable[..., object] = step) -> None:
            seen.append(look(worker.mirror.link))
            step(*words)
            seen.append(look(worker.mirror.link))

        monkeypatch.setattr(publisher, name, looking)

    assert worker.reconcile_once().result is Result.PUBLISHED
    old = {"a": b"1", "large.bin": POINTER}
    assert {str(each) for each in seen} == {str(old), str(old | {"large.bin": LARGE})}
    assert sorted(path.name for path in worker.mirror.releases_folder.iterdir()) == [head]
    assert worker.mirror.current() == head
    assert operations.verify(publisher, repair=False)[0].damages == ()


@pytest.mark.parametrize("step", ["_take_away", "_build", "_clear_detours"])
def test_a_replacement_that_was_cut_short_is_finished(
    origin: Origin, follow: Follow, look: Look, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    head = a_tree(origin)
    follow().reconcile_once()
    worker = follow(lfs="fetch")
    publisher = worker.publisher
    monkeypatch.setattr(publisher.cache, "large", lambda _: iter([LARGE]))
    monkeypatch.setattr(publisher, "_swap", lambda *_: False)
    real, calls = getattr(publisher, step), []

    def dies(*words: object) -> None:
        calls.append(words)
        if step != "_build" or len(calls) == 2:
            raise KeyboardInterrupt
        real(*words)

    monkeypatch.setattr(publisher, step, dies)
    with pytest.raises(KeyboardInterrupt):
        worker.reconcile_once()
    whole = {"a": b"1", "large.bin": LARGE}
    assert look(worker.mirror.link) in ({"a": b"1", "large.bin": POINTER}, whole)

    following = follow(lfs="fetch")
    monkeypatch.setattr(following.publisher.cache, "large", lambda _: iter([LARGE]))
    assert following.reconcile_once().error is None
    assert look(following.mirror.link) == whole
    assert sorted(path.name for path in following.mirror.releases_folder.iterdir()) == [head]


def test_a_gate_says_no_to_the_new_form_of_a_release_and_the_old_one_stays(
    origin: Origin, follow: Follow, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_tree(origin)
    follow().reconcile_once()
    worker = follow(lfs="fetch", gate=("false",))
    monkeypatch.setattr(worker.publisher.cache, "large", lambda _: iter([LARGE]))

    assert worker.reconcile_once().result is Result.REFUSED
    assert look(worker.mirror.link) == {"a": b"1", "large.bin": POINTER}


def test_limits_that_the_present_release_passes_change_nothing_in_it(
    origin: Origin, follow: Follow
) -> None:
    a_tree(origin)
    worker = follow()
    worker.reconcile_once()
    inode = (worker.mirror.link / "a").stat().st_ino

    assert follow(limits=ReleaseLimits(files=3)).reconcile_once().result is Result.UNCHANGED
    assert (worker.mirror.link / "a").stat().st_ino == inode
    assert follow(limits=ReleaseLimits(files=2)).reconcile_once().result is Result.REFUSED


def test_a_rollback_holds_a_release_as_it_was_made(origin: Origin, follow: Follow) -> None:
    first = a_tree(origin)
    follow().reconcile_once()
    origin.publish({"a": b"2", "b": b"2", "c": b"3"})
    worker = follow(symlinks="refuse")
    assert worker.reconcile_once().result is Result.PUBLISHED

    assert operations.rollback(worker.publisher) == first
    assert worker.reconcile_once().result is Result.PINNED


TEN = {f"f{number}": str(number).encode() for number in range(10)}


@pytest.mark.parametrize(
    ("after", "allowed", "result"),
    [
        ({}, 0.5, Result.REFUSED),
        ({"f0": b"0"}, 0.5, Result.REFUSED),
        ({"new": b"new", "other": b"other"}, 0.5, Result.REFUSED),
        ({name: TEN[name] for name in sorted(TEN)[:5]}, 0.5, Result.PUBLISHED),
        ({name: TEN[name] for name in sorted(TEN)[:5]}, "40%", Result.REFUSED),
        ({f"moved/{name}": text for name, text in TEN.items()}, 0.5, Result.PUBLISHED),
        (dict.fromkeys(TEN, b"changed"), 0.5, Result.PUBLISHED),
        ({f"x{number}": b"rewritten" for number in range(10)}, 0.5, Result.PUBLISHED),
        ({}, 1, Result.PUBLISHED),
    ],
)
def test_a_commit_that_takes_most_of_the_files_away_is_refused(
    origin: Origin, follow: Follow, after: dict[str, bytes], allowed: object, result: Result
) -> None:
    good = origin.publish(TEN)
    worker = follow(max_loss=allowed)
    worker.reconcile_once()
    origin.publish(after)

    outcome = worker.reconcile_once()

    assert outcome.result is result
    assert (worker.mirror.current() == good) is (result is Result.REFUSED)


def test_in_a_tree_of_a_few_files_only_an_empty_one_counts(origin: Origin, follow: Follow) -> None:
    origin.publish({"a": b"1", "b": b"2", "c": b"3"})
    worker = follow()
    worker.reconcile_once()
    small = origin.publish({"new": b"new"})

    assert worker.reconcile_once().current == small
    origin.publish({})
    assert worker.reconcile_once().result is Result.REFUSED
    assert worker.mirror.current() == small


def test_a_branch_that_is_set_back_to_an_almost_empty_release_on_disk_is_refused_too(
    origin: Origin, follow: Follow
) -> None:
    small = origin.publish({"f0": b"0"})
    follow().reconcile_once()
    full = origin.publish(TEN)
    worker = follow()
    worker.reconcile_once()
    origin.git("update-ref", "refs/heads/main", small)

    assert worker.reconcile_once().result is Result.REFUSED
    assert worker.mirror.current() == full
    assert operations.rollback(worker.publisher, small) == small  # a person says so


def test_a_loss_is_refused_once_and_health_shows_it(origin: Origin, follow: Follow) -> None:
    origin.publish(TEN)
    worker = follow()
    worker.reconcile_once()
    head = origin.publish({})

    outcomes = [worker.reconcile_once() for _ in range(3)]

    assert "100% of the 10 files" in (outcomes[0].error or "")
    assert f"--accept-loss {head[:12]}" in (outcomes[0].error or "")
    assert {outcome.error for outcome in outcomes} == {outcomes[0].error}
    assert worker.health().state is State.FAILING
    refused = [e for e in worker.mirror.journal.entries() if e.event is Event.REFUSED]
    assert [entry.commit for entry in refused] == [head]
    assert follow(max_loss="100%").reconcile_once().current == head


@pytest.fixture
def run(origin: Origin, tmp_path: Path) -> Callable[..., Ended]:
    """Return a function that runs a command with the collection's configuration."""
    file = tmp_path / "nbpipe.toml"
    file.write_text(
        f'[[collection]]\nname = "notebooks-latest"\norigin = "{origin.path}"\n'
        f'root = "{tmp_path}/srv"\nprotocols = ["file"]\n'
    )
    group = click.Group(commands={"publish": publish, "release": release})
    return lambda *words: CliRunner().invoke(group, [*words, "--config", str(file)])


def test_one_word_publishes_that_commit_and_no_other(
    origin: Origin, follow: Follow, run: Callable[..., Ended]
) -> None:
    good = origin.publish(TEN)
    assert run("publish").exit_code == 0
    wanted = origin.publish({"f0": b"0"})
    assert run("publish").exit_code == 1
    later = origin.publish({"f1": b"1"})

    missed = run("publish", "notebooks-latest", "--accept-loss", wanted[:12])
    assert missed.exit_code == 1
    assert f"no branch's head is {wanted[:12]}" in missed.output
    assert follow().mirror.current() == good
    assert run("publish", "--again").exit_code == 1
    accepted = run("publish", "notebooks-latest", "--accept-loss", later[:12])
    assert accepted.exit_code == 0, accepted.output
    assert follow().mirror.current() == later
    assert run("release", "rollback").exit_code == 0
    assert run("release", "unpin").exit_code == 0, "it stays accepted"
    assert follow().mirror.current() == later


def test_a_loss_is_accepted_once_and_not_for_ever(run: Callable[..., Ended]) -> None:
    ended = run("publish", "--watch", "--accept-loss", "0123456")

    assert ended.exit_code != 0
    assert "not for --watch" in str(ended.exception)


@pytest.mark.parametrize("word", ["", "abc", "HEAD", "0123456", "../../etc"])
def test_what_is_no_commit_accepts_nothing(
    origin: Origin, follow: Follow, run: Callable[..., Ended], word: str
) -> None:
    good = origin.publish(TEN)
    run("publish")
    origin.publish({})

    assert run("publish", "--accept-loss", word).exit_code != 0
    assert follow().mirror.current() == good
