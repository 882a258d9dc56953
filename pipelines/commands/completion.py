"""completion: the Tab key for bash, zsh and fish."""

import click
from click.shell_completion import get_completion_class

from pipelines.commands.terminal import DONE
from pipelines.errors import UserError


@click.command(short_help="Print what makes the Tab key complete passlaw.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> int:
    """Print what makes the Tab key complete passlaw's verbs, options and files.

    For bash, add to ~/.bashrc: eval "$(passlaw completion bash)". For zsh the same in ~/.zshrc. For
    fish: passlaw completion fish > ~/.config/fish/completions/passlaw.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    complete = kind(context.find_root().command, {}, "passlaw", "_PASSLAW_COMPLETE")
    try:
        click.echo(complete.source())
    except RuntimeError as error:  # bash older than 4.4
        raise UserError(f"completion {shell}: {error}") from None
    return DONE
