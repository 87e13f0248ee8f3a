"""A small moving preview of the result, for where a video is too much."""

from collections.abc import Iterator
from fractions import Fraction

from faceswap_cli import __version__
from faceswap_cli.config import VideoConfig
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.files import Manifest, fingerprint, only_one, sweep_partials
from faceswap_cli.media.animation import LONGEST_S, choose_moments, write_animation
from faceswap_cli.media.pictures import BadFrame
from faceswap_cli.media.source import Source, open_source
from faceswap_cli.media.span import Span
from faceswap_cli.progress import progress
from faceswap_cli.rendering.pieces import file_state
from faceswap_cli.types import RgbImage
from faceswap_cli.workspace import StageReport, Workspace


def run_animation(workspace: Workspace, section: VideoConfig, *, redo: bool = False) -> StageReport:
    """Make result.gif or result.webp of the beginning of the result video, and sign it.

    Args:
        workspace: Holds result.CONTAINER.
        section: Which kind, and who signs.
        redo: Make it in any case, in place of whatever is there.

    Raises:
        WorkspaceError: There is no result yet, or a foreign file is in the way.
        ConfigError: The certificate cannot sign.
        MediaError: The result cannot be read, or the preview not be encoded.
    """
    report = StageReport("animation")
    result = workspace.result(section.container)
    target = result.with_suffix(f".{section.animation}")
    if not result.is_file():
        raise WorkspaceError(
            f"there is no {result.name}",
            seen_in=workspace.root,
            fix=f"faceswap-cli video {workspace.root}",
        )
    # The lock of video: both sweep the folder in which the other one's files are in the making.
    with only_one(workspace.stages, "video"):
        sweep_partials(workspace.root)
        manifest = Manifest.open(workspace.manifest("animation"), {})
        made_of = fingerprint(result=file_state(result), signed=section.credentials)
        report.facts["preview"] = str(target)
        if target.exists() and not redo:
            known = manifest.items.get(target.name, {})  # None: we were killed while we wrote it
            entry = known if isinstance(known, dict) else {}
            if known is not None and entry.get("file") != file_state(target):
                raise WorkspaceError(
                    f"{target.name} was not made by this stage, or was changed since",
                    seen_in=target,
                    fix="move it away, or add --redo to overwrite it",
                )
            if entry.get("made_of") == made_of:
                report.kept = 1
                return report
        manifest.add(target.name, None)
        _write(workspace, section)
        manifest.add(target.name, {"made_of": made_of, "file": file_state(target)})
        report.done = 1
        return report


def _write(workspace: Workspace, section: VideoConfig) -> None:
    result = workspace.result(section.container)
    target = result.with_suffix(f".{section.animation}")
    from faceswap_cli.media.credentials import prepare_key, sign_file

    key = None
    if section.credentials:  # before the work, which a bad certificate would leave unsigned
        key = prepare_key(section.certificate, section.private_key, workspace.credentials)
    clip = open_source(result, Span(end_s=Fraction(LONGEST_S)))
    times = clip.times()
    chosen = choose_moments([(timed.time_s, timed.duration_s) for timed in times])
    moments = [(times[i].time_s, times[i].duration_s) for i in chosen]
    write_animation(target, _pictures(clip, chosen), moments)
    if key is not None:
        sign_file(
            target, target, title=target.name, parent=result, key=key, tool_version=__version__
        )


def _pictures(clip: Source, chosen: list[int]) -> Iterator[RgbImage]:
    """Yield some frames, and decode no further than needed."""
    wanted = set(chosen)
    with progress("animation", total=len(chosen), unit="frame") as bar:
        for frame in clip.frames(lambda index: index in wanted):
            if not isinstance(frame, BadFrame):
                bar.update()
                yield frame.image
            if frame.index >= chosen[-1]:
                return
