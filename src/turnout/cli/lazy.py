"""A group of commands whose modules are imported when a command is named. Floor 7."""

import importlib
from collections.abc import Mapping
from difflib import get_close_matches

import click


class Lazy(click.Group):
    """Loads a command's module when the command is named, so that `--help` is quick."""

    def __init__(self, *arguments: object, addresses: Mapping[str, str], **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]  # click's own arguments, passed on
        self.addresses = addresses
        """Name -> `module:attribute`, in the order a newcomer needs them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every command."""
        return list(self.addresses)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, importing it."""
        address = self.addresses.get(cmd_name)
        if address is None:
            return None
        module, _, name = address.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is named; of a misspelt one, say which is like it."""
        near = [] if args[0] in self.addresses else get_close_matches(args[0], self.addresses, n=1)
        if near and not ctx.resilient_parsing:
            raise click.UsageError(f"No such command {args[0]!r}. Did you mean {near[0]!r}?", ctx)
        return super().resolve_command(ctx, args)
