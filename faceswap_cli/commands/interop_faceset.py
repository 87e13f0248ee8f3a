"""Commands that exchange facesets with DeepFaceLab and faceswap."""

from pathlib import Path
from typing import Any

import click

from faceswap_cli.invocation import Invocation
from faceswap_cli.options import (
    PATH,
    SettingsCommand,
    json_option,
    quiet_option,
    stage_options,
    workspace_argument,
)

side_option = click.option(
    "--side", type=click.Choice(["src", "dst"]), required=True, help="Whose faces."
)


@click.command("import", cls=SettingsCommand, sections=("input",))
@stage_options
@click.argument("path", type=PATH, required=False)
@side_option
def import_faceset(workspace: Path, path: Path | None, side: Any, **how: Any) -> None:
    """Take over faces that DeepFaceLab or faceswap has extracted.

    PATH is a folder of DeepFaceLab's aligned .jpg, a faceset.pak, a folder of faceswap's face
    .png, or its alignments .fsa; without PATH: what lies in data_SIDE/aligned itself, as in a
    workspace of DeepFaceLab. Its files stay as they are, nothing here is replaced, and
    nothing in them is run.

    faceswap's faces are cut from the footage again, which therefore has to be there.

    \b
    Example:
      faceswap-cli faceset import anna --side dst
      faceswap-cli faceset import anna old/data_src/aligned/faceset.pak --side src
    """
    from faceswap_cli.stages.import_faceset import run_import_faceset
    from faceswap_cli.workspace import Workspace

    invocation, opened = Invocation(workspace, **how), Workspace.open(workspace)
    config = invocation.settings(opened)
    report = run_import_faceset(
        opened, path, side=side, inputs=config.input, section=config.extract
    )
    invocation.report([report], name="faceset import")


@click.command("export")
@workspace_argument
@side_option
@click.option(
    "--as",
    "form",
    type=click.Choice(["dfl", "pak"]),
    default="dfl",
    show_default=True,
    help="DeepFaceLab's aligned pictures, or its faceset.pak.",
)
@click.option("--output", type=PATH, required=True, help="The folder, or the file of the pak.")
@json_option
@quiet_option
def export_faceset(workspace: Path, as_json: bool, quiet: bool, **how: Any) -> None:
    """Write the aligned faces for DeepFaceLab; edited masks go with them as XSeg's.

    \b
    Example:
      faceswap-cli faceset export anna --side src --output dfl/data_src/aligned
      faceswap-cli faceset export anna --side src --as pak --output faceset.pak
    """
    from faceswap_cli.progress import be_quiet
    from faceswap_cli.stages.export_faceset import run_export_faceset
    from faceswap_cli.workspace import Workspace

    if quiet:
        be_quiet()
    report = run_export_faceset(Workspace.open(workspace), **how)
    Invocation(workspace, None, as_json, quiet).report([report], name="faceset export")
