"""The passlaw command: which verb is in which module, and errors -> exit codes; nothing else.

Exit codes: 0 done, 1 finished with named failures, 2 bad input, 130 interrupted.
"""

import contextlib
import importlib
import logging
import sys
from collections.abc import Iterator, Mapping
from typing import NoReturn

import click

from pipelines.commands.terminal import BAD_INPUT, INTERRUPTED, complain, note
from pipelines.errors import UserError

_VERBS: Mapping[str, str] = {
    "init": "init.init",
    "schema": "schema.schema",
    "run": "stages.run",
    "sample": "stages.sample",
    "score": "stages.score",
    "fit": "stages.fit",
    "report": "stages.report",
    "track": "track.track",
    "import": "import_samples.import_samples",
    "status": "status.status",
    "ls": "list_runs.ls",
    "replay": "replay.replay",
    "plan": "plan.plan",
    "compare": "compare.compare",
    "export": "export.export",
    "compact": "compact.compact",
    "submit": "submit.submit",
    "doctor": "doctor.doctor",
    "completion": "completion.completion",
    "ladder": "ladder.ladder",
}
"""Where in `pipelines.commands` each verb is, in the order of `passlaw --help`."""


class _Verbs(click.Group):
    """Loads a verb when it is called, so that none waits for what another one needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        module, name = _VERBS[cmd_name].split(".")
        command = getattr(importlib.import_module(f"pipelines.commands.{module}"), name)
        assert isinstance(command, click.Command)
        return command


def _show_version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        from pipelines.run import version

        click.echo(f"passlaw, version {version()}")
        context.exit()


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version,
              help="Show the version and exit.")  # fmt: skip
def passlaw() -> None:
    """Sample language models at scale, measure what they pass, and fit the laws of its growth."""


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    """Turn errors into exit codes."""
    try:
        yield
    except UserError as error:
        complain(error)
        sys.exit(BAD_INPUT)
    except click.ClickException as error:
        error.show()
        sys.exit(BAD_INPUT)
    except (KeyboardInterrupt, click.Abort):
        note("interrupted; the same command goes on where this one stopped")
        sys.exit(INTERRUPTED)


def main() -> NoReturn:
    """Run the command line."""
    logging.basicConfig(format="passlaw: %(message)s", level=logging.WARNING)
    with _errors():
        sys.exit(passlaw.main(standalone_mode=False))
