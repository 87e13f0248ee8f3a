"""The command line: parse, run stages, print their reports. Nothing else.

Stages and settings are imported inside the commands, so that `--help` loads neither torch
nor pydantic.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from faceswap_cli import __version__
from faceswap_cli.commands.credentials import credentials
from faceswap_cli.commands.curating import sort
from faceswap_cli.commands.evaluate import evaluate
from faceswap_cli.commands.faceset import faceset
from faceswap_cli.commands.landmarks import landmarks
from faceswap_cli.commands.mask import mask
from faceswap_cli.commands.models import export, import_model, timelapse
from faceswap_cli.commands.scan import scan
from faceswap_cli.errors import DeviceError, FaceswapError
from faceswap_cli.invocation import Invocation, print_json
from faceswap_cli.options import (
    PATH,
    SettingsCommand,
    config_option,
    json_option,
    quiet_option,
    redo_option,
    stage_options,
    workspace_argument,
)

INTERRUPTED = 130
ALL_SECTIONS = ("input", "extract", "train", "merge", "video")


class ExplainedErrors(click.Group):
    """Turns a FaceswapError into its message and exit code; a bug keeps its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; the only place where an exception becomes an exit code."""
        try:
            with _sigterm_is_ctrl_c():
                return super().invoke(ctx)
        except FaceswapError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("Interrupted. Run the same command again to go on.", err=True)
            ctx.exit(INTERRUPTED)


@contextmanager
def _sigterm_is_ctrl_c() -> Iterator[None]:
    """Have a polite kill, as of a batch queue or a shutdown, save the state like Ctrl-C."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not in the main thread: whoever runs us there owns the signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@click.group(cls=ExplainedErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Swap a face in a video, in four stages over one workspace folder.

    src is the identity to put on, dst is the footage that receives it. Every stage may be
    stopped at any moment; the same command goes on where it was.

    \b
    Example:
      faceswap-cli init anna --src anna.mp4 --dst party.mp4
      faceswap-cli run anna --config quick
    """


@cli.command()
@click.argument("workspace", type=PATH)
@click.option(
    "--src",
    type=PATH,
    required=True,
    multiple=True,
    help="Video or folder of the face to put on; again for further videos.",
)
@click.option(
    "--dst",
    type=PATH,
    required=True,
    multiple=True,
    help="Video or folder that receives it; further videos serve for training only.",
)
@click.option("--src-span", metavar="A-B", help="Part of src, seconds: 2.5-9, 10-, -9.")
@click.option("--dst-span", metavar="A-B", help="Part of dst, seconds: 2.5-9, 10-, -9.")
@click.option("--copy", is_flag=True, help="Copy the footage; else it is linked.")
@json_option
def init(
    workspace: Path, src: tuple[Path, ...], dst: tuple[Path, ...], as_json: bool, **inputs: Any
) -> None:
    """Make a workspace from two videos or folders of pictures.

    \b
    Example:
      faceswap-cli init anna --src anna.mp4 --dst party.mp4 --dst-span 2.5-9
    """
    from faceswap_cli.stages.init import run_init

    report = run_init(
        workspace, src=src[0], dst=dst[0], more_src=src[1:], more_dst=dst[1:], **inputs
    )
    print_json(report.as_json()) if as_json else click.echo(report.summary())


@cli.command(cls=SettingsCommand, sections=("extract", "input"))
@stage_options
@redo_option
def extract(workspace: Path, **how: Any) -> None:
    """Find the faces of src and dst, and cut them out.

    \b
    Example:
      faceswap-cli extract anna --side dst --min-face-px 64
    """
    Invocation(workspace, **how).run("extract")


@cli.command(cls=SettingsCommand, sections=("train",))
@stage_options
@click.option("--dry-run", is_flag=True, help="Tell size, memory and speed; train nothing.")
@click.option("--find-rate", is_flag=True, help="Try which --learning-rate suits; train nothing.")
def train(workspace: Path, dry_run: bool, find_rate: bool, **how: Any) -> None:
    """Train the model on the extracted faces, or go on training it.

    \b
    Example:
      faceswap-cli train anna --iterations 50000 --resolution 192
    """
    invocation = Invocation(workspace, **how)
    if dry_run:
        invocation.rehearse()
    elif find_rate:
        invocation.find_rate()
    else:
        invocation.run("train")


@cli.command(cls=SettingsCommand, sections=("merge", "input"), further=("video",))
@stage_options
@redo_option
@click.option(
    "--preview", type=click.IntRange(1, 64), metavar="N", help="Only a sheet of N frames, at once."
)
@click.option(
    "--compare",
    multiple=True,
    metavar="KEY=VALUE...",
    help="Only a sheet of a few frames, with these settings beside others; again for each.",
)
def merge(workspace: Path, preview: int | None, compare: tuple[str, ...], **how: Any) -> None:
    """Put the new face into every frame of dst.

    \b
    Example:
      faceswap-cli merge anna --erode 3 --feather 10
      faceswap-cli merge anna --stream --video-crf 18
      faceswap-cli merge anna --compare colour=rct --compare "colour=mkl mode=seamless"
    """
    invocation = Invocation(workspace, **how)
    if preview or compare:
        invocation.preview_merge(frames=preview or 4, compare=compare)
    else:
        invocation.run("merge")


@cli.command(cls=SettingsCommand, sections=("video", "input"))
@stage_options
@redo_option
def video(workspace: Path, **how: Any) -> None:
    """Make a video of the merged frames, with the sound of dst.

    \b
    Example:
      faceswap-cli video anna --crf 18 --container mkv
    """
    Invocation(workspace, **how).run("video")


@cli.command(cls=SettingsCommand, sections=ALL_SECTIONS, prefixed=True)
@stage_options
def run(workspace: Path, **how: Any) -> None:
    """Run extract, train, merge and video; what is done is kept.

    \b
    Example:
      faceswap-cli run anna --config quick --train-iterations 3000
    """
    Invocation(workspace, **how).run("extract", "train", "merge", "video")


@cli.command()
@workspace_argument
@json_option
def status(workspace: Path, as_json: bool) -> None:
    """Say what is there, what is missing, and what to run next.

    \b
    Example:
      faceswap-cli status anna
    """
    from faceswap_cli.stages.status import read_status
    from faceswap_cli.workspace import Workspace

    found = read_status(Workspace.open(workspace), shown_as=workspace)
    print_json(found.as_json()) if as_json else click.echo(found.text())


@cli.command(cls=SettingsCommand, sections=ALL_SECTIONS, prefixed=True)
@click.argument("workspace", type=PATH, default=Path("faceswap-demo"))
@config_option
@json_option
@quiet_option
def demo(workspace: Path, preset: str | None, **how: Any) -> None:
    """Swap two public-domain portraits that are set in motion: no footage is needed.

    \b
    Example:
      faceswap-cli demo faceswap-demo
    """
    from faceswap_cli.chain import run_demo
    from faceswap_cli.workspace import Workspace

    invocation = Invocation(workspace, preset=preset or "demo", **how)
    config = invocation.settings(Workspace(workspace))
    reports = run_demo(workspace, config, announce=invocation.announce)
    invocation.report(reports, name="demo")


@cli.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check what works on this machine: versions, devices, codecs, weights.

    \b
    Example:
      faceswap-cli doctor
    """
    from faceswap_cli.stages.doctor import examine

    findings = examine()
    print_json(findings.as_json()) if as_json else click.echo(findings.text())
    if findings.failed:
        click.get_current_context().exit(DeviceError.exit_code)


CURATING = (sort, faceset, mask, landmarks, scan)
for command in (*CURATING, timelapse, import_model, export, evaluate, credentials):
    cli.add_command(command)
