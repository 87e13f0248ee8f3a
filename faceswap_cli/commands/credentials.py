"""The group of commands about content credentials."""

from pathlib import Path

import click

from faceswap_cli.invocation import print_json
from faceswap_cli.options import PATH, json_option


@click.group()
def credentials() -> None:
    """Look at content credentials (C2PA): who signed a file, and what was done to it."""


@credentials.command()
@click.argument("file", type=PATH)
@click.option(
    "--trust", type=PATH, help="PEM file of authorities to trust; else no certificate is."
)
@json_option
def show(file: Path, trust: Path | None, as_json: bool) -> None:
    """Check the content credentials of FILE: a video, a picture, or its sidecar.

    Exit code 0: valid. 4: the file or its credentials were changed. 3: there are none.

    \b
    Example:
      faceswap-cli credentials show anna/result.mp4
    """
    from faceswap_cli.stages.credentials import run_show

    report = run_show(file, anchors=trust)
    print_json(report.as_json()) if as_json else click.echo(report.summary())
    click.get_current_context().exit(report.exit_code)
