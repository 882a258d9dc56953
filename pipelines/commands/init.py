"""init: a first sweep file, with a line of comment for each of its values."""

import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from pipelines import strict_json
from pipelines.commands.terminal import DONE, json_option, result, say
from pipelines.errors import UserError
from pipelines.sweeps import starter

_SCHEMA = "passlaw.schema.json"


def _size(_: click.Context, option: click.Parameter, value: str | None) -> int | None:
    """Return a size that was given as 7e9 or 7615616512."""
    try:
        number = None if value is None else float(value.replace("_", ""))
    except ValueError:
        number = float("nan")
    if number is None:
        return None
    if not 1 <= number < float("inf"):
        raise click.BadParameter(f"is {value!r}; give a number of at least 1, as in 7e9")
    return int(number)


@click.command(short_help="Write a first sweep file, every line explained.")
@click.argument("file", default="sweep.yaml", type=click.Path(path_type=Path), metavar="[FILE]")
@click.option("--task", type=click.Choice(starter.TASKS), help="What is asked.  [arithmetic]")
@click.option("--engine", type=click.Choice(starter.ENGINES), help="What samples.  [transformers]")
@click.option("--model", metavar="NAME|PATH", help="What is sampled.  [some that fit the engine]")
@click.option("--parameters", callback=_size, metavar="SIZE",
              help="Its size, as in 7e9.  [read off its files, or its name]")  # fmt: skip
@click.option("--allocation", type=click.Choice(starter.ALLOCATIONS),
              help="As many samples for each problem, or until some have passed.  [fixed]",
              )  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@json_option
def init(
    file: Path,
    task: starter.TaskName | None,
    engine: starter.EngineName | None,
    model: str | None,
    parameters: int | None,
    allocation: starter.AllocationName | None,
    force: bool,
) -> int:
    """Write a first sweep file (sweep.yaml, where none is named), with every line explained.

    On a terminal, without options, it asks. Beside FILE it writes passlaw.schema.json, with which
    editors complete and check sweeps, unless that is there.
    """
    given = (task, engine, model, parameters, allocation)
    if all(value is None for value in given) and _on_a_terminal():
        task = _ask("Task", starter.TASKS, "arithmetic")
        engine = _ask("Engine", starter.ENGINES, "transformers")
        allocation = _ask(
            "Allocation (fixed: as many samples for each problem; until: until some have passed)",
            starter.ALLOCATIONS,
            "fixed",
        )
    if parameters is not None and model is None:
        raise UserError("--parameters: is the size of --model; give that too")
    engine = engine or "transformers"
    start = starter.Start(
        name=_name(file),
        task=task or "arithmetic",
        engine=engine,
        allocation=allocation or "fixed",
        models=() if model is None else (_model(model, parameters, engine, file),),
        file=str(file),
        schema=_SCHEMA,
    )
    written = starter.text(start)
    schema = _write(file, written, force=force)
    command = f"passlaw run {shlex.quote(str(file))}"
    say("init", f"{file} written; look at it, then: {command}")
    result({"file": str(file), "schema": schema, "command": command})
    return DONE


def _on_a_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _ask(question: str, choices: Sequence[str], usual: str) -> Any:
    return click.prompt(question, type=click.Choice(choices), default=usual, err=True)


def _name(file: Path) -> str:
    """Return the sweep's name: that of its file, as far as a name can be it."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", file.stem).strip("-._") or "sweep"


def _model(
    model: str, parameters: int | None, engine: starter.EngineName, file: Path
) -> starter.StartingModel:
    """Return a model that was named, with a path as the sweep file must say it."""
    folder = Path(model).expanduser()
    if engine not in ("transformers", "vllm") or not folder.is_dir():
        return starter.StartingModel(path=model, parameters=parameters)
    near = os.path.relpath(folder, file.absolute().parent)
    near = near if near.startswith("..") else f"./{near}"
    path = str(folder) if folder.is_absolute() else near
    return starter.StartingModel(path=path, parameters=parameters)


def _write(file: Path, written: str, *, force: bool) -> str:
    """Write a sweep file, and the schema beside it where there is none; return where that is."""
    from pipelines.sweeps.json_schema import sweep_schema

    if file.exists() and not force:
        raise UserError(f"{file}: is there already; give another file, or --force")
    schema = file.parent / _SCHEMA
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w" if force else "x", encoding="utf-8") as new:
            new.write(written)
        if not schema.exists():
            schema.write_text(strict_json.dumps(sweep_schema(), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{file}: cannot be written ({error.strerror})") from None
    return str(schema)
