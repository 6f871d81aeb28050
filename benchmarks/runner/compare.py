"""Run the same notebooks with nbpipe and its peers, interleaved, and print medians and ratios.

    python benchmarks/runner/compare.py                           everything, 3 rounds: an hour
    python benchmarks/runner/compare.py -w W1 -t nbpipe -t 'nbmake -n2' --rounds 5
    python benchmarks/runner/compare.py --record run.json --plot run.svg

Needs Linux, nbformat (and matplotlib for the plot) in the Python that runs it.

Tools: nbpipe (forked kernels, spawned kernels, a scientific stack preloaded), and those in `tools`,
each in an environment of its own (`--environments DIR`), installed with pip as a user would, once;
nbpipe is installed anew every time. The slow optional import that comes with JupyterLab (see
`environments.EXTRAS`) is in none of them, with `--extras` in all.

Workloads: see `workloads`. A tool runs one small workload first, which is not counted, so that
nobody pays for cold files. On W3 nbpipe's first run is not counted either: the second one knows the
durations. All figures are of the whole process tree; how they are taken stands in `meter`, when a
run counts in `measuring`. What cannot do a workload stays in the table, with the reason. The
outputs of nbpipe's own runs are compared with each other, byte by byte.

Figures of one run on one machine are to be read as ratios. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import environments
from measuring import Bench
from results import GOALS, Series, difference, table
from tools import NOTES, TOOLS, Tool
from workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Iterable

JOBS = 2
ORDERED = "W3"
"""The workload in which the order matters."""

SMALL = 0.02


def main() -> None:
    """Measure, and print a table for each workload."""
    options = _options()
    tools = [tool for tool in TOOLS if not options.tool or tool.name in options.tool]
    places = {tool.name: options.environments / tool.environment for tool in tools}
    installed = install(tools, places, extras=options.extras)
    print(_machine(), f"JupyterLab's extras of jsonschema: {'all' if options.extras else 'none'}.")
    print(_versions(tools, installed))
    measured: dict[str, list[Series]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        for name in options.workload or WORKLOADS:
            chosen = [tool for tool in tools if not tool.only or name in tool.only]
            benches = [
                Bench(tool, WORKLOADS[name], places[tool.name], _folder(scratch, name, tool),
                      options.scale, options.limit)
                for tool in chosen
            ]  # fmt: skip
            _warm(benches)
            measured[name] = compare(name, benches, options.rounds)
            if options.record:
                _record(options.record, measured, installed)
    if options.plot:
        from plot import draw  # noqa: PLC0415  (matplotlib, only where asked for)

        draw(measured, WORKLOADS, options.plot)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [tool.name for tool in TOOLS]
    parser.add_argument("-w", "--workload", action="append", choices=WORKLOADS)
    parser.add_argument("-t", "--tool", action="append", choices=names, help="ratios: to the first")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="0.1: a tenth of the work")
    parser.add_argument("--limit", type=float, default=600.0, help="seconds for one run")
    parser.add_argument("--extras", action="store_true", help="jsonschema's extras in all")
    parser.add_argument("--record", type=Path, help="write all measures and versions as JSON")
    parser.add_argument("--plot", type=Path, help="draw a chart, .svg or .png")
    parser.add_argument(
        "--environments", type=Path, default=Path.home() / ".cache/nbpipe-benchmark"
    )
    return parser.parse_args()


def install(
    tools: Iterable[Tool], places: dict[str, Path], *, extras: bool
) -> dict[str, dict[str, str]]:
    """Make what is missing; return the versions of everything in each tool's environment."""
    installed = {}
    for tool in tools:
        place = places[tool.name]
        environments.make(place, tool.packages, extras=extras)
        if tool.own and tool.environment not in installed:
            environments.install(place, "--no-deps", "--force-reinstall", *tool.packages)
        installed[tool.environment] = environments.versions(place)
    if odd := environments.odd(installed, extras=extras):
        wanted = "with" if extras else "without"
        sys.exit(f"not {wanted} {environments.SLOW}: {', '.join(odd)}; remove these environments")
    return installed


def _warm(benches: list[Bench]) -> None:
    for bench in benches:
        replace(bench, folder=bench.folder / "warm", scale=SMALL).run()


def compare(name: str, benches: list[Bench], rounds: int) -> list[Series]:
    """Run a workload with each tool in turn, again and again; print what came out."""
    series = [Series(bench.tool.name, note=NOTES.get(bench.tool.name, "")) for bench in benches]
    outputs = {}
    for number in range(1, rounds + 1):
        for bench, each in zip(benches, series, strict=True):
            if number == 1 and name == ORDERED and bench.tool.learns:
                bench.run()
            each.runs.append(bench.run())
            _progress(name, number, each)
            if bench.tool.own and not each.runs[-1].problem:
                outputs[f"{bench.tool.name}, round {number}"] = bench.outputs()
    print(f"\n{name}: {WORKLOADS[name].title}; {rounds} rounds, load {os.getloadavg()[0]:.1f}\n")
    print(table(series), end="\n\n")
    _judge(name, series, benches[0].scale)
    if len(outputs) > 1:
        differs = difference(outputs)
        print(
            f"Outputs of {len(outputs)} runs of nbpipe:",
            f"DIFFERENT: {differs}" if differs else "identical",
        )
    return series


def _judge(name: str, series: list[Series], scale: float) -> None:
    """Print how the figures stand to what is asked for; of small workloads nothing is."""
    workload = WORKLOADS[name]
    bound = workload.bound(JOBS, scale)
    if bound:
        cpu = f", {sum(workload.seconds(scale)):.1f} s of CPU" if workload.busy else ""
        print(f"Lower bound, max(longest, sum / {JOBS}): {bound:.1f} s{cpu}")
    for goal in GOALS if scale == 1.0 else ():
        if goal.workload == name and (line := goal.verdict(series, bound)):
            print(line)


def _progress(name: str, number: int, series: Series) -> None:
    run = series.runs[-1]
    text = run.problem or f"{run.wall:.2f} s, CPU {run.cpu:.2f} s, {run.peak / 2**20:.0f} MiB"
    load = os.getloadavg()[0]
    print(f"{name} round {number}: {series.tool}: {text} (load {load:.1f})", file=sys.stderr)


def _folder(scratch: str, workload: str, tool: Tool) -> Path:
    folder = Path(scratch, workload, tool.name.replace(" ", ""))
    folder.mkdir(parents=True)
    return folder


def _machine() -> str:
    return (
        f"{len(os.sched_getaffinity(0))} cores, {platform.system()} {platform.release()},"
        f" Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}."
    )


def _versions(tools: list[Tool], installed: dict[str, dict[str, str]]) -> str:
    own = {tool.environment: installed[tool.environment] for tool in tools}
    told = (f"{name} {each.get(name, '')}".strip() for name, each in own.items())
    shared = ("ipykernel", "nbclient", "jupyter-client", "numpy", "matplotlib")
    seen = {name: sorted({each[name] for each in own.values() if name in each}) for name in shared}
    common = (f"{name} {' and '.join(found)}" for name, found in seen.items())
    return f"{', '.join(told)}; with {', '.join(common)}."


def _record(
    file: Path, measured: dict[str, list[Series]], installed: dict[str, dict[str, str]]
) -> None:
    figures = {name: [asdict(each) for each in series] for name, series in measured.items()}
    content = {"machine": _machine(), "measured": figures, "installed": installed}
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
