"""Which variables of the environment hold secrets, as a configuration names them.

What a program that we start has no use for, it does not inherit. Values only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nbpipe.config.github import GithubSettings
from nbpipe.system import secrets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from nbpipe.config.settings import Settings

_GITHUB = "env:GITHUB_TOKEN"
"""What `[github]` falls back to."""
_NO_GITHUB = GithubSettings()


def named(table: object) -> frozenset[str]:
    """Return NAME of every `env:NAME` in these settings, however deep."""
    return frozenset(name for text in _texts(table) if (name := secrets.variable(text)))


def kept_from_notebooks(settings: Settings) -> tuple[str, ...]:
    """Return the variables that kernels do not inherit: what any table but `[test]` names.

    Not GITHUB_TOKEN where `[github]` only falls back to it: a notebook may have its own use of it.
    """
    tables = [getattr(settings, name) for name in settings.__struct_fields__ if name != "test"]
    github = settings.github
    written = [getattr(github, name) for name in github.__struct_fields__]
    return tuple(sorted(named([written, *(each for each in tables if each is not github)])))


def without(
    environ: Mapping[str, str], secret: AbstractSet[str], *, but: object = ()
) -> dict[str, str]:
    """Return the environment without those variables, except what the settings `but` name."""
    hidden = secret - named(but)
    return {name: value for name, value in environ.items() if name not in hidden}


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, msgspec.Struct):
        if isinstance(value, GithubSettings) and value.token is None and value != _NO_GITHUB:
            yield _GITHUB
        for name in value.__struct_fields__:
            yield from _texts(getattr(value, name))
    elif isinstance(value, dict):
        yield from _texts(tuple(value.values()))
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from _texts(each)
