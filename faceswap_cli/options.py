"""The settings of a stage as options of its command, made from its config section.

Sections are loaded when a command is resolved, not before: they need pydantic, which would
double the time of `faceswap-cli --help`.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import click

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

PATH = click.Path(path_type=Path)
_META_KEY = "faceswap_cli.flags"
_NUMBERS: "dict[Any, click.ParamType[Any]]" = {int: click.INT, float: click.FLOAT}

workspace_argument = click.argument("workspace", type=click.Path(path_type=Path, file_okay=False))
config_option = click.option(
    "-c",
    "--config",
    "preset",
    metavar="FILE|PRESET",
    help="Settings from a TOML file, or from a preset that ships with the program.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the report as one JSON object."
)
quiet_option = click.option(
    "--quiet", is_flag=True, help="No settings and no progress on stderr, only the report."
)
redo_option = click.option(
    "--redo", is_flag=True, help="Do the stage again, whatever of it is done."
)


def stage_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add what every stage command takes: WORKSPACE, --config, --json, --quiet."""
    for decorate in (quiet_option, json_option, config_option, workspace_argument):
        command = decorate(command)
    return command


class SettingsCommand(click.Command):
    """A command with one option for each setting of some sections.

    The values do not reach the function: `given_flags` returns them by section and key.
    """

    def __init__(
        self,
        *args: Any,
        sections: tuple[str, ...],
        prefixed: bool = False,
        further: tuple[str, ...] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._sections, self._prefixed, self._further = sections, prefixed, further

    def settings(self) -> dict[str, tuple[click.Option, ...]]:
        """Return the options of each section."""
        return {name: section_options(name, prefixed=self._prefixed) for name in self._sections}

    def further_settings(self) -> dict[str, tuple[click.Option, ...]]:
        """Return the options of sections that have a stage of their own: --video-codec."""
        return {name: section_options(name, prefixed=True) for name in self._further}

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the arguments, the settings, and the options of every command."""
        groups = [*self.settings().values(), *self.further_settings().values()]
        made = [option for options in groups for option in options]
        return [*made, *super().get_params(ctx)]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, those of each section under its own heading."""
        own = [param for param in super().get_params(ctx) if isinstance(param, click.Option)]
        groups = {"Options": own}
        for name, made in (self.settings() | self.further_settings()).items():
            groups[f"Settings [{name}]"] = list(made)
        for heading, options in groups.items():
            rows = [row for option in options if (row := option.get_help_record(ctx))]
            with formatter.section(heading):
                formatter.write_dl(rows)


def given_flags(ctx: click.Context) -> dict[str, dict[str, Any]]:
    """Return the settings that were given on the command line, by section and key."""
    found: dict[str, dict[str, Any]] = ctx.meta.get(_META_KEY, {})
    return found


@cache
def section_options(name: str, *, prefixed: bool = False) -> tuple[click.Option, ...]:
    """Return one option for each setting of a section.

    Args:
        name: Of the section: input, extract, train, merge or video.
        prefixed: --train-iterations instead of --iterations.
    """
    from faceswap_cli.config import Config

    fields = type(Config.model_fields[name].default).model_fields
    return tuple(
        _option(name, key, field, prefixed=prefixed)
        for key, field in fields.items()
        if _is_flag(field.annotation)
    )


def _is_flag(kind: Any) -> bool:
    """Tell whether a setting can be given in words; a list of sections stands in files only."""
    return get_origin(kind) is not tuple or get_args(kind)[0] is str


def _option(section: str, key: str, field: "FieldInfo", *, prefixed: bool) -> click.Option:
    flag = (f"{section}-{key}" if prefixed else key).replace("_", "-")
    kind = field.annotation

    def keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        if value is not None and value != ():
            ctx.meta.setdefault(_META_KEY, {}).setdefault(section, {})[key] = value

    from faceswap_cli.settings import describe_range, shown

    limits = describe_range(field)
    default = f"default: {shown(field.default)}"
    help_text = f"{field.description}  [{'; '.join(filter(None, (limits, default)))}]"
    shared: dict[str, Any] = {"default": None, "expose_value": False, "callback": keep}
    if kind is bool:
        return click.Option(
            [f"--{flag}/--no-{flag}", _name(section, key)], help=help_text, **shared
        )
    names = [f"--{flag}"]
    if "colour" in flag:
        names.append(f"--{flag.replace('colour', 'color')}")
    if get_origin(kind) is tuple:
        shared["multiple"] = True
    return click.Option([*names, _name(section, key)], type=_type(kind), help=help_text, **shared)


def _name(section: str, key: str) -> str:
    return f"{section}__{key}"


def _type(kind: Any) -> "click.ParamType[Any]":
    if get_origin(kind) is Literal:
        return click.Choice(get_args(kind))
    return _NUMBERS.get(kind, click.STRING)  # ranges are checked once, by the section itself
