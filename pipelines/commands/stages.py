"""run and its stages: sample, score, fit, report; each goes on where an earlier one stopped."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.points import each
from pipelines.commands.terminal import (
    DONE,
    INTERRUPTED,
    WITH_FAILURES,
    is_run,
    json_option,
    note,
    overrides_option,
    say,
    target_argument,
)
from pipelines.errors import InUseError
from pipelines.sweeps.config import Sweep

if TYPE_CHECKING:
    from pipelines.run import Run

_NAMED = 10
"""Most failures that are named one by one on the terminal."""

Stage = Callable[["Run"], tuple[int, dict[str, Any]]]
"""Does its part of a run; returns an exit code and what it tells in JSON."""


@click.command()
@target_argument
@overrides_option
@click.option("--skip-if-running", is_flag=True,
              help="Exit with 0 while another process writes to the run.")  # fmt: skip
@json_option
def run(target: str, overrides: tuple[str, ...], skip_if_running: bool) -> int:
    """Sample, score, fit and report; go on where a run stopped."""
    from pipelines.run import opened

    stages = (_sample, _score, _fit, _report, _track)
    do = partial(_do, opening=opened, stages=stages, skip=skip_if_running)
    return each(target, overrides, do, compare=True)


@click.command()
@target_argument
@overrides_option
@json_option
def sample(target: str, overrides: tuple[str, ...]) -> int:
    """Draw the samples that are missing, scored as they come."""
    from pipelines.run import opened

    return each(target, overrides, partial(_do, opening=opened, stages=(_sample,)))


@click.command()
@target_argument
@overrides_option
@json_option
def score(target: str, overrides: tuple[str, ...]) -> int:
    """Score what is not scored, or was against other answers; count."""
    from pipelines.run import opened, reopened

    # A sweep file may hold new answers; a run directory keeps the problems that it was asked.
    opening = reopened if is_run(target) else partial(opened, for_sampling=False)
    return each(target, overrides, partial(_do, opening=opening, stages=(_score,)))


@click.command()
@target_argument
@overrides_option
@json_option
def fit(target: str, overrides: tuple[str, ...]) -> int:
    """Fit laws to the counts, and judge what choosing is worth."""
    from pipelines.run import reopened

    return each(target, overrides, partial(_do, opening=reopened, stages=(_fit,)))


@click.command()
@target_argument
@overrides_option
@json_option
def report(target: str, overrides: tuple[str, ...]) -> int:
    """Draw the report, and track it in MLflow."""
    from pipelines.run import reopened

    return each(target, overrides, partial(_do, opening=reopened, stages=(_report, _track)))


def _do(
    sweep: Sweep,
    *,
    opening: "Callable[[Sweep], AbstractContextManager[Run]]",
    stages: Sequence[Stage],
    skip: bool = False,
) -> tuple[int, dict[str, Any]]:
    """Open a run and do stages of it in order, until one is interrupted."""
    worst = DONE
    told: dict[str, Any] = {"name": sweep.name, "run": sweep.run_path}
    try:
        with opening(sweep) as opened:
            for stage in stages:
                code, facts = stage(opened)
                worst = max(worst, code)
                told |= facts
                if code == INTERRUPTED:
                    break
    except InUseError as error:
        if not skip:
            raise
        say("skipped", str(error))
        told["skipped"] = str(error)
    return worst, {**told, "exit_code": worst}


def _sample(opened: "Run") -> tuple[int, dict[str, Any]]:
    from pipelines.progress import Display
    from pipelines.sample import sample as draw
    from pipelines.tracking.track import watching

    with watching(opened):
        sampled = draw(opened, Display())
    for lost in sampled.quarantined:
        note(f"quarantined {lost.path}: {lost.reason}; moved to {lost.moved_to} and redone")
    if sampled.restarts:
        note(f"{sampled.restarts} actors died and were replaced")
    facts = {
        "drawn": sampled.drawn,
        "failed_units": sampled.given_up,
        "restarts": sampled.restarts,
        "quarantined": [lost.path for lost in sampled.quarantined],
        "interrupted": sampled.interrupted,
    }
    if sampled.interrupted:
        say("sample", f"stopped; {sampled.drawn:,} samples drawn. The same command goes on")
        return INTERRUPTED, {"sample": facts}
    say("sample", f"{sampled.drawn:,} samples drawn" if sampled.drawn else "nothing to do")
    if sampled.given_up:
        note(f"{sampled.given_up} units were recorded as failed; score names their problems")
    return WITH_FAILURES if sampled.given_up else DONE, {"sample": facts}


def _score(opened: "Run") -> tuple[int, dict[str, Any]]:
    from pipelines.score import score as score_all

    scored = score_all(opened)
    for lost in scored.quarantined:
        note(f"quarantined {lost.path}: {lost.reason}; moved to {lost.moved_to}")
    counts = scored.counts
    totals = {name: int(counts[name].sum()) for name in ("n", "c", "undecided")}
    say("score", f"{totals['n']:,} samples, {totals['c']:,} passed")
    if undecided := totals["undecided"]:
        note(
            f"{undecided:,} samples are undecided; rates come with the bounds that they leave open"
        )
    for line in scored.not_finite:
        note(line)
    for failure in scored.failures[:_NAMED]:
        note(failure)
    if len(scored.failures) > _NAMED:
        note(f"... and {len(scored.failures) - _NAMED:,} more problems with failed samples")
    if scored.incomplete:
        note(f"{scored.incomplete:,} problems still lack samples; run sample")
    facts = {
        "samples": totals["n"],
        "passed": totals["c"],
        "undecided": totals["undecided"],
        "incomplete_problems": scored.incomplete,
        "failures": scored.failures,
        "quarantined": [lost.path for lost in scored.quarantined],
    }
    failed = bool(scored.incomplete or scored.failures)
    return WITH_FAILURES if failed else DONE, {"score": facts}


def _fit(opened: "Run") -> tuple[int, dict[str, Any]]:
    from pipelines.audit import audit
    from pipelines.choose import choose
    from pipelines.fit import fit as fit_all

    repeats = audit(opened)
    for repeat in repeats:
        note(repeat)

    fitted, chosen = fit_all(opened), choose(opened)
    say("fit", "laws and choices written" if fitted or chosen else "nothing to do")
    facts = {"fitted": fitted, "chosen": chosen, "repeated_samples": repeats}
    return WITH_FAILURES if repeats else DONE, {"fit": facts}


def _report(opened: "Run") -> tuple[int, dict[str, Any]]:
    from pipelines.reporting.report import report as draw

    draw(opened)
    say("report", opened.store.report_url)
    return DONE, {"report": opened.store.report_url}


def _track(opened: "Run") -> tuple[int, dict[str, Any]]:
    from pipelines.tracking.track import track_run

    where = track_run(opened)
    if where is not None:
        say("track", where)
    return DONE, {"tracked": where}
