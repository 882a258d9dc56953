"""import: what people already have, made a run."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import click
import yaml

from pipelines.commands.terminal import (
    DONE,
    WITH_FAILURES,
    console,
    json_option,
    note,
    result,
    say,
)
from pipelines.errors import UserError, first_line
from pipelines.sweeps.task_sections import Verifier

if TYPE_CHECKING:
    import polars as pl

    from pipelines.importing.formats import Source
    from pipelines.importing.gathering import Gathered
    from pipelines.importing.records import Reading, Record
    from pipelines.importing.spill import Spill
    from pipelines.importing.writing import Written

_FORMATS = ("auto", "samples", "counts", "lm-eval", "inspect", "evalplus", "monkeys")
_NO_READING = ("run", "preview", "skip_existing")
"""Options that do not change what is read."""
_PACKED = 8
"""By how much files that are compressed are larger in memory, about."""


@click.command("import", short_help="Make a run of samples, counts or logs that you have.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--run", "run", metavar="RUN", help="Run directory or URL that gets them.")
@click.option("--format", "forced", type=click.Choice(_FORMATS), default="auto", show_default=True,
              help="Of all files; auto tells it from their content.")  # fmt: skip
@click.option("--field", "fields", multiple=True, metavar="FIELD=COLUMN",
              help="Column of a field, as in passed=metrics.exact; an empty one says that there is "
              "none. May be repeated.")  # fmt: skip
@click.option("--model", metavar="NAME", help="Name of the model of all rows.")
@click.option("--task", metavar="NAME", help="Name of the task of all rows.")
@click.option("--parameters", multiple=True, metavar="MODEL=SIZE",
              help="Size of a model, as in llama-8b=8.03e9, for laws over models. May be "
              "repeated.")  # fmt: skip
@click.option("--verifier", type=click.Choice(["recorded", *get_args(Verifier)]),
              default="recorded", show_default=True,
              help="What judges the samples; recorded: the verdicts in the files.")  # fmt: skip
@click.option("--verifier-option", "options", multiple=True, metavar="NAME=VALUE",
              help="Option of the verifier, as in pattern='answer is (.*)'. May be "
              "repeated.")  # fmt: skip
@click.option("--answers", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Problems with their right answers or tests.")  # fmt: skip
@click.option("--threshold", type=float,
              help="Least number that passes, where verdicts are numbers.")  # fmt: skip
@click.option("--metric", metavar="NAME",
              help="Metric or scorer that is the verdict, where there are several.")  # fmt: skip
@click.option("--filter", "chosen", metavar="NAME",
              help="Filter of lm-evaluation-harness whose rows are taken.")  # fmt: skip
@click.option("--skip-existing", is_flag=True,
              help="Leave out samples that are in the run already and are the same.")  # fmt: skip
@click.option("--skip-bad-rows", is_flag=True,
              help="Import the other rows where some cannot be, and exit with 1.")  # fmt: skip
@click.option("--preview", is_flag=True, help="Show what would be imported; write nothing.")
@json_option
def import_samples(
    files: tuple[str, ...],
    run: str | None,
    forced: str,
    fields: tuple[str, ...],
    model: str | None,
    task: str | None,
    parameters: tuple[str, ...],
    verifier: str,
    options: tuple[str, ...],
    answers: Path | None,
    threshold: float | None,
    metric: str | None,
    chosen: str | None,
    skip_existing: bool,
    skip_bad_rows: bool,
    preview: bool,
) -> int:
    """Make a run of samples or counts that you have, or of another tool's logs.

    Every other verb then works on the run, and a second import adds to it. Files may be JSONL,
    JSON, YAML, CSV, Parquet, or a folder of them.
    """
    from pipelines.importing import formats
    from pipelines.importing.gathering import gather
    from pipelines.importing.records import Reading
    from pipelines.importing.spill import Spill

    if run is None and not preview:
        raise UserError("--run: needed; name the run directory, or look first with --preview")
    reading = Reading(
        fields=_pairs(fields, "--field", "FIELD=COLUMN"),
        model=model,
        task=task,
        threshold=threshold,
        metric=metric,
        filter=chosen,
        judged=verifier == "recorded",
    )
    found = formats.sources(files, None if forced == "auto" else forced, reading.fields)  # type: ignore[arg-type] # click has checked it
    described = formats.described(found)
    say("import", described)
    with Spill(_bytes(found)) as spill:
        gathered = gather(_records(found, reading), spill)
        if answers is not None:
            _add_answers(gathered, answers)
        judge = _Judge(verifier, _values(options))
        _refuse(gathered, judge, skip=skip_bad_rows)
        sizes = _sizes(gathered, found, parameters)
        told = _told(gathered, spill, described, verifier, sizes)
        if preview:
            _finish(told, None)
            return WITH_FAILURES if gathered.bad_rows else DONE
        written = _write(gathered, spill, found, reading, judge, sizes, str(run), skip_existing)
        _finish(told, written, str(run))
    failed = bool(gathered.bad_rows or written.scored.failures)
    return WITH_FAILURES if failed else DONE


class _Judge(NamedTuple):
    """What judges the samples."""

    verifier: str
    options: dict[str, Any]


def _values(texts: Sequence[str]) -> dict[str, Any]:
    """Return options of a verifier, their values as YAML reads them."""
    pairs = _pairs(texts, "--verifier-option", "NAME=VALUE")
    try:
        return {name: yaml.safe_load(value) for name, value in pairs.items()}
    except yaml.YAMLError as error:
        raise UserError(f"--verifier-option: {first_line(error)}") from None


def _records(found: "Sequence[Source]", reading: "Reading") -> "Iterator[Record]":
    from pipelines.importing import formats

    for source in found:
        yield from formats.records(source, reading)


def _bytes(found: "Sequence[Source]") -> int:
    """Return how large files are once unpacked, about."""
    packed = (".gz", ".parquet", ".eval")
    return sum(
        source.path.stat().st_size * (_PACKED if source.path.suffix in packed else 1)
        for source in found
    )


def _pairs(texts: Sequence[str], option: str, form: str) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UserError(f"{option} {text}: must look like {form}")
        if name in pairs:
            raise UserError(f"{option} {text}: {name} is given twice")
        pairs[name] = value
    return pairs


def _sizes(gathered: "Gathered", found: "Sequence[Source]", given: Sequence[str]) -> dict[str, int]:
    """Return the sizes of models, by their names in the run: those given before those in logs."""
    from pipelines.importing import formats

    called = {said: name for name, said in gathered.names.items()}
    logged = formats.sizes(found)
    sizes = {called[said]: size for said, size in logged.items() if said in called}
    for name, text in _pairs(given, "--parameters", "MODEL=SIZE").items():
        model = called.get(name, name)
        if model not in gathered.names:
            raise UserError(
                f"--parameters {name}={text}: no such model here; there are "
                f"{', '.join(gathered.names)}"
            )
        try:
            size = int(float(text))
        except (ValueError, OverflowError):
            size = 0
        if size < 1:
            raise UserError(f"--parameters {name}={text}: must be a number from 1 on, as in 7e9")
        sizes[model] = size
    return sizes


def _add_answers(gathered: "Gathered", path: Path) -> None:
    from pipelines.importing.answers import add_answers

    known = add_answers(gathered, path)
    problems = sum(len(each) for each in gathered.asked.values())
    say("answers", f"of {known:,} of {problems:,} problems, from {path}")


def _refuse(gathered: "Gathered", judge: "_Judge", *, skip: bool) -> None:
    """Name the rows that cannot be imported, and stop unless they are to be skipped."""
    from pipelines.importing.answers import refuse_unjudgeable
    from pipelines.importing.gathering import MOST_BAD

    for row in gathered.bad:
        note(str(row))
    if gathered.bad_rows > MOST_BAD:
        note(f"... and {gathered.bad_rows - MOST_BAD:,} more")
    if gathered.bad_rows and not skip:
        raise UserError(
            f"{gathered.bad_rows:,} rows cannot be imported, so nothing was written; correct them, "
            "or leave them out with --skip-bad-rows"
        )
    if not gathered.cells:
        raise UserError("there is no row to import")
    if judge.verifier == "recorded":
        return
    unjudgeable = refuse_unjudgeable(gathered, judge.verifier, judge.options)
    for row in unjudgeable[:MOST_BAD]:
        note(str(row))
    if unjudgeable:
        raise UserError(
            f"{len(unjudgeable):,} problems cannot be judged by verifier {judge.verifier}, so "
            "nothing was written"
        )


def _told(
    gathered: "Gathered", spill: "Spill", described: str, verifier: str, sizes: dict[str, int]
) -> dict[str, Any]:
    from pipelines.importing.summary import summary

    return summary(gathered, spill, called=described, verifier=verifier, parameters=sizes)


def _write(
    gathered: "Gathered",
    spill: "Spill",
    found: "Sequence[Source]",
    reading: "Reading",
    judge: "_Judge",
    sizes: dict[str, int],
    run: str,
    skip_existing: bool,
) -> "Written":
    from pipelines.importing.contents import Order
    from pipelines.importing.writing import write

    order = Order(
        run=run,
        key=_key(found, reading, judge),
        files=tuple(str(source.path) for source in found),
        format=", ".join(dict.fromkeys(source.format for source in found)),
        options=_options(),
        verifier=judge.verifier,
        verifier_options=judge.options,
        parameters=sizes,
        skip_existing=skip_existing,
    )
    return write(order, gathered, spill)


def _options() -> tuple[str, ...]:
    """Return the options that were given, but for those that say where to and how to tell it."""
    context = click.get_current_context()
    words: list[str] = []
    for option in context.command.params:
        name = str(option.name)
        value = context.params.get(name)
        given = value is not None and value is not False  # 0 is a threshold
        if not isinstance(option, click.Option) or name in _NO_READING or not given:
            continue
        if isinstance(value, bool):
            words.append(option.opts[0])
            continue
        for each in value if isinstance(value, tuple) else (value,):
            words += [option.opts[0], str(each)]
    return tuple(words)


def _key(found: "Sequence[Source]", reading: "Reading", judge: "_Judge") -> str:
    """Return a hash of what is imported: the content of files, and how they are read."""
    state = hashlib.blake2b(digest_size=8)
    for source in found:
        state.update(source.format.encode())
        with source.path.open("rb") as file:
            state.update(hashlib.file_digest(file, hashlib.blake2b).digest())
    state.update(repr((sorted(reading.to_dict().items()), judge)).encode())
    return state.hexdigest()


def _doubtful(counts: "pl.DataFrame", verifier: str) -> list[str]:
    """Return what looks as if the samples were read or judged otherwise than they were meant."""
    import polars as pl

    sums = counts.group_by("model", "task", maintain_order=True).agg(
        pl.col("n", "c", "undecided").sum()
    )
    lines = []
    for model, task, n, c, undecided in sums.iter_rows():
        where = f"{model} on {task}"
        if undecided == n:
            lines.append(f"{where}: no sample has a verdict; let a verifier judge (--verifier)")
        elif c == 0:
            lines.append(f"{where}: no sample passed; is that so, judged as {verifier}?")
    return lines


def _finish(told: dict[str, Any], written: "Written | None", run: str | None = None) -> None:
    """Print what was found and what was done with it."""
    from pipelines.importing.summary import show

    show(told, console())
    document = told | {"run": run, "written": None}
    if written is None:
        say("import", "nothing written; without --preview, this becomes a run")
    else:
        counts = written.scored.counts
        for failure in written.scored.failures[:10]:
            note(failure)
        for line in _doubtful(counts, told["verifier"]):
            note(line)
        if written.repeated:
            say("skipped", f"{written.repeated:,} samples that were there already")
        done = "nothing to do" if written.nothing_to_do else f"{written.samples:,} samples written"
        say("import", f"{done}; {counts['n'].sum():,} counted, {counts['c'].sum():,} passed")
        say("next", f"passlaw fit {run}; passlaw report {run}")
        document["written"] = {
            "samples": written.samples,
            "repeated": written.repeated,
            "counted": int(counts["n"].sum()),
            "passed": int(counts["c"].sum()),
            "undecided": int(counts["undecided"].sum()),
        }
    result(document)
