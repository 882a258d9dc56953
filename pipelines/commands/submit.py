"""submit: a sweep as a job of a Ray cluster."""

from pathlib import Path

import click

from pipelines.commands.terminal import DONE, json_option, overrides_option, result, say, wants_json


@click.command(short_help="Have a Ray cluster run a sweep, as a job.")
@click.argument("target", metavar="SWEEP.yaml", type=click.Path(path_type=Path))
@overrides_option
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
@json_option
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
    say("submit", submission if is_new else f"{submission} is running already")
    told = {"submission": submission, "is_new": is_new}
    if wait:
        code = cluster.follow(submission, lambda text: click.echo(text, nl=False, err=wants_json()))
        result({**told, "exit_code": code})
        return code
    where = f" --address {address}" if address else ""
    say("follow", f"ray job logs --follow{where} {submission}")
    say("stop", f"ray job stop{where} {submission}")
    result(told)
    return DONE
