"""Write configs/default.toml from the sections of faceswap_cli/config.py."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args, get_origin

from faceswap_cli.config import Config
from faceswap_cli.settings import describe_range, section_toml

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

TARGET = Path(__file__).parent.parent / "configs" / "default.toml"
WIDTH = 98
HEAD = """\
# Every setting with its default, its unit and its range. Copy the lines you want to change
# into the config.toml of a workspace, or into a file for --config.
"""


def explain(field: "FieldInfo") -> str:
    """Return the comment above a key."""
    if get_origin(field.annotation) is Literal:
        limits = " ".join(get_args(field.annotation))
    else:
        limits = describe_range(field)
    text = f"{field.description} [{limits}]" if limits else str(field.description)
    return textwrap.fill(text, WIDTH, initial_indent="# ", subsequent_indent="# ")


def default_toml() -> str:
    """Return the whole file."""
    lines = [HEAD]
    for name, outer in Config.model_fields.items():
        heading, *values = section_toml(name, outer.default).splitlines()
        lines.append(heading)
        for field, value in zip(type(outer.default).model_fields.values(), values, strict=True):
            lines += [explain(field), value]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    TARGET.write_text(default_toml(), "utf-8")
    print(f"written: {TARGET}")
