"""What git finds around it is what the settings say, whatever the service's environment holds."""

from __future__ import annotations

from pathlib import Path

from nbpipe.config.settings import CollectionSettings
from nbpipe.publishing.origin import isolation

STATE = Path("/srv/nbpipe/.nbpipe/nb")


def settings(**more: object) -> CollectionSettings:
    fields = {"name": "nb", "origin": "https://example.org/o/r.git", "root": "/srv/nbpipe"}
    return CollectionSettings(**fields | more)  # type: ignore[arg-type]


def test_variables_that_trace_or_trust_blindly_are_kept_from_git() -> None:
    environ = {"GIT_CURL_VERBOSE": "0", "GIT_SSL_NO_VERIFY": "", "GIT_TRACE2": "/x", "PATH": "/bin"}

    assert isolation.without(environ) == [
        *("env", "-u", "GIT_CURL_VERBOSE", "-u", "GIT_SSL_NO_VERIFY", "-u", "GIT_TRACE2")
    ]


def test_an_ordinary_environment_costs_no_further_process() -> None:
    assert isolation.without({"PATH": "/bin", "GIT_EXEC_PATH": "/opt/git"}) == []


def test_no_variable_turns_a_protocol_on() -> None:
    found = isolation.environment(settings(protocols=("https", "ssh")), STATE, STATE / "cache.git")

    assert found["GIT_ALLOW_PROTOCOL"] == "https:ssh"


def test_nobody_is_asked_for_a_password_where_none_is_configured() -> None:
    found = isolation.environment(settings(), STATE, STATE / "cache.git")

    assert (found["GIT_ASKPASS"], found["SSH_ASKPASS"], found["GIT_TERMINAL_PROMPT"]) == (
        *("", ""),
        "0",
    )


def test_the_operators_program_is_asked_only_through_the_one_that_looks_at_the_host() -> None:
    found = isolation.environment(settings(askpass="/usr/bin/ask"), STATE, STATE / "cache.git")

    assert found["GIT_ASKPASS"] == str(STATE / "askpass")
    assert found["NBPIPE_ORIGIN_ASKPASS"] == "/usr/bin/ask"


def test_what_ssh_says_has_a_descriptor_of_its_own_and_so_has_a_folders_git() -> None:
    found = isolation.environment(settings(), STATE, STATE / "cache.git")
    folder = settings(origin="/srv/git/x.git", protocols=("file",))

    assert found["GIT_SSH_COMMAND"].startswith("ssh -F none -o BatchMode=yes ")
    assert found["GIT_SSH_COMMAND"].endswith(' 2>"/dev/fd/${NBPIPE_EAR:-2}"')
    assert isolation.upload_pack(folder) == (
        *("--upload-pack",),
        'git-upload-pack 2>"/dev/fd/${NBPIPE_EAR:-2}"',
    )
    assert isolation.upload_pack(settings()) == ()
