"""run and its stages: sample, score, fit, report; each goes on where an earlier one stopped."""

import click

from pipelines import run as runs
from pipelines.commands.terminal import (
    DONE,
    INTERRUPTED,
    WITH_FAILURES,
    is_run,
    note,
    overrides_option,
    say,
    sweep_of,
    target_argument,
)
from pipelines.errors import InUseError
from pipelines.run import Run

_NAMED = 10
"""Most failures that are named one by one on the terminal."""


@click.command()
@target_argument
@overrides_option
@click.option("--skip-if-running", is_flag=True,
              help="Exit with 0 while another process writes to the run.")  # fmt: skip
def run(target: str, overrides: tuple[str, ...], skip_if_running: bool) -> int:
    """Sample, score, fit and report; goes on where an earlier run stopped."""
    sweep = sweep_of(target, overrides)
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
        say("skipped", str(error))
        return DONE
    return code


@click.command()
@target_argument
@overrides_option
def sample(target: str, overrides: tuple[str, ...]) -> int:
    """Draw the samples that are missing, scored as they come."""
    with runs.opened(sweep_of(target, overrides)) as opened:
        return _sample(opened)


@click.command()
@target_argument
@overrides_option
def score(target: str, overrides: tuple[str, ...]) -> int:
    """Score what is not scored, or was against other answers; then count."""
    sweep = sweep_of(target, overrides)
    # A sweep file may hold new answers; a run directory keeps the problems that it was asked.
    opening = runs.reopened(sweep) if is_run(target) else runs.opened(sweep, for_sampling=False)
    with opening as opened:
        return _score(opened)


@click.command()
@target_argument
@overrides_option
def fit(target: str, overrides: tuple[str, ...]) -> int:
    """Fit coverage and PassUntil laws to the counts, and judge what choosing is worth."""
    with runs.reopened(sweep_of(target, overrides)) as opened:
        return _fit(opened)


@click.command()
@target_argument
@overrides_option
def report(target: str, overrides: tuple[str, ...]) -> int:
    """Draw the report, and track it in MLflow."""
    with runs.reopened(sweep_of(target, overrides)) as opened:
        _report(opened)
        _track(opened)
    return DONE


def _sample(opened: Run) -> int:
    from pipelines.progress import Display
    from pipelines.sample import sample as draw

    sampled = draw(opened, Display())
    for lost in sampled.quarantined:
        note(f"quarantined {lost.path}: {lost.reason}; moved to {lost.moved_to} and redone")
    if sampled.restarts:
        note(f"{sampled.restarts} actors died and were replaced")
    if sampled.interrupted:
        say("sample", f"stopped; {sampled.drawn:,} samples drawn. The same command goes on")
        return INTERRUPTED
    say("sample", f"{sampled.drawn:,} samples drawn" if sampled.drawn else "nothing to do")
    if sampled.given_up:
        note(f"{sampled.given_up} units were recorded as failed; score names their problems")
        return WITH_FAILURES
    return DONE


def _score(opened: Run) -> int:
    from pipelines.score import score as score_all

    scored = score_all(opened)
    for lost in scored.quarantined:
        note(f"quarantined {lost.path}: {lost.reason}; moved to {lost.moved_to}")
    counts = scored.counts
    say("score", f"{counts['n'].sum():,} samples, {counts['c'].sum():,} passed")
    undecided = counts["undecided"].sum()
    if undecided:
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
    return WITH_FAILURES if scored.incomplete or scored.failures else DONE


def _fit(opened: Run) -> int:
    from pipelines.audit import audit
    from pipelines.choose import choose
    from pipelines.fit import fit as fit_all

    repeats = audit(opened)
    for repeat in repeats:
        note(repeat)

    fitted, chosen = fit_all(opened), choose(opened)
    say("fit", "laws and choices written" if fitted or chosen else "nothing to do")
    return WITH_FAILURES if repeats else DONE


def _report(opened: Run) -> None:
    from pipelines.reporting.report import report as draw

    draw(opened)
    say("report", opened.store.report_url)


def _track(opened: Run) -> None:
    from pipelines.tracking.track import track_run

    where = track_run(opened)
    if where is not None:
        say("track", where)
