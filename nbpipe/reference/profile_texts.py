"""What the known profiles are: lines for people, values for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbpipe.reference import profiles
from nbpipe.reference.schedulers import registry
from nbpipe.system.text import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbpipe.reference.profiles import Profile, Profiles

FORMAT = 1


def lines(known: Profiles) -> Iterator[str]:
    """Yield each profile's name and resources, what else it asks for, and what may be changed."""
    width = max(len(profile.name) for profile in known)
    schedulers = registry.names()
    for profile in known:
        scheduler = f"({profile.scheduler})"
        if profile.scheduler not in schedulers:
            scheduler = f"({profile.scheduler}: no such scheduler; known: {', '.join(schedulers)})"
        yield f"{profile.name:{width}}  {plain(profile.label)}  {scheduler}"
        if wishes := _wishes(profile):
            yield f"{'':{width}}    {plain(wishes)}"
        if profile.source is not None:
            yield f"{'':{width}}    may be changed: {profiles.allowed(profile)}"


def document(known: Profiles) -> dict[str, Any]:
    """Return the same for programs."""
    return {"format": FORMAT, "profiles": [_described(each) for each in known]}


def _wishes(profile: Profile) -> str:
    """Return what else a profile asks for: `qos interactive, OMP_NUM_THREADS=1`."""
    keys = ("qos", "constraint", "reservation")
    told = [f"{key} {value}" for key in keys if (value := getattr(profile, key)) is not None]
    told += [f"{name}={value}" for name, value in profile.variables.items()]
    return ", ".join(told)


def _described(profile: Profile) -> dict[str, Any]:
    """Return a profile for programs; memory in bytes, time in seconds."""
    return {
        "name": profile.name,
        "title": profile.title,
        "label": profile.label,
        "scheduler": profile.scheduler,
        "cores": profile.cores,
        "memory": profile.memory,
        "memory_per_core": profile.memory_per_core,
        "walltime": profile.walltime,
        "queue": profile.queue,
        "account": profile.account,
        "qos": profile.qos,
        "constraint": profile.constraint,
        "reservation": profile.reservation,
        "variables": dict(profile.variables),
        "nodes": profile.nodes,
        "gpus": profile.gpus,
        "allow": None if profile.allow is None else dict(profile.allow),
        "source": str(profile.source) if profile.source else None,
    }
