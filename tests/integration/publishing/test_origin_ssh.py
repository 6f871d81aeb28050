"""An origin behind a real sshd: deploy keys, host keys, and nothing of the user's own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from gitservers import Sshd, new_key, run, sshd
from ondisk import lacking

from nbpipe.publishing.reconcile import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Origin

    from nbpipe.publishing.reconcile import Reconciler

    Follow = Callable[..., Reconciler]
    BySsh = Callable[..., Reconciler]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("ssh") / "host") as running:
        yield running


@pytest.fixture
def by_ssh(follow: Follow, server: Sshd, origin: Origin) -> BySsh:
    """Return a function that makes a worker which follows the origin by ssh."""

    def make(**changes: object) -> Reconciler:
        settings: dict[str, object] = {
            "origin": server.address(origin.path),
            "protocols": ("ssh",),
            "ssh_key": str(server.key),
            "known_hosts": str(server.known_hosts),
            "fetch_timeout": 120.0,
        }
        return follow(**settings | changes)

    return make


def test_a_release_comes_by_ssh_with_a_deploy_key(origin: Origin, by_ssh: BySsh) -> None:
    first = origin.publish({"a": b"1"})
    worker = by_ssh()

    assert worker.reconcile_once().current == first

    second = origin.publish({"a": b"2"})
    assert worker.reconcile_once().current == second
    assert (worker.mirror.link / "a").read_bytes() == b"2"


def test_a_key_that_the_host_does_not_know_is_told_clearly(
    origin: Origin, by_ssh: BySsh, tmp_path: Path
) -> None:
    origin.publish({"a": b"1"})

    outcome = by_ssh(ssh_key=str(new_key(tmp_path / "other"))).reconcile_once()

    assert (outcome.result, outcome.current) == (Result.UNREACHABLE, None)
    assert "Permission denied (publickey)" in (outcome.error or "")
    assert "deploy key" in (outcome.error or "")


def test_an_unknown_host_is_refused_with_what_to_do(
    origin: Origin, by_ssh: BySsh, tmp_path: Path
) -> None:
    origin.publish({"a": b"1"})
    (tmp_path / "empty").touch()

    outcome = by_ssh(known_hosts=str(tmp_path / "empty")).reconcile_once()

    assert (outcome.result, outcome.current) == (Result.UNREACHABLE, None)
    assert "Host key verification failed" in (outcome.error or "")
    assert "`known-hosts`" in (outcome.error or "")
    assert (tmp_path / "empty").read_text() == ""


def test_a_host_without_configured_keys_is_not_trusted_at_first_sight(
    origin: Origin, by_ssh: BySsh
) -> None:
    origin.publish({"a": b"1"})

    outcome = by_ssh(known_hosts=None).reconcile_once()

    assert (outcome.result, outcome.current) == (Result.UNREACHABLE, None)
    assert "`known-hosts`" in (outcome.error or "")


def test_a_host_with_another_key_than_before_is_refused(
    origin: Origin, by_ssh: BySsh, server: Sshd, tmp_path: Path
) -> None:
    origin.publish({"a": b"1"})
    kind, key = new_key(tmp_path / "old").with_suffix(".pub").read_text().split()[:2]
    (tmp_path / "known").write_text(f"[127.0.0.1]:{server.port} {kind} {key}\n")

    outcome = by_ssh(known_hosts=str(tmp_path / "known")).reconcile_once()

    assert (outcome.result, outcome.current) == (Result.UNREACHABLE, None)
    assert "Host key verification failed" in (outcome.error or "")
    assert "`known-hosts`" in (outcome.error or "")


def test_a_key_that_others_can_read_is_refused_with_what_to_do(
    origin: Origin, by_ssh: BySsh, server: Sshd, tmp_path: Path
) -> None:
    origin.publish({"a": b"1"})
    open_key = tmp_path / "open"
    shutil.copy(server.key, open_key)
    open_key.chmod(0o644)

    outcome = by_ssh(ssh_key=str(open_key)).reconcile_once()

    assert (outcome.result, outcome.current) == (Result.UNREACHABLE, None)
    assert "chmod 600" in (outcome.error or "")


def test_a_key_file_that_is_missing_is_told_by_its_name(
    origin: Origin, by_ssh: BySsh, tmp_path: Path
) -> None:
    origin.publish({"a": b"1"})

    outcome = by_ssh(ssh_key=str(tmp_path / "nowhere")).reconcile_once()

    assert outcome.result is Result.UNREACHABLE
    assert f"{tmp_path}/nowhere" in (outcome.error or "")
    assert "`ssh-key` must name" in (outcome.error or "")


def test_names_with_spaces_and_percent_signs_are_names(
    origin: Origin, by_ssh: BySsh, server: Sshd, tmp_path: Path
) -> None:
    head = origin.publish({"a": b"1"})
    folder = tmp_path / '100 %h "of" it'
    folder.mkdir()
    shutil.copy(server.key, folder / "key")
    shutil.copy(server.known_hosts, folder / "known")

    outcome = by_ssh(
        ssh_key=str(folder / "key"), known_hosts=str(folder / "known")
    ).reconcile_once()

    assert (outcome.error, outcome.current) == (None, head)


def test_the_users_agent_is_not_asked(
    origin: Origin,
    by_ssh: BySsh,
    server: Sshd,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    origin.publish({"a": b"1"})
    for line in run("ssh-agent", "-s", "-a", tmp_path / "agent").splitlines():
        name, equals, value = line.partition(";")[0].partition("=")
        if equals:
            monkeypatch.setenv(name, value)
    try:
        run("ssh-add", "-q", server.key)

        outcomes = [
            by_ssh(ssh_key=key).reconcile_once() for key in (None, str(new_key(tmp_path / "other")))
        ]
    finally:
        run("ssh-agent", "-k")

    assert [outcome.result for outcome in outcomes] == [Result.UNREACHABLE] * 2


def test_no_configuration_of_ssh_and_no_other_key_is_opened(
    origin: Origin, by_ssh: BySsh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh = shutil.which("ssh")
    if shutil.which("strace") is None:
        lacking("strace")
    head = origin.publish({"a": b"1"})
    (tmp_path / "bin").mkdir()
    wrapper = tmp_path / "bin" / "ssh"
    trace = tmp_path / "trace"
    wrapper.write_text(
        f"#!/bin/sh\nexec strace -f -e trace=openat,open -o '{trace}' {ssh} \"$@\"\n"
    )
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")

    outcome = by_ssh().reconcile_once()

    assert outcome.current == head
    opened = [line.split('"')[1] for line in trace.read_text().splitlines() if '"' in line]
    assert [path for path in opened if Path(path).name == "deploy"] != []
    others = [path for path in opened if "/.ssh/" in path or path.startswith("/etc/ssh")]
    assert others == []
