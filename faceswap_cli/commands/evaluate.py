"""The command that measures a finished swap."""

from pathlib import Path
from typing import Any

import click

from faceswap_cli.invocation import Invocation
from faceswap_cli.options import SettingsCommand, stage_options


@click.command(cls=SettingsCommand, sections=("evaluate", "input"))
@stage_options
def evaluate(workspace: Path, **how: Any) -> None:
    """Measure the result against the footage, and say which frames need a look, and why.

    Landmarks, pose, identity, flicker, sharpness, seam, colour, background. Writes
    reports/evaluation.html, .png and .json; changes nothing else. A bad swap is no error.

    \b
    Example:
      faceswap-cli evaluate anna --recognizer arcface.onnx
    """
    from faceswap_cli.chain import settings_toml
    from faceswap_cli.stages.evaluate import run_evaluate
    from faceswap_cli.workspace import Workspace

    opened = Workspace.open(workspace)
    invocation = Invocation(workspace, **how)
    config = invocation.settings(opened)
    invocation.announce(settings_toml("evaluate", config))
    report = run_evaluate(opened, config.evaluate, config.input, merge=config.merge)
    invocation.report([report], name="evaluate")
