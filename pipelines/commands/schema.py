"""schema: what a sweep file may say, for editors."""

import click

from pipelines import strict_json
from pipelines.commands.terminal import DONE


@click.command(short_help="Print the JSON schema of a sweep file, for editors.")
@click.option("--json", is_flag=True, expose_value=False, help="Changes nothing: it is JSON.")
def schema() -> int:
    """Print the JSON schema of a sweep file, with which editors complete and check it.

    passlaw schema > passlaw.schema.json, and as the first line of the sweep file:
    # yaml-language-server: $schema=passlaw.schema.json
    """
    from pipelines.sweeps.json_schema import sweep_schema

    click.echo(strict_json.dumps(sweep_schema(), indent=2))
    return DONE
