"""Settings from files and flags: found, merged, checked, and written out again."""

import json
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from faceswap_cli.config import Config, Section
from faceswap_cli.errors import ConfigError

SectionT = TypeVar("SectionT", bound=Section)


def shipped(folder: str) -> Path:
    """Return a folder that ships with the package: configs or workspace_template."""
    inside = Path(str(files("faceswap_cli"))) / folder
    return inside if inside.is_dir() else Path(__file__).parent.parent / folder


def presets() -> list[str]:
    """Return the names of the shipped config files."""
    return sorted(path.stem for path in shipped("configs").glob("*.toml"))


def find_preset(name: str) -> Path:
    """Return the file of `--config NAME`: a path, or the name of a shipped one.

    Raises:
        ConfigError: Neither; names the nearest preset.
    """
    if Path(name).is_file():
        return Path(name)
    preset = shipped("configs") / f"{name}.toml"
    if name in presets():
        return preset
    near = get_close_matches(name, presets(), n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ConfigError(
        f"no config file and no preset is called {name!r}",
        seen_in="--config",
        fix=f"{hint}presets: {', '.join(presets())}; or give the path of a TOML file",
    )


def load_config(
    *sources: Path | None, flags: Mapping[str, Mapping[str, Any]] | None = None
) -> Config:
    """Merge the files and the flags, each over the one before, and validate the result.

    Args:
        sources: TOML files; those that are None or do not exist are passed over.
        flags: Values by section and key; they win.

    Raises:
        ConfigError: A file cannot be parsed, a key is unknown, or a value is out of range:
            all of them at once, each with its key, value and range.
    """
    values: dict[str, dict[str, Any]] = {}
    origin: dict[str, str] = {}
    for path in sources:
        if path is not None and path.is_file():
            _merge(values, origin, _parse(path), str(path))
    given = {name: keys for name, keys in (flags or {}).items() if keys}
    _merge(values, origin, given, "command line")
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise _explain(error, origin) from error


def checked(kind: type[SectionT], values: Mapping[str, Any], *, seen_in: str) -> SectionT:
    """Return one section with these values, texts or not, in place of the defaults.

    Raises:
        ConfigError: A key is unknown, or a value is out of range.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        wrong = []
        for item in error.errors():
            key = str(item["loc"][0]) if item["loc"] else "settings"
            message = item["msg"].removeprefix("Value error, ")
            if item["type"] == "extra_forbidden":
                near = get_close_matches(key, list(kind.model_fields), n=1)
                message = "there is no such setting" + (
                    f" (did you mean {near[0]}?)" if near else ""
                )
            wrong.append(f"{key}: {message}, got {item['input']!r}")
        raise ConfigError(
            "; ".join(wrong), seen_in=seen_in, fix="`faceswap-cli merge --help` lists them"
        ) from error


def section_toml(name: str, section: Section) -> str:
    """Return a section as TOML text, as it is printed and saved beside what it made."""
    lines = [f"[{name}]"]
    for key, value in section.model_dump().items():
        lines.append(f"{key} = {_toml_value(value)}")
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml_value(v)}" for key, v in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    return repr(value)


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"not valid TOML: {error}", seen_in=path, fix="mend that line") from error


def _merge(
    values: dict[str, dict[str, Any]], origin: dict[str, str], over: Mapping[str, Any], source: str
) -> None:
    for name, keys in over.items():
        if not isinstance(keys, Mapping):
            raise ConfigError(
                f"key {name!r} stands outside of a section",
                seen_in=source,
                fix=f"put it under one of {', '.join(f'[{s}]' for s in Config.model_fields)}",
            )
        # One spelling before one wins over another: a flag must beat `color` in a file.
        british = {key.replace("color", "colour"): value for key, value in keys.items()}
        values.setdefault(name, {}).update(british)
        origin[name] = source
        origin.update({f"{name}.{key}": source for key in british})


def _explain(error: ValidationError, origin: Mapping[str, str]) -> ConfigError:
    lines: list[str] = []
    places: list[str] = []
    told: set[str] = set()
    for item in error.errors():
        # A setting with alternatives fails once for each; the first, the number, tells most.
        key = ".".join(str(part) for part in item["loc"][:2])
        if key in told:
            continue
        told.add(key)
        seen = f", got {item['input']!r}" if key else ""
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = "there is no such setting" + _near(item["loc"])
        elif limits := _limits(item["loc"]):
            message = f"{message} ({limits})"
        lines.append(f"  {key or 'settings'}: {message}{seen}")
        places.append(origin.get(key, ""))
    count = len(lines)
    return ConfigError(
        f"{count} setting{'s' if count > 1 else ''} cannot be used:\n" + "\n".join(lines),
        seen_in=", ".join(sorted(set(filter(None, places)))) or "the settings together",
        fix="`faceswap-cli STAGE --help` lists every setting with its unit and range",
    )


def _limits(where: tuple[int | str, ...]) -> str:
    """Return the whole range of a setting: one broken rule tells only half of it."""
    if len(where) < 2 or str(where[0]) not in Config.model_fields:
        return ""
    section: type[Section] = type(Config.model_fields[str(where[0])].default)
    field = section.model_fields.get(str(where[1]))
    return describe_range(field) if field else ""


def _near(where: tuple[int | str, ...]) -> str:
    section = Config.model_fields.get(str(where[0])) if len(where) > 1 else None
    names = type(section.default).model_fields if section else Config.model_fields
    return _nearest(str(where[-1]), names)


def _nearest(key: str, names: Iterable[str]) -> str:
    near = get_close_matches(key, list(names), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def describe_range(field: FieldInfo) -> str:
    """Return the range of a setting: `64..2048, multiple of 16`; empty if it has none."""
    limits: dict[str, Any] = {}
    for constraint in _constraints(field):
        limits |= {
            key: getattr(constraint, key)
            for key in ("ge", "gt", "le", "lt", "multiple_of")
            if getattr(constraint, key, None) is not None
        }
    parts = [text for text in (_interval(limits), _multiple(limits)) if text]
    return ", ".join(parts)


def _constraints(field: FieldInfo) -> list[Any]:
    """Return those of the setting, and those of a number that is one of its alternatives."""
    found = list(field.metadata)
    for alternative in get_args(field.annotation):
        for inner in getattr(alternative, "__metadata__", ()):
            found += inner.metadata if isinstance(inner, FieldInfo) else [inner]
    return found


def _interval(limits: Mapping[str, Any]) -> str:
    low = f"above {limits['gt']:.15g}" if "gt" in limits else ""
    low = f"{limits['ge']:.15g}" if "ge" in limits else low
    high = f"below {limits['lt']:.15g}" if "lt" in limits else ""
    high = f"{limits['le']:.15g}" if "le" in limits else high
    if low and high:
        return f"{low}..{high}"
    return f"{low} or more" if low else high


def _multiple(limits: Mapping[str, Any]) -> str:
    return f"multiple of {limits['multiple_of']}" if "multiple_of" in limits else ""


def shown(value: Any) -> str:
    """Return a value as `--help` shows it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    return "empty" if value in ("", ()) else str(value)
