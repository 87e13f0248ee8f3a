"""The stages in their order. They know nothing of each other: they meet in the workspace."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from faceswap_cli.config import Config
from faceswap_cli.errors import FaceswapError
from faceswap_cli.files import write_atomic
from faceswap_cli.settings import section_toml
from faceswap_cli.workspace import StageReport, Workspace

STAGES = ("extract", "train", "merge", "video")
_READS_INPUT = {"extract", "merge", "video", "evaluate"}

Announce = Callable[[str], None]


def run_stage(
    name: str, workspace: Workspace, config: Config, *, announce: Announce, redo: bool = False
) -> list[StageReport]:
    """Run one stage with its own section and no other.

    Args:
        name: One of STAGES.
        workspace: Where everything is.
        config: All settings, resolved.
        announce: Is told the settings of the stage, as TOML, before it begins.
        redo: Do it again, whatever of it is done.

    Returns:
        Its report; of extract, one for each side.
    """
    settings = settings_toml(name, config)
    announce(settings)
    with _remembered(workspace.settings(name), settings):
        return _run(name, workspace, config, redo=redo)


def settings_toml(name: str, config: Config) -> str:
    """Return the sections that a stage is given, as TOML."""
    sections = [name, "input"] if name in _READS_INPUT else [name]
    if name == "merge" and config.merge.stream:
        sections.append("video")
    return "\n".join(section_toml(section, getattr(config, section)) for section in sections)


def run_demo(root: Path, config: Config, *, announce: Announce) -> list[StageReport]:
    """Make the demo's workspace, run the chain in it, and draw the strip; go on where it was."""
    from faceswap_cli.stages.demo import draw_strip, make_clips
    from faceswap_cli.stages.init import copy_template

    copy_template(root)
    clips = make_clips(Workspace(root))
    workspace = Workspace.open(root)
    reports = [clips]
    for name in STAGES:
        reports += run_stage(name, workspace, config, announce=announce)
    return [*reports, draw_strip(workspace, config.video.container)]


@contextmanager
def _remembered(path: Path, settings: str) -> Iterator[None]:
    """Save the settings beside what they made, also of a run that was interrupted.

    A run that was refused, because finished work has other settings, leaves the old file.
    """
    if not path.exists():
        write_atomic(path, settings.encode())
    try:
        yield
    except FaceswapError:
        raise
    except BaseException:
        write_atomic(path, settings.encode())
        raise
    write_atomic(path, settings.encode())


def _run(name: str, workspace: Workspace, config: Config, *, redo: bool) -> list[StageReport]:
    if name == "extract":
        from faceswap_cli.stages.extract import run_extract

        return run_extract(workspace, config.extract, config.input, redo=redo)
    if name == "train":
        from faceswap_cli.stages.train import run_train

        return [run_train(workspace, config.train)]
    if name == "merge":
        from faceswap_cli.stages.merge import run_merge

        merge = config.merge
        return [run_merge(workspace, merge, config.input, video=config.video, redo=redo)]
    return _run_video(workspace, config, redo=redo)


def _run_video(workspace: Workspace, config: Config, *, redo: bool) -> list[StageReport]:
    from faceswap_cli.stages.sequence import run_sequence
    from faceswap_cli.stages.video import run_video

    reports = [run_video(workspace, config.video, config.input, redo=redo)]
    if config.video.sequence != "none":
        reports.append(run_sequence(workspace, config.video, config.input, redo=redo))
    if config.video.animation != "none":
        from faceswap_cli.stages.animation import run_animation

        reports.append(run_animation(workspace, config.video, redo=redo))
    return reports
