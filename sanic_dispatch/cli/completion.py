"""The command that prints a shell's completion script: completion."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

PROGRAM = "sanic-dispatch"
VARIABLE = "_SANIC_DISPATCH_COMPLETE"
"""The variable by which click recognizes a shell's request for completions."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes commands, options and their values in your shell.

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
