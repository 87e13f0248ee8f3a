"""The command line: parse, run stages, print their reports. Nothing else.

Stages and settings are imported inside the commands, so that `--help` loads neither torch
nor pydantic.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from faceswap_cli import __version__
from faceswap_cli.errors import DeviceError, FaceswapError
from faceswap_cli.invocation import Invocation, print_json
from faceswap_cli.options import (
    SettingsCommand,
    config_option,
    json_option,
    quiet_option,
    redo_option,
    workspace_argument,
)

INTERRUPTED = 130
ALL_SECTIONS = ("input", "extract", "train", "merge", "video")
PATH = click.Path(path_type=Path)


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


def stage_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add what every stage command takes: WORKSPACE, --config, --json, --quiet."""
    for decorate in (quiet_option, json_option, config_option, workspace_argument):
        command = decorate(command)
    return command


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
@click.option("--src", type=PATH, required=True, help="Video or folder of the face to put on.")
@click.option("--dst", type=PATH, required=True, help="Video or folder that receives it.")
@click.option("--src-span", metavar="A-B", help="Part of src, seconds: 2.5-9, 10-, -9.")
@click.option("--dst-span", metavar="A-B", help="Part of dst, seconds: 2.5-9, 10-, -9.")
@click.option("--copy", is_flag=True, help="Copy the footage; else it is linked.")
@json_option
def init(workspace: Path, as_json: bool, **inputs: Any) -> None:
    """Make a workspace from two videos or folders of pictures.

    \b
    Example:
      faceswap-cli init anna --src anna.mp4 --dst party.mp4 --dst-span 2.5-9
    """
    from faceswap_cli.stages.init import run_init

    report = run_init(workspace, **inputs)
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


@cli.command()
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


@cli.command(cls=SettingsCommand, sections=("merge", "input"))
@stage_options
@redo_option
def merge(workspace: Path, **how: Any) -> None:
    """Put the new face into every frame of dst.

    \b
    Example:
      faceswap-cli merge anna --erode 3 --feather 10 --redo
    """
    Invocation(workspace, **how).run("merge")


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


@cli.command("import-model")
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


@cli.command()
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
