"""Commands that move facesets: a folder of faces into one file, and back."""

from pathlib import Path
from typing import Any

import click

from faceswap_cli.invocation import Invocation
from faceswap_cli.options import (
    PATH,
    json_option,
    quiet_option,
    redo_option,
    workspace_argument,
)

side_option = click.option(
    "--side",
    type=click.Choice(["src", "dst", "both"]),
    default="both",
    show_default=True,
    help="Whose faces.",
)


@click.command()
@workspace_argument
@side_option
@click.option(
    "--output", type=PATH, help="The file, of one side.  [default: data_SIDE/aligned.zip]"
)
@redo_option
@json_option
@quiet_option
def pack(workspace: Path, as_json: bool, quiet: bool, **how: Any) -> None:
    """Make one file of the aligned faces, to move or keep them: an ordinary zip.

    Training reads it too, where there is no folder aligned. The folder is left as it is.

    \b
    Example:
      faceswap-cli faceset pack anna --side src
    """
    from faceswap_cli.progress import be_quiet
    from faceswap_cli.stages.pack import run_pack
    from faceswap_cli.workspace import Workspace

    if quiet:
        be_quiet()
    reports = run_pack(Workspace.open(workspace), **how)
    Invocation(workspace, None, as_json, quiet).report(reports, name="faceset pack")


@click.command()
@workspace_argument
@side_option
@click.option(
    "--input", "source", type=PATH, help="The file, of one side.  [default: data_SIDE/aligned.zip]"
)
@json_option
@quiet_option
def unpack(workspace: Path, as_json: bool, quiet: bool, **how: Any) -> None:
    """Make a folder of aligned faces again of one file; nothing that is there is replaced.

    \b
    Example:
      faceswap-cli faceset unpack anna --side src --input anna-src.zip
    """
    from faceswap_cli.progress import be_quiet
    from faceswap_cli.stages.pack import run_unpack
    from faceswap_cli.workspace import Workspace

    if quiet:
        be_quiet()
    reports = run_unpack(Workspace.open(workspace), **how)
    Invocation(workspace, None, as_json, quiet).report(reports, name="faceset unpack")
