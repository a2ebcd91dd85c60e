"""The option of a declared setting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from sanic_dispatch.cli.env_option import EnvOption
from sanic_dispatch.config.declaration import (
    OFF,
    Choice,
    Flag,
    Number,
    Pathname,
    Setting,
    SettingKind,
    Switch,
)
from sanic_dispatch.errors import SettingsError

FILE = f"{__name__}.file"
"""The key of the settings file's path in a context's ``meta``."""


class SettingOption(EnvOption):
    """The option of a setting; its value is that of the setting, durations in seconds."""

    def __init__(self, setting: Setting, **attributes: Any) -> None:
        kind = setting.kind
        is_flag = isinstance(kind, Flag)
        shape = {"is_flag": True} if is_flag else {"type": _type_of(kind), "metavar": kind.metavar}
        super().__init__(
            setting.flag,
            *filter(None, (setting.short, setting.name)),
            section=setting.section,
            default=_default_of(setting),
            show_default=setting.default_text or True,
            multiple=setting.is_list,
            help=setting.help,
            **shape,
            **attributes,
        )
        self.setting = setting

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """Parse and check a value. Raises SettingsError, which says where a wrong one is from."""
        source = ctx.get_parameter_source(self.name)
        if source is None or source is ParameterSource.DEFAULT:
            return super().process_value(ctx, value)
        where = {
            ParameterSource.ENVIRONMENT: f" (in {self.envvar})",
            ParameterSource.DEFAULT_MAP: f" (in {ctx.meta.get(FILE)})",
        }.get(source, "")
        try:
            parsed = super().process_value(ctx, value)
        except click.BadParameter as error:
            raise SettingsError(f"{self.setting.flag}: {error.message}{where}") from None
        try:
            self.setting.validate(parsed)
        except SettingsError as error:
            raise SettingsError(f"{error}{where}") from None
        return parsed


class ValueType(click.ParamType[Any]):
    """Reads a value as its kind does."""

    def __init__(self, kind: SettingKind) -> None:
        self.name = kind.metavar
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse a value given as text; return any other value unchanged."""
        if not isinstance(value, str):
            return value
        try:
            return self._kind.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the kind's words that begin like this, in upper or lower case."""
        begun = incomplete.lower()
        words = self._kind.words
        return [CompletionItem(str(word)) for word in words if word.lower().startswith(begun)]


def _type_of(kind: SettingKind) -> click.ParamType[Any]:
    """Return click's own type for a path, since it completes names and checks permissions."""
    return click.Path(path_type=Path) if isinstance(kind, Pathname) else ValueType(kind)


def _default_of(setting: Setting) -> Any:
    """Return the default as a user would give it, which is how the help shows it."""
    kind, default = setting.kind, setting.default
    if setting.is_list or default is None and not isinstance(kind, Number):
        return None
    if isinstance(kind, Switch) and not isinstance(kind, Flag):
        return "on" if default else OFF
    return str(kind.written(default)) if isinstance(kind, Choice | Number) else default
