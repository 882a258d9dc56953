"""replay: what other allocations would have cost."""

from pathlib import Path

import click

from pipelines.commands.terminal import (
    DONE,
    console,
    demand_run,
    json_option,
    result,
    say,
    sweep_of,
)


@click.command(short_help="Tell what other allocations would have cost.")
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
@json_option
def replay(
    target: str, policies: tuple[str, ...], orders: int, confidence: str, out: Path | None
) -> int:
    """Tell what other allocations would have cost, from a run's stored samples."""
    from pipelines import replay as replays
    from pipelines.reporting.replay_page import show
    from pipelines.run import reopened

    demand_run(target)
    asked = [replays.asked(text) for text in policies]
    with reopened(sweep_of(target), write=False) as opened:
        rows = replays.replay(opened, asked, orders=orders, confidence=confidence)
        show(rows, console())
        page = replays.write(opened, rows, out)
    say("replay", page)
    result({"run": target, "page": page, "policies": rows.to_dicts()})
    return DONE
