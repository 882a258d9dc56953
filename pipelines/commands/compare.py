"""compare: how two or more runs differ."""

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
from pipelines.errors import UserError


@click.command()
@click.argument("targets", metavar="RUN RUN...", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.html",
              default=Path("comparison.html"), show_default=True,
              help="Where to write the page.")  # fmt: skip
@json_option
def compare(targets: tuple[str, ...], out: Path) -> int:
    """Compare runs on the problems that they have in common."""
    from pipelines.reporting import compare_page
    from pipelines.reporting.compare_runs import ComparedRun, labels
    from pipelines.run import reopened, results, version

    tables, prompts = [], []
    for target in targets:
        demand_run(target)
        with reopened(sweep_of(target), write=False) as run:
            tables.append(results(run))
            prompts.append(
                {
                    task: dict(zip(*(asked[name].to_pylist() for name in ("problem_id", "prompt")),
                                   strict=True))
                    for task, asked in run.problems.items()
                }
            )  # fmt: skip
    runs = [
        ComparedRun(label=label, tables=table, prompts=prompt)
        for label, table, prompt in zip(labels(tables), tables, prompts, strict=True)
    ]
    found = compare_page.compared(runs)
    compare_page.show(found, console())
    _write(out, compare_page.page(found, version()))
    say("compare", str(out))
    result({**compare_page.document(found), "page": str(out)})
    return DONE


def _write(out: Path, page: str) -> None:
    try:
        out.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{out}: cannot be written ({error.strerror}); give another --out"
        ) from None
