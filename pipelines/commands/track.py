"""track: send to MLflow what runs have kept for it."""

from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.terminal import (
    DONE,
    WITH_FAILURES,
    demand_run,
    json_option,
    note,
    result,
    say,
    sweep_of,
)
from pipelines.errors import UserError

if TYPE_CHECKING:
    from pipelines.tracking.track import Outcome


@click.command(short_help="Send to MLflow what was not sent yet.")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("--uri", metavar="URI", help="Send to this server or database, instead of the run's.")
@click.option("--register/--no-register", default=None,
              help="Also register the laws among MLflow's models.")  # fmt: skip
@json_option
def track(runs: tuple[str, ...], uri: str | None, register: bool | None) -> int:
    """Send results to MLflow: what is in RUN/tracking, and what is not tracked at all yet.

    Each invocation is there once, however often it is sent. A run whose server could not be reached
    says so and goes on; this sends what it kept.
    """
    for run in runs:
        demand_run(run)
    documents = [_track(run, uri, register) for run in runs]
    result({"runs": documents})
    return DONE if all(document["done"] for document in documents) else WITH_FAILURES


def _track(path: str, uri: str | None, register: bool | None) -> dict[str, Any]:
    """Send what one run has kept; return what became of it."""
    from pipelines import run as opening
    from pipelines.tracking import server
    from pipelines.tracking.track import keep, kept, sync

    given = {"uri": uri, "register_models": register}
    sweep = sweep_of(path)
    settings = sweep.tracking.model_copy(
        update={name: value for name, value in given.items() if value is not None}
    )
    place = server.tracking_uri(settings)
    with opening.reopened(sweep, write=False) as run:
        try:
            keep(run, made_here=False)
        except UserError:  # no results yet; earlier ones may still be to be sent
            if not kept(run):
                raise
        outcomes = sync(run.store, settings, place)
    for outcome in outcomes:
        _tell(path, server.shown(place), outcome)
    return {
        "run": path,
        "uri": server.shown(place),
        "done": all(outcome.sent for outcome in outcomes),
        "invocations": [_document(outcome) for outcome in outcomes],
    }


def _tell(path: str, place: str, outcome: "Outcome") -> None:
    if outcome.sent is None:
        note(f"{path}: not tracked in MLflow at {place}: {outcome.reason}; give the command again")
        return
    how = "" if outcome.now else ", there before"
    say("track", f"{path}: MLflow run {outcome.sent.run} in {place}{how}")


def _document(outcome: "Outcome") -> dict[str, Any]:
    sent = outcome.sent
    return {
        "id": outcome.id,
        "mlflow_run": None if sent is None else sent.run,
        "mlflow_experiment": None if sent is None else sent.experiment,
        "sent_now": outcome.now,
        "reason": outcome.reason,
    }
