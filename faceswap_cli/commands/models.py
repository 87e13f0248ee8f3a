"""Commands about trained models: a film of the training, import, export."""

from pathlib import Path
from typing import Any

import click

from faceswap_cli.invocation import Invocation
from faceswap_cli.options import PATH, json_option, quiet_option, workspace_argument


@click.command()
@workspace_argument
@click.option(
    "--rate",
    type=click.FloatRange(min=0.1, max=240.0),
    default=25.0,
    show_default=True,
    help="Previews a second.",
)
@json_option
@quiet_option
def timelapse(workspace: Path, rate: float, as_json: bool, quiet: bool) -> None:
    """Make a film of the previews of a training: model/timelapse.mp4.

    \b
    Example:
      faceswap-cli timelapse anna --rate 10
    """
    from faceswap_cli.progress import be_quiet
    from faceswap_cli.stages.timelapse import run_timelapse
    from faceswap_cli.workspace import Workspace

    if quiet:
        be_quiet()
    report = run_timelapse(Workspace.open(workspace), rate=rate)
    Invocation(workspace, None, as_json, quiet).report([report], name="timelapse")


@click.command("import-model")
@workspace_argument
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--name", help="Which model, if the folder has several.")
@click.option("--options", help="Letters of its archi, if asked for: ud of liae-ud, '' of df.")
@click.option("--face-type", help="Of its faces, if asked for.")
@json_option
def import_model(workspace: Path, folder: Path, as_json: bool, **how: Any) -> None:
    """Take over a SAEHD or Quick96 model that DeepFaceLab has trained.

    \b
    Example:
      faceswap-cli import-model anna . --name new --options ud
    """
    from faceswap_cli.stages.import_model import run_import_model
    from faceswap_cli.workspace import Workspace

    report = run_import_model(Workspace.open(workspace), folder, **how)
    Invocation(workspace, None, as_json, quiet=False).report([report], name="import-model")


@click.command()
@workspace_argument
@click.option("--format", "form", type=click.Choice(["dfm", "onnx"]), default="dfm")
@click.option("--output", type=PATH, help="The file.  [default: WORKSPACE/model/NAME.dfm]")
@json_option
def export(workspace: Path, as_json: bool, **how: Any) -> None:
    """Write the trained model for DeepFaceLive and facefusion (dfm), or as plain ONNX.

    \b
    Example:
      faceswap-cli export anna --output anna.dfm
    """
    from faceswap_cli.stages.export import run_export
    from faceswap_cli.workspace import Workspace

    report = run_export(Workspace.open(workspace), **how)
    Invocation(workspace, None, as_json, quiet=False).report([report], name="export")
