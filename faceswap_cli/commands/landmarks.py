"""Commands that let landmarks be edited elsewhere."""

from pathlib import Path
from typing import Any

import click

from faceswap_cli.commands.curating import side_option
from faceswap_cli.invocation import Invocation
from faceswap_cli.options import PATH, json_option, quiet_option, workspace_argument


@click.group()
def landmarks() -> None:
    """Write landmarks to a JSON file, and read them back after editing.

    \b
    Example:
      faceswap-cli landmarks export anna --side dst --output dst.json
      faceswap-cli landmarks import anna dst.json --side dst
    """


@landmarks.command("export")
@workspace_argument
@side_option
@click.option("--output", type=PATH, required=True, help="The file.")
@click.option(
    "--as",
    "layout",
    type=click.Choice(["own", "faceswap"]),
    default="own",
    show_default=True,
    help="faceswap: only what its import reads, frames named as it names them.",
)
@json_option
@quiet_option
def export_landmarks(
    workspace: Path, side: Any, output: Path, layout: str, as_json: bool, quiet: bool
) -> None:
    """Write the landmarks of all faces of a side to a JSON file.

    \b
    Example:
      faceswap-cli landmarks export anna --side dst --output dst.json
    """
    from faceswap_cli.stages.landmarks import run_landmarks_export
    from faceswap_cli.workspace import Workspace

    opened, invocation = Workspace.open(workspace), Invocation(workspace, None, as_json, quiet)
    inputs, is_faceswap = invocation.settings(opened).input, layout == "faceswap"
    report = run_landmarks_export(opened, side, output, inputs, as_faceswap=is_faceswap)
    invocation.report([report], name="landmarks export")


@landmarks.command("import")
@workspace_argument
@click.argument("file", type=PATH)
@side_option
@json_option
@quiet_option
def import_landmarks(workspace: Path, file: Path, side: Any, as_json: bool, quiet: bool) -> None:
    """Give faces the landmarks of a JSON file, and cut them anew; nothing is detected.

    Faces that are not there are added. faceswap's files for its own import are read, too.

    \b
    Example:
      faceswap-cli landmarks import anna dst.json --side dst
    """
    from faceswap_cli.stages.landmarks import run_landmarks_import
    from faceswap_cli.workspace import Workspace

    opened, invocation = Workspace.open(workspace), Invocation(workspace, None, as_json, quiet)
    config = invocation.settings(opened)
    report = run_landmarks_import(opened, side, file, config.input, config.extract)
    invocation.report([report], name="landmarks import")
