"""What all verbs share: exit codes, how a sweep or run is named, and how a verb speaks.

A verb says what it does on standard output, a line at a time, and warns on standard error. With
`--json` its lines go to standard error too, and standard output holds one JSON document alone.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console

from pipelines import strict_json
from pipelines.errors import UserError
from pipelines.sweeps.config import Sweep, load, load_all, parse
from pipelines.sweeps.refusal import SweepError

DONE, WITH_FAILURES, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

_JSON = "passlaw.json"

Verb = TypeVar("Verb", bound=Callable[..., Any])

target_argument = click.argument("target", metavar="SWEEP.yaml|RUN")
overrides_option = click.option(
    "-o", "overrides", multiple=True, metavar="KEY.SUB=VALUE",
    help="Override a value of the sweep, as in -o allocation.cap=20000. May be repeated.",
)  # fmt: skip


def json_option(verb: Verb) -> Verb:
    """Give a verb the option `--json`; it must call `result` once."""

    def remember(context: click.Context, _: click.Parameter, value: bool) -> None:
        context.find_root().meta[_JSON] = value

    return click.option(
        "--json", is_flag=True, expose_value=False, callback=remember,
        help="Print one JSON document on standard output; all else goes to standard error.",
    )(verb)  # fmt: skip


def wants_json() -> bool:
    """Whether standard output is for one JSON document alone."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.find_root().meta.get(_JSON, False))


def say(stage: str, text: str) -> None:
    """Print what a stage did."""
    click.echo(f"{stage:<7} {text}", err=wants_json())


def note(text: str) -> None:
    """Warn, on standard error."""
    click.echo(f"passlaw: {text}", err=True)


def complain(error: UserError) -> None:
    """Say what is wrong, on standard error; on a terminal with the lines of the sweep file."""
    if not isinstance(error, SweepError):
        note(f"error: {error}")
        return
    for complaint in error.shown:
        note(f"error: {complaint}")
        if sys.stderr.isatty():
            for line in complaint.place.excerpt():
                click.echo(line, err=True)
    if error.more:
        note(f"error: {error.more}")


def console() -> Console:
    """Return where tables are printed."""
    return Console(stderr=wants_json())


def result(document: Mapping[str, Any]) -> None:
    """Print a verb's result as JSON, if that was asked for."""
    if wants_json():
        click.echo(strict_json.dumps(document, indent=2))


def is_run(name: str) -> bool:
    """Whether a run directory is meant, rather than a sweep file."""
    return "://" in name or Path(name).is_dir()


def demand_run(name: str) -> None:
    """Raise UserError where no run directory is meant."""
    if not is_run(name):
        raise UserError(f"{name}: no such run directory; `passlaw sample` makes one")


def sweep_of(target: str, overrides: tuple[str, ...] = ()) -> Sweep:
    """Read a sweep file, or the sweep that a run directory records."""
    if not is_run(target):
        return load(Path(target), overrides)
    # Polars and Arrow take a while to import; a verb that only reads a sweep does without.
    from pipelines.store import Store

    store = Store.at(target)
    sweep, _ = store.read_sweep()
    values = sweep.model_dump(mode="json") | {"run": target}
    return parse(values, source=store.storage.url("sweep.yaml"), overrides=overrides)


def sweeps_of(target: str, overrides: tuple[str, ...] = ()) -> tuple[Sweep, ...]:
    """Read a sweep file, which a grid makes several, or the sweep that a run directory records."""
    if is_run(target):
        return (sweep_of(target, overrides),)
    return load_all(Path(target), overrides)
