"""The command for the shell's tab key: completion."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

PROGRAM = "sanic-dispatch"
VARIABLE = "_SANIC_DISPATCH_COMPLETE"
"""What tells this program that a shell asks how to go on; click's name for it."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what lets the tab key complete commands, options and their values.

    \b
    Examples:
      sanic-dispatch completion bash > ~/.local/share/bash-completion/completions/sanic-dispatch
      sanic-dispatch completion zsh > ~/.zfunc/_sanic-dispatch
          with fpath+=~/.zfunc before compinit in ~/.zshrc
      sanic-dispatch completion fish > ~/.config/fish/completions/sanic-dispatch.fish
    """
    complete = get_completion_class(shell)
    assert complete
    root = click.get_current_context().find_root().command
    click.echo(complete(root, {}, PROGRAM, VARIABLE).source())
