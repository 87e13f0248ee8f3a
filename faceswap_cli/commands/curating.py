"""Commands that look through a faceset: sort, info."""

from pathlib import Path
from typing import Any

import click

from faceswap_cli.errors import ConfigError
from faceswap_cli.invocation import Invocation
from faceswap_cli.options import json_option, quiet_option, workspace_argument

# As in curating.orders, which needs numpy; a test holds the two together.
KEYS = (
    *("blur", "motion-blur", "yaw", "pitch", "roll", "size", "brightness", "hue", "black"),
    *("source", "track", "person", "histogram", "histogram-dissimilar", "best"),
)
side_option = click.option(
    "--side", type=click.Choice(["src", "dst"]), required=True, help="Whose faces."
)


@click.command()
@workspace_argument
@side_option
@click.option("--by", type=click.Choice(KEYS), help="The order.")
@click.option(
    "--best",
    type=click.IntRange(min=1),
    help="Keep so many: every pose, the sharpest of each; --by best keeps 2000.",
)
@click.option("--keep", type=click.IntRange(min=1), help="Keep so many, the first ones.")
@click.option("--drop", type=click.IntRange(min=1), help="Move so many out, the last ones.")
@click.option("--below", type=float, help="Move out whose value is less.")
@click.option("--above", type=float, help="Move out whose value is more.")
@click.option("--rename", is_flag=True, help="Number the files in this order: 00000_NAME.")
@click.option("--dry-run", is_flag=True, help="Move nothing; write the sheet and the table.")
@click.option("--undo", is_flag=True, help="Take the last sorting back; again: the one before.")
@json_option
@quiet_option
def sort(workspace: Path, side: Any, undo: bool, as_json: bool, quiet: bool, **how: Any) -> None:
    """Look at a faceset in some order, thin it out, rename it. Nothing is deleted.

    Writes a contact sheet and a table with all values to reports/. What is moved out lies
    in aligned_trash/, with its masks; --undo puts it back.

    \b
    Example:
      faceswap-cli sort anna --side src --by blur
      faceswap-cli sort anna --side src --by blur --below 0.25
      faceswap-cli sort anna --side src --best 2000
      faceswap-cli sort anna --side src --undo
    """
    from faceswap_cli.progress import be_quiet
    from faceswap_cli.stages.sort import run_sort, run_undo
    from faceswap_cli.workspace import Workspace

    if quiet:
        be_quiet()
    asked = _asked(undo=undo, **how)
    opened = Workspace.open(workspace)
    report = run_sort(opened, side, asked) if asked else run_undo(opened, side)
    Invocation(workspace, None, as_json, quiet).report([report], name="sort")


def _asked(*, undo: bool, by: str | None, best: int | None, **how: Any) -> Any:
    """Return what to sort by, None to undo; or raise ConfigError."""
    from faceswap_cli.stages.sort import Sorting

    if undo:
        if by or best or any(how.values()):
            raise ConfigError(
                "--undo takes back what was done; it goes with no order",
                seen_in="sort --undo",
                fix="faceswap-cli sort WORKSPACE --side src --undo",
            )
        return None
    if best is not None and by not in (None, "best"):
        raise ConfigError(
            f"--best {best} chooses by its own order, not by {by}",
            seen_in="sort --best",
            fix=f"leave out --by, or use --by {by} --keep {best}",
        )
    if by is None and best is None:
        raise ConfigError(
            "no order is given",
            seen_in="sort",
            fix=f"--by {'|'.join(KEYS)}, or --best N, or --undo",
        )
    if best is None:
        return Sorting(by=str(by), **how)
    return Sorting(by="best", best=best, **how)


@click.command()
@workspace_argument
@json_option
@quiet_option
def info(workspace: Path, as_json: bool, quiet: bool) -> None:
    """Report on the facesets of both sides: a picture, and in words what src lacks.

    \b
    Example:
      faceswap-cli faceset info anna
    """
    from faceswap_cli.progress import be_quiet
    from faceswap_cli.stages.faceset_info import run_faceset_info
    from faceswap_cli.workspace import Workspace

    if quiet:
        be_quiet()
    report = run_faceset_info(Workspace.open(workspace))
    Invocation(workspace, None, as_json, quiet).report([report], name="faceset info")
