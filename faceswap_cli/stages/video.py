"""The last stage: merged frames -> a video with the times and the sound of the footage."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

from faceswap_cli import __version__
from faceswap_cli.config import InputConfig, VideoConfig
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.files import Manifest, fingerprint, only_one, read_manifest, sweep_partials
from faceswap_cli.imaging import read_image
from faceswap_cli.media.provenance import synthetic_mark
from faceswap_cli.media.sound import SoundPlan, plan_sound
from faceswap_cli.media.source import Source, open_side
from faceswap_cli.media.writer import open_writer
from faceswap_cli.progress import progress
from faceswap_cli.types import RgbImage
from faceswap_cli.workspace import StageReport, Workspace

FRAMES_AHEAD = 4  # decoded while the encoder works

Shown = tuple[Path, Fraction, Fraction]
"""A merged frame, its time and its duration, seconds."""


def run_video(
    workspace: Workspace, section: VideoConfig, inputs: InputConfig, *, redo: bool = False
) -> StageReport:
    """Make result.CONTAINER of the merged frames.

    It is made again when frames, footage or settings have changed, and appears only when it
    is whole. A file of that name that this stage did not make is left alone.

    Args:
        workspace: Holds the footage of dst, and a merged frame for each of its frames.
        section: How it is encoded.
        inputs: Which part of the footage; pictures a second, if it is a folder.
        redo: Make it in any case, in place of whatever is there.

    Raises:
        WorkspaceError: Merged frames are missing, or a foreign file is in the way.
        MediaError: Footage or frames cannot be read, or the encoder fails.
    """
    with only_one(workspace.stages, "video"):
        sweep_partials(workspace.stages, workspace.root)
        report = StageReport("video")
        source = open_side(workspace, "dst", inputs)
        result = workspace.result(section.container)
        manifest = Manifest.open(workspace.manifest("video"), {})
        made_of = _made_of(workspace, section, source)
        if not redo and _is_made(result, manifest.items.get(result.name), made_of):
            report.kept = 1
            report.facts |= manifest.items[result.name]["facts"]
            return report
        frames = _find_frames(workspace, source)
        sound = plan_sound(source.info, result, span=source.span) if section.sound else None
        report.facts |= _facts(result, frames, sound, source, section)
        # Said first: should the process die after the rename, the file is known to be ours.
        manifest.add(result.name, {"making": made_of})
        _encode(result, frames, source, section, sound)
        manifest.add(
            result.name, {"made_of": made_of, "file": _seen(result), "facts": report.facts}
        )
        report.done = 1
        return report


def _made_of(workspace: Workspace, section: VideoConfig, source: Source) -> str:
    """Return what changes when the result would."""
    suffix = _suffix(workspace)
    merged = [_seen(path) for path in sorted(workspace.merged.glob(f"[!.]*{suffix}"))]
    return fingerprint(
        settings=section.model_dump(),
        footage=source.fingerprint(),
        merged=merged,
        version=__version__,
    )


def _is_made(result: Path, entry: Any, made_of: str) -> bool:
    """Tell whether the result is up to date, or raise WorkspaceError if it is not ours."""
    if not result.exists():
        return False
    if not entry or ("file" in entry and entry["file"] != _seen(result)):
        raise WorkspaceError(
            f"{result.name} was not made by this stage, or was changed since",
            seen_in=result,
            fix="move it away, or add --redo to overwrite it",
        )
    return bool(entry.get("made_of") == made_of)


def _find_frames(workspace: Workspace, source: Source) -> list[Shown]:
    """Return the merged frame of each frame of the footage, in order.

    Raises:
        WorkspaceError: Some are not there.
    """
    suffix = _suffix(workspace)
    frames = [
        (
            workspace.merged / f"{source.frame_name(timed.index)}{suffix}",
            timed.time_s,
            timed.duration_s,
        )
        for timed in source.times()
    ]
    missing = [path.name for path, *_ in frames if not path.exists()]
    if missing:
        raise WorkspaceError(
            f"{len(missing)} of {len(frames)} merged frames are missing, the first is {missing[0]}",
            seen_in=workspace.merged,
            fix=f"faceswap-cli merge {workspace.root}",
        )
    return frames


def _suffix(workspace: Workspace) -> str:
    """Return the suffix of the merged frames: what merge was last told to write."""
    settings, _ = read_manifest(workspace.manifest("merge"))
    return f".{settings.get('format', 'png')}"


def _encode(
    result: Path, frames: list[Shown], source: Source, section: VideoConfig, sound: SoundPlan | None
) -> None:
    info = source.info
    span_s = frames[-1][1] + frames[-1][2] - frames[0][1]
    is_folder = info.path.is_dir()
    first = read_image(frames[0][0])
    with (
        open_writer(
            result,
            size_wh=(first.shape[1], first.shape[0]),
            time_base=frames[0][2] if is_folder else info.time_base,
            rate_hint=len(frames) / span_s if is_folder else info.average_rate,
            codec=section.codec,
            crf=section.crf,
            colour=info.colour,
            metadata=synthetic_mark(__version__),
            sound=sound,
            pixel_aspect=info.pixel_aspect,
        ) as write,
        progress("video", total=len(frames), unit="frame") as bar,
    ):
        for image, (_, time_s, duration_s) in zip(_decoded(frames), frames, strict=True):
            write(image, time_s, duration_s)
            bar.update()


def _decoded(frames: list[Shown]) -> Iterator[RgbImage]:
    """Yield the pictures in order, a few of them decoded ahead in threads."""
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(read_image, path) for path, *_ in frames[:FRAMES_AHEAD]]
        try:
            for path, *_ in frames[FRAMES_AHEAD:]:
                yield waiting.pop(0).result()
                waiting.append(pool.submit(read_image, path))
            for last in waiting:
                yield last.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _facts(
    result: Path,
    frames: list[Shown],
    sound: SoundPlan | None,
    source: Source,
    section: VideoConfig,
) -> dict[str, Any]:
    _, last_s, last_duration_s = frames[-1]
    return {
        "result": str(result),
        "frames": len(frames),
        "seconds": round(float(last_s + last_duration_s - frames[0][1]), 3),
        "sound": _sound_fact(sound, source, section),
        "marked": "as synthetic, in the metadata",
    }


def _sound_fact(sound: SoundPlan | None, source: Source, section: VideoConfig) -> str:
    if sound is None:
        if not section.sound and source.info.has_sound:
            return "none: left out on request"
        return "none: the footage has none"
    return ", ".join(
        f"{track.codec} copied" if track.copied else f"{track.codec} encoded ({track.reason})"
        for track in sound.tracks.values()
    )


def _seen(path: Path) -> list[object]:
    """Return what tells a file from a later one of the same name, as JSON has it."""
    stat = path.stat()
    return [path.name, stat.st_size, stat.st_mtime_ns]
