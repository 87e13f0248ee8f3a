"""What merge has left behind: frames as files, or pieces that are encoded already."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from faceswap_cli.config import VideoConfig
from faceswap_cli.errors import ConfigError, MediaError, WorkspaceError
from faceswap_cli.files import checksum, read_manifest
from faceswap_cli.imaging import decode_grey, read_bytes
from faceswap_cli.media.encoding import Encoding
from faceswap_cli.media.reader import FrameTime
from faceswap_cli.media.segments import segment_suffix
from faceswap_cli.media.source import Source
from faceswap_cli.rendering.form import encoding_of
from faceswap_cli.rendering.ledger import is_complete, segment_name
from faceswap_cli.types import GreyImage
from faceswap_cli.workspace import Workspace

DEPTHS = (8, 16)


@dataclass(frozen=True)
class FrameFile:
    """The file of a merged frame.

    Args:
        path: Of the frame.
        mask: Of what was painted in it.
        noted: The checksums of both when merge had written them, by the names of their folders;
            empty if it has noted none.
    """

    path: Path
    mask: Path
    noted: dict[str, Any]

    def painted(self, data: bytes) -> GreyImage | None:
        """Return the mask, not 0 where merge has painted.

        Args:
            data: The bytes of the frame.

        Returns:
            None if the frame or the mask is not known to be as merge has written it.
        """
        if not self._is_as_noted(self.path, data):
            return None
        with suppress(MediaError):
            data = read_bytes(self.mask)
            return decode_grey(data, self.mask) if self._is_as_noted(self.mask, data) else None
        return None

    def _is_as_noted(self, path: Path, data: bytes) -> bool:
        return bool(self.noted.get(path.parent.name) == checksum(data))


@dataclass(frozen=True)
class Merged:
    """The manifest of a merge."""

    workspace: Workspace
    settings: dict[str, Any]
    items: dict[str, Any]

    @property
    def is_stream(self) -> bool:
        """Whether it made pieces, and no frame files."""
        return bool(self.settings.get("stream"))

    @property
    def command(self) -> str:
        """What the user runs to have it done."""
        option = " --stream" if self.is_stream else ""
        return f"faceswap-cli merge {self.workspace.root}{option}"

    def folder_and_suffix(self, *, alpha: bool) -> tuple[Path, str]:
        """Return where the frame files are, and what their names end with."""
        if alpha:
            return self.workspace.merged_layer, ".png"
        return self.workspace.merged, f".{self.settings.get('format', 'png')}"

    def frame_file(self, path: Path) -> FrameFile:
        """Return a merged frame with what is noted of it, if that tells of which footage it is."""
        entry = self.items.get(path.stem)
        noted = entry.get("files") if isinstance(entry, dict) else None
        if not isinstance(noted, dict) or self.settings.get("footage") is None:
            noted = {}
        return FrameFile(path, self.workspace.merged_masks / f"{path.stem}.png", noted)

    def check_files(self, *, alpha: bool) -> None:
        """Make sure that the last merge was one into files.

        Args:
            alpha: Not of frames, but of the new faces alone.

        Raises:
            WorkspaceError: What there may be of them is of an earlier one.
        """
        if self.is_stream:
            what, option = "the last merge has streamed its frames", " --no-stream"
        elif alpha and not self.settings.get("layer", True):
            what, option = "the last merge was one without layers", " --layer"
        else:
            return
        raise WorkspaceError(
            f"{what}: any such files are of an earlier one",
            seen_in=self.workspace.manifest("merge"),
            fix=f"faceswap-cli merge {self.workspace.root}{option}",
        )


def read_merged(workspace: Workspace, source: Source) -> Merged:
    """Return what the last merge was; an old workspace may have frames without a manifest.

    Raises:
        WorkspaceError: It was not finished, or was made of other footage.
    """
    merged = Merged(workspace, *read_manifest(workspace.manifest("merge")))
    if not is_complete(merged.items):
        raise WorkspaceError(
            "merge was not finished with its present settings: some frames are of older ones",
            seen_in=workspace.manifest("merge"),
            fix=f"{merged.command}, which goes on where it was",
        )
    footage = merged.settings.get("footage")
    if footage is not None and footage != source.fingerprint():
        raise WorkspaceError(
            f"{source.info.path.name}, or its span, is not what merge has seen:"
            " frames and times may not belong together",
            seen_in=source.info.path,
            fix=f"put back the footage and the span, or run `{merged.command} --redo`",
        )
    return merged


def find_frames(
    merged: Merged, source: Source, times: Sequence[FrameTime], *, alpha: bool
) -> list[Path]:
    """Return the merged frame of each frame of the footage, in order.

    Raises:
        WorkspaceError: Some are not there, or are those of an earlier merge.
    """
    merged.check_files(alpha=alpha)
    folder, suffix = merged.folder_and_suffix(alpha=alpha)
    frames = [folder / f"{source.frame_name(timed.index)}{suffix}" for timed in times]
    there = {path.name for path in folder.glob(f"*{suffix}")}
    missing = [path.name for path in frames if path.name not in there]
    if missing:
        option = " --layer" if alpha else ""
        raise WorkspaceError(
            f"{len(missing)} of {len(frames)} merged frames are missing, the first is {missing[0]}",
            seen_in=folder,
            fix=f"{merged.command}{option}",
        )
    return frames


def find_pieces(merged: Merged, section: VideoConfig, *, num_frames: int) -> list[Path]:
    """Return the pieces of a streamed merge, in order.

    Raises:
        ConfigError: They were encoded with other settings than those of [video].
        WorkspaceError: Some are missing, or were changed.
    """
    encoding = _check_encoding(merged, section)
    paths: list[Path] = []
    first, suffix = 0, segment_suffix(encoding)
    while first < num_frames:
        entry = merged.items.get(segment_name(first))
        path = merged.workspace.merged_stream / f"{first:06d}{suffix}"
        length = entry.get("frames") if isinstance(entry, dict) else None
        if not isinstance(length, int) or length < 1 or not _is_as_recorded(path, entry):
            raise WorkspaceError(
                f"the piece of the frames from {first} on is missing, or was changed",
                seen_in=path,
                fix=merged.command,
            )
        paths.append(path)
        first += length
    return paths


def _is_as_recorded(path: Path, entry: Any) -> bool:
    return path.is_file() and entry.get("bytes") in (None, path.stat().st_size)


def _check_encoding(merged: Merged, section: VideoConfig) -> Encoding:
    """Return how the pieces were encoded, or raise ConfigError if [video] says otherwise."""
    recorded = merged.settings.get("encoding")
    for bits in DEPTHS:
        if asdict(encoding := encoding_of(section, bits=bits)) == recorded:
            break
    else:
        now, was = asdict(encoding), recorded if isinstance(recorded, dict) else {}
        changed = [f"{key} was {was.get(key)}" for key in now if was.get(key) != now[key]]
        raise ConfigError(
            f"merge --stream has encoded the frames with other settings: {', '.join(changed)}",
            seen_in=merged.workspace.manifest("merge"),
            fix=f"give video those settings, or run `{merged.command}` with the new ones first",
        )
    if section.label != (drawn := merged.settings.get("label", "")):
        raise ConfigError(
            f"merge --stream has encoded frames with the label {drawn!r}, not {section.label!r}",
            seen_in="video.label",
            fix=f"give video that label, or `{merged.command} --video-label TEXT` first",
        )
    return encoding
