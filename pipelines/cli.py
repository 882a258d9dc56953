"""The passlaw command: verbs -> stages, and exit codes; nothing else.

Exit codes: 0 done, 1 finished with named failures, 2 bad input, 130 interrupted.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console

from pipelines import run as runs
from pipelines.config import Sweep, load, parse
from pipelines.errors import InUseError, UserError
from pipelines.run import Run
from pipelines.store import Store

DONE, WITH_FAILURES, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
_NAMED = 10
"""Most failures that are named one by one on the terminal."""

_target = click.argument("target", metavar="SWEEP.yaml|RUN")
_overrides = click.option(
    "-o", "overrides", multiple=True, metavar="KEY.SUB=VALUE",
    help="Override a value of the sweep, as in -o allocation.cap=20000. May be repeated.",
)  # fmt: skip


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(runs.version(), prog_name="passlaw")
def passlaw() -> None:
    """Sample language models at scale, measure what they pass, and fit the laws of its growth."""


@passlaw.command()
@_target
@_overrides
@click.option("--skip-if-running", is_flag=True,
              help="Exit with 0 while another process writes to the run.")  # fmt: skip
def run(target: str, overrides: tuple[str, ...], skip_if_running: bool) -> int:
    """Sample, score, fit and report; goes on where an earlier run stopped."""
    sweep = _sweep(target, overrides)
    try:
        with runs.opened(sweep) as opened:
            code = _sample(opened)
            if code == INTERRUPTED:
                return code
            code = max(code, _score(opened))
            code = max(code, _fit(opened))
            _report(opened)
            _track(opened)
    except InUseError as error:
        if not skip_if_running:
            raise
        _say("skipped", str(error))
        return DONE
    return code


@passlaw.command()
@click.argument("target", metavar="SWEEP.yaml", type=click.Path(path_type=Path))
@_overrides
@click.option("--address", metavar="URL",
              help="Ray's dashboard, as in http://head:8265.  [default: RAY_API_SERVER_ADDRESS, or "
              "the Ray of this machine]")  # fmt: skip
@click.option("--working-dir", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Folder that the job gets a copy of.  [default: the sweep's]")  # fmt: skip
@click.option("--env", "variables", multiple=True, metavar="NAME",
              help="Give the job this variable with its value here. Anyone who sees Ray's "
              "dashboard can read it: keep secrets on the cluster. May be repeated.")  # fmt: skip
@click.option("--wait", is_flag=True,
              help="Show the job's log until it ends, and exit with its code.")  # fmt: skip
def submit(
    target: Path,
    overrides: tuple[str, ...],
    address: str | None,
    working_dir: Path | None,
    variables: tuple[str, ...],
    wait: bool,
) -> int:
    """Have a Ray cluster run a sweep, as a job; once, however often it is submitted."""
    from pipelines import submit as jobs

    job = jobs.job_of(target, overrides, working_dir=working_dir, variables=variables)
    cluster = jobs.Jobs(address)
    submission, is_new = cluster.submit(job)
    _say("submit", submission if is_new else f"{submission} is running already")
    if wait:
        return cluster.follow(submission, lambda text: click.echo(text, nl=False))
    where = f" --address {address}" if address else ""
    _say("follow", f"ray job logs --follow{where} {submission}")
    _say("stop", f"ray job stop{where} {submission}")
    return DONE


@passlaw.command()
@_target
@_overrides
def sample(target: str, overrides: tuple[str, ...]) -> int:
    """Draw the samples that are missing, scored as they come."""
    with runs.opened(_sweep(target, overrides)) as opened:
        return _sample(opened)


@passlaw.command()
@_target
@_overrides
def score(target: str, overrides: tuple[str, ...]) -> int:
    """Score what is not scored, or was against other answers; then count."""
    sweep = _sweep(target, overrides)
    # A sweep file may hold new answers; a run directory keeps the problems that it was asked.
    opening = runs.reopened(sweep) if _is_run(target) else runs.opened(sweep, for_sampling=False)
    with opening as opened:
        return _score(opened)


@passlaw.command()
@_target
@_overrides
def fit(target: str, overrides: tuple[str, ...]) -> int:
    """Fit coverage and PassUntil laws to the counts, and judge what choosing is worth."""
    with runs.reopened(_sweep(target, overrides)) as opened:
        return _fit(opened)


@passlaw.command()
@_target
@_overrides
def report(target: str, overrides: tuple[str, ...]) -> int:
    """Draw the report, and track it in MLflow."""
    with runs.reopened(_sweep(target, overrides)) as opened:
        _report(opened)
        _track(opened)
    return DONE


@passlaw.command()
@_target
def status(target: str) -> int:
    """Tell what of a run is done."""
    from pipelines.status import show

    with runs.reopened(_sweep(target, ()), write=False) as opened:
        show(opened, Console())
    return DONE


@passlaw.command()
@click.argument("target", metavar="RUN")
@click.option(
    "--policy", "policies", multiple=True, required=True, metavar="NAME[:KEY=VALUE,...]",
    help="What to replay, as in adaptive or early:window=5,cap=40; without its main value, that is "
    "swept. May be repeated.",
)  # fmt: skip
@click.option("--orders", type=click.IntRange(min=0), default=0, show_default=True,
              help="Random orders of the samples; 0: the order they were drawn in.")  # fmt: skip
@click.option("--confidence", type=click.Choice(["token_probability", "score"]),
              default="token_probability", show_default=True,
              help="What the policy named confidence goes by.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.html",
              help="Where to write the page, instead of RUN/replay.html.")  # fmt: skip
def replay(
    target: str, policies: tuple[str, ...], orders: int, confidence: str, out: Path | None
) -> int:
    """Tell what other allocations would have cost, from a run's stored samples."""
    from pipelines import replay as replays
    from pipelines.replay_page import show

    if not _is_run(target):
        raise UserError(f"{target}: no such run directory; `passlaw sample` makes one")
    asked = [replays.asked(text) for text in policies]
    with runs.reopened(_sweep(target, ()), write=False) as opened:
        rows = replays.replay(opened, asked, orders=orders, confidence=confidence)
        show(rows, Console())
        _say("replay", replays.write(opened, rows, out))
    return DONE


@passlaw.command()
@click.argument("target", metavar="RUN")
@click.option("--target-mib", type=click.IntRange(min=1), default=256, show_default=True,
              help="Size of a merged file, about.")  # fmt: skip
def compact(target: str, target_mib: int) -> int:
    """Merge a run's many small files into few large ones; nothing else changes."""
    from pipelines.compact import compact as merge

    if not _is_run(target):
        raise UserError(f"{target}: no such run directory; `passlaw sample` makes one")
    with runs.reopened(_sweep(target, ())) as opened:
        done = merge(opened.store, opened.cells, target_mib * 2**20)
    for lost in done.quarantined:
        _note(f"quarantined {lost.path}: {lost.reason}; moved to {lost.moved_to}")
    _say("compact", f"{done.files_before:,} files are now {done.files_after:,}")
    return WITH_FAILURES if done.quarantined else DONE


@passlaw.command()
def doctor() -> int:
    """Say what this machine can run, and how to get the rest."""
    from pipelines.doctor import examine, show

    findings = examine()
    show(findings, Console())
    return DONE if all(finding.fine or finding.optional for finding in findings) else WITH_FAILURES


@passlaw.group()
def ladder() -> None:
    """The ladder: tiny models of known truth."""


@ladder.command()
@click.argument("rungs", nargs=-1, metavar="[RUNG]...")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("ladder"),
    show_default=True, help="Folder for the checkpoints, one folder a rung.",
)  # fmt: skip
@click.option("--jobs", type=click.IntRange(min=1), default=2, show_default=True,
              help="Processes, each of one thread.")  # fmt: skip
@click.option("--force", is_flag=True, help="Train again what is there.")
def train(rungs: tuple[str, ...], out: Path, jobs: int, force: bool) -> int:
    """Train the ladder, or only the RUNGs named; the same seed gives the same weights."""
    from pipelines.ladder import LADDER, rung

    try:
        chosen = tuple(rung(name) for name in rungs) or LADDER
    except ValueError as error:
        raise UserError(str(error)) from None
    try:
        from pipelines.ladder.display import TrainingDisplay
        from pipelines.ladder.train import train_ladder
    except ModuleNotFoundError as error:
        raise UserError(
            f"ladder train: {error.name} is not installed; pip install 'passlaw[transformers]'"
        ) from None
    with TrainingDisplay() as display:
        trained = train_ladder(chosen, out, jobs=jobs, progress=display, force=force)
    for path in trained:
        _say("train", str(path))
    return DONE


def _is_run(target: str) -> bool:
    """Whether a run directory is meant, rather than a sweep file."""
    return "://" in target or Path(target).is_dir()


def _sweep(target: str, overrides: tuple[str, ...]) -> Sweep:
    """Read a sweep file, or the sweep that a run directory records."""
    if not _is_run(target):
        return load(Path(target), overrides)
    store = Store.at(target)
    sweep, _ = store.read_sweep()
    values = sweep.model_dump(mode="json") | {"run": target}
    return parse(values, source=store.storage.url("sweep.yaml"), overrides=overrides)


def _sample(opened: Run) -> int:
    from pipelines.progress import Display
    from pipelines.sample import sample as draw

    sampled = draw(opened, Display())
    for lost in sampled.quarantined:
        _note(f"quarantined {lost.path}: {lost.reason}; moved to {lost.moved_to} and redone")
    if sampled.restarts:
        _note(f"{sampled.restarts} actors died and were replaced")
    if sampled.interrupted:
        _say("sample", f"stopped; {sampled.drawn:,} samples drawn. The same command goes on")
        return INTERRUPTED
    _say("sample", f"{sampled.drawn:,} samples drawn" if sampled.drawn else "nothing to do")
    if sampled.given_up:
        _note(f"{sampled.given_up} units were recorded as failed; score names their problems")
        return WITH_FAILURES
    return DONE


def _score(opened: Run) -> int:
    from pipelines.score import score as score_all

    scored = score_all(opened)
    for lost in scored.quarantined:
        _note(f"quarantined {lost.path}: {lost.reason}; moved to {lost.moved_to}")
    counts = scored.counts
    _say("score", f"{counts['n'].sum():,} samples, {counts['c'].sum():,} passed")
    undecided = counts["undecided"].sum()
    if undecided:
        _note(
            f"{undecided:,} samples are undecided; rates come with the bounds that they leave open"
        )
    for line in scored.not_finite:
        _note(line)
    for failure in scored.failures[:_NAMED]:
        _note(failure)
    if len(scored.failures) > _NAMED:
        _note(f"... and {len(scored.failures) - _NAMED:,} more problems with failed samples")
    if scored.incomplete:
        _note(f"{scored.incomplete:,} problems still lack samples; run sample")
    return WITH_FAILURES if scored.incomplete or scored.failures else DONE


def _fit(opened: Run) -> int:
    from pipelines.audit import audit
    from pipelines.choose import choose
    from pipelines.fit import fit as fit_all

    repeats = audit(opened)
    for repeat in repeats:
        _note(repeat)

    fitted, chosen = fit_all(opened), choose(opened)
    _say("fit", "laws and choices written" if fitted or chosen else "nothing to do")
    return WITH_FAILURES if repeats else DONE


def _report(opened: Run) -> None:
    from pipelines.report import report as draw

    draw(opened)
    _say("report", opened.store.report_url)


def _track(opened: Run) -> None:
    from pipelines.tracking import track_run

    where = track_run(opened)
    if where is not None:
        _say("track", where)


def _say(stage: str, text: str) -> None:
    click.echo(f"{stage:<7} {text}")


def _note(text: str) -> None:
    click.echo(f"passlaw: {text}", err=True)


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    """Turn errors into exit codes."""
    try:
        yield
    except UserError as error:
        _note(f"error: {error}")
        sys.exit(BAD_INPUT)
    except click.ClickException as error:
        error.show()
        sys.exit(BAD_INPUT)
    except (KeyboardInterrupt, click.Abort):
        _note("interrupted; the same command goes on where this one stopped")
        sys.exit(INTERRUPTED)


def main() -> NoReturn:
    """Run the command line."""
    logging.basicConfig(format="passlaw: %(message)s", level=logging.WARNING)
    with _errors():
        sys.exit(passlaw.main(standalone_mode=False))
