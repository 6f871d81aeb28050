"""Profiles: named resources of a job, and who may change what in them.

Three files may define them, each read after the one before: the site's, the user's, the
project's. The site's own file alone may hold `setup` and `extra`, because those reach a shell and
the scheduler as they stand. What the site defined, others may change only as far as its `allow`
says; so may the command line. Nothing here runs anything.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from nbpipe import config as configuration
from nbpipe.errors import ConfigError, UsageError
from nbpipe.reference import spelling
from nbpipe.reference.errors import ProfileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from nbpipe.config import Config
    from nbpipe.config.settings import ProfileSettings

SITE_ONLY = ("setup", "extra")
"""Keys that only the site's own file may set."""
OVERRIDABLE = (
    *("cores", "memory", "memory-per-core", "walltime", "queue", "account", "qos", "constraint"),
    *("reservation", "nodes", "gpus"),
)
"""Keys that have an option each, and that `allow` may name."""
VARIABLES = "variables"
"""What else `allow` may name: true, or a list of the site's variables that others may set."""
_FREE = frozenset({"title"})
"""What anybody may change in a site's profile."""
_MOST = {"cores": 100_000, "nodes": 100_000, "gpus": 10_000}
_AMOUNTS = frozenset({*_MOST, "memory", "memory-per-core", "walltime"})
"""Keys that a limit can bound."""

Allow = "Mapping[str, bool | str | tuple[str, ...]]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """What a job asks of a scheduler; every text in it may reach a scheduler as it is."""

    name: str
    title: str = ""
    """As people know it from a hub's menu."""
    scheduler: str = "local"
    cores: int = 1
    """On each node."""
    memory: int | None = None
    """Bytes on each node; None: what the scheduler gives unasked."""
    memory_per_core: int | None = None
    """Bytes for each core; never beside `memory`."""
    walltime: int | None = None
    """Seconds; None: what the scheduler gives unasked."""
    queue: str | None = None
    """A queue, or Slurm's partition."""
    account: str | None = None
    """An account or project to charge."""
    qos: str | None = None
    constraint: str | None = None
    """Features that the nodes must have."""
    reservation: str | None = None
    nodes: int = 1
    gpus: int = 0
    """On each node."""
    parallel_environment: str = "smp"
    """Grid Engine: what gives one job several slots of one machine."""
    variables: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Of the job's environment; never seen by a shell or a scheduler."""
    setup: tuple[str, ...] = ()
    """Lines of shell that prepare the environment; from the site only."""
    extra: tuple[str, ...] = ()
    """Arguments for the submitting program (HTCondor: lines); from the site only."""
    allow: Mapping[str, bool | str | tuple[str, ...]] | None = field(default=None, hash=False)
    """What may be overridden, and how far; None: everything."""
    source: Path | None = None
    """The file that defined it; None: built in."""

    @property
    def label(self) -> str:
        """Return `Parallel - 12 cores, 125 GB, 4 hours`."""
        title = self.title or self.name
        return title if " - " in title else f"{title} - {self.resources}"

    @property
    def node_memory(self) -> int | None:
        """Bytes on each node, however they were asked for."""
        return self.memory_per_core * self.cores if self.memory_per_core else self.memory

    @property
    def resources(self) -> str:
        """Return `12 cores, 125 GB, 4 hours`."""
        parts = [f"{self.nodes} nodes"] if self.nodes > 1 else []
        parts.append("1 core" if self.cores == 1 else f"{self.cores} cores")
        if self.gpus:
            parts.append("1 GPU" if self.gpus == 1 else f"{self.gpus} GPUs")
        if self.memory:
            parts.append(spelling.memory_in_words(self.memory))
        if self.memory_per_core:
            parts.append(f"{spelling.memory_in_words(self.memory_per_core)} per core")
        if self.walltime:
            parts.append(spelling.duration_in_words(self.walltime))
        return ", ".join(parts)


BUILT_IN = Profile(name="local", title="This machine", allow=None)
"""Always there, so that a job can be tried without a scheduler."""


class Profiles:
    """The known profiles, by name."""

    def __init__(self, profiles: Mapping[str, Profile]) -> None:
        self._profiles = dict(profiles)

    def __iter__(self) -> Iterator[Profile]:
        """Yield them, in the order of the files."""
        return iter(self._profiles.values())

    def get(self, name: str) -> Profile:
        """Return the profile of that name.

        Raises:
            ProfileError: There is none; the error lists those there are.
        """
        if name in self._profiles:
            return self._profiles[name]
        near = get_close_matches(name, self._profiles, n=1, cutoff=0.5)
        advice = f"Did you mean {near[0]!r}? " if near else ""
        raise ProfileError(
            f"unknown profile {name!r}",
            hint=f"{advice}Known: {', '.join(sorted(self._profiles))} (see `nbpipe profiles`).",
        )


def known(config: Config) -> Profiles:
    """Return the profiles of the site's, the user's and this collection's configuration.

    Raises:
        ConfigError: One of the files has problems.
    """
    import platformdirs  # noqa: PLC0415

    folder = platformdirs.user_config_path("nbpipe")
    return load(
        site=configuration.site(os.environ), user=configuration.user(folder), project=config
    )


def load(*, site: Config | None, user: Config | None, project: Config | None) -> Profiles:
    """Return the profiles of the site's, the user's and the project's file, the last one on top.

    The same file given twice counts where it comes first, so that a service whose only file is
    the site's own can give it as the project's too.

    Raises:
        ConfigError: A file says what it may not; the message names file, profile and key.
    """
    found: dict[str, Profile] = {BUILT_IN.name: BUILT_IN}
    seen: set[Path] = set()
    for config, trusted in ((site, True), (user, False), (project, False)):
        if config is None or config.file is None or config.file.resolve() in seen:
            continue
        seen.add(config.file.resolve())
        for name, table in config.settings.profiles.items():
            where = f"{config.file}: profiles.{name}"
            try:
                found[name] = _layered(found.get(name), name, table, config, trusted=trusted)
            except ConfigError:
                raise
            except UsageError as error:
                raise ConfigError(f"{where}: {error.args[0]}", hint=error.hint) from error
    return Profiles(found)


def override(profile: Profile, wanted: Mapping[str, object]) -> Profile:
    """Return the profile with other values, as far as it allows them.

    Args:
        profile: What was chosen.
        wanted: Key as in the file -> text or number; None is passed over.

    Raises:
        ProfileError: A key may not be overridden, or not so far.
        UsageError: A value is not what its key needs.
    """
    values = {key: value for key, value in wanted.items() if value is not None}
    for key in values:
        if key not in OVERRIDABLE:
            raise ProfileError(
                f"profile {profile.name}: {key!r} cannot be overridden",
                hint=f"What may be: {allowed(profile)}.",
            )
    typed = {key: _typed(key, value) for key, value in values.items()}
    for key, value in typed.items():
        _check_allowed(profile, key, value)
    return _changed(profile, {_field(key): value for key, value in typed.items()})


def with_variables(profile: Profile, wanted: Mapping[str, str], what: str) -> Profile:
    """Return the profile with more variables, as far as it allows them.

    What the site's profile does not name, anybody may set: a notebook could, too.

    Args:
        profile: What was chosen.
        wanted: Name -> value.
        what: Where they come from, for errors.

    Raises:
        ProfileError: The site set one of them, and does not let others.
        UsageError: One cannot be a variable of a job.
    """
    for name, value in wanted.items():
        spelling.variable(name, value, what)
    _check_variables(profile, wanted)
    return replace(profile, variables={**profile.variables, **wanted})


def _check_variables(profile: Profile, wanted: Mapping[str, str]) -> None:
    """Refuse other values for the site's variables than it allows."""
    if profile.allow is None:
        return
    limit = profile.allow.get(VARIABLES, False)
    for name in wanted.keys() & profile.variables.keys():
        free = limit is True or (isinstance(limit, tuple) and name in limit)
        if not free and wanted[name] != profile.variables[name]:
            raise ProfileError(
                f"profile {profile.name}: variable {name} cannot be overridden",
                hint=f"It is {profile.variables[name]!r} there. What may be overridden: "
                f"{allowed(profile)}.",
            )


def _changed(profile: Profile, values: Mapping[str, Any]) -> Profile:
    """Return the profile with other values; one amount of memory takes the place of the other.

    Raises:
        UsageError: Both are among them.
    """
    memories = ("memory", "memory_per_core")
    given = [key for key in memories if values.get(key) is not None]
    if len(given) == len(memories):
        raise UsageError(
            "memory and memory-per-core exclude each other",
            hint="Give the memory of a node, or that of each core.",
        )
    emptied = {key: None for key in memories if given and key not in given}
    return replace(profile, **{**values, **emptied})


def _field(key: str) -> str:
    return key.replace("-", "_")


def _layered(
    below: Profile | None, name: str, table: ProfileSettings, config: Config, *, trusted: bool
) -> Profile:
    """Return the profile that a file defines or changes."""
    spelling.profile_name(name, "profiles")
    keys = [
        key for key in table.__struct_encode_fields__ if f"profiles.{name}.{key}" in config.given
    ]
    forbidden = [key for key in keys if key in SITE_ONLY and not trusted]
    if forbidden:
        raise ProfileError(
            f"`{forbidden[0]}` may be set in the site's own file only",
            hint="It reaches a shell or the scheduler as it stands; ask your site for a profile.",
        )
    values = {_field(key): _typed(key, _raw(table, key)) for key in keys}
    if below is None or below is BUILT_IN:
        defined = Profile(name=name, source=config.file, allow={} if trusted else None)
        return _changed(defined, values)
    if below.allow is not None:  # the site's
        _check_layer(below, values)
    if VARIABLES in values:
        values[VARIABLES] = {**below.variables, **values[VARIABLES]}
    return _changed(below, values)


def _check_layer(below: Profile, values: Mapping[str, Any]) -> None:
    """Refuse what a file may not change in a profile of the site."""
    for name, value in values.items():
        key = name.replace("_", "-")
        if key in OVERRIDABLE:
            _check_allowed(below, key, value)
        elif key == VARIABLES:
            _check_variables(below, value)
        elif key not in _FREE:
            raise ProfileError(
                f"`{key}` of a profile of the site ({below.source}) cannot be changed",
                hint=f"What may be: {allowed(below)}. Or define a profile of another name.",
            )


def _check_allowed(profile: Profile, key: str, value: object) -> None:
    """Refuse a value that `allow` does not cover."""
    if profile.allow is None or getattr(profile, _field(key)) == value:
        return
    limit = profile.allow.get(key, False)
    if _covers(limit, key, value):
        return
    if limit is False:
        raise ProfileError(
            f"profile {profile.name}: {key} cannot be overridden",
            hint=f"What may be: {allowed(profile)}.",
        )
    raise ProfileError(
        f"profile {profile.name}: {key} {_shown(key, value)} is not allowed",
        hint=f"Allowed: {_limit_in_words(limit)}.",
    )


def _covers(limit: bool | str | tuple[str, ...], key: str, value: object) -> bool:  # noqa: FBT001
    if isinstance(limit, bool):
        return limit
    if isinstance(limit, tuple):
        return str(value) in limit
    most = _typed(key, limit.removeprefix("<=").strip())
    return isinstance(value, int) and isinstance(most, int) and value <= most


def allowed(profile: Profile) -> str:
    """Return what may be overridden, for people."""
    if profile.allow is None:
        return ", ".join((*OVERRIDABLE, VARIABLES))
    told = [f"{key} {_limit_in_words(limit)}" for key, limit in profile.allow.items() if limit]
    return ", ".join(told) or "nothing"


def _limit_in_words(limit: bool | str | tuple[str, ...]) -> str:  # noqa: FBT001
    if isinstance(limit, tuple):
        return f"one of {', '.join(limit)}"
    return limit if isinstance(limit, str) else "(anything)"


def _shown(key: str, value: object) -> str:
    if key in {"memory", "memory-per-core"} and isinstance(value, int):
        return spelling.memory_in_words(value)
    return spelling.clock(value) if key == "walltime" and isinstance(value, int) else repr(value)


def _raw(table: ProfileSettings, key: str) -> object:
    value: object = getattr(table, _field(key))
    return value


def _typed(key: str, value: Any) -> Any:  # noqa: ANN401  (each key has a type of its own)
    """Return a key's value, checked; texts as in the file or on the command line.

    Raises:
        UsageError: It is not what the key needs.
    """
    if key in _MOST:
        return _whole(value, key)
    if key == "allow":
        return _checked_allow(value)
    if key == VARIABLES:
        return {name: spelling.variable(name, text, VARIABLES) for name, text in value.items()}
    if key in SITE_ONLY:
        return tuple(spelling.line(line, key) for line in value)
    return None if value is None else _TEXTS[key](str(value), key)


_TEXTS: dict[str, Callable[[str, str], Any]] = {
    "title": spelling.line,
    "scheduler": spelling.name,
    "memory": spelling.memory,
    "memory-per-core": spelling.memory,
    "walltime": spelling.duration,
    "queue": spelling.name,
    "account": spelling.name,
    "qos": spelling.name,
    "constraint": spelling.constraint,
    "reservation": spelling.name,
    "parallel-environment": spelling.name,
}


def _whole(value: object, key: str) -> int:
    text = str(value)
    least = 0 if key == "gpus" else 1
    if text.isascii() and text.isdigit() and least <= int(text) <= _MOST[key]:
        return int(text)
    raise UsageError(
        f"{key}: {text!r} is not a whole number from {least:,} to {_MOST[key]:,}",
        hint="Write digits only.",
    )


def _checked_allow(value: Mapping[str, Any]) -> dict[str, Any]:
    for key, limit in value.items():
        if key not in {*OVERRIDABLE, VARIABLES}:
            raise UsageError(
                f"allow.{key}: not a key that may be overridden",
                hint=f"Those are: {', '.join((*OVERRIDABLE, VARIABLES))}.",
            )
        if key == VARIABLES:
            _check_names(limit)
        elif isinstance(limit, tuple):
            for each in limit:
                _typed(key, each)
        elif isinstance(limit, str):
            _check_bound(key, limit)
    return dict(value)


def _check_names(limit: bool | str | tuple[str, ...]) -> None:  # noqa: FBT001
    """Refuse what cannot be a choice of variables."""
    if isinstance(limit, str):
        raise UsageError(
            f"allow.{VARIABLES}: {limit!r} is not a list of names",
            hint='Write the names of variables as in ["OMP_NUM_THREADS"], or true for all.',
        )
    for name in limit if isinstance(limit, tuple) else ():
        spelling.variable(name, "", f"allow.{VARIABLES}")


def _check_bound(key: str, limit: str) -> None:
    """Refuse a limit that is no `<=` with an amount."""
    if not limit.startswith("<=") or key not in _AMOUNTS:
        raise UsageError(
            f"allow.{key}: {limit!r} is not a limit",
            hint='Write "<=" and an amount, a list of choices, or true for anything.',
        )
    _typed(key, limit.removeprefix("<=").strip())
