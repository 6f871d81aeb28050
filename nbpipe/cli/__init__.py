"""The command line: parse, call, print.

What a command does must not enter here: it stands in the rooms below.

Commands are imported when they are used, so that `nbpipe --help` is quick.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import sys
from difflib import get_close_matches
from importlib import import_module

import click

from nbpipe._version import __version__
from nbpipe.cli import home
from nbpipe.distribution import refuse_mixture
from nbpipe.errors import ExitCode, NbpipeError
from nbpipe.system.remarks import Remarks

COMMANDS = {
    "test": ("nbpipe.cli.test", "Execute notebooks, report pass or fail with the reason."),
    "check": ("nbpipe.cli.check", "Check notebooks without executing them."),
    "new": ("nbpipe.cli.new", "Begin a new notebook from the collection's template."),
    "history": ("nbpipe.cli.history", "Show past runs; flakiness and durations of notebooks."),
    "show": ("nbpipe.cli.show", "Show a past run: its summary and its failures."),
    "bisect": ("nbpipe.cli.bisect", "Find the commit that broke a notebook."),
    "github": ("nbpipe.cli.github", "Report a run to GitHub: status, check run, comment."),
    "notify": ("nbpipe.cli.notify", "Notify people of what a run changed; send a test message."),
    "publish": ("nbpipe.cli.publish", "Update the mirror from its origin, once or continuously."),
    "release": ("nbpipe.cli.release", "Inspect releases, roll back, verify, clean up."),
    "space": ("nbpipe.cli.space", "Make the mirror appear in every home; prove it read-only."),
    "serve": ("nbpipe.cli.serve", "Receive webhooks, publish, and serve status pages."),
    "reference": (
        "nbpipe.cli.reference",
        "Run a notebook as a job; keep it as a release's reference.",
    ),
    "profiles": ("nbpipe.cli.profiles", "List the sizes of jobs that `--profile` can name."),
    "doctor": (
        "nbpipe.cli.doctor",
        "Check kernels, packages and the service; say what is missing.",
    ),
    "config": ("nbpipe.cli.config", "Show the effective settings and where they come from."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called; help needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the commands in the order of importance."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command; for an unknown one None."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[cmd_name][0]).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is called.

        Raises:
            click.UsageError: There is none of that name; the nearest one is told.
        """
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            near = get_close_matches(name.lower(), COMMANDS, n=1, cutoff=0.5)
            advice = f" Did you mean '{near[0]}'?" if near else ""
            ctx.fail(f"No such command '{name}'.{advice}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: nbpipe test 'notebooks/**/*.ipynb'",
)
@click.version_option(__version__, prog_name="nbpipe")
def nbpipe() -> None:
    """Keep a collection of Jupyter notebooks working, and in everybody's hands."""


_GARBAGE = 20_000
"""Objects from one look for cyclic garbage to the next: imports make many, and none (40 ms)."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with pytest's codes (see `nbpipe.errors`)."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    gc.set_threshold(_GARBAGE)
    arguments = sys.argv[1:] if arguments is None else arguments
    remarks = Remarks()
    remarks.install()
    code = run(arguments)
    if note := remarks.told(everything="--debug" in arguments):
        with contextlib.suppress(OSError):
            _say(note)
    gc.freeze()  # or Python looks through all that there is before it ends (75 ms)
    sys.exit(code)


def run(arguments: list[str]) -> int:  # noqa: PLR0911  (one for each way to end)
    """Run the command line; return its exit code.

    Every error that a person sees is printed here: what happened, where, what to do next.
    """
    try:
        refuse_mixture(sys.modules["nbpipe"], sys.path)
        home.ensure()
        code = nbpipe.main(args=arguments, prog_name="nbpipe", standalone_mode=False)
    except click.Abort:
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        _say(_usage(error))
        return ExitCode.USAGE_ERROR
    except NbpipeError as error:
        _raise_for_debug(arguments)
        _say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _say("interrupted")
        return ExitCode.INTERRUPTED
    except SystemExit:  # click's end where nobody reads its output any more: no failure
        return ExitCode.OK
    except OSError as error:
        return _unwritable(error, arguments)
    except Exception as error:  # noqa: BLE001  (the outermost boundary)
        _raise_for_debug(arguments)
        _say(
            f"internal error: {type(error).__name__}: {error}\n  Report it, with --debug's output."
        )
        return ExitCode.INTERNAL_ERROR
    return code if isinstance(code, int) else ExitCode.OK


def _usage(error: click.ClickException) -> str:
    """Return an error of click's in the form of ours: what happened, and what to do next."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    command = context.command_path if context else "nbpipe"
    return f"{error.format_message().strip()}\n  See `{command} --help`."


def _unwritable(error: OSError, arguments: list[str]) -> int:
    """Return the code where our own output could not be written."""
    _raise_for_debug(arguments)
    if error.errno in {errno.EPIPE, errno.ENOSPC, errno.EBADF}:
        with contextlib.suppress(OSError):
            _say(f"the output could not be written: {error.strerror}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python's last flush fails again
        return ExitCode.USAGE_ERROR
    _say(f"internal error: {error}\n  Report it, with --debug's output.")
    return ExitCode.INTERNAL_ERROR


def _raise_for_debug(arguments: list[str]) -> None:
    if "--debug" in arguments:
        import traceback  # noqa: PLC0415

        traceback.print_exc()


def _say(message: str) -> None:
    text = f"nbpipe: {message}\n"
    sys.stderr.write(text.encode(errors="backslashreplace").decode())
