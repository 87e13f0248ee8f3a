"""Commands about masks: which pixels of a face are face."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from faceswap_cli.invocation import Invocation
from faceswap_cli.options import (
    PATH,
    SettingsCommand,
    config_option,
    json_option,
    quiet_option,
    stage_options,
    workspace_argument,
)

if TYPE_CHECKING:
    from faceswap_cli.config import MaskConfig
    from faceswap_cli.workspace import Workspace

side_option = click.option(
    "--side", type=click.Choice(["src", "dst"]), default="dst", show_default=True
)
sides_option = click.option(
    "--side", type=click.Choice(["both", "src", "dst"]), help="Whose faces."
)
device_option = click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]))


@click.group()
def mask() -> None:
    """Masks that respect hands, hair and microphones: learnt, made, edited."""


@mask.command(cls=SettingsCommand, sections=("mask",))
@stage_options
def train(workspace: Path, **how: Any) -> None:
    """Train the mask network on labelled faces and on others, or go on training it.

    Labels are painted masks (aligned/mask/NAME.png) and polygons of labelme
    (aligned/NAME.json). Without any it learns from landmarks, colours and made-up hands.

    \b
    Example:
      faceswap-cli mask train anna --iterations 1000
    """
    from faceswap_cli.stages.mask_train import run_mask_train

    invocation = Invocation(workspace, **how)
    opened, section = _opened(invocation)
    invocation.report([run_mask_train(opened, section)], name="mask train")


@mask.command()
@workspace_argument
@config_option
@sides_option
@device_option
@json_option
@quiet_option
def apply(workspace: Path, side: str | None, device: str | None, **how: Any) -> None:
    """Make a mask for every face with the trained network; what you painted stays.

    \b
    Example:
      faceswap-cli mask apply anna --side dst
    """
    from faceswap_cli.stages.mask_apply import run_mask_apply

    invocation = Invocation(workspace, **how)
    opened, section = _opened(invocation, side=side, device=device)
    invocation.report(run_mask_apply(opened, section), name="mask apply")


@mask.command()
@workspace_argument
@side_option
@click.option("--faces", "names", multiple=True, help="An aligned picture; may be given again.")
@click.option("--spread", type=click.IntRange(0, 100_000), default=0, help="So many of all.")
@click.option("--as", "form", type=click.Choice(["png", "labelme"]), default="png")
@click.option(
    "--output", type=PATH, help="New folder.  [default: WORKSPACE/reports/mask_edit_SIDE]"
)
@click.option(
    "--back",
    type=PATH,
    help="Take edited masks back from this folder.",
)
@json_option
@quiet_option
def edit(
    workspace: Path, side: Any, back: Path | None, output: Path | None, as_json: bool, **how: Any
) -> None:
    """Lay out faces and masks for a paint program or labelme, and take them back.

    \b
    Example:
      faceswap-cli mask edit anna --side dst --spread 20 --as labelme --output labels
      faceswap-cli mask edit anna --side dst --back labels
    """
    from faceswap_cli.stages.mask_edit import lay_out, take_back
    from faceswap_cli.workspace import Workspace

    opened, quiet = Workspace.open(workspace), how.pop("quiet")
    if back is not None:
        report = take_back(opened, side, back)
    else:
        folder = output or opened.reports / f"mask_edit_{side}"
        report = lay_out(opened, side, folder=folder, **how)
    Invocation(workspace, None, as_json, quiet).report([report], name="mask edit")


@mask.command()
@workspace_argument
@side_option
@click.option("--count", type=click.IntRange(1, 2000), default=48, show_default=True)
@json_option
@quiet_option
def preview(workspace: Path, side: Any, count: int, as_json: bool, quiet: bool) -> None:
    """Draw a sheet of faces with their masks: reports/masks_SIDE.png.

    \b
    Example:
      faceswap-cli mask preview anna --side dst
    """
    from faceswap_cli.stages.mask_preview import run_mask_preview
    from faceswap_cli.workspace import Workspace

    _hush(quiet=quiet)
    report = run_mask_preview(Workspace.open(workspace), side, count=count)
    Invocation(workspace, None, as_json, quiet).report([report], name="mask preview")


@mask.command("import")
@workspace_argument
@click.argument("folder", type=PATH)
@side_option
@json_option
@quiet_option
def import_masks(workspace: Path, folder: Path, side: Any, as_json: bool, quiet: bool) -> None:
    """Take over mask PNGs, named as the aligned pictures or as the frames are.

    \b
    Example:
      faceswap-cli mask import anna . --side dst
    """
    from faceswap_cli.stages.mask_import import run_mask_import
    from faceswap_cli.workspace import Workspace

    _hush(quiet=quiet)
    report = run_mask_import(Workspace.open(workspace), folder, side)
    Invocation(workspace, None, as_json, quiet).report([report], name="mask import")


def _opened(invocation: Invocation, **given: str | None) -> "tuple[Workspace, MaskConfig]":
    """Return the workspace and the resolved settings, which are told."""
    from faceswap_cli.chain import settings_toml
    from faceswap_cli.workspace import Workspace

    workspace = Workspace.open(invocation.root)
    config = invocation.settings(workspace)
    own = {key: value for key, value in given.items() if value is not None}
    section = config.mask.model_copy(update=own)
    invocation.announce(settings_toml("mask", config.model_copy(update={"mask": section})))
    return workspace, section


def _hush(*, quiet: bool) -> None:
    if quiet:
        from faceswap_cli.progress import be_quiet

        be_quiet()
