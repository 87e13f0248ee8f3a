"""The command that looks through the footage before a long render."""

from pathlib import Path
from typing import Any

import click

from faceswap_cli.invocation import Invocation
from faceswap_cli.options import SettingsCommand, stage_options


@click.command(cls=SettingsCommand, sections=("scan", "input"))
@stage_options
def scan(workspace: Path, **how: Any) -> None:
    """Say which frames are doubtful and why: no face, a jump, blur, a hand, somebody else.

    Writes tables and a picture into reports/, and the line for config.toml that leaves the
    doubtful frames out. Needs an extraction; changes nothing.

    \b
    Example:
      faceswap-cli scan anna --side dst
    """
    from faceswap_cli.chain import settings_toml
    from faceswap_cli.stages.scan import run_scan
    from faceswap_cli.workspace import Workspace

    opened = Workspace.open(workspace)
    invocation = Invocation(workspace, **how)
    config = invocation.settings(opened)
    invocation.announce(settings_toml("scan", config))
    invocation.report(run_scan(opened, config.scan, config.input), name="scan")
