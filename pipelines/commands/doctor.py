"""doctor: what this machine can run."""

import click

from pipelines.commands.terminal import DONE, WITH_FAILURES, console


@click.command()
def doctor() -> int:
    """Say what this machine can run, and how to get the rest."""
    from pipelines.doctor import examine, show

    findings = examine()
    show(findings, console())
    return DONE if all(finding.fine or finding.optional for finding in findings) else WITH_FAILURES
