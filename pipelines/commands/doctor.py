"""doctor: what this machine can run."""

from dataclasses import asdict

import click

from pipelines.commands.terminal import DONE, WITH_FAILURES, console, json_option, result


@click.command()
@json_option
def doctor() -> int:
    """Say what this machine can run, and how to get the rest."""
    from pipelines.doctor import examine, show

    findings = examine()
    show(findings, console())
    result({"findings": [asdict(finding) for finding in findings]})
    return DONE if all(finding.fine or finding.optional for finding in findings) else WITH_FAILURES
